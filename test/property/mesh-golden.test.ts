/**
 * Plans byte by byte: random grids from a fixed seed, of all kinds of nodes, measurements, rotations and clients, have the plans that
 * they had when these hashes were taken. What makes the planner quicker must not change one character of what a node is told. A hash changes
 * only with a rule of docs/mesh.md.
 */
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import type { Grid, Links, Measured } from "../../src/control/mesh/grid.ts";
import { planMesh, replanMesh } from "../../src/control/mesh/mesh-plan.ts";
import type { MemberPlan } from "../../src/control/mesh/network-plan.ts";
import { resourcePeers } from "../../src/control/mesh/peers.ts";
import { gridOf, NETWORK, nodeName, type RandomGrid } from "./mesh-grid.ts";

/** Numbers below a bound, always the same for a seed (xorshift32). */
function drawing(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const KINDS = ["public", "hidden", "hidden", "none"] as const;
const HEALTHS = ["up", "up", "up", "probation", "down"] as const;
const ROTATIONS = ["none", "none", "none", "offered", "switched"] as const;
const WHATS = ["v4", "v6", "lan"] as const;

function randomGrid(draw: (below: number) => number, size: number): RandomGrid {
  const of = <T>(list: readonly T[]): T => list[draw(list.length)]!;
  const some = (oneIn: number) => WHATS.filter(() => draw(oneIn) === 0);
  return {
    nodes: Array.from({ length: size }, () => ({
      ...{ v4: of(KINDS), v6: of(KINDS), site: of([0, 0, 1, 2]) },
      ...{ isSeen: draw(2) === 0, isAllowed: draw(4) > 0, health: of(HEALTHS) },
      ...{ load: draw(100) / 100, rotation: of(ROTATIONS), portRotation: of(ROTATIONS) },
    })),
    links: Array.from({ length: size }, () =>
      Array.from({ length: size }, () => ({
        ...{ blocked: draw(3) === 0 ? some(2) : [], known: some(3), latencyMs: draw(300) },
      })),
    ),
  };
}

/** The same with links that were lost, links that nobody measured, and measurements of nodes that are in no network. */
function withLosses(grid: Grid, draw: (below: number) => number): Grid {
  const links: Links = new Map(
    [...grid.links].map(([from, row]) => [
      from,
      new Map([
        ...[...row].flatMap(([to, measured]): [string, Measured][] => {
          if (draw(3) === 0) return [];
          if (draw(6) > 0) return [[to, measured]];
          const lost = draw(2) === 0 ? ("failed" as const) : ("suspected" as const);
          const family = draw(2) === 0 ? "v4" : "v6";
          return [[to, { ...measured, [family]: { isReached: false, lost } }]];
        }),
        ...(draw(2) === 0 ? [["elsewhere", { v4: { isReached: true } }] as const] : []),
      ]),
    ]),
  );
  const network = grid.networks.get(NETWORK)!;
  const size = network.members.length;
  const members = network.members.map((member) => {
    const { rotation } = member;
    if (rotation === undefined || draw(2) === 0) return member;
    return { ...member, rotation: { ...rotation, seenBy: [nodeName(draw(size))] } };
  });
  return { ...grid, links, networks: new Map([[NETWORK, { ...network, members }]]) };
}

function textOf(members: readonly MemberPlan[]): string {
  return JSON.stringify(members.map((member) => [member, resourcePeers(member)]));
}

/** Of so many grids, planned whole and then with one node's relay down. */
function hashOf(
  seed: number,
  count: number,
  sizes: readonly [least: number, most: number],
): string {
  const draw = drawing(seed);
  const hash = createHash("sha256");
  for (let at = 0; at < count; at++) {
    const size = sizes[0] + draw(sizes[1] - sizes[0] + 1);
    const grid = withLosses(gridOf(randomGrid(draw, size)), draw);
    const { plan } = planMesh(grid);
    const { members, faults } = plan.networks.get(NETWORK)!;
    const id = nodeName(draw(size));
    const node = grid.nodes.get(id)!;
    const down = { ...node, relay: { ...node.relay, health: "down" as const } };
    const nodes = new Map([...grid.nodes, [id, down]]);
    const renewed = replanMesh({ ...grid, nodes }, plan, { nodes: [id] });
    hash.update(textOf(members)).update(JSON.stringify(faults));
    hash.update(JSON.stringify(renewed.changed));
  }
  return hash.digest("hex").slice(0, 16);
}

test.each([
  ["2 to 6 nodes", 1, 400, [2, 6], "e7a56c477e1030e3"],
  ["7 to 16 nodes", 2, 200, [7, 16], "1add16b1ef94d26c"],
  ["17 to 40 nodes", 3, 40, [17, 40], "f8fa7dca13d00c93"],
  ["50 nodes", 4, 20, [50, 50], "875e587c5db5c8df"],
] as const)("%s", (_name, seed, count, sizes, golden) => {
  expect(hashOf(seed, count, sizes)).toBe(golden);
});
