import { describe, expect, it } from "vitest";
import { parseAddress } from "../../../src/route/address.ts";
import { EINVAL, EPROTO, printableName } from "../../../src/uapi/errors.ts";
import { parseSet } from "../../../src/uapi/parse.ts";

const KEY = "0123456789abcdef".repeat(4);
const KEY_BYTES = Uint8Array.from({ length: 32 }, (_, i) => ((i % 8) * 0x22 + 0x01) & 0xff);
const PEER = { op: "peer", publicKey: KEY_BYTES };
const peer = (...lines: string[]): ReturnType<typeof parseSet> =>
  parseSet([`public_key=${KEY}`, ...lines]);

describe("operations", () => {
  it("of the device come in the order of lines", () => {
    const { operations, error } = parseSet([
      "replace_peers=true",
      "fwmark=4294967295",
      "listen_port=51820",
      "fwmark=0",
    ]);
    expect(error).toBeUndefined();
    expect(operations).toEqual([
      { op: "replace_peers" },
      { op: "fwmark", mark: 4294967295 },
      { op: "listen_port", port: 51820 },
      { op: "fwmark", mark: 0 },
    ]);
  });

  it("of peers too, a peer twice being two operations", () => {
    const lines = ["update_only=true", "remove=true", `public_key=${KEY}`, "protocol_version=1"];
    expect(peer(...lines, "replace_allowed_ips=true", "persistent_keepalive_interval=025")).toEqual(
      {
        operations: [
          PEER,
          { op: "update_only" },
          { op: "remove" },
          PEER,
          { op: "protocol_version" },
          { op: "replace_allowed_ips" },
          { op: "persistent_keepalive_interval", seconds: 25 },
        ],
      },
    );
  });

  it("clamp a private key, but not the zero that removes it, nor a preshared key", () => {
    const ones = "ff".repeat(32);
    const clamped = new Uint8Array(32).fill(255);
    clamped[0] = 0xf8;
    clamped[31] = 0x7f;
    expect(parseSet([`private_key=${ones}`]).operations).toEqual([
      { op: "private_key", key: clamped },
    ]);
    expect(parseSet([`private_key=${"0".repeat(64)}`]).operations).toEqual([
      { op: "private_key", key: new Uint8Array(32) },
    ]);
    expect(peer(`preshared_key=${ones}`).operations[1]).toEqual({
      op: "preshared_key",
      key: new Uint8Array(32).fill(255),
    });
  });

  it("take hexadecimal of either case", () => {
    expect(parseSet([`public_key=${KEY.toUpperCase()}`]).operations).toEqual([PEER]);
  });

  it("hold endpoints with scope and allowed IPs with host bits", () => {
    const { operations } = peer(
      "endpoint=[fe80::1%wg9]:7",
      "endpoint=192.0.2.1:0",
      "allowed_ip=10.1.2.3/8",
      "allowed_ip=-fd00::/8",
    );
    const at = (text: string): Uint8Array => parseAddress(text)!.bytes;
    expect(operations.slice(1)).toEqual([
      { op: "endpoint", family: 10, bytes: at("fe80::1"), port: 7, scope: "wg9" },
      { op: "endpoint", family: 2, bytes: at("192.0.2.1"), port: 0 },
      { op: "allowed_ip", add: true, family: 2, bytes: at("10.1.2.3"), cidr: 8 },
      { op: "allowed_ip", add: false, family: 10, bytes: at("fd00::"), cidr: 8 },
    ]);
  });
});

describe("a bad line", () => {
  it("ends the request; what stood before it remains", () => {
    const { operations, error } = parseSet(["fwmark=1", "fwmark=x", "fwmark=2"]);
    expect(operations).toEqual([{ op: "fwmark", mark: 1 }]);
    expect(error).toEqual({ errno: EINVAL, message: "invalid value of fwmark" });
  });

  it("is not looked for after an empty line", () => {
    expect(parseSet(["fwmark=1", "", "nonsense"])).toEqual({
      operations: [{ op: "fwmark", mark: 1 }],
    });
  });

  it("without = is a protocol error, all else an invalid value", () => {
    expect(parseSet(["fwmark"]).error?.errno).toBe(EPROTO);
    expect(peer("remove").error?.errno).toBe(EPROTO);
    expect(parseSet(["=fwmark"]).error?.errno).toBe(EINVAL);
    expect([EINVAL, EPROTO]).toEqual([-22, -71]);
  });

  it.each([
    "private_key=",
    `private_key=${KEY}0`,
    `private_key=${KEY}00`,
    `private_key=${KEY.slice(2)}`,
    `private_key= ${KEY.slice(1)}`,
    `private_key=${KEY.slice(1)}g`,
    "public_key=",
    "listen_port=65536",
    "listen_port=",
    "fwmark=4294967296",
    "fwmark=0x10",
    "replace_peers=false",
    "replace_peers=TRUE",
    "protocol_version=1",
    "allowed_ip=10.0.0.0/8",
    "endpoint=192.0.2.1:1",
    "update_only=true",
    "errno=0",
  ])("of the device: %s", (line) => {
    expect(parseSet([line])).toMatchObject({ operations: [], error: { errno: EINVAL } });
  });

  it.each([
    `private_key=${KEY}`,
    "fwmark=1",
    "listen_port=1",
    "replace_peers=true",
    "public_key=00",
    "preshared_key=00",
    "update_only=1",
    "remove=yes",
    "replace_allowed_ips=",
    "protocol_version=2",
    "persistent_keepalive_interval=65536",
    "persistent_keepalive_interval=off",
    "endpoint=example.com:51820",
    "endpoint=192.0.2.1",
    "allowed_ip=10.0.0.1",
    "allowed_ip=-",
    "allowed_ip=fe80::%eth0/64",
    "last_handshake_time_sec=0",
  ])("of a peer: %s", (line) => {
    expect(peer(line)).toMatchObject({ operations: [PEER], error: { errno: EINVAL } });
  });
});

describe("messages never repeat what may be a secret", () => {
  const base64 = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=";
  it.each([
    `private_key=${KEY}zz`,
    `preshared_key=${KEY}zz`,
    KEY,
    `${KEY}=`,
    base64,
    `${base64}x`,
    `private_key ${KEY}`,
    `a${KEY.slice(0, 40)}=1`,
  ])("%s", (line) => {
    for (const { error } of [parseSet([line]), peer(line)]) {
      expect(error).toBeDefined();
      expect(error?.message).not.toContain(KEY.slice(0, 16));
      expect(error?.message).not.toContain(base64.slice(0, 16));
    }
  });

  it("but names are repeated", () => {
    expect(parseSet(["mtu=1420"]).error?.message).toContain("mtu");
    expect(peer("preshared_key=12").error?.message).toContain("preshared_key");
    expect(printableName("x\u001b[31m")).toBe("(unprintable)");
    expect(printableName("")).toBe("(unprintable)");
  });
});
