/**
 * The plan of one network: for each member its peers. Pure: the same network, nodes and measurements give the same plan, and members
 * whose part is as before keep the object that they had, so that only the others need to hear of it.
 *
 * Rules: docs/mesh.md. A prefix is given to one peer only: to the member itself where both meet, else to the first hop of the one path
 * that `routes.ts` has for the pair.
 */
import { normalCidr } from "../model/cidr.ts";
import { networkFaults, normalHost } from "./check.ts";
import type { Member, Network, Underlay } from "./grid.ts";
import { Meetings } from "./meetings.ts";
import { firstHops, type Work } from "./routes.ts";
import { Party, type Side, trial, type Way } from "./ways.ts";

/**
 * "node": carries routes. "key": the other key of a node in the middle of a rotation: accepted, without routes. "trial": a LAN
 * neighbour that has to be proved, or one that was lost and may come back: without routes. "client": a machine outside the grid.
 */
export type PeerKind = "node" | "key" | "trial" | "client";

export interface PlannedPeer {
  readonly kind: PeerKind;
  /** Id of the node or the client. */
  readonly name: string;
  readonly publicKey: string;
  /** Best first; empty: it comes to us. */
  readonly endpoints: readonly string[];
  readonly allowedIps: readonly string[];
  /** Seconds, 0: off; "auto": as the NAT in front of us needs it. */
  readonly keepalive: number | "auto";
  readonly subnet?: string;
  readonly way: Way;
  /** Nodes beyond it that are reached through it, sorted. */
  readonly carries: readonly string[];
}

export interface MemberPlan {
  readonly node: string;
  /** Counts this member's plans that differ, from 1. */
  readonly revision: number;
  readonly peers: readonly PlannedPeer[];
  /** Members without any path, sorted. */
  readonly unreached: readonly string[];
}

export interface NetworkPlan {
  readonly network: string;
  /** Sorted by node. */
  readonly members: readonly MemberPlan[];
  /** All nodes that it names, those that are not known too. */
  readonly nodes: readonly string[];
  /** Why it is not planned, or what was left out of it. */
  readonly faults: readonly string[];
  /** A fault stands in the way: the members are what is still right of the previous plan. */
  readonly isKept: boolean;
}

/** Ours, as `NetworkPeer` has it: more don't arrive at a node. */
export const ALLOWED_MAX = 1_024;
const NOBODY: readonly string[] = [];
const NONE = -1;

/** Plans a network; with faults in it, what is still right of the previous plan stays. */
export function planNetwork(
  network: Network,
  underlay: Underlay,
  previous?: NetworkPlan,
  work?: Work,
): NetworkPlan {
  if (work !== undefined) work.networks += 1;
  const faults = networkFaults(network);
  if (faults.length > 0) {
    return keep(network, underlay, previous, faults);
  }
  const { parties, left } = partiesOf(network, underlay);
  const plan = new Planner(network, parties, work);
  const before = new Map((previous?.members ?? []).map((member) => [member.node, member]));
  const members = parties.map((_party, at) => plan.member(at, before));
  const notes = [...left, ...plan.notes];
  const large = members.find(
    ({ peers }) =>
      plan.longest > ALLOWED_MAX && peers.some(({ allowedIps }) => allowedIps.length > ALLOWED_MAX),
  );
  if (large !== undefined) {
    const fault = `node ${large.node} would have a peer with more than ${ALLOWED_MAX} prefixes: split the network, or add relays`;
    return keep(network, underlay, previous, [fault, ...notes]);
  }
  return { network: network.id, members, nodes: nodesOf(network), faults: notes, isKept: false };
}

function keep(
  network: Network,
  underlay: Underlay,
  previous: NetworkPlan | undefined,
  faults: readonly string[],
): NetworkPlan {
  const members = remains(network, underlay, previous);
  return { network: network.id, members, nodes: nodesOf(network), faults, isKept: true };
}

function nodesOf({ members }: Network): string[] {
  return members.map(({ node }) => node);
}

/** Of the previous plan what is about members, clients and keys that are still there: who was removed loses access all the same. */
function remains(
  { members, clients }: Network,
  { nodes }: Underlay,
  previous: NetworkPlan | undefined,
): MemberPlan[] {
  const left = new Set<string>();
  const keys = new Set(clients.map(({ id, publicKey }) => `client ${id} ${publicKey}`));
  for (const { node, publicKey, rotation } of members) {
    if (!nodes.has(node)) continue;
    left.add(node);
    keys.add(`node ${node} ${publicKey}`);
    if (rotation !== undefined) keys.add(`node ${node} ${rotation.publicKey}`);
  }
  const isLeft = ({ kind, name, publicKey }: PlannedPeer): boolean =>
    keys.has(`${kind === "client" ? kind : "node"} ${name} ${publicKey}`);
  return (previous?.members ?? [])
    .filter(({ node }) => left.has(node))
    .map((member) =>
      member.peers.every(isLeft)
        ? member
        : { ...member, revision: member.revision + 1, peers: member.peers.filter(isLeft) },
    );
}

/** Sorted by node. A member whose node is not (or no longer) known has no part: nobody accepts it. */
function partiesOf(
  { members }: Network,
  { nodes, links }: Underlay,
): { readonly parties: Party[]; readonly left: string[] } {
  const parties: Party[] = [];
  const left: string[] = [];
  for (const member of members) {
    const node = nodes.get(member.node);
    if (node === undefined) left.push(`node ${member.node} is not known: no node accepts it`);
    else parties.push(new Party(member, node, links));
  }
  return { parties: parties.sort((a, b) => compare(a.node.id, b.node.id)), left: left.sort() };
}

class Planner {
  readonly notes: string[] = [];
  /** Most prefixes of a peer until now. */
  longest = 0;
  readonly #parties: readonly Party[];
  readonly #meetings: Meetings;
  readonly #next: Int32Array;
  /** What is at each member: its own prefixes and its clients'. */
  readonly #prefixes: string[][];
  readonly #clients: PlannedPeer[][];
  /** Each member as it is to all who see it from the same side, if nothing lies beyond it: most peers are one of a few. */
  readonly #plain: Map<Side, PlannedPeer>[];
  readonly #beyond: Beyond;

  constructor(network: Network, parties: readonly Party[], work?: Work) {
    this.#parties = parties;
    const size = parties.length;
    this.#meetings = new Meetings(network.id, parties);
    if (work !== undefined) work.pairs += (size * (size - 1)) / 2;
    this.#next = firstHops(this.#meetings.graph, work);
    this.#keepLost();
    this.#prefixes = parties.map(({ member }) => ownPrefixes(member));
    this.#clients = parties.map(() => []);
    this.#plain = parties.map(() => new Map());
    this.#beyond = new Beyond(size);
    this.#placeClients(network);
  }

  member(at: number, before: ReadonlyMap<string, MemberPlan>): MemberPlan {
    const { id } = this.#parties[at]!.node;
    const peers: PlannedPeer[] = [];
    const unreached: string[] = [];
    const size = this.#parties.length;
    const next = this.#next.subarray(at * size, (at + 1) * size);
    this.#beyond.fill(next);
    for (let other = 0; other < size; other++) {
      if (other === at) continue;
      const hop = next[other]!;
      if (hop === other) {
        this.#addNode(peers, at, other);
        continue;
      }
      if (hop < 0) unreached.push(this.#parties[other]!.node.id);
      this.#addTrial(peers, at, other);
    }
    peers.push(...this.#clients[at]!);
    const old = before.get(id);
    if (old !== undefined && isSame(old.unreached, unreached) && arePeersSame(old.peers, peers)) {
      return old;
    }
    return { node: id, revision: (old?.revision ?? 0) + 1, peers, unreached };
  }

  /** Who has no path, and met before, stays a peer with its own prefixes, and carries nothing: as soon as it answers it is seen. */
  #keepLost(): void {
    const size = this.#parties.length;
    for (let a = 0; a < size; a++) {
      for (let b = a + 1; b < size; b++) {
        if (this.#next[a * size + b]! >= 0 || !this.#meetings.askOn(a, b)) continue;
        this.#next[a * size + b] = b;
        this.#next[b * size + a] = a;
      }
    }
  }

  #placeClients({ clients, members }: Network): void {
    for (const { id, publicKey, addresses, access } of clients.toSorted((a, b) =>
      compare(a.id, b.id),
    )) {
      const at = this.#parties.findIndex(({ node }) => node.id === access);
      const node = this.#parties[at]?.node;
      if (node === undefined || (node.v4.kind !== "public" && node.v6.kind !== "public")) {
        const isMember = members.some((member) => member.node === access);
        this.notes.push(
          `client ${id} has no way in: node ${access} is ${isMember ? "not public" : "no member"}`,
        );
        continue;
      }
      const allowedIps = addresses.map(normalHost);
      this.#prefixes[at]!.push(...allowedIps);
      this.#clients[at]!.push({
        kind: "client",
        name: id,
        publicKey,
        endpoints: NOBODY,
        allowedIps,
        keepalive: 0,
        way: "incoming",
        carries: NOBODY,
      });
    }
  }

  #addNode(peers: PlannedPeer[], at: number, other: number): void {
    const { member } = this.#parties[other]!;
    const side = this.#meetings.side(at, other);
    const { rotation } = member;
    if (rotation === undefined) {
      peers.push(this.#beyond.has(other) ? this.#peer(other, side) : this.#plainPeer(other, side));
      return;
    }
    const isNew = this.#usesNewKey(at, member);
    const [key, otherKey] = isNew
      ? [rotation.publicKey, member.publicKey]
      : [member.publicKey, rotation.publicKey];
    peers.push(this.#peer(other, side, key), bare("key", member.node, otherKey, side, 0));
  }

  #plainPeer(other: number, side: Side): PlannedPeer {
    const known = this.#plain[other]!;
    let peer = known.get(side);
    if (peer === undefined) {
      peer = this.#peer(other, side);
      known.set(side, peer);
    }
    return peer;
  }

  #peer(
    other: number,
    { endpoints, keepalive, way }: Side,
    publicKey = this.#parties[other]!.member.publicKey,
  ): PlannedPeer {
    const { node: name, subnet } = this.#parties[other]!.member;
    let allowedIps = this.#prefixes[other]!;
    let carries = NOBODY;
    if (this.#beyond.has(other)) {
      const names: string[] = [];
      allowedIps = allowedIps.slice();
      for (let far = this.#beyond.first(other); far !== NONE; far = this.#beyond.after(far)) {
        for (const prefix of this.#prefixes[far]!) allowedIps.push(prefix);
        names.push(this.#parties[far]!.node.id);
      }
      carries = names;
    }
    this.longest = Math.max(this.longest, allowedIps.length);
    return {
      kind: "node",
      name,
      publicKey,
      endpoints,
      allowedIps,
      keepalive,
      subnet,
      way,
      carries,
    };
  }

  #addTrial(peers: PlannedPeer[], at: number, other: number): void {
    const low = Math.min(at, other);
    const high = Math.max(at, other);
    const sides =
      trial(this.#parties[low]!, this.#parties[high]!) ?? this.#meetings.lostSides(low, high);
    if (sides === undefined) return;
    const side = sides[at < other ? 0 : 1];
    const { member } = this.#parties[other]!;
    const keys = [member.publicKey];
    if (member.rotation !== undefined) keys.push(member.rotation.publicKey);
    for (const key of keys) peers.push(bare("trial", member.node, key, side, side.keepalive));
  }

  /** The node's own word ends the old key everywhere; before it, each peer goes by the handshake that it has seen. */
  #usesNewKey(at: number, { rotation }: Member): boolean {
    if (rotation === undefined) return false;
    return rotation.isSwitched || rotation.seenBy.includes(this.#parties[at]!.node.id);
  }
}

function bare(
  kind: PeerKind,
  name: string,
  publicKey: string,
  { endpoints, way }: Side,
  keepalive: number | "auto",
): PlannedPeer {
  return { kind, name, publicKey, endpoints, allowedIps: NOBODY, keepalive, way, carries: NOBODY };
}

/** Of one member at a time: who is reached through whom. */
class Beyond {
  /** The first beyond each hop, and the one after each of those. */
  readonly #first: Int32Array;
  readonly #after: Int32Array;

  constructor(size: number) {
    this.#first = new Int32Array(size);
    this.#after = new Int32Array(size);
  }

  /** `next`: the hop to each. */
  fill(next: Int32Array): void {
    this.#first.fill(NONE);
    // The last first: lists are in the order of members.
    for (let far = next.length - 1; far >= 0; far--) {
      const hop = next[far]!;
      if (hop < 0 || hop === far) continue;
      this.#after[far] = this.#first[hop]!;
      this.#first[hop] = far;
    }
  }

  has(hop: number): boolean {
    return this.#first[hop] !== NONE;
  }

  first(hop: number): number {
    return this.#first[hop]!;
  }

  after(far: number): number {
    return this.#after[far]!;
  }
}

function ownPrefixes({ subnet, subnet6, tunnelAddresses }: Member): string[] {
  const prefixes = [subnet, ...(subnet6 === undefined ? [] : [subnet6])];
  return [...prefixes.map(normalCidr), ...tunnelAddresses.map(normalHost)];
}

function arePeersSame(a: readonly PlannedPeer[], b: readonly PlannedPeer[]): boolean {
  return a.length === b.length && a.every((peer, at) => isPeerSame(peer, b[at]!));
}

function isPeerSame(a: PlannedPeer, b: PlannedPeer): boolean {
  if (a === b) return true;
  return (
    a.publicKey === b.publicKey &&
    a.kind === b.kind &&
    a.name === b.name &&
    a.keepalive === b.keepalive &&
    a.subnet === b.subnet &&
    a.way === b.way &&
    isSame(a.endpoints, b.endpoints) &&
    isSame(a.allowedIps, b.allowedIps) &&
    isSame(a.carries, b.carries)
  );
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a === b || (a.length === b.length && a.every((text, at) => text === b[at]));
}

/** The order of code units: the same everywhere. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
