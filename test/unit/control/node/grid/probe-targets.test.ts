/** Whom to probe, where, how often; and what echoes look like. */
import { describe, expect, it } from "vitest";
import { cidrOf } from "../../../../../src/control/model/cidr.ts";
import { decodeEcho, encodeEcho } from "../../../../../src/control/node/grid/echo.ts";
import { probeTarget } from "../../../../../src/control/node/grid/probe-targets.ts";

const SUBNET = "10.20.2.0/24";
const OWN = [SUBNET, "fd00:20:0:2::/64", "100.64.0.2/32", "fd00:20:0:ffff::2/128"];
const LANS = [cidrOf("192.168.7.9/24"), cidrOf("2001:db8:7::9/64")];

function target(
  allowedIps: readonly string[],
  more: { readonly subnet?: string; readonly endpoint?: string } = {},
): ReturnType<typeof probeTarget> {
  return probeTarget({ publicKey: "k", allowedIps, keepalive: 0, ...more }, LANS);
}

describe("probe targets", () => {
  it("a member is probed at its tunnel address, calmly", () => {
    const endpoint = "192.0.2.1:3000";
    expect(target(OWN, { subnet: SUBNET, endpoint })).toEqual({
      ...{ publicKey: "k", address: "100.64.0.2", isUrgent: false },
    });
  });

  it("a relay in use is probed at its own address, urgently; its clients are no members", () => {
    const client = "10.20.0.7/32";
    expect(target([...OWN, client], { subnet: SUBNET }).isUrgent).toBe(false);
    const far = ["10.20.9.0/24", "fd00:20:0:9::/64", "100.64.0.9/32"];
    expect(target([...OWN, ...far], { subnet: SUBNET })).toMatchObject({
      ...{ address: "100.64.0.2", isUrgent: true },
    });
  });

  it.each([
    ["192.168.7.3:3000", true],
    ["[2001:db8:7::3]:3000", true],
    ["192.168.8.3:3000", false],
    ["[2001:db8:8::3]:3000", false],
  ])("a peer at %s is a neighbour: %s", (endpoint, isUrgent) => {
    expect(target(OWN, { subnet: SUBNET, endpoint }).isUrgent).toBe(isUrgent);
  });

  it("a client has one address; by IPv6 where there is no other; else the gateway; a trial none", () => {
    expect(target(["10.20.0.7/32", "fd00:20::7/128"]).address).toBe("10.20.0.7");
    expect(target(["fd00:20::7/128"]).address).toBe("fd00:20::7");
    expect(target([SUBNET], { subnet: SUBNET }).address).toBe("10.20.2.1");
    expect(target([], { subnet: SUBNET }).address).toBeUndefined();
  });
});

describe("echoes", () => {
  const nonce = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);

  it("a request has type, sequence and nonce; its answer is known, itself and others are not", () => {
    const request = encodeEcho(4, 0x1_02_03, nonce);
    expect([...request]).toEqual([8, 0, 0, 0, 0, 0, 2, 3, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect(encodeEcho(6, 1, nonce)[0]).toBe(128);
    for (const [family, type] of [
      [4, 0],
      [6, 129],
    ] as const) {
      const answer = Uint8Array.of(type, ...encodeEcho(family, 7, nonce).subarray(1));
      expect(decodeEcho(family, answer)).toEqual(nonce);
      expect(decodeEcho(family, encodeEcho(family, 7, nonce))).toBeUndefined();
      expect(decodeEcho(family === 4 ? 6 : 4, answer)).toBeUndefined();
      expect(decodeEcho(family, answer.subarray(1))).toBeUndefined();
      expect(decodeEcho(family, Uint8Array.of(type, 1, ...answer.subarray(2)))).toBeUndefined();
    }
  });
});
