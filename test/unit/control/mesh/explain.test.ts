/** Explanations of a path. */
import { describe, expect, test } from "vitest";
import { explainPair } from "../../../../src/control/mesh/explain.ts";
import type { Grid } from "../../../../src/control/mesh/grid.ts";
import { planMesh } from "../../../../src/control/mesh/mesh-plan.ts";
import { gridOf, HIDDEN, linksOf, NONE, node, publicAt, seenAs } from "./grids.ts";

function explain(grid: Grid, from: string, to: string) {
  const plan = planMesh(grid).plan.networks.get("n")!;
  return explainPair(grid.networks.get("n")!, grid, plan, from, to);
}

const near = (latencyMs: number) => ({ v4: { isReached: true, latencyMs } });
const P1 = node("p1", publicAt("198.51.100.1"));
const P2 = node("p2", publicAt("198.51.100.2"));

describe("a path", () => {
  test("over a relay: which others there are, and why not direct", () => {
    const links = linksOf(
      ["a", "p1", near(10)],
      ["b", "p1", near(20)],
      ["a", "p2", near(30)],
      ["b", "p2", near(40)],
    );
    const grid = gridOf(
      [
        node("a", seenAs("203.0.113.1")),
        node("b", HIDDEN),
        P1,
        P2,
        node("p3", publicAt("198.51.100.3")),
      ],
      { links },
    );
    expect(explain(grid, "a", "b")).toEqual({
      path: ["a", "p1", "b"],
      ways: ["v4", "incoming"],
      alternatives: [{ node: "p2", latencyMs: 70 }, { node: "p3" }],
      obstacles: [
        "LAN: nothing says that they share one",
        "IPv6: a has none",
        "IPv6: b has none",
        "IPv4: both are hidden",
      ],
    });
  });

  test("direct: only the LAN would be better", () => {
    const lan = ["192.168.1.5/24"];
    const grid = gridOf([
      node("a", publicAt("198.51.100.1"), { lan }),
      node("b", publicAt("198.51.100.1"), { lan: ["192.168.1.6/24"] }),
    ]);
    expect(explain(grid, "a", "b")).toEqual({
      path: ["a", "b"],
      ways: ["v4"],
      alternatives: [],
      obstacles: ["LAN: they may share one; the trial is under way"],
    });
  });

  test("a LAN that was tried, a family that fails", () => {
    const lan = ["192.168.1.6/24"];
    const links = linksOf([
      "a",
      "b",
      { v4: { isReached: false }, lan: [{ address: "192.168.1.6/24", isReached: false }] },
    ]);
    const grid = gridOf(
      [node("a", HIDDEN, { lan }), node("b", publicAt("198.51.100.9"), { lan }), P1],
      { links },
    );
    expect(explain(grid, "a", "b").obstacles).toEqual([
      "LAN: 192.168.1.6 was tried and did not answer",
      "IPv6: a has none",
      "IPv6: b has none",
      "IPv4: a does not reach b",
    ]);
  });

  test("over a LAN that was proved: nothing is better", () => {
    const links = linksOf(["a", "b", { lan: [{ address: "192.168.1.6", isReached: true }] }]);
    const grid = gridOf(
      [
        node("a", HIDDEN, { lan: ["192.168.1.5/24"] }),
        node("b", HIDDEN, { lan: ["192.168.1.6/24"] }),
      ],
      { links },
    );
    expect(explain(grid, "a", "b")).toEqual({
      path: ["a", "b"],
      ways: ["lan"],
      alternatives: [],
      obstacles: [],
    });
  });

  test("none at all", () => {
    const grid = gridOf([node("a", HIDDEN), node("b", NONE, { v6: HIDDEN }), P1]);
    expect(explain(grid, "a", "b")).toEqual({
      path: [],
      ways: [],
      alternatives: [],
      obstacles: [
        "LAN: nothing says that they share one",
        "IPv6: a has none",
        "IPv4: b has none",
        "no relay that is up meets both",
      ],
    });
    expect(explain(grid, "a", "z").obstacles).toEqual(["node z is not in the network"]);
  });
});
