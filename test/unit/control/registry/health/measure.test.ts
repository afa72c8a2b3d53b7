/** From reports to what the planner takes as measured, and what plans make of it. */
import { describe, expect, test } from "vitest";
import type { GridNode, Measured } from "../../../../../src/control/mesh/grid.ts";
import {
  linksOf,
  measuredOf,
  placeOf,
  type Reporter,
} from "../../../../../src/control/registry/health/measure.ts";
import type { PeerRecord } from "../../../../../src/control/registry/health/record.ts";
import {
  gridOf,
  HIDDEN,
  holderOf,
  keyOf,
  NONE,
  node,
  peerOf,
  peersOf,
  publicAt,
} from "../../mesh/grids.ts";

const R1 = node("r1", publicAt("198.51.100.1"), { v6: publicAt("2001:db8::1") });
const R2 = node("r2", publicAt("198.51.100.2"), { v6: publicAt("2001:db8::2") });
const LAN_A = node("a", HIDDEN, {
  v6: { kind: "hidden", seenAs: "2001:db8:a::5" },
  lan: ["192.168.1.5/24", "2001:db8:a::5/64"],
});
const firewalled = (id: string, address: string): GridNode =>
  node(id, NONE, { v6: { kind: "hidden", seenAs: address }, lan: [`${address}/64`] });
const LAN_B = node("b", HIDDEN, { lan: ["192.168.1.6/24", "fd00::6/64"] });

function record(to: string, rest: Partial<PeerRecord> = {}): PeerRecord {
  return {
    ...{ publicKey: keyOf(to), since: 0, wasAlive: true, isAlive: true, isDead: false },
    ...{ endpoint: "198.51.100.1:3000", latencyMs: 10 },
    ...rest,
  };
}
const dead = (to: string, rest: Partial<PeerRecord> = {}): PeerRecord =>
  record(to, {
    ...{ isAlive: false, isDead: true, failed: [{ address: "198.51.100.1", at: 0 }] },
    ...rest,
  });
const reporter = (id: string, ...records: readonly PeerRecord[]): Reporter => ({
  ...{ node: id, publicKey: keyOf(id), records },
});
function links(nodes: readonly GridNode[], reporters: readonly Reporter[]) {
  const all = nodes.map(({ id }) => reporters.find((one) => one.node === id) ?? reporter(id));
  return linksOf(all, new Map(nodes.map((one) => [one.id, one])), new Map());
}
const planned = (nodes: readonly GridNode[], ...reporters: readonly Reporter[]) =>
  gridOf(nodes, { links: links(nodes, reporters) });

describe("a place", () => {
  test.each([
    ["198.51.100.1", R1, "v4"],
    ["2001:0db8:0::1", R1, "v6"],
    ["192.168.1.6", LAN_B, "lan"],
    ["fd00::6", LAN_B, "lan"],
    // What a NAT shows.
    ["203.0.113.9", LAN_B, "v4"],
    // Its own address, seen from elsewhere: a firewall without a NAT. From its own site it is the LAN.
    ["2001:db8:f::2", firewalled("f", "2001:db8:f::2"), "v6"],
    ["2001:db8:a::9", firewalled("f", "2001:db8:a::9"), "lan"],
    // A public node's own address is no LAN.
    ["198.51.100.9", node("p", publicAt("198.51.100.9"), { lan: ["198.51.100.9/24"] }), "v4"],
  ] as const)("%s is %s", (address, to, place) => {
    expect(placeOf(address, LAN_A, to)).toBe(place);
  });
});

describe("measured", () => {
  test("alive: the family in use, and no other", () => {
    expect(measuredOf(record("r1"), LAN_A, R1)).toEqual({ v4: { isReached: true, latencyMs: 10 } });
  });

  test("dead: both families, the one not tried is suspected; what never worked stays so", () => {
    expect(measuredOf(dead("r1"), LAN_A, R1)).toEqual({
      v4: { isReached: false, lost: "failed" },
      v6: { isReached: false, lost: "suspected" },
    });
    const base: Measured = { v6: { isReached: false } };
    expect(measuredOf(dead("r1"), LAN_A, R1, base).v6).toEqual({ isReached: false });
  });

  test("a LAN that fails takes no family away", () => {
    const endpoint = "192.168.1.6:3000";
    const failed = [{ address: "192.168.1.6", at: 0 }];
    expect(measuredOf(dead("b", { endpoint, failed }), LAN_A, LAN_B)).toEqual({
      lan: [{ address: "192.168.1.6", isReached: false }],
    });
  });

  test("a small number draws nobody: the slower side's word counts", () => {
    const found = links(
      [R1, R2],
      [
        reporter("r1", record("r2", { endpoint: "198.51.100.2:1", latencyMs: 0.1 })),
        reporter("r2", record("r1", { latencyMs: 80 })),
      ],
    );
    expect(found.get("r1")?.get("r2")?.v4?.latencyMs).toBe(80);
    expect(found.get("r2")?.get("r1")?.v4?.latencyMs).toBe(80);
  });

  test("a LAN counts as long as neither side sees it fail", () => {
    const there = reporter("a", record("b", { endpoint: "192.168.1.6:1" }));
    const nodes = [LAN_A, LAN_B, R1];
    expect(peerOf(planned(nodes, there), "a", "b")?.way).toBe("lan");
    const back = reporter(
      "b",
      dead("a", { endpoint: "192.168.1.5:1", failed: [{ address: "192.168.1.5", at: 0 }] }),
    );
    const grid = planned(nodes, there, back);
    expect(peerOf(grid, "a", "b")).toBeUndefined();
    expect(holderOf(grid, "a", 2)).toBe("r1");
  });

  test("unknown keys, and one's own, are nothing", () => {
    const found = links([R1, R2], [reporter("r1", record("r1"), record("nobody"))]);
    expect(found.get("r1")?.size).toBe(0);
  });
});

describe("plans", () => {
  const A = node("a", HIDDEN);
  const B = node("b", HIDDEN);
  const nodes = [A, B, node("c", HIDDEN), R1, R2];
  const isOver = (grid: ReturnType<typeof gridOf>, at: number): string | undefined =>
    holderOf(grid, "a", at);

  test("one's report moves its own routes at once, and nobody else's; the lost relay stays a peer without routes", () => {
    const before = planned(nodes);
    const relay = isOver(before, 2)!;
    const other = relay === "r1" ? "r2" : "r1";
    const grid = planned(nodes, reporter("a", dead(relay, { endpoint: "198.51.100.1:3000" })));
    expect(isOver(grid, 2)).toBe(other);
    expect(holderOf(grid, "b", 1)).toBe(other);
    expect(holderOf(grid, "b", 3)).toBe(holderOf(before, "b", 3));
    expect(peersOf(grid, "a", relay)).toMatchObject([
      { kind: "trial", allowedIps: [], keepalive: 25 },
    ]);
    expect(peersOf(grid, relay, "a")).toMatchObject([{ kind: "trial", endpoints: [] }]);
    // Its own prefixes go by the other relay.
    expect(holderOf(grid, "a", relay === "r1" ? 4 : 5)).toBe(other);
  });

  test("with no other way the lost one keeps its own prefixes, and carries nothing", () => {
    const few = [A, B, R1];
    const grid = planned(few, reporter("a", dead("r1")));
    expect(peersOf(grid, "a", "r1")).toMatchObject([{ kind: "node", carries: [] }]);
    expect(holderOf(grid, "a", 3)).toBe("r1");
    expect(holderOf(grid, "a", 2)).toBeUndefined();
    expect(holderOf(grid, "b", 3)).toBe("r1");
  });

  test("the family that was not tried comes first", () => {
    const six = node("a", HIDDEN, { v6: HIDDEN });
    const grid = planned([six, R1], reporter("a", dead("r1")));
    expect(peerOf(grid, "a", "r1")?.endpoints).toEqual(["[2001:db8::1]:3002", "198.51.100.1:3002"]);
    const other = [{ address: "2001:db8::1", at: 0 }];
    const lost6 = dead("r1", { endpoint: "[2001:db8::1]:3002", failed: other });
    expect(peerOf(planned([six, R1], reporter("a", lost6)), "a", "r1")?.endpoints[0]).toBe(
      "198.51.100.1:3002",
    );
  });

  test("never met: no such peers", () => {
    const measured = new Map([["a", new Map([["r1", { v4: { isReached: false } }]])]]);
    const grid = gridOf([A, node("r1", publicAt("198.51.100.1"), { v6: NONE })], {
      links: measured,
    });
    expect(peersOf(grid, "a", "r1")).toEqual([]);
  });
});
