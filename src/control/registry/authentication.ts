/** Finds out who signed a request: form, time, digest and signature first, which cost no query; then the nonce and the key's owner. */
import { ApiError } from "../api/errors.ts";
import type { Actor, Role } from "./actor.ts";
import {
  isGenuine,
  isTimely,
  parseSignature,
  type Signature,
  type SignedRequest,
  WINDOW_S,
} from "./signature.ts";
import type { Database } from "./store/database.ts";

type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

interface Found {
  readonly fresh: boolean;
  readonly user: { id: number; name: string; role: Role; disabled: boolean } | null;
  readonly node: { farm: number; state: "pending" | "approved" | "deleted" } | null;
}

/** In one round trip; the nonce is kept until no clock within the window accepts its request any more. */
const FIND = `
  with fresh as (
    insert into nonces (key, nonce, expires)
    values ($1, $2, to_timestamp($3) + make_interval(secs => $4))
    on conflict do nothing returning 1)
  select exists (select from fresh) as fresh,
    (select json_build_object('id', id, 'name', name, 'role', role, 'disabled', disabled)
      from users where key = $1) as user,
    (select json_build_object('farm', farm, 'state', state) from nodes where id = $1) as node`;

/** The part that needs no body; throws an ApiError. `now`: milliseconds since 1970. */
export function readSignature(headers: Headers, now: number): Signature {
  const signature = parseSignature(headers);
  if (signature === undefined) {
    throw new ApiError(
      "unsigned",
      "the request is not signed as docs/registry.md says: Content-Digest, Signature-Input and Signature are needed",
    );
  }
  if (!isTimely(signature, now)) {
    const off = Math.round(now / 1000) - signature.created;
    throw new ApiError(
      "unsigned",
      `the request was signed ${Math.abs(off)} s ${off > 0 ? "ago" : "in the future"}, ${WINDOW_S} s are allowed: set the clock, the registry's time is ${new Date(now).toISOString()}`,
    );
  }
  return signature;
}

/** Throws an ApiError for what is forged, changed or replayed. */
export async function authenticate(
  database: Database,
  signature: Signature,
  request: SignedRequest,
  digest: unknown,
): Promise<Actor> {
  if (!isGenuine(signature, request, digest)) {
    throw new ApiError("unsigned", "the signature is not that of this request by its key");
  }
  const { keyId } = signature;
  const [found] = await database.rows<Found>(FIND, [
    keyId,
    signature.nonce,
    signature.created,
    2 * WINDOW_S,
  ]);
  if (found?.fresh !== true) {
    throw new ApiError("replayed", "this very request has been made before: sign a new one");
  }
  const { user, node } = found;
  if (user !== null) {
    if (user.disabled) throw new ApiError("forbidden", `user ${user.name} is disabled`);
    return { kind: "user", keyId, id: user.id, name: user.name, role: user.role };
  }
  if (node !== null) return { kind: "node", keyId, farm: node.farm, state: node.state };
  return { kind: "stranger", keyId };
}
