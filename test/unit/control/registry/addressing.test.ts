/** Slots of a network: disjoint addresses for all of them, and the way back. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cidrOf, contains, overlaps } from "../../../../src/control/model/cidr.ts";
import {
  addressesOf,
  chooseTunnelRange,
  clientAddresses,
  clientCount,
  defaultRange6,
  defaultSubnetLength,
  firstFree,
  slotCount,
  slotOf,
} from "../../../../src/control/registry/addressing.ts";

const ranges = (range: string, subnetLength = defaultSubnetLength(range)) => ({
  ...{ range, subnetLength, range6: "fd12:3456:789a::/48", tunnelRange: "100.64.0.0/16" },
});

describe("slots", () => {
  it("a /16 has 255 nodes with a /24 each, as in zos", () => {
    const network = ranges("10.20.0.0/16");
    expect(slotCount(network)).toBe(256);
    expect(addressesOf(network, 3)).toEqual({
      subnet: "10.20.3.0/24",
      subnet6: "fd12:3456:789a:3::/64",
      tunnel: "100.64.0.3",
      tunnel6: "fd12:3456:789a::3",
    });
    expect(clientAddresses(network, 1)).toEqual({
      address: "10.20.0.1",
      address6: "fd12:3456:789a::1:1",
    });
    expect(clientCount(network)).toBe(255);
  });

  it("no two share an address, all are inside, and each subnet says its slot", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(
          "10.20.0.0/16",
          "172.16.0.0/12",
          "192.168.7.0/24",
          "10.0.0.0/8",
          "10.1.2.0/28",
        ),
        fc.integer({ min: 1, max: 6 }),
        (range, more) => {
          const length = Math.min(30, cidrOf(range).length + more);
          const network = ranges(range, length);
          const count = slotCount(network);
          const all = Array.from({ length: count - 1 }, (_, at) => addressesOf(network, at + 1));
          expect(new Set(all.flatMap((one) => Object.values(one))).size).toBe(4 * (count - 1));
          for (const [at, { subnet, subnet6, tunnel }] of all.entries()) {
            expect(contains(cidrOf(range), cidrOf(subnet))).toBe(true);
            expect(contains(cidrOf(network.range6), cidrOf(subnet6))).toBe(true);
            expect(contains(cidrOf(network.tunnelRange), cidrOf(tunnel))).toBe(true);
            expect(slotOf(network, subnet)).toBe(at + 1);
            const client = clientAddresses(network, 1);
            expect(overlaps(cidrOf(subnet), cidrOf(client.address))).toBe(false);
            expect(overlaps(cidrOf(subnet6), cidrOf(client.address6))).toBe(false);
          }
        },
      ),
      { numRuns: 20 },
    );
  });

  it("what is no node's subnet has no slot", () => {
    const network = ranges("10.20.0.0/16");
    for (const subnet of [
      "10.20.0.0/24",
      "10.21.1.0/24",
      "10.20.1.0/25",
      "10.20.1.1/24",
      "fd00::/64",
    ]) {
      expect(slotOf(network, subnet), subnet).toBeUndefined();
    }
  });

  it("the first free one is taken; tunnel ranges move away from what is there", () => {
    expect(firstFree([1, 2, 4], 6)).toBe(3);
    expect(firstFree([1, 2, 3, 4, 5], 6)).toBeUndefined();
    expect(chooseTunnelRange(["100.64.3.7/24", "100.65.0.0/16"])).toBe("100.66.0.0/16");
    expect(chooseTunnelRange(["100.64.0.0/10"])).toBeUndefined();
    expect(defaultRange6("abc")).toMatch(/^fd[0-9a-f:]+::\/48$/);
    expect(defaultRange6("abc")).not.toBe(defaultRange6("abd"));
  });
});
