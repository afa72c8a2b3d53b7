/**
 * What happens to a rotation of a node's key or port in a network, one step per event (docs/mesh.md, "Rotation"; docs/registry.md says
 * what nodes have to do). Pure: rows, plans and messages are `rotations.ts`.
 */
import { RefusedError } from "../model/problem.ts";

/**
 * "making": the node makes the key and looks whether the port is free. "spreading": its peers learn of both. "switching": it is told to
 * use the new. "done", "undone": it is over, and the new or the old one holds.
 */
export type RotationPhase = "making" | "spreading" | "switching" | "done" | "undone";

export interface Rotation {
  readonly phase: RotationPhase;
  /** False: only the port is to change. */
  readonly isKey: boolean;
  /** The new one, once the node has told it. */
  readonly publicKey: string | null;
  /** The new one, leased; null: only the key is to change. */
  readonly port: number | null;
  /** Peers that have to confirm, each with the revision of its plan that has both. */
  readonly waits: Readonly<Record<string, number>>;
  /** Peers that have seen a handshake of the new key. */
  readonly seenBy: readonly string[];
  /** Why it is undone. */
  readonly reason: string;
}

export type RotationEvent =
  /** The node has made the key, and the port is free. */
  | { readonly kind: "made"; readonly publicKey?: string | undefined }
  /** The plans have both; these have to confirm. */
  | { readonly kind: "spread"; readonly waits: Readonly<Record<string, number>> }
  | { readonly kind: "confirmed"; readonly node: string; readonly revision: number }
  /** A peer is in the network no more. */
  | { readonly kind: "left"; readonly node: string }
  | { readonly kind: "seen"; readonly node: string; readonly publicKey: string }
  | { readonly kind: "switched" }
  /** The node says by joining that it uses the new ones, told or not. */
  | { readonly kind: "joined" }
  /** A phase took too long. `away`: nodes without a sign of life. */
  | { readonly kind: "expired"; readonly node: string; readonly away: ReadonlySet<string> }
  /** Whoever may end it does: the owner, or the node that can't. */
  | { readonly kind: "ended"; readonly reason: string };

export function isLive({ phase }: Pick<Rotation, "phase">): boolean {
  return phase !== "done" && phase !== "undone";
}

/** The rotation after an event; the same object if it changes nothing. Throws a {@link RefusedError} for what can't be now. */
export function step(rotation: Rotation, event: RotationEvent): Rotation {
  const { phase, waits, seenBy } = rotation;
  switch (event.kind) {
    case "made":
      return made(rotation, event.publicKey);
    case "spread":
      if (phase !== "spreading") return rotation;
      return waitFor(rotation, event.waits);
    case "confirmed": {
      const needed = waits[event.node];
      if (phase !== "spreading" || needed === undefined || event.revision < needed) return rotation;
      return waitFor(rotation, without(waits, [event.node]));
    }
    case "left":
      if (phase !== "spreading" || waits[event.node] === undefined) return rotation;
      return waitFor(rotation, without(waits, [event.node]));
    case "seen":
      if ((phase !== "spreading" && phase !== "switching") || seenBy.includes(event.node)) {
        return rotation;
      }
      if (event.publicKey !== rotation.publicKey) return rotation;
      return { ...rotation, seenBy: [...seenBy, event.node].sort() };
    case "switched":
      if (phase === "done") return rotation;
      if (phase === "switching") return { ...rotation, phase: "done", waits: {} };
      throw new RefusedError(
        "conflict",
        phase === "undone"
          ? `the rotation is undone (${rotation.reason}): use the old key and port`
          : "the node's peers do not all know of it yet: switch when told",
      );
    case "joined":
      if (phase !== "spreading" && phase !== "switching") return rotation;
      return { ...rotation, phase: "done", waits: {} };
    case "expired":
      return expired(rotation, event.node, event.away);
    case "ended":
      return isLive(rotation) ? undone(rotation, event.reason) : rotation;
  }
}

function made(rotation: Rotation, publicKey: string | undefined): Rotation {
  const { phase, isKey } = rotation;
  if ((publicKey !== undefined) !== isKey) {
    throw new RefusedError(
      "invalid",
      isKey ? "publicKey: a new key is asked for" : "publicKey: only the port is to change",
    );
  }
  if (phase === "making") return { ...rotation, phase: "spreading", publicKey: publicKey ?? null };
  // The answer was lost, and the node says it again.
  if (isLive(rotation) && rotation.publicKey === (publicKey ?? null)) return rotation;
  throw new RefusedError(
    "conflict",
    isLive(rotation)
      ? "the node has named another new key already"
      : "there is no rotation under way",
  );
}

function waitFor(rotation: Rotation, waits: Readonly<Record<string, number>>): Rotation {
  const isReady = Object.keys(waits).length === 0;
  return { ...rotation, waits, phase: isReady ? "switching" : rotation.phase };
}

function expired(rotation: Rotation, node: string, away: ReadonlySet<string>): Rotation {
  const { phase, waits, seenBy } = rotation;
  if (phase === "making") return undone(rotation, `node ${node} did not answer`);
  if (phase === "spreading") {
    const missing = Object.keys(waits)
      .filter((peer) => !away.has(peer))
      .sort();
    // Who is away gets the newest plan when it is back: nobody waits for it.
    if (missing.length === 0) return waitFor(rotation, {});
    return undone(rotation, `not confirmed by ${missing.join(", ")}`);
  }
  // It has switched, and can't say so: both are accepted until it can. One peer's word is not enough to end the old key.
  if (phase === "switching" && seenBy.length === 0) {
    return undone(rotation, `node ${node} did not switch`);
  }
  return rotation;
}

function undone(rotation: Rotation, reason: string): Rotation {
  return { ...rotation, phase: "undone", waits: {}, reason };
}

function without(
  waits: Readonly<Record<string, number>>,
  nodes: readonly string[],
): Record<string, number> {
  return Object.fromEntries(Object.entries(waits).filter(([node]) => !nodes.includes(node)));
}
