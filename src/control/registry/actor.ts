/** Who asks, and what each role may: every refusal is made here. */
import { ApiError } from "../api/errors.ts";
import type { Queries } from "./store/database.ts";

export type Role = "admin" | "farmer" | "user";

export interface User {
  readonly kind: "user";
  readonly keyId: string;
  readonly id: number;
  readonly name: string;
  readonly role: Role;
}

export interface NodeActor {
  readonly kind: "node";
  /** The node's id. */
  readonly keyId: string;
  readonly farm: number;
  readonly state: "pending" | "approved" | "deleted";
}

/** Has the key that it signs with, and is not known: a node that comes for the first time. */
export interface Stranger {
  readonly kind: "stranger";
  readonly keyId: string;
}

export type Actor = User | NodeActor | Stranger;

function forbidden(message: string): ApiError {
  return new ApiError("forbidden", message);
}

export function needUser(actor: Actor): User {
  if (actor.kind === "user") return actor;
  throw forbidden(
    actor.kind === "node"
      ? "this is for users, not for nodes"
      : `no user has the key ${actor.keyId}: let an admin add it`,
  );
}

/** Whoever the grid knows: what it has is not for all who can make a key. */
export function needKnown(actor: Actor): void {
  if (actor.kind === "stranger" || (actor.kind === "node" && actor.state !== "approved")) {
    throw forbidden(`the key ${actor.keyId} is no user's and no approved node's`);
  }
}

export function needAdmin(actor: Actor): User {
  const user = needUser(actor);
  if (user.role !== "admin") throw forbidden(`this is for admins: ${user.name} is a ${user.role}`);
  return user;
}

/** The node itself; one that is not approved yet has little to say. */
export function needNode(actor: Actor, id: string): NodeActor {
  if (actor.kind !== "node" || actor.keyId !== id) {
    throw forbidden(`only node ${id} itself may do this`);
  }
  if (actor.state === "pending") {
    throw forbidden("the node waits for its farmer's approval");
  }
  if (actor.state === "deleted") throw forbidden("the node has been deleted");
  return actor;
}

/** The farm's owner, or an admin. */
export async function needFarmer(queries: Queries, actor: Actor, farm: number): Promise<User> {
  const user = needUser(actor);
  const [found] = await queries.rows<{ owner: number }>("select owner from farms where id = $1", [
    farm,
  ]);
  if (found === undefined) throw new ApiError("missing", `there is no farm ${farm}`);
  if (user.role !== "admin" && found.owner !== user.id) {
    throw forbidden(`farm ${farm} is not ${user.name}'s`);
  }
  return user;
}

/** What belongs to one user is for that user and admins. */
export function needOwner(actor: Actor, owner: number, what: string): User {
  const user = needUser(actor);
  // What is another's isn't even there.
  if (user.role !== "admin" && user.id !== owner)
    throw new ApiError("missing", `there is no ${what}`);
  return user;
}
