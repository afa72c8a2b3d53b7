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
import { Batch } from "./store/batch.ts";
import type { Database } from "./store/database.ts";

type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

interface Found {
  readonly fresh: boolean;
  readonly user: { id: number; name: string; role: Role; disabled: boolean } | null;
  readonly node: { farm: number; state: "pending" | "approved" | "deleted" } | null;
}

/**
 * In one round trip for all that come at about the same time. A nonce is kept for as long as a request can be good: by the database's clock
 * from now on, whatever the clocks of registries say of when it was made.
 */
const FIND = `
  with asked as (
    select * from unnest($1::text[], $2::text[]) with ordinality as a(key, nonce, at)),
  fresh as (
    insert into nonces (key, nonce, expires)
    select key, nonce, now() + make_interval(secs => $3) from asked order by key, nonce
    on conflict do nothing returning key, nonce)
  select f.key is not null as fresh,
    (select json_build_object('id', u.id, 'name', u.name, 'role', u.role, 'disabled', u.disabled)
      from users u where u.key = a.key) as user,
    (select json_build_object('farm', n.farm, 'state', n.state) from nodes n where n.id = a.key) as node
  from asked a left join fresh f on f.key = a.key and f.nonce = a.nonce order by a.at`;

const REPLAYED: Found = { fresh: false, user: null, node: null };

const batches = new WeakMap<Database, Batch<Signature, Found>>();

function batchOf(database: Database): Batch<Signature, Found> {
  let batch = batches.get(database);
  if (batch === undefined) {
    batch = new Batch((signatures) => findAll(database, signatures));
    batches.set(database, batch);
  }
  return batch;
}

/** The same request twice in one batch: the first is fresh. */
async function findAll(
  database: Database,
  signatures: readonly Signature[],
): Promise<readonly Found[]> {
  const places = new Map<string, number>();
  const asked: Signature[] = [];
  const isFirst = signatures.map((signature) => {
    const name = `${signature.keyId} ${signature.nonce}`;
    if (places.has(name)) return false;
    places.set(name, asked.push(signature) - 1);
    return true;
  });
  const found = await database.rows<Found>(FIND, [
    asked.map(({ keyId }) => keyId),
    asked.map(({ nonce }) => nonce),
    2 * WINDOW_S,
  ]);
  return signatures.map(({ keyId, nonce }, at) =>
    isFirst[at] === true ? found[places.get(`${keyId} ${nonce}`)!]! : REPLAYED,
  );
}

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
  const found = await batchOf(database).ask(signature);
  if (!found.fresh) {
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
