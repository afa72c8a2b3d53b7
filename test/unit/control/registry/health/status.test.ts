/** The matrix: from plans and both sides' words. */
import { describe, expect, test } from "vitest";
import { planMesh } from "../../../../../src/control/mesh/mesh-plan.ts";
import type { PeerRecord } from "../../../../../src/control/registry/health/record.ts";
import { pairsOf, type StatusMember } from "../../../../../src/control/registry/health/status.ts";
import { gridOf, HIDDEN, keyOf, NONE, node, publicAt } from "../../mesh/grids.ts";

const T0 = 1_700_000_000_000;
const RELAY = node("r", publicAt("198.51.100.1"));
const A = node("a", HIDDEN, { lan: ["192.168.1.5/24"] });
const B = node("b", HIDDEN, { lan: ["192.168.1.6/24"] });

const says = (to: string, rest: Partial<PeerRecord> = {}): PeerRecord => ({
  ...{ publicKey: keyOf(to), isAlive: true, isDead: false, wasAlive: true, since: T0 },
  ...{ endpoint: "198.51.100.1:3000", handshakeAge: 10, roundTripMs: 20, loss: 0.1 },
  ...rest,
});
const member = (id: string, records: readonly PeerRecord[], silent = false): StatusMember => ({
  ...{ node: id, public_key: keyOf(id), records, reported: T0, silent },
});
function matrix(members: readonly StatusMember[], grid = gridOf([A, B, RELAY])) {
  const plan = planMesh(grid).plan.networks.get("n")!;
  const pairs = pairsOf(members, grid.nodes, plan, T0 + 5_000);
  return (from: string, to: string) => pairs.find((pair) => pair.from === from && pair.to === to)!;
}

describe("a pair", () => {
  test("that meets: both sides' words, the newer handshake, the worse figures; ages go on", () => {
    const of = matrix([
      member("a", [says("r")]),
      member("b", [says("r")]),
      member("r", [
        says("a", {
          endpoint: "203.0.113.1:9",
          handshakeAge: 4,
          roundTripMs: 30,
          since: T0 + 1_000,
        }),
        says("b", { endpoint: "203.0.113.1:8", loss: 0.5 }),
      ]),
    ]);
    expect(of("a", "r")).toMatchObject({
      ...{ path: "v4", relays: [], state: "up", handshakeAge: 9, roundTripMs: 30, loss: 0.1 },
      since: new Date(T0 + 1_000).toISOString(),
      sides: [
        { path: "v4", roundTripMs: 20 },
        { path: "v4", roundTripMs: 30 },
      ],
    });
    // Over the relay: the way there is as long as its hops, and loses what either loses.
    expect(of("a", "b")).toMatchObject({
      path: "relay",
      relays: ["r"],
      state: "up",
      roundTripMs: 50,
    });
    expect(of("a", "b").loss).toBeCloseTo(1 - 0.9 * 0.5);
    expect(of("a", "b").sides).toBeUndefined();
  });

  test("of which one side is away: the other's word; of two: stale", () => {
    const dead = says("a", { isAlive: false, isDead: true });
    expect(
      matrix([member("a", [says("r")], true), member("b", []), member("r", [dead])])("a", "r"),
    ).toMatchObject({
      state: "down",
      sides: [{ state: "stale" }, { state: "down" }],
    });
    const both = matrix([
      member("a", [says("r")], true),
      member("b", []),
      member("r", [says("a")], true),
    ]);
    expect(both("a", "r").state).toBe("stale");
    expect(both("a", "b").state).toBe("unknown");
  });

  test("in a LAN, and with no path at all", () => {
    const of = matrix(
      [
        member("a", []),
        member("b", [says("a", { endpoint: "192.168.1.5:3001" })]),
        member("r", []),
      ],
      gridOf([A, B, RELAY], {
        links: new Map([
          ["b", new Map([["a", { lan: [{ address: "192.168.1.5", isReached: true }] }]])],
        ]),
      }),
    );
    expect(of("a", "b")).toMatchObject({ path: "lan", state: "up" });
    const none = matrix([member("a", []), member("b", [])], gridOf([A, node("b", NONE)]));
    expect(none("a", "b")).toEqual({
      from: "a",
      to: "b",
      path: "none",
      relays: [],
      state: "unknown",
    });
  });
});
