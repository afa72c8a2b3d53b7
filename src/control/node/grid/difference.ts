/**
 * What the registry wants of this node, put together from the whole and from differences: which networks are other than before, whether a
 * difference builds on what is known, and what is to be done for rotations. Pure but for its own memory.
 */
import type { NetworkPeer, NetworkResource } from "../../model/network-resource.ts";
import type { Desired, NetworkChange, NodePart, RotationTask } from "../../registry/client.ts";

/** "stale": it builds on another revision than the known one, so the difference has to be asked for. */
export type Change = "changed" | "same" | "stale";

export class WantedNetworks {
  readonly #networks = new Map<string, NodePart>();
  /** By network; those without any are not in it. */
  readonly #tasks = new Map<string, readonly RotationTask[]>();
  #revision: number | undefined;

  /** Undefined: nothing has been heard yet. */
  get revision(): number | undefined {
    return this.#revision;
  }

  get(id: string): NodePart | undefined {
    return this.#networks.get(id);
  }

  /** All that is to be done for rotations in a network. */
  tasks(id: string): readonly RotationTask[] {
    return this.#tasks.get(id) ?? [];
  }

  /** The tasks of all networks. */
  allTasks(): readonly RotationTask[] {
    return [...this.#tasks.values()].flat();
  }

  ids(): string[] {
    return [...this.#networks.keys()];
  }

  /** Takes an answer, whole or a difference. Returns the ids of networks that it names or takes away, or that have tasks now or had some. */
  take({ revision, isWhole, networks, removed, rotations = [] }: Desired): string[] {
    const touched = new Set<string>([...removed, ...this.#tasks.keys()]);
    this.#tasks.clear();
    for (const task of rotations) {
      touched.add(task.network);
      this.#tasks.set(task.network, [...this.tasks(task.network), task]);
    }
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
    if (difference.resource === undefined) {
      this.#networks.delete(id);
      this.#tasks.delete(id);
    } else {
      this.#networks.set(id, withDifference(before, difference.resource, difference));
    }
    this.#revision = revision;
    return "changed";
  }

  /** Takes all tasks of a network, as an event of the stream tells them. False: an answer has told what came after it. */
  tell(id: string, revision: number, tasks: readonly RotationTask[]): boolean {
    if (this.#revision !== undefined && revision <= this.#revision) return false;
    if (tasks.length === 0) this.#tasks.delete(id);
    else this.#tasks.set(id, tasks);
    this.pass(revision);
    return true;
  }

  /** An event that is about no network. */
  pass(revision: number): void {
    if (this.#revision !== undefined) this.#revision = Math.max(this.#revision, revision);
  }

  /** Nothing is wanted any more. */
  clear(): void {
    this.#networks.clear();
    this.#tasks.clear();
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
