/** Faults of networks and nodes: each names the thing. */
import { describe, expect, test } from "vitest";
import { networkFaults, nodeFaults } from "../../../../src/control/mesh/check.ts";
import type { GridNode, Network } from "../../../../src/control/mesh/grid.ts";
import { HIDDEN, keyOf, member, node, publicAt, seenAs } from "./grids.ts";

const NETWORK: Network = {
  id: "n",
  range: "10.1.0.0/16",
  range6: "fd01::/48",
  members: [member("a", 1, { subnet6: "fd01:0:0:1::/64" }), member("b", 2)],
  clients: [{ id: "c", publicKey: keyOf("c"), addresses: ["10.1.0.2", "fd01::2"], access: "a" }],
};

test("a network without faults", () => {
  expect(networkFaults(NETWORK)).toEqual([]);
});

describe("a network's faults", () => {
  test.each<[Partial<Network>, string]>([
    [
      { members: [member("a", 1), member("a", 2, { publicKey: keyOf("x") })] },
      "node a is a member twice",
    ],
    [
      { members: [member("a", 1), member("b", 2, { publicKey: keyOf("a") })] },
      "node b has the public key of node a",
    ],
    [
      {
        members: [
          member("a", 1),
          member("b", 2, { rotation: { publicKey: keyOf("a"), isSwitched: false, seenBy: [] } }),
        ],
      },
      "node b, its new key has the public key of node a",
    ],
    [
      { members: [member("a", 1, { publicKey: "abc" })] },
      "node a: its public key is no WireGuard key",
    ],
    [{ members: [member("a", 1, { listenPort: 0 })] }, "node a: 0 is no port"],
    [
      { members: [member("a", 1, { portRotation: { port: 70_000, isSwitched: false } })] },
      "node a: 70000 is no port",
    ],
    [
      { members: [member("a", 1, { subnet: "10.2.1.0/24" })] },
      "node a: 10.2.1.0/24 is not inside 10.1.0.0/16",
    ],
    [
      { members: [member("a", 1, { subnet: "fd01::/64" })] },
      'node a: "fd01::/64" is no IPv4 prefix',
    ],
    [
      { members: [member("a", 1, { subnet6: "fd02::/64" })] },
      "node a: fd02::/64 is not inside fd01::/48",
    ],
    [
      { members: [member("a", 1), member("b", 3, { subnet: "10.1.1.128/25" })] },
      "10.1.1.128/25 of node b overlaps 10.1.1.0/24 of node a",
    ],
    [
      { members: [member("a", 1, { tunnelAddresses: ["10.1.1.7/24"] })] },
      "10.1.1.7 of node a overlaps 10.1.1.0/24 of node a",
    ],
    [
      // The wide one lies before two narrow ones.
      { members: [member("a", 1, { subnet: "10.1.0.0/20" }), member("b", 2), member("d", 3)] },
      "10.1.3.0/24 of node d overlaps 10.1.0.0/20 of node a",
    ],
    [
      { clients: [{ ...NETWORK.clients[0]!, addresses: ["10.1.2.9"] }] },
      "10.1.2.9 of client c overlaps 10.1.2.0/24 of node b",
    ],
    [{ clients: [{ ...NETWORK.clients[0]!, addresses: [] }] }, "client c has no address"],
    [
      { clients: [{ ...NETWORK.clients[0]!, addresses: ["x"] }] },
      'client c: "x" is no IPv4 prefix',
    ],
    [
      { clients: [{ ...NETWORK.clients[0]!, publicKey: keyOf("a") }] },
      "client c has the public key of node a",
    ],
    [
      {
        clients: [
          ...NETWORK.clients,
          { ...NETWORK.clients[0]!, publicKey: keyOf("d"), addresses: ["10.1.0.9"] },
        ],
      },
      "client c is there twice",
    ],
  ])("%j: %s", (change, fault) => {
    expect(networkFaults({ ...NETWORK, ...change })).toContain(fault);
  });
});

describe("a node's faults", () => {
  test.each<[GridNode, string[]]>([
    [
      node("a", publicAt("198.51.100.1"), { v6: seenAs("2001:db8::1"), lan: ["192.168.1.5/24"] }),
      [],
    ],
    [node("a", publicAt()), ["node a is public in v4 and has no address there"]],
    [node("a", publicAt("2001:db8::1")), ['node a: "2001:db8::1" is no v4 address']],
    [node("a", seenAs("198.51.100.1/32")), ['node a: "198.51.100.1/32" is no v4 address']],
    [
      node("a", HIDDEN, { lan: ["192.168.1.5"] }),
      ['node a: "192.168.1.5" is no address with a length, such as 192.168.1.5/24'],
    ],
    [
      node("a", HIDDEN, { relay: { isAllowed: true, health: "up", load: Number.NaN } }),
      ["node a: its load NaN is not 0 to 1"],
    ],
  ])("%j", (each, faults) => {
    expect(nodeFaults(each)).toEqual(faults);
  });
});
