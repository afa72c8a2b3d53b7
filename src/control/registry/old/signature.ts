/**
 * Signatures as the old nodes and clients make them (draft-cavage HTTP signatures over three headers): neither path nor body is signed, so
 * who catches one may use it for anything within the window. Only where the operator wants it. The order of the fields is the clients' own.
 */
import { ApiError } from "../../api/errors.ts";
import type { Actor, Role } from "../actor.ts";
import { isSignedBy, keyBytes } from "../key.ts";
import { WINDOW_S } from "../signature.ts";
import type { Database } from "../store/database.ts";

type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

const FIELD = /(\w+)="([^"]*)"/g;
/** Research, section 4: the required headers are exactly these. */
const SIGNED = "(created) date threebot-id";

/** Throws an ApiError. `now`: milliseconds since 1970. */
export async function authenticateOld(
  database: Database,
  headers: Headers,
  now: number,
): Promise<Actor> {
  const { authorization = "", date = "", "threebot-id": id = "" } = headers;
  const fields = new Map(
    [...String(authorization).matchAll(FIELD)].map(([, name = "", value = ""]) => [name, value]),
  );
  const [keyId = "", created = "", text = ""] = ["keyId", "created", "signature"].map((name) =>
    fields.get(name),
  );
  if (!String(authorization).startsWith("Signature ") || fields.get("headers") !== SIGNED) {
    throw new ApiError("unsigned", `the request is not signed: headers="${SIGNED}" are needed`);
  }
  if (id !== keyId) throw new ApiError("unsigned", "threebot-id is not the signature's keyId");
  // "expires" is malformed in the reference client: it is passed over.
  if (!/^\d{1,12}$/.test(created) || Math.abs(now / 1000 - Number(created)) > WINDOW_S) {
    throw new ApiError("unsigned", `the signature is more than ${WINDOW_S} s away: set the clock`);
  }
  const actor = await actorOf(database, keyId);
  const base = `(created): ${created}\ndate: ${String(date)}\nthreebot-id: ${keyId}`;
  if (actor === undefined || !isSignedBy(actor.keyId, base, Buffer.from(text, "base64"))) {
    throw new ApiError("unsigned", "the signature is not that of its key");
  }
  return actor;
}

/** Nodes sign with their id, which is their key; people with their number. */
async function actorOf(database: Database, keyId: string): Promise<Actor | undefined> {
  if (/^\d{1,15}$/.test(keyId)) {
    const [user] = await database.rows<{ id: number; name: string; key: string; role: Role }>(
      "select id, name, key, role from users where id = $1 and not disabled",
      [Number(keyId)],
    );
    if (user === undefined) return undefined;
    return { kind: "user", keyId: user.key, id: user.id, name: user.name, role: user.role };
  }
  if (keyBytes(keyId) === undefined) return undefined;
  const [node] = await database.rows<{ farm: number; state: "pending" | "approved" | "deleted" }>(
    "select farm, state from nodes where id = $1",
    [keyId],
  );
  return node === undefined ? { kind: "stranger", keyId } : { kind: "node", keyId, ...node };
}
