/**
 * The judge of mesh plans: what WireGuard interfaces with such peers would do with a packet in a given underlay. Written from the meaning
 * of WireGuard (a session needs each other's key and one way in; the longest allowed prefix owns a packet, going out by its
 * destination, coming in by its source), with addresses as BigInt. Slow and plain on purpose; shares no code with what it judges.
 */
import type { NetworkPeer } from "../../src/control/model/network-resource.ts";

/** How the underlay treats a node in a family. "public": anybody's datagram arrives; "hidden": only answers do. */
export interface WorldStanding {
  readonly kind: "public" | "hidden" | "none";
  readonly address?: string | undefined;
}

export interface WorldNode {
  readonly id: string;
  readonly v4: WorldStanding;
  readonly v6: WorldStanding;
  /** Nodes of one site reach each other at these addresses; 0: alone. */
  readonly site: number;
  readonly lan: readonly string[];
  /** It passes packets on. */
  readonly isForwarding: boolean;
}

/** One network's interface on a node. */
export interface WorldInterface {
  readonly node: WorldNode;
  /** Of the private key in use. */
  readonly publicKey: string;
  readonly port: number;
  /** What is behind it: a packet for these is at home. */
  readonly own: readonly string[];
  readonly peers: readonly NetworkPeer[];
}

/** Names of what the underlay swallows: "a>b v4", "a>b lan". */
export type Blocked = ReadonlySet<string>;

export class MeshWorld {
  readonly #interfaces: readonly WorldInterface[];
  readonly #blocked: Blocked;

  constructor(interfaces: readonly WorldInterface[], blocked: Blocked) {
    this.#interfaces = interfaces;
    this.#blocked = blocked;
  }

  /** Each prefix that two peers of one interface have, or that a peer has though it is at home there. */
  ownerFaults(): string[] {
    const faults: string[] = [];
    for (const { node, peers, own } of this.#interfaces) {
      const keys = new Set<string>();
      const owned: string[] = [];
      for (const { publicKey, allowedIps } of peers) {
        if (keys.has(publicKey)) faults.push(`${node.id}: ${publicKey} is there twice`);
        keys.add(publicKey);
        for (const text of allowedIps) {
          if (owned.some((other) => overlap(other, text))) {
            faults.push(`${node.id}: ${text} has two owners`);
          }
          if (own.some((mine) => isWithin(mine, text))) {
            faults.push(`${node.id}: ${text} is at home`);
          }
          owned.push(text);
        }
      }
    }
    return faults;
  }

  /** The nodes that a packet passes, the first and the last too; a string: where and why it ends. */
  trace(from: string, source: string, destination: string): readonly string[] | string {
    const path: WorldInterface[] = [this.#of(from)];
    for (;;) {
      const here = path.at(-1)!;
      const names = path.map(({ node }) => node.id);
      if (here.own.some((prefix) => holds(prefix, destination))) return names;
      if (path.length > 1 && !here.node.isForwarding) return `${here.node.id} passes nothing on`;
      const peer = owner(here, destination);
      if (peer === undefined) return `${here.node.id} knows no peer for ${destination}`;
      const there = this.#interfaces.find(({ publicKey }) => publicKey === peer.publicKey);
      if (there === undefined) return `${here.node.id} sends to a key that nobody uses`;
      if (!this.hasSession(here, there))
        return `${here.node.id} has no session with ${there.node.id}`;
      if (owner(there, source)?.publicKey !== here.publicKey) {
        return `${there.node.id} takes no packet of ${source} from ${here.node.id}`;
      }
      if (path.includes(there)) return `a loop: ${[...names, there.node.id].join(" ")}`;
      path.push(there);
    }
  }

  /** Both know each other's key, and one of them has an endpoint that leads to the other. */
  hasSession(a: WorldInterface, b: WorldInterface): boolean {
    const toB = a.peers.find(({ publicKey }) => publicKey === b.publicKey);
    const toA = b.peers.find(({ publicKey }) => publicKey === a.publicKey);
    if (toA === undefined || toB === undefined) return false;
    return this.#leads(a, toB, b) || this.#leads(b, toA, a);
  }

  /** Endpoints at that interface's peers that lead nowhere or to somebody else. */
  wrongEndpoints(of: string): string[] {
    const here = this.#of(of);
    return here.peers.flatMap((peer) => {
      const there = this.#interfaces.find(({ publicKey }) => publicKey === peer.publicKey);
      const all = endpointsOf(peer);
      return there === undefined ? [] : all.filter((text) => !this.#arrives(here, text, there));
    });
  }

  /** A side whose NAT or firewall would forget the flow sends keepalives. */
  silentSides(): string[] {
    return this.#interfaces.flatMap((here) =>
      here.peers.flatMap((peer) => {
        const there = this.#interfaces.find(({ publicKey }) => publicKey === peer.publicKey);
        if (there === undefined || peer.allowedIps.length === 0 || peer.keepalive !== 0) return [];
        const back = there.peers.find(({ publicKey }) => publicKey === here.publicKey);
        const isCalled = back !== undefined && this.#leads(there, back, here);
        const isBehind = endpointsOf(peer).some((text) => this.#isForgotten(here, there, text));
        const needs = isBehind || (this.#leads(here, peer, there) && !isCalled);
        return needs ? [`${here.node.id} to ${there.node.id}`] : [];
      }),
    );
  }

  #of(id: string): WorldInterface {
    return this.#interfaces.find(({ node }) => node.id === id)!;
  }

  #leads(from: WorldInterface, peer: NetworkPeer, to: WorldInterface): boolean {
    return endpointsOf(peer).some((text) => this.#arrives(from, text, to));
  }

  /** A way out through a NAT or a firewall. */
  #isForgotten({ node }: WorldInterface, there: WorldInterface, endpoint: string): boolean {
    const address = endpoint.slice(0, endpoint.lastIndexOf(":")).replace(/[[\]]/g, "");
    if (there.node.lan.some((text) => text.split("/")[0] === address)) return false;
    return node[address.includes(":") ? "v6" : "v4"].kind === "hidden";
  }

  /** True if an unasked datagram to that endpoint comes to that interface. */
  #arrives(from: WorldInterface, endpoint: string, to: WorldInterface): boolean {
    const colon = endpoint.lastIndexOf(":");
    if (Number(endpoint.slice(colon + 1)) !== to.port) return false;
    const address = endpoint.slice(0, colon).replace(/[[\]]/g, "");
    const name = `${from.node.id}>${to.node.id}`;
    const isNeighbour = from.node.site > 0 && from.node.site === to.node.site;
    const isAt = (text: string): boolean => holds(text.split("/")[0]!, address);
    if (isNeighbour && to.node.lan.some(isAt)) return !this.#blocked.has(`${name} lan`);
    const family = address.includes(":") ? "v6" : "v4";
    const standing = to.node[family];
    return (
      standing.kind === "public" &&
      standing.address === address &&
      from.node[family].kind !== "none" &&
      !this.#blocked.has(`${name} ${family}`)
    );
  }
}

/** Where each node can get to if every pair that can meet does, over those that pass packets on. */
export function connected(
  nodes: readonly WorldNode[],
  canMeet: (a: WorldNode, b: WorldNode) => boolean,
): ReadonlySet<string> {
  const pairs = new Set<string>();
  for (const start of nodes) {
    const seen = new Set([start]);
    const queue = [start];
    for (let here = queue.shift(); here !== undefined; here = queue.shift()) {
      if (here !== start && !here.isForwarding) continue;
      for (const there of nodes) {
        if (seen.has(there) || !canMeet(here, there)) continue;
        seen.add(there);
        queue.push(there);
        pairs.add(`${start.id} ${there.id}`);
      }
    }
  }
  return pairs;
}

function endpointsOf({ endpoint, candidates }: NetworkPeer): string[] {
  return [...(endpoint === undefined ? [] : [endpoint]), ...(candidates ?? [])];
}

function owner({ peers }: WorldInterface, address: string): NetworkPeer | undefined {
  let best: { readonly peer: NetworkPeer; readonly size: bigint } | undefined;
  for (const peer of peers) {
    for (const text of peer.allowedIps) {
      if (!holds(text, address)) continue;
      const { from, to } = span(text);
      if (best === undefined || to - from < best.size) best = { peer, size: to - from };
    }
  }
  return best?.peer;
}

function holds(prefix: string, address: string): boolean {
  const [outer, inner] = [span(prefix), span(address)];
  return outer.family === inner.family && outer.from <= inner.from && inner.from <= outer.to;
}

function overlap(a: string, b: string): boolean {
  const [one, other] = [span(a), span(b)];
  return one.family === other.family && one.from <= other.to && other.from <= one.to;
}

function isWithin(outer: string, inner: string): boolean {
  const [one, other] = [span(outer), span(inner)];
  return one.family === other.family && one.from <= other.from && other.to <= one.to;
}

interface Span {
  readonly family: 4 | 6;
  readonly from: bigint;
  readonly to: bigint;
}

const spans = new Map<string, Span>();

/** First and last address of a prefix, as numbers. */
function span(text: string): Span {
  const known = spans.get(text);
  if (known !== undefined) return known;
  const [address = "", length] = text.split("/");
  const family = address.includes(":") ? 6 : 4;
  const width = family === 4 ? 32 : 128;
  const value = family === 4 ? numberOf4(address) : numberOf6(address);
  const size = 2n ** BigInt(width - Number(length ?? width));
  const from = (value / size) * size;
  const result: Span = { family, from, to: from + size - 1n };
  spans.set(text, result);
  return result;
}

function numberOf4(address: string): bigint {
  return address.split(".").reduce((value, part) => value * 256n + BigInt(part), 0n);
}

function numberOf6(address: string): bigint {
  const [head = "", tail] = address.split("::");
  const groups = (part: string): string[] => part.split(":").filter((group) => group !== "");
  const [left, right] = [groups(head), groups(tail ?? "")];
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => "0");
  return [...left, ...zeros, ...right].reduce(
    (value, group) => value * 65_536n + BigInt(`0x${group}`),
    0n,
  );
}
