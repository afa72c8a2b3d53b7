/** How the matrix and explanations look. */
import { describe, expect, test } from "vitest";
import { explanationLines, statusLines } from "../../../src/cli/network/show.ts";
import type { NetworkStatus } from "../../../src/control/registry/client.ts";

const T0 = Date.parse("2026-01-02T03:04:05Z");
const since = new Date(T0 - 300_000).toISOString();

function statusOf(count: number): NetworkStatus {
  const nodes = Array.from({ length: count }, (_, at) => ({
    ...{ node: `id${at}`, name: `n${at}`, isAway: false, seen: since, isReady: true },
  }));
  const pairs = nodes.flatMap(({ node: from }, at) =>
    nodes.slice(at + 1).map(({ node: to }) => ({
      ...{ from, to, path: "v6" as const, relays: [], state: "up" as const },
      ...{ handshakeAge: 59.7, roundTripMs: 0.4321, loss: 0.05, since },
    })),
  );
  return { id: "ID", name: "net", nodes, pairs, faults: [] };
}

describe("a matrix", () => {
  test("of few nodes is a table, with a line for each pair", () => {
    const status = statusOf(3);
    const [first, second, third] = status.pairs;
    const changed: NetworkStatus = {
      ...status,
      nodes: [
        { ...status.nodes[0]!, relay: "down" },
        { ...status.nodes[1]!, isAway: true },
        { ...status.nodes[2]!, isReady: false },
      ],
      pairs: [
        first!,
        { from: second!.from, to: second!.to, path: "relay", relays: ["id1"], state: "down" },
        { from: third!.from, to: third!.to, path: "none", relays: [], state: "unknown" },
      ],
      faults: ["a fault"],
    };
    expect(statusLines(changed, T0)).toEqual([
      "ID net: 3 nodes, 3 pairs: IPv6 1, relay 1, no path 1; down: 1",
      "  fault: a fault",
      "  n0: relay down",
      "  n1: away, last seen 5 min ago: what it said is stale",
      "  n2: has not taken part yet",
      "",
      "    n0            n1            n2",
      "n0  -             IPv6 0.43 ms  via n1 down",
      "n1  IPv6 0.43 ms  -             no path",
      "n2  via n1 down   no path       -",
      "",
      "n0 - n1  IPv6     up       handshake 60 s ago  0.43 ms  loss 5 %  for 5 min",
      "n0 - n2  via n1   down",
      "n1 - n2  no path  unknown",
    ]);
  });

  test("counts ways in one order, whichever pair is the first", () => {
    const status = statusOf(3);
    const [first, ...rest] = status.pairs;
    const changed = [{ ...first!, path: "relay" as const, relays: ["id2"] }, ...rest];
    expect(statusLines({ ...status, pairs: changed }, T0)[0]).toBe(
      "ID net: 3 nodes, 3 pairs: IPv6 2, relay 1; down: 0",
    );
  });

  test("of fifty is lines", () => {
    const lines = statusLines(statusOf(50), T0);
    expect(lines).toHaveLength(1 + (50 * 49) / 2);
    expect(lines[0]).toBe("ID net: 50 nodes, 1225 pairs: IPv6 1225; down: 0");
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(100);
  });

  test("is in the order of names, and each pair begins with the first of its two", () => {
    const status = statusOf(3);
    const names = ["ox 10", "ox 9", "cow"];
    const nodes = status.nodes.map((node, at) => ({ ...node, name: names[at] ?? "" }));
    const [, second, ...rest] = status.pairs;
    const relayed = { ...second!, path: "relay" as const, relays: ["id1", "x"] };
    const lines = statusLines({ ...status, nodes, pairs: [relayed, ...rest] }, T0);
    expect(lines[2]).toMatch(/^ +cow +ox 9 +ox 10$/);
    expect(lines.slice(-2).map((line) => line.replace(/ +up.*/, ""))).toEqual([
      "cow - ox 9   IPv6",
      "cow - ox 10  via x, ox 9",
    ]);
  });

  test("two nodes of one name are told apart", () => {
    const status = statusOf(2);
    const nodes = status.nodes.map((node) => ({ ...node, name: "same" }));
    expect(statusLines({ ...status, nodes }, T0).at(-1)).toMatch(/^same \(id0\) - same \(id1\)/);
  });
});

test("an explanation names nodes as people do", () => {
  const names = new Map([
    ["id0", "ox"],
    ["id1", "cow"],
  ]);
  const explanation = {
    ...{ network: "ID", name: "net", path: ["id0", "id2", "id1"] },
    ways: ["v4", "incoming"] as const,
    alternatives: [{ node: "id3", latencyMs: 70.4 }, { node: "id4" }],
    obstacles: ["IPv6: id0 has none"],
  };
  expect(explanationLines([explanation, { ...explanation, path: [] }], names)).toEqual([
    "ID net: ox -(v4)-> id2 -(incoming)-> cow",
    "  another relay: id3, 70 ms",
    "  another relay: id4, not measured",
    "  IPv6: ox has none",
    "ID net: no path",
    "  another relay: id3, 70 ms",
    "  another relay: id4, not measured",
    "  IPv6: ox has none",
  ]);
});
