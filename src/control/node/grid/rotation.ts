/**
 * What a node does about rotations (docs/registry.md, "What a node has to do"): from the registry's tasks and from what the node has to
 * what is to be done. Follows from these two alone, so that it is right again after any loss or crash. Pure; sees no secrets.
 */
import type { NetworkPeer } from "../../model/network-resource.ts";
import type { NodePart, RotationTask, SealedKey } from "../../registry/client.ts";
import type { GridNetwork } from "./source.ts";

export type WatchTask = Extract<RotationTask, { readonly kind: "watch" }>;

/** The second key of a rotation: a new one, a user's, the one that is kept already, or none. */
export type NextKey = "fresh" | "kept" | "none" | SealedKey;

/** What is to be done for the node's own key and port; undefined: nothing. */
export type OwnStep =
  /** Keep these beside those in use, and answer. `port` undefined: it stays. */
  | { readonly kind: "make"; readonly key: NextKey; readonly port: number | undefined }
  /** Use what is kept, and say so. */
  | { readonly kind: "switch" }
  /** It is done: say so. */
  | { readonly kind: "say" }
  | { readonly kind: "refuse"; readonly reason: string }
  /** Nobody asks for what is kept. */
  | { readonly kind: "forget" };

export type Own = Pick<GridNetwork, "publicKey" | "next"> & {
  readonly resource: Pick<GridNetwork["resource"], "listenPort">;
};

export function ownStep(tasks: readonly RotationTask[], own: Own): OwnStep | undefined {
  const { next } = own;
  for (const task of tasks) {
    if (task.kind === "make") return makeStep(task, own);
    if (task.kind === "keep" || task.kind === "switch") {
      const isSwitch = task.kind === "switch";
      if (next?.publicKey === task.publicKey && next?.listenPort === task.port) {
        return isSwitch ? { kind: "switch" } : undefined;
      }
      // Otherwise than told: joining tells the registry.
      if (hasTaken(task, own)) return isSwitch ? { kind: "say" } : undefined;
      return {
        kind: "refuse",
        reason: "it has not kept the key and the port that it had answered",
      };
    }
  }
  return next === undefined ? undefined : { kind: "forget" };
}

type Of<Kind> = Extract<RotationTask, { readonly kind: Kind }>;

function makeStep({ isKey, port, sealedKey }: Of<"make">, own: Own): OwnStep {
  if (!isKey) return { kind: "make", key: "none", port };
  const kept = own.next?.publicKey;
  if (sealedKey === undefined) {
    return { kind: "make", key: kept === undefined ? "fresh" : "kept", port };
  }
  if (sealedKey.publicKey === own.publicKey) {
    return { kind: "refuse", reason: "the key that was brought is in use already" };
  }
  return { kind: "make", key: kept === sealedKey.publicKey ? "kept" : sealedKey, port };
}

/** It has switched, and the registry has not heard it. */
function hasTaken({ publicKey, port }: Of<"switch" | "keep">, own: Own): boolean {
  return (
    (publicKey ?? own.publicKey) === own.publicKey &&
    (port ?? own.resource.listenPort) === own.resource.listenPort
  );
}

/**
 * The port that a network is to have now: as the plan says, but the second port of a rotation only when told to switch, together with the
 * key.
 */
export function portNow(planned: number, own: Own | undefined): number {
  const { listenPort = planned } = own?.resource ?? {};
  return own?.next?.listenPort === planned ? listenPort : planned;
}

/** What is to be said of others' rotations, with the own plan of `revision` in force. */
export function confirmations(
  tasks: readonly RotationTask[],
  revision: number,
): readonly { readonly node: string; readonly revision: number }[] {
  return tasks.flatMap((task) =>
    task.kind === "confirm" && task.revision <= revision ? [{ node: task.node, revision }] : [],
  );
}

/**
 * The plan with the routes of peers on their new keys, where a handshake of these was seen: as the registry's next plan has it, and sooner, since
 * what such a peer sends is dropped as long as the routes are on its old key.
 */
export function withRoutesMoved<Part extends Pick<NodePart, "peers">>(
  part: Part,
  seen: readonly WatchTask[],
): Part {
  let { peers } = part;
  for (const { publicKey, oldKey } of seen) {
    const old = peers.find((peer) => peer.publicKey === oldKey);
    const fresh = peers.find((peer) => peer.publicKey === publicKey);
    // Without both, or with the routes moved by the plan, there is nothing to do.
    if (old === undefined || fresh === undefined || fresh.allowedIps.length > 0) continue;
    peers = peers.map((peer) => {
      if (peer === old) return withKeysOf(old, fresh);
      return peer === fresh ? withKeysOf(fresh, old) : peer;
    });
  }
  return peers === part.peers ? part : { ...part, peers };
}

function withKeysOf(peer: NetworkPeer, { publicKey, presharedKey }: NetworkPeer): NetworkPeer {
  const { presharedKey: _own, ...rest } = peer;
  return { ...rest, publicKey, ...(presharedKey === undefined ? {} : { presharedKey }) };
}
