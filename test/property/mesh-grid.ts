/**
 * Random grids for properties of mesh plans: how the underlay really is, what of it was measured (all that is blocked, some of what
 * works), and one network over it. The same LAN prefix is at several sites, as it is at people's homes.
 */
import fc from "fast-check";
import {
  FAMILIES,
  type FamilyName,
  type Grid,
  type GridNode,
  type Links,
  type Measured,
  type Member,
  type Network,
  type Standing,
} from "../../src/control/mesh/grid.ts";
import type { MeshPlan } from "../../src/control/mesh/mesh-plan.ts";
import { resourcePeers } from "../../src/control/mesh/peers.ts";
import {
  connected,
  MeshWorld,
  type WorldInterface,
  type WorldNode,
} from "../reference/mesh-world.ts";

export const NETWORK = "net1";

interface NodeDraw {
  readonly v4: Standing["kind"];
  readonly v6: Standing["kind"];
  readonly site: number;
  readonly isSeen: boolean;
  readonly isAllowed: boolean;
  readonly health: "up" | "probation" | "down";
  readonly load: number;
  readonly rotation: "none" | "offered" | "switched";
  readonly portRotation: "none" | "offered" | "switched";
}

interface LinkDraw {
  readonly blocked: readonly (FamilyName | "lan")[];
  readonly known: readonly (FamilyName | "lan")[];
  readonly latencyMs: number;
}

export interface RandomGrid {
  readonly nodes: readonly NodeDraw[];
  /** Row: from; column: to. */
  readonly links: readonly (readonly LinkDraw[])[];
}

const nodeDraw: fc.Arbitrary<NodeDraw> = fc.record({
  v4: fc.constantFrom("public", "hidden", "hidden", "none"),
  v6: fc.constantFrom("public", "hidden", "none", "none"),
  site: fc.constantFrom(0, 0, 1, 2),
  isSeen: fc.boolean(),
  isAllowed: fc.constantFrom(true, true, true, false),
  health: fc.constantFrom("up", "up", "up", "probation", "down"),
  load: fc.double({ min: 0, max: 1, noNaN: true }),
  rotation: fc.constantFrom("none", "none", "offered", "switched"),
  portRotation: fc.constantFrom("none", "none", "offered", "switched"),
});

const linkDraw: fc.Arbitrary<LinkDraw> = fc.record({
  blocked: fc.oneof(
    { weight: 3, arbitrary: fc.constant([]) },
    { weight: 1, arbitrary: fc.subarray<FamilyName | "lan">(["v4", "v6", "lan"]) },
  ),
  known: fc.subarray<FamilyName | "lan">(["v4", "v6", "lan"]),
  latencyMs: fc.nat(300),
});

function gridsOf(
  node: fc.Arbitrary<NodeDraw>,
  link: fc.Arbitrary<LinkDraw>,
  maxLength: number,
): fc.Arbitrary<RandomGrid> {
  return fc.array(node, { minLength: 2, maxLength }).chain((nodes) => {
    const row = fc.array(link, { minLength: nodes.length, maxLength: nodes.length });
    return fc.record({
      nodes: fc.constant(nodes),
      links: fc.array(row, { minLength: nodes.length, maxLength: nodes.length }),
    });
  });
}

/** Half of the grid has IPv4 only, half IPv6 only, and relays that are equally good: pairs need two of them. */
const splitNode: fc.Arbitrary<NodeDraw> = fc
  .constantFrom(
    ["hidden", "none"],
    ["none", "hidden"],
    ["public", "hidden"],
    ["public", "hidden"],
    ["none", "public"],
    ["none", "public"],
  )
  .chain(([v4, v6]) =>
    nodeDraw.map(
      (draw): NodeDraw => ({
        ...draw,
        v4: v4 as Standing["kind"],
        v6: v6 as Standing["kind"],
        load: 0,
      }),
    ),
  );

/** Any kind, up to 9 nodes; half of them split by family, with up to 12. */
export const randomGrids: fc.Arbitrary<RandomGrid> = fc.oneof(
  gridsOf(nodeDraw, linkDraw, 9),
  gridsOf(
    splitNode,
    linkDraw.map((link) => ({ ...link, latencyMs: 50 })),
    12,
  ),
);

export function nodeName(at: number): string {
  return `node${at.toString(16)}`;
}

/** Any 32 bytes do for a plan. */
export function keyOf(at: number): string {
  return Buffer.alloc(32, at + 1).toString("base64");
}

function standingOf(
  kind: Standing["kind"],
  family: FamilyName,
  at: number,
  draw: NodeDraw,
): Standing {
  if (kind === "none") return { kind };
  const outside = draw.site > 0 ? draw.site : 100 + at;
  if (family === "v4") {
    if (kind === "public") return { kind, addresses: [`198.51.100.${at + 1}`] };
    return { kind, ...(draw.isSeen ? { seenAs: `203.0.113.${outside}` } : {}) };
  }
  if (kind === "public") return { kind, addresses: [`2001:db8:${at + 1}::1`] };
  return { kind, ...(draw.isSeen ? { seenAs: `2001:db8:f00:${outside}::${at + 1}` } : {}) };
}

function lanOf({ site }: NodeDraw, at: number): string[] {
  return [`192.168.1.${(site === 0 ? 10 : 11) + at}/24`];
}

export function gridNode(draw: NodeDraw, at: number): GridNode {
  const { isAllowed, health, load } = draw;
  return {
    id: nodeName(at),
    v4: standingOf(draw.v4, "v4", at, draw),
    v6: standingOf(draw.v6, "v6", at, draw),
    lan: lanOf(draw, at),
    relay: { isAllowed, health, load },
  };
}

function isNeighbour({ nodes }: RandomGrid, from: number, to: number): boolean {
  return nodes[from]!.site > 0 && nodes[from]!.site === nodes[to]!.site;
}

function measuredOf(random: RandomGrid, from: number, to: number): Measured {
  const { blocked, known, latencyMs } = random.links[from]![to]!;
  const probe = (family: FamilyName) => {
    if (blocked.includes(family)) return { isReached: false };
    return known.includes(family)
      ? { isReached: true, latencyMs: latencyMs + (family === "v4" ? 0 : 3) }
      : undefined;
  };
  const isReached = isNeighbour(random, from, to) && !blocked.includes("lan");
  const address = lanOf(random.nodes[to]!, to)[0]!;
  return {
    v4: probe("v4"),
    v6: probe("v6"),
    ...(known.includes("lan") ? { lan: [{ address, isReached, latencyMs: 1 }] } : {}),
  };
}

export function memberOf({ rotation, portRotation }: NodeDraw, at: number): Member {
  return {
    node: nodeName(at),
    publicKey: keyOf(at),
    listenPort: 3000 + at,
    subnet: `10.1.${at + 1}.0/24`,
    subnet6: `fd01:0:0:${at + 1}::/64`,
    tunnelAddresses: [`100.64.1.${at + 1}/32`],
    ...(rotation === "none"
      ? {}
      : {
          rotation: { publicKey: keyOf(at + 100), isSwitched: rotation === "switched", seenBy: [] },
        }),
    ...(portRotation === "none"
      ? {}
      : { portRotation: { port: 4000 + at, isSwitched: portRotation === "switched" } }),
  };
}

export function gridOf(random: RandomGrid): Grid {
  const { nodes } = random;
  const links: Links = new Map(
    nodes.map((_from, from) => [
      nodeName(from),
      new Map(
        nodes.flatMap((_to, to) =>
          from === to ? [] : [[nodeName(to), measuredOf(random, from, to)] as const],
        ),
      ),
    ]),
  );
  const network: Network = {
    id: NETWORK,
    range: "10.1.0.0/16",
    range6: "fd01::/48",
    members: nodes.map(memberOf),
    clients: nodes.flatMap((_node, at) =>
      at % 4 === 1
        ? [
            {
              id: `client${at}`,
              publicKey: keyOf(at + 200),
              addresses: [`10.1.0.${at + 1}`],
              access: nodeName(at),
            },
          ]
        : [],
    ),
  };
  return {
    nodes: new Map(nodes.map((draw, at) => [nodeName(at), gridNode(draw, at)])),
    links,
    networks: new Map([[NETWORK, network]]),
  };
}

function worldNode(draw: NodeDraw, at: number): WorldNode {
  const node = gridNode(draw, at);
  const standing = (family: FamilyName): WorldNode["v4"] => {
    const { kind } = node[family];
    return kind === "public" ? { kind, address: node[family].addresses[0] } : { kind };
  };
  return {
    id: node.id,
    v4: standing("v4"),
    v6: standing("v6"),
    site: draw.site,
    lan: node.lan,
    isForwarding:
      (draw.v4 === "public" || draw.v6 === "public") && draw.isAllowed && draw.health !== "down",
  };
}

/** The interfaces as the nodes would set them up. */
export function worldOf(random: RandomGrid, plan: MeshPlan): MeshWorld {
  const blocked = new Set<string>();
  for (const [from, row] of random.links.entries()) {
    for (const [to, link] of row.entries()) {
      for (const what of link.blocked) blocked.add(`${nodeName(from)}>${nodeName(to)} ${what}`);
    }
  }
  const planned = plan.networks.get(NETWORK)!;
  const interfaces = random.nodes.map((draw, at): WorldInterface => {
    const member = memberOf(draw, at);
    const part = planned.members.find(({ node }) => node === member.node)!;
    return {
      node: worldNode(draw, at),
      publicKey: draw.rotation === "switched" ? keyOf(at + 100) : member.publicKey,
      port: draw.portRotation === "switched" ? 4000 + at : member.listenPort,
      own: [member.subnet, member.subnet6!, ...member.tunnelAddresses],
      peers: resourcePeers(part),
    };
  });
  return new MeshWorld(interfaces, blocked);
}

/** Pairs "a b" that can have a path by what works in the underlay; of LANs only what a probe has proved. */
export function reachablePairs(random: RandomGrid): ReadonlySet<string> {
  const nodes = random.nodes.map(worldNode);
  const at = (node: WorldNode): number => nodes.indexOf(node);
  const opens = (a: WorldNode, b: WorldNode): boolean => {
    const { blocked, known } = random.links[at(a)]![at(b)]!;
    const isLan =
      known.includes("lan") && isNeighbour(random, at(a), at(b)) && !blocked.includes("lan");
    return (
      isLan ||
      FAMILIES.some(
        (family) =>
          b[family].kind === "public" && a[family].kind !== "none" && !blocked.includes(family),
      )
    );
  };
  return connected(nodes, (a, b) => opens(a, b) || opens(b, a));
}
