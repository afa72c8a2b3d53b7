/** Small grids for unit tests: a line for each node. */
import type {
  ExternalClient,
  Grid,
  GridNode,
  Links,
  Measured,
  Member,
  Network,
  Standing,
} from "../../../../src/control/mesh/grid.ts";
import { planMesh } from "../../../../src/control/mesh/mesh-plan.ts";
import type { MemberPlan, PlannedPeer } from "../../../../src/control/mesh/network-plan.ts";

export const NONE: Standing = { kind: "none" };
export const HIDDEN: Standing = { kind: "hidden" };

export function publicAt(...addresses: string[]): Standing {
  return { kind: "public", addresses };
}

export function seenAs(address: string): Standing {
  return { kind: "hidden", seenAs: address };
}

/** Up, willing, idle, without IPv6 and LAN unless told otherwise. */
export function node(id: string, v4: Standing, rest: Partial<GridNode> = {}): GridNode {
  const relay = { isAllowed: true, health: "up", load: 0 } as const;
  return { id, v4, v6: NONE, lan: [], relay, ...rest };
}

/** Any 32 bytes do for a plan. */
export function keyOf(name: string): string {
  return Buffer.from(name.padEnd(32, "-")).toString("base64");
}

/** Number `at` of a network: 10.1.<at>.0/24, port 3000 + at. */
export function member(id: string, at: number, rest: Partial<Member> = {}): Member {
  return {
    node: id,
    publicKey: keyOf(id),
    listenPort: 3000 + at,
    subnet: `10.1.${at}.0/24`,
    tunnelAddresses: [`100.64.1.${at}/32`],
    ...rest,
  };
}

export function linksOf(...entries: readonly (readonly [string, string, Measured])[]): Links {
  const links = new Map<string, Map<string, Measured>>();
  for (const [from, to, measured] of entries) {
    const row = links.get(from) ?? new Map<string, Measured>();
    links.set(from, row.set(to, measured));
  }
  return links;
}

export interface GridOptions {
  readonly links?: Links;
  readonly members?: readonly Member[];
  readonly clients?: readonly ExternalClient[];
}

/** One network "n" over all the nodes, numbered from 1. */
export function gridOf(nodes: readonly GridNode[], options: GridOptions = {}): Grid {
  const network: Network = {
    id: "n",
    range: "10.1.0.0/16",
    members: options.members ?? nodes.map(({ id }, at) => member(id, at + 1)),
    clients: options.clients ?? [],
  };
  return {
    nodes: new Map(nodes.map((each) => [each.id, each])),
    links: options.links ?? new Map(),
    networks: new Map([["n", network]]),
  };
}

export function membersOf(grid: Grid): ReadonlyMap<string, MemberPlan> {
  const { members } = planMesh(grid).plan.networks.get("n")!;
  return new Map(members.map((part) => [part.node, part]));
}

/** The peers that `from` has of that node or client. */
export function peersOf(grid: Grid, from: string, to: string): readonly PlannedPeer[] {
  return membersOf(grid)
    .get(from)!
    .peers.filter(({ name }) => name === to);
}

export function peerOf(grid: Grid, from: string, to: string): PlannedPeer | undefined {
  return peersOf(grid, from, to).find(({ kind }) => kind === "node" || kind === "client");
}

/** Which peer of `from` has the subnet of member number `at`. */
export function holderOf(grid: Grid, from: string, at: number): string | undefined {
  const holders = membersOf(grid)
    .get(from)!
    .peers.filter(({ allowedIps }) => allowedIps.includes(`10.1.${at}.0/24`));
  return holders[0]?.name;
}
