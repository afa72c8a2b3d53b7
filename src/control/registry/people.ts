/** Users, farms and the tokens by which nodes join a farm. */
import { createHash, randomBytes } from "node:crypto";
import { RefusedError } from "../model/problem.ts";
import { type Actor, needAdmin, needFarmer, needKnown, needUser } from "./actor.ts";
import type { Page } from "./page.ts";
import type { NewFarm, NewToken, NewUser } from "./schemas.ts";
import type { Queries } from "./store/database.ts";
import type { Store } from "./store/store.ts";

export interface UserView extends NewUser {
  readonly id: number;
  readonly disabled: boolean;
}

export interface FarmView {
  readonly id: number;
  readonly name: string;
  readonly owner: number;
}

export interface TokenView {
  /** Names it without being it. */
  readonly digest: string;
  readonly farm: number;
  readonly expires: Date;
  /** The node that it was spent for. */
  readonly node: string | null;
}

const USER = "id, name, key, role, disabled";
const FARM = "id, name, owner";
const TOKEN_BYTES = 32;

export async function addUser(store: Store, actor: Actor, user: NewUser): Promise<UserView> {
  needAdmin(actor);
  return await insertUser(store, actor.keyId, user);
}

/** Without asking who: for the operator, who has the database. */
export async function insertUser(store: Store, actor: string, user: NewUser): Promise<UserView> {
  return await store.write({ actor, action: "user.add" }, async (write) => {
    const [node] = await write.rows("select 1 from nodes where id = $1", [user.key]);
    if (node !== undefined) throw new RefusedError("conflict", "a node has this key");
    const [made] = await write.rows<UserView>(
      `insert into users (name, key, role) values ($1, $2, $3) returning ${USER}`,
      [user.name, user.key, user.role],
    );
    write.change({ kind: "user", subject: String(made?.id), owner: made?.id });
    return made!;
  });
}

export async function listUsers(store: Store, actor: Actor, page: Page): Promise<UserView[]> {
  needAdmin(actor);
  return await store.database.rows<UserView>(
    `select ${USER} from users where id > $1 order by id limit $2`,
    [page.afterNumber, page.limit],
  );
}

export async function disableUser(store: Store, actor: Actor, id: number): Promise<UserView> {
  const admin = needAdmin(actor);
  if (admin.id === id) throw new RefusedError("conflict", "you can't disable yourself");
  return await store.write({ actor: actor.keyId, action: "user.disable" }, async (write) => {
    const [user] = await write.rows<UserView>(
      `update users set disabled = true where id = $1 returning ${USER}`,
      [id],
    );
    if (user === undefined) throw new RefusedError("missing", `there is no user ${id}`);
    write.change({ kind: "user", subject: String(id), owner: id });
    return user;
  });
}

export async function addFarm(store: Store, actor: Actor, farm: NewFarm): Promise<FarmView> {
  const user = needUser(actor);
  if (user.role === "user" || (farm.owner !== undefined && farm.owner !== user.id))
    needAdmin(actor);
  return await store.write({ actor: actor.keyId, action: "farm.add" }, async (write) => {
    const [made] = await write.rows<FarmView>(
      `insert into farms (name, owner) values ($1, $2) returning ${FARM}`,
      [farm.name, farm.owner ?? user.id],
    );
    write.change({ kind: "farm", subject: String(made?.id), owner: made?.owner, farm: made?.id });
    return made!;
  });
}

export async function listFarms(store: Store, actor: Actor, page: Page): Promise<FarmView[]> {
  needKnown(actor);
  return await store.database.rows<FarmView>(
    `select ${FARM} from farms where id > $1 order by id limit $2`,
    [page.afterNumber, page.limit],
  );
}

/** The token is told once, and kept as its digest only. */
export async function addToken(
  store: Store,
  actor: Actor,
  farm: number,
  { seconds }: NewToken,
): Promise<TokenView & { readonly token: string }> {
  const user = await needFarmer(store.database, actor, farm);
  const token = `join_${randomBytes(TOKEN_BYTES).toString("base64url")}`;
  return await store.write({ actor: actor.keyId, action: "token.add" }, async (write) => {
    const [made] = await write.rows<TokenView>(
      `insert into join_tokens (digest, farm, creator, expires)
       values ($1, $2, $3, now() + make_interval(secs => $4)) returning digest, farm, expires, node`,
      [digestOf(token), farm, user.id, seconds],
    );
    return { ...made!, token };
  });
}

export async function listTokens(store: Store, actor: Actor, farm: number): Promise<TokenView[]> {
  await needFarmer(store.database, actor, farm);
  return await store.database.rows<TokenView>(
    `select digest, farm, expires, node from join_tokens where farm = $1 and node is null
     and expires > now() order by created limit 1000`,
    [farm],
  );
}

export async function removeToken(
  store: Store,
  actor: Actor,
  farm: number,
  digest: string,
): Promise<void> {
  await needFarmer(store.database, actor, farm);
  await store.write({ actor: actor.keyId, action: "token.remove" }, async (write) => {
    const gone = await write.rows(
      "delete from join_tokens where digest = $1 and farm = $2 returning 1",
      [digest, farm],
    );
    if (gone.length === 0) throw new RefusedError("missing", `farm ${farm} has no such token`);
  });
}

/** Spends a token for a node; false: it is none of this farm, has expired, or is spent. */
export async function spendToken(
  queries: Queries,
  farm: number,
  token: string,
  node: string,
): Promise<boolean> {
  const spent = await queries.rows(
    `update join_tokens set node = $3
     where digest = $1 and farm = $2 and node is null and expires > now() returning 1`,
    [digestOf(token), farm, node],
  );
  return spent.length > 0;
}

function digestOf(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}
