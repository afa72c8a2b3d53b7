/**
 * What the registry wants of this node, put together from the whole and from differences: which networks are other than before, and
 * whether a difference builds on what is known. Pure but for its own memory.
 */
import type { NetworkPeer, NetworkResource } from "../../model/network-resource.ts";
import type { Desired, NetworkChange, NodePart } from "../../registry/client.ts";

/** "stale": it builds on another revision than the known one, so the difference has to be asked for. */
export type Change = "changed" | "same" | "stale";

export class WantedNetworks {
  readonly #networks = new Map<string, NodePart>();
  #revision: number | undefined;

  /** Undefined: nothing has been heard yet. */
  get revision(): number | undefined {
    return this.#revision;
  }

  get(id: string): NodePart | undefined {
    return this.#networks.get(id);
  }

  ids(): string[] {
    return [...this.#networks.keys()];
  }

  /** Takes an answer, whole or a difference. Returns the ids of networks that it names or takes away. */
  take({ revision, isWhole, networks, removed }: Desired): string[] {
    const touched = new Set<string>(removed);
    if (isWhole) {
      for (const id of this.#networks.keys()) touched.add(id);
      this.#networks.clear();
    }
    for (const id of removed) this.#networks.delete(id);
    for (const network of networks) {
      touched.add(network.id);
      this.#networks.set(network.id, network);
    }
    // A whole answer of a registry that was restored may be older than what was known.
    this.#revision = isWhole ? revision : Math.max(revision, this.#revision ?? 0);
    return [...touched];
  }

  /** Takes one event of the stream. A stale one changes nothing. */
  change(id: string, revision: number, difference: NetworkChange): Change {
    // The stream may tell again what an answer has told already.
    if (this.#revision !== undefined && revision <= this.#revision) return "same";
    const before = this.#networks.get(id);
    if ((before?.revision ?? 0) !== difference.base) return "stale";
    if (difference.resource === undefined) this.#networks.delete(id);
    else this.#networks.set(id, withDifference(before, difference.resource, difference));
    this.#revision = revision;
    return "changed";
  }

  /** An event that is about no network. */
  pass(revision: number): void {
    if (this.#revision !== undefined) this.#revision = Math.max(this.#revision, revision);
  }

  /** Nothing is wanted any more. */
  clear(): void {
    this.#networks.clear();
    this.#revision = undefined;
  }
}

/** The network with the peers that it had, but for what the difference sets and removes. */
export function withDifference(
  before: NodePart | undefined,
  resource: NodePart,
  { set, remove }: Pick<NetworkChange, "set" | "remove">,
): NodePart {
  const peers = new Map<string, NetworkPeer>(before?.peers.map((peer) => [peer.publicKey, peer]));
  for (const key of remove) peers.delete(key);
  for (const peer of set) peers.set(peer.publicKey, peer);
  return { ...resource, peers: [...peers.values()] };
}

/** Whether two networks are the same to the node, in whatever order their parts and peers are. */
export function isSameNetwork(
  a: Omit<NetworkResource, "privateKey">,
  b: Omit<NetworkResource, "privateKey">,
): boolean {
  return textOf(a) === textOf(b);
}

function textOf({ peers, ...rest }: Omit<NetworkResource, "privateKey">): string {
  const sorted = peers.toSorted((one, other) => (one.publicKey < other.publicKey ? -1 : 1));
  return JSON.stringify({ ...rest, peers: sorted }, (_key, part: unknown) =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([one], [other]) => (one < other ? -1 : 1)))
      : part,
  );
}
