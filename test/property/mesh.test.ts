/** Mesh plans on random grids, judged by an independent reading of what WireGuard does with them. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { networkFaults, nodeFaults } from "../../src/control/mesh/check.ts";
import type { Grid, GridNode } from "../../src/control/mesh/grid.ts";
import { planMesh, replanMesh } from "../../src/control/mesh/mesh-plan.ts";
import { resourceOf } from "../../src/control/mesh/peers.ts";
import { parseNetworkResource } from "../../src/control/model/network-resource.ts";
import type { MeshWorld } from "../reference/mesh-world.ts";
import {
  gridOf,
  memberOf,
  NETWORK,
  nodeName,
  type RandomGrid,
  randomGrids,
  reachablePairs,
  worldOf,
} from "./mesh-grid.ts";

const RUNS = { numRuns: 300 };

function pairsOf({ nodes }: RandomGrid): [number, number][] {
  return nodes.flatMap((_a, a) =>
    nodes.flatMap((_b, b): [number, number][] => (a === b ? [] : [[a, b]])),
  );
}

/** From a workload to a workload. */
function pathOf(world: MeshWorld, a: number, b: number): readonly string[] | string {
  return world.trace(nodeName(a), `10.1.${a + 1}.9`, `10.1.${b + 1}.9`);
}

/** Fewest hops by breadth first search over pairs of neighbours in the paths found. */
function isShortest(
  paths: ReadonlyMap<string, readonly string[]>,
  relays: ReadonlySet<string>,
): boolean {
  const meets = new Set([...paths].filter(([, path]) => path.length === 2).map(([pair]) => pair));
  return [...paths].every(([pair, path]) => {
    const [from = "", to = ""] = pair.split(" ");
    let reach = new Set([from]);
    for (let hops = 1; hops < path.length - 1; hops++) {
      reach = new Set(
        [...reach].flatMap((here) =>
          here !== from && !relays.has(here)
            ? []
            : [...meets]
                .filter((name) => name.startsWith(`${here} `))
                .map((name) => name.split(" ")[1]!),
        ),
      );
      if (reach.has(to)) return false;
    }
    return true;
  });
}

describe("a plan", () => {
  test("gives each pair that can have a path exactly one, the same both ways, and claims no other", () => {
    let [direct, relayed, far, none] = [0, 0, 0, 0];
    fc.assert(
      fc.property(randomGrids, (random) => {
        const grid = gridOf(random);
        const { plan } = planMesh(grid);
        const world = worldOf(random, plan);
        const reachable = reachablePairs(random);
        const paths = new Map<string, readonly string[]>();
        for (const [a, b] of pairsOf(random)) {
          const path = pathOf(world, a, b);
          const pair = `${nodeName(a)} ${nodeName(b)}`;
          if (!reachable.has(pair)) {
            none++;
            expect(path).toBe(`${nodeName(a)} knows no peer for 10.1.${b + 1}.9`);
            continue;
          }
          expect(path, pair).toBeInstanceOf(Array);
          expect(pathOf(world, b, a)).toEqual([...path].reverse());
          // The tunnel's addresses and IPv6 go the same way.
          expect(world.trace(nodeName(a), `100.64.1.${a + 1}`, `100.64.1.${b + 1}`)).toEqual(path);
          expect(world.trace(nodeName(a), `fd01:0:0:${a + 1}::9`, `fd01:0:0:${b + 1}::9`)).toEqual(
            path,
          );
          paths.set(pair, path as readonly string[]);
          if (path.length === 2) direct++;
          else if (path.length === 3) relayed++;
          else far++;
        }
        const relays = new Set([...paths.values()].flatMap((path) => path.slice(1, -1)));
        expect(isShortest(paths, relays)).toBe(true);
      }),
      RUNS,
    );
    // The grids have all kinds of pairs in them.
    for (const count of [direct, relayed, far, none]) expect(count).toBeGreaterThan(20);
  });

  test("gives no prefix to two peers of an interface, and none that is at home", () => {
    fc.assert(
      fc.property(randomGrids, (random) => {
        expect(worldOf(random, planMesh(gridOf(random)).plan).ownerFaults()).toEqual([]);
      }),
      RUNS,
    );
  });

  test("names no endpoint that leads nowhere, and keeps each flow open that a NAT would forget", () => {
    const proved = randomGrids.map(({ nodes, links }) => ({
      nodes: nodes.map((node) => ({ ...node, portRotation: "none" as const })),
      // All LANs tried: no trials.
      links: links.map((row) =>
        row.map((link) => ({
          ...link,
          known: [...link.known.filter((what) => what !== "lan"), "lan" as const],
        })),
      ),
    }));
    fc.assert(
      fc.property(proved, (random) => {
        const world = worldOf(random, planMesh(gridOf(random)).plan);
        expect(random.nodes.flatMap((_node, at) => world.wrongEndpoints(nodeName(at)))).toEqual([]);
        expect(world.silentSides()).toEqual([]);
      }),
      RUNS,
    );
  });

  test("is what a node takes as its network resource", () => {
    fc.assert(
      fc.property(randomGrids, (random) => {
        const grid = gridOf(random);
        const network = grid.networks.get(NETWORK)!;
        expect(networkFaults(network)).toEqual([]);
        for (const node of grid.nodes.values()) expect(nodeFaults(node)).toEqual([]);
        for (const [at, part] of planMesh(grid).plan.networks.get(NETWORK)!.members.entries()) {
          const resource = resourceOf(network, memberOf(random.nodes[at]!, at), part);
          expect(parseNetworkResource({ name: "n", owner: "o", ...resource }).peers).toEqual(
            resource.peers,
          );
        }
      }),
      { numRuns: 100 },
    );
  });

  test("is the same for the same input, and in any order of members", () => {
    fc.assert(
      fc.property(randomGrids, (random) => {
        const grid = gridOf(random);
        const first = planMesh(grid);
        const again = planMesh(gridOf(random), first.plan);
        expect(again.changed).toEqual([]);
        const network = grid.networks.get(NETWORK)!;
        const turned = new Map([
          [
            NETWORK,
            {
              ...network,
              members: network.members.toReversed(),
              clients: network.clients.toReversed(),
            },
          ],
        ]);
        expect(planMesh({ ...grid, networks: turned }, first.plan).changed).toEqual([]);
      }),
      { numRuns: 200 },
    );
  });
});

describe("a change", () => {
  /** All pairs' paths, by the judge. */
  function pathsOf(random: RandomGrid, world: MeshWorld): Map<string, readonly string[]> {
    const paths = new Map<string, readonly string[]>();
    for (const [a, b] of pairsOf(random)) {
      const path = pathOf(world, a, b);
      if (typeof path !== "string") paths.set(`${nodeName(a)} ${nodeName(b)}`, path);
    }
    return paths;
  }

  test("of what is between two nodes reaches only nodes on paths over that hop", () => {
    let [moved, kept] = [0, 0];
    fc.assert(
      fc.property(randomGrids, fc.nat(8), fc.nat(8), (random, first, second) => {
        const size = random.nodes.length;
        const [a, b] = [first % size, second % size];
        if (a === b) return;
        const links = random.links.map((row, from) =>
          row.map((link, to) =>
            (from === a && to === b) || (from === b && to === a)
              ? { ...link, blocked: link.blocked.length > 0 ? [] : (["v4", "v6", "lan"] as const) }
              : link,
          ),
        );
        const after = { nodes: random.nodes, links };
        const old = planMesh(gridOf(random));
        const pairs: [string, string][] = [[nodeName(a), nodeName(b)]];
        const renewed = replanMesh(gridOf(after), old.plan, { pairs });
        // By the change alone it comes to what a fresh plan says.
        expect(planMesh(gridOf(after), renewed.plan).changed).toEqual([]);
        const concerned = new Set([nodeName(a), nodeName(b)]);
        for (const paths of [
          pathsOf(random, worldOf(random, old.plan)),
          pathsOf(after, worldOf(after, renewed.plan)),
        ]) {
          for (const path of paths.values()) {
            const at = path.findIndex((name, place) => {
              const hop = [name, path[place + 1]];
              return hop.includes(nodeName(a)) && hop.includes(nodeName(b));
            });
            if (at >= 0) for (const name of path) concerned.add(name);
          }
        }
        // Who moves away from a hop comes to another relay: it carries one pair more.
        const helpers = new Set<string>();
        const [before, now] = [
          pathsOf(random, worldOf(random, old.plan)),
          pathsOf(after, worldOf(after, renewed.plan)),
        ];
        for (const [pair, path] of now) {
          const was = before.get(pair);
          const [from = "", to = ""] = pair.split(" ");
          const isMoved = was?.join() !== path.join();
          if (isMoved) expect(concerned.has(from) && concerned.has(to), pair).toBe(true);
          if (isMoved) for (const name of path) helpers.add(name);
        }
        for (const { node } of renewed.changed) {
          expect(concerned.has(node) || helpers.has(node), node).toBe(true);
        }
        moved += renewed.changed.length;
        kept += size - renewed.changed.length;
      }),
      RUNS,
    );
    expect(moved).toBeGreaterThan(20);
    expect(kept).toBeGreaterThan(20);
  });

  test("of a relay's health moves the pairs that it carries or will carry, and nobody else", () => {
    let moved = 0;
    fc.assert(
      fc.property(randomGrids, fc.nat(8), (random, which) => {
        const at = which % random.nodes.length;
        const nodes = random.nodes.map((node, index) =>
          index === at
            ? { ...node, health: node.health === "down" ? ("up" as const) : ("down" as const) }
            : node,
        );
        const after = { nodes, links: random.links };
        const old = planMesh(gridOf(random));
        const renewed = replanMesh(gridOf(after), old.plan, { nodes: [nodeName(at)] });
        expect(planMesh(gridOf(after), renewed.plan).changed).toEqual([]);
        const before = pathsOf(random, worldOf(random, old.plan));
        const now = pathsOf(after, worldOf(after, renewed.plan));
        const concerned = new Set<string>();
        for (const pair of new Set([...before.keys(), ...now.keys()])) {
          const [was, is] = [before.get(pair) ?? [], now.get(pair) ?? []];
          const isCarried = [was, is].some((path) => path.slice(1, -1).includes(nodeName(at)));
          if (was.join() === is.join()) continue;
          expect(isCarried, pair).toBe(true);
          for (const name of [...was, ...is, ...pair.split(" ")]) concerned.add(name);
        }
        for (const { node } of renewed.changed) expect(concerned.has(node), node).toBe(true);
        moved += renewed.changed.length;
      }),
      RUNS,
    );
    expect(moved).toBeGreaterThan(20);
  });

  test("of one network or its nodes leaves other networks' plans the objects that they were", () => {
    fc.assert(
      fc.property(randomGrids, fc.nat(8), (random, which) => {
        const grid = gridOf(random);
        const network = grid.networks.get(NETWORK)!;
        const at = which % random.nodes.length;
        const other = {
          ...network,
          id: "net2",
          members: network.members.filter((_m, index) => index !== at),
          clients: [],
        };
        const two: Grid = {
          ...grid,
          networks: new Map([
            [NETWORK, network],
            ["net2", other],
          ]),
        };
        const old = planMesh(two).plan;
        const work = { networks: 0, pairs: 0, relays: 0 };
        const gone = new Map<string, GridNode>(
          [...grid.nodes].filter(([id]) => id !== nodeName(at)),
        );
        const renewed = replanMesh({ ...two, nodes: gone }, old, { nodes: [nodeName(at)] }, work);
        expect(work.networks).toBe(1);
        expect(renewed.plan.networks.get("net2")).toBe(old.networks.get("net2"));
        // Nobody accepts a node that was deleted.
        const left = renewed.plan.networks.get(NETWORK)!;
        expect(left.members.map(({ node }) => node)).not.toContain(nodeName(at));
        expect(left.members.flatMap(({ peers }) => peers.map(({ name }) => name))).not.toContain(
          nodeName(at),
        );
        expect(
          renewed.changed.some(({ node, plan }) => node === nodeName(at) && plan === undefined),
        ).toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});
