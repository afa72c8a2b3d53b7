/** LAN candidates of a census, and who may be whose neighbour. */
import { describe, expect, test } from "vitest";
import {
  lanAddresses,
  mayBeNeighbours,
  neighbourhoodOf,
  neighbourOrder,
} from "../../../../src/control/mesh/lan.ts";
import type { Nic } from "../../../../src/control/model/nic.ts";
import { HIDDEN, NONE, node, publicAt, seenAs } from "./grids.ts";

function nic(name: string, addresses: string[], rest: Partial<Nic> = {}): Nic {
  return {
    name,
    mac: "02:00:00:00:00:01",
    kind: "device",
    mtu: 1500,
    carrier: true,
    up: true,
    addresses,
    routes: [],
    gateways: [],
    ...rest,
  };
}

test("of a census: addresses of NICs that are up and connected, and of bridges on them; nothing that no neighbour can use", () => {
  expect(
    lanAddresses([
      nic("eth0", ["192.168.1.5/24", "169.254.3.3/16", "fe80::1/64", "127.0.0.1/8"]),
      nic("eth1", ["10.0.0.1/8"], { carrier: false }),
      nic("eth2", ["10.0.0.2/8"], { up: false }),
      nic("zos", ["172.16.0.9/12", "2001:db8::9/64"], { kind: "bridge", mark: "uplink" }),
      nic("b-net", ["10.9.0.1/24"], { kind: "bridge", mark: "net" }),
      nic("eth3", ["192.168.1.5/24"]),
    ]),
  ).toEqual(["172.16.0.9/12", "192.168.1.5/24", "2001:db8::9/64"]);
});

const LAN = { lan: ["192.168.1.5/24"] };

describe("may be neighbours", () => {
  test.each([
    [
      "seen at one address",
      node("a", seenAs("203.0.113.1"), LAN),
      node("b", seenAs("203.0.113.1"), LAN),
      true,
    ],
    [
      "seen at one address, with other prefixes",
      node("a", seenAs("203.0.113.1"), LAN),
      node("b", seenAs("203.0.113.1"), { lan: ["10.0.0.1/8"] }),
      true,
    ],
    [
      "a public node and one behind its address",
      node("a", publicAt("203.0.113.1"), LAN),
      node("b", seenAs("203.0.113.1"), LAN),
      true,
    ],
    [
      "seen in one /64",
      node("a", NONE, { ...LAN, v6: seenAs("2001:db8::1") }),
      node("b", NONE, { ...LAN, v6: seenAs("2001:db8::2") }),
      true,
    ],
    [
      "one prefix, and nobody saw one of them",
      node("a", HIDDEN, LAN),
      node("b", seenAs("203.0.113.1"), LAN),
      true,
    ],
    [
      "one prefix, seen at two addresses",
      node("a", seenAs("203.0.113.2"), LAN),
      node("b", seenAs("203.0.113.1"), LAN),
      false,
    ],
    [
      "other prefixes, and nobody saw one of them",
      node("a", HIDDEN, LAN),
      node("b", HIDDEN, { lan: ["192.168.2.5/24"] }),
      false,
    ],
    [
      "no LAN at all",
      node("a", seenAs("203.0.113.1")),
      node("b", seenAs("203.0.113.1"), LAN),
      false,
    ],
  ])("%s", (_name, a, b, expected) => {
    const [one, other] = [neighbourhoodOf(a), neighbourhoodOf(b)];
    expect(mayBeNeighbours(one, other)).toBe(expected);
    expect(mayBeNeighbours(other, one)).toBe(expected);
  });
});

test("addresses in a prefix of ours come first", () => {
  const other = node("b", HIDDEN, { lan: ["10.0.0.1/8", "192.168.1.6/24"] });
  expect(neighbourOrder(node("a", HIDDEN, LAN), other)).toEqual(["192.168.1.6", "10.0.0.1"]);
});
