/** Why two nodes of a network meet as they do, which other relays there are, and what stands in the way of something better. Pure. */
import { FAMILIES, type FamilyName, isRelay, type Network, type Underlay } from "./grid.ts";
import { bare, mayBeNeighbours } from "./lan.ts";
import type { NetworkPlan } from "./network-plan.ts";
import { dials, meet, Party, type Way } from "./ways.ts";

export interface Explanation {
  /** From the one to the other, both named; empty: there is no path. */
  readonly path: readonly string[];
  /** Of each hop, seen from the one who sends. */
  readonly ways: readonly Way[];
  /** Other single relays that both meet, the quickest first. */
  readonly alternatives: readonly { readonly node: string; readonly latencyMs?: number }[];
  /** Sentences. */
  readonly obstacles: readonly string[];
}

/** Sorts after all latencies. */
const UNKNOWN = Number.MAX_SAFE_INTEGER;

/** Explains the plan's path from one member to another. */
export function explainPair(
  { members }: Network,
  underlay: Underlay,
  plan: NetworkPlan,
  from: string,
  to: string,
): Explanation {
  const parties = new Map<string, Party>();
  for (const member of members) {
    const node = underlay.nodes.get(member.node);
    if (node !== undefined) parties.set(member.node, new Party(member, node, underlay.links));
  }
  const { path, ways } = pathOf(plan, from, to);
  const [a, b] = [parties.get(from), parties.get(to)];
  if (a === undefined || b === undefined) {
    const missing = a === undefined ? from : to;
    return { path, ways, alternatives: [], obstacles: [`node ${missing} is not in the network`] };
  }
  const isDirect = path.length === 2;
  return {
    path,
    ways,
    alternatives: isDirect ? [] : alternatives(a, b, parties, path),
    obstacles: [
      ...lanObstacles(a, b),
      ...(isDirect ? [] : FAMILIES.flatMap((family) => familyObstacles(a, b, family))),
      ...(path.length > 0 ? [] : ["no relay that is up meets both"]),
    ],
  };
}

/** The plan's path from one member to another, both named, and how each hop begins; empty: there is none. */
export function pathOf(
  { members }: NetworkPlan,
  from: string,
  to: string,
): { readonly path: readonly string[]; readonly ways: readonly Way[] } {
  const path = [from];
  const ways: Way[] = [];
  while (path.at(-1) !== to) {
    const part = members.find(({ node }) => node === path.at(-1));
    const peer = part?.peers.find(
      ({ kind, name, carries }) => kind === "node" && (name === to || carries.includes(to)),
    );
    if (peer === undefined || path.includes(peer.name)) return { path: [], ways: [] };
    path.push(peer.name);
    ways.push(peer.way);
  }
  return { path, ways };
}

function alternatives(
  a: Party,
  b: Party,
  parties: ReadonlyMap<string, Party>,
  path: readonly string[],
): { readonly node: string; readonly latencyMs?: number }[] {
  const found: { readonly node: string; readonly latencyMs?: number }[] = [];
  for (const relay of parties.values()) {
    if (relay === a || relay === b || !isRelay(relay.node) || path.includes(relay.node.id))
      continue;
    const one = meet(a, relay, a.measuredTo(relay), relay.measuredTo(a));
    const other = meet(relay, b, relay.measuredTo(b), b.measuredTo(relay));
    if (one === undefined || other === undefined) continue;
    const isKnown = one.latencyMs !== undefined && other.latencyMs !== undefined;
    found.push({
      node: relay.node.id,
      ...(isKnown ? { latencyMs: one.latencyMs + other.latencyMs } : {}),
    });
  }
  return found.sort(
    (x, y) => (x.latencyMs ?? UNKNOWN) - (y.latencyMs ?? UNKNOWN) || (x.node < y.node ? -1 : 1),
  );
}

function lanObstacles(a: Party, b: Party): string[] {
  const probes = [...(a.measuredTo(b)?.lan ?? []), ...(b.measuredTo(a)?.lan ?? [])];
  if (probes.some(({ isReached }) => isReached)) return [];
  if (probes.length > 0) {
    const tried = probes.map(({ address }) => bare(address)).join(", ");
    return [`LAN: ${tried} was tried and did not answer`];
  }
  if (!mayBeNeighbours(a.neighbourhood, b.neighbourhood))
    return ["LAN: nothing says that they share one"];
  return ["LAN: they may share one; the trial is under way"];
}

function familyObstacles(a: Party, b: Party, family: FamilyName): string[] {
  const name = family === "v4" ? "IPv4" : "IPv6";
  const without = [a, b].filter(({ node }) => node[family].kind === "none");
  if (without.length > 0) {
    return without.map(({ node }) => `${name}: ${node.id} has none`);
  }
  if (a.node[family].kind === "hidden" && b.node[family].kind === "hidden") {
    return [`${name}: both are hidden`];
  }
  const sentences: string[] = [];
  for (const [one, other] of [
    [a, b],
    [b, a],
  ] as const) {
    const isPublic = other.node[family].kind === "public";
    const measured = one.measuredTo(other);
    if (isPublic && !dials(one.node, other.node, family, measured)) {
      const isLost = measured?.[family]?.lost !== undefined;
      sentences.push(
        `${name}: ${one.node.id} does not reach ${other.node.id}${isLost ? " any more; it goes on asking" : ""}`,
      );
    }
  }
  return sentences;
}
