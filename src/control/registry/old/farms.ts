/** Farms and users as the old API has them (research, section 4.3): what the registry itself has no use for is kept as it came. */
import { z } from "zod";
import { ApiError } from "../../api/errors.ts";
import { toBase58 } from "../../model/base58.ts";
import { parseHost, parseInterfaceAddress } from "../../model/cidr.ts";
import { RefusedError } from "../../model/problem.ts";
import { type Actor, needFarmer, needUser } from "../actor.ts";
import { isSignedBy, keyBytes } from "../key.ts";
import { deleteNode } from "../nodes.ts";
import { addFarm, addUser, type FarmView, type UserView } from "../people.ts";
import type { Queries } from "../store/database.ts";
import type { Store } from "../store/store.ts";
import { number, type OldCall, type OldRoute, optional, paged, taking } from "./routes.ts";

/** Ours: of a farm; a /22. */
const IPS_MAX = 1_024;

const name = z
  .string()
  .min(1)
  .max(64)
  .regex(/^\P{Cc}*$/u, "has control characters");
const text = z
  .string()
  .max(256)
  .regex(/^\P{Cc}*$/u, "has control characters");
const details = {
  email: text.optional(),
  prefix_zero: text.optional(),
  wallet_addresses: z
    .array(z.object({ asset: text, address: text }))
    .max(16)
    .nullish(),
  location: z
    .object({
      city: text.optional(),
      country: text.optional(),
      continent: text.optional(),
      latitude: z.number().optional(),
      longitude: z.number().optional(),
    })
    .optional(),
};

interface FarmBody {
  readonly name: string;
  readonly threebot_id?: number | undefined;
  readonly [more: string]: unknown;
}
/** More is sent than is needed; it is passed over, as BCDB does. */
const farmBody: z.ZodType<FarmBody> = z.object({
  name,
  threebot_id: z.int().min(1).optional(),
  ...details,
});
interface UserBody {
  readonly name: string;
  readonly pubkey: string;
  readonly [more: string]: unknown;
}
const person = { email: text.optional(), host: text.optional(), description: text.optional() };
const userBody: z.ZodType<UserBody> = z.object({
  name,
  pubkey: z.string().regex(/^[0-9a-fA-F]{64}$/, "is no public key in hexadecimal"),
  ...person,
});
const personBody: z.ZodType<Readonly<Record<string, string | undefined>>> = z.object(person);
const proofBody: z.ZodType<{ readonly payload: string; readonly signature: string }> = z.object({
  payload: z.string().max(4_096),
  signature: z.string().regex(/^[0-9a-fA-F]{128}$/, "is no signature in hexadecimal"),
});

interface FarmIp {
  readonly address: string;
  readonly gateway: string;
}
const withLength = z
  .string()
  .max(64)
  .refine((value) => parseInterfaceAddress(value) !== undefined, "is no address with a length");
const ipsBody: z.ZodType<readonly FarmIp[]> = z
  .array(
    z.object({
      address: withLength,
      gateway: z
        .string()
        .max(64)
        .refine((value) => parseHost(value) !== undefined, "is no address"),
    }),
  )
  .max(IPS_MAX);
const addressesBody: z.ZodType<readonly string[]> = z.array(withLength).max(IPS_MAX);

type Farm = FarmView & { readonly details: object | null; readonly ips: readonly FarmIp[] };
type Person = UserView & { readonly details: object | null };

const FARM = `f.id, f.name, f.owner, o.details, array(
    select jsonb_build_object('address', i.address::text, 'gateway', host(i.gateway))
    from old_farm_ips i where i.farm = f.id order by i.address) as ips
  from farms f left join old_farms o on o.farm = f.id`;
const PERSON =
  "u.id, u.name, u.key, u.role, u.disabled, o.details from users u left join old_users o on o.id = u.id";

/** `isKnown`: BCDB shows a farm's mail address to who signs. */
function farmOf({ id, name: text, owner, details: more, ips }: Farm, isKnown: boolean): object {
  return {
    ...{ wallet_addresses: [], location: {}, email: "", resource_prices: [], prefix_zero: "" },
    ...more,
    ...(isKnown ? {} : { email: "" }),
    ...{ id, threebot_id: owner, name: text },
    ipaddresses: ips.map((ip) => ({ ...ip, reservation_id: 0 })),
  };
}

function userOf({ id, name: text, key, details: more }: Person): object {
  const pubkey = keyBytes(key)?.toString("hex") ?? "";
  return { email: "", host: "", description: "", ...more, id, name: text, pubkey };
}

async function isKnown(call: OldCall): Promise<boolean> {
  try {
    return (await call.actor()).kind !== "stranger";
  } catch (error) {
    if (error instanceof ApiError) return false;
    throw error;
  }
}

async function findFarm(queries: Queries, id: number): Promise<Farm> {
  const [row] = await queries.rows<Farm>(`select ${FARM} where f.id = $1`, [id]);
  if (row === undefined) throw new RefusedError("missing", `there is no farm ${id}`);
  return row;
}

async function findPerson(queries: Queries, id: number): Promise<Person> {
  const [row] = await queries.rows<Person>(`select ${PERSON} where u.id = $1`, [id]);
  if (row === undefined) throw new RefusedError("missing", `there is no user ${id}`);
  return row;
}

const farmId = ({ params }: OldCall): number => number(params["farm"], 0);
const userId = ({ params }: OldCall): number => number(params["user"], 0);

async function listFarms(call: OldCall): Promise<object[]> {
  const { page, size } = paged(call);
  const { owner, name: wanted } = call.query;
  const rows = await call.store.database.rows<Farm>(
    `select ${FARM} where ($1::bigint is null or f.owner = $1) and ($2::text is null or f.name = $2)
     order by f.id limit $3 offset $4`,
    [optional(owner) ?? null, wanted ?? null, size, (page - 1) * size],
  );
  const known = await isKnown(call);
  return rows.map((row) => farmOf(row, known));
}

async function listPeople(call: OldCall): Promise<object[]> {
  const { page, size } = paged(call);
  const rows = await call.store.database.rows<Person>(
    `select ${PERSON} where not u.disabled and ($1::text is null or u.name = $1)
     order by u.id limit $2 offset $3`,
    [call.query["name"] ?? null, size, (page - 1) * size],
  );
  return rows.map(userOf);
}

/** The name and what the old API knows beside it; the owner stays. */
async function updateFarm(
  store: Store,
  actor: Actor,
  id: number,
  { name: text, threebot_id: _owner, ...more }: FarmBody,
): Promise<void> {
  await needFarmer(store.database, actor, id);
  await store.write({ actor: actor.keyId, action: "farm.update" }, async (write) => {
    const [farm] = await write.rows<{ owner: number }>(
      "update farms set name = $2 where id = $1 returning owner",
      [id, text],
    );
    await write.rows(
      `insert into old_farms (farm, details) values ($1, $2::jsonb)
       on conflict (farm) do update set details = old_farms.details || excluded.details`,
      [id, JSON.stringify(more)],
    );
    write.change({ kind: "farm", subject: String(id), owner: farm?.owner, farm: id });
  });
}

async function addIps(
  store: Store,
  actor: Actor,
  farm: number,
  ips: readonly FarmIp[],
): Promise<void> {
  await needFarmer(store.database, actor, farm);
  await store.write({ actor: actor.keyId, action: "farm.add-ips" }, async (write) => {
    const [count] = await write.rows<{ count: number }>(
      "select count(*) as count from old_farm_ips where farm = $1",
      [farm],
    );
    if ((count?.count ?? 0) + ips.length > IPS_MAX) {
      throw new RefusedError("invalid", `a farm has at most ${IPS_MAX} addresses`);
    }
    for (const { address, gateway } of ips) {
      await write.rows(
        "insert into old_farm_ips (address, farm, gateway) values ($1::inet, $2, $3::inet)",
        [address, farm, gateway],
      );
    }
  });
}

async function removeIps(
  store: Store,
  actor: Actor,
  farm: number,
  addresses: readonly string[],
): Promise<void> {
  await needFarmer(store.database, actor, farm);
  await store.write({ actor: actor.keyId, action: "farm.remove-ips" }, async (write) => {
    for (const address of addresses) {
      const gone = await write.rows(
        "delete from old_farm_ips where farm = $1 and address = $2::inet returning 1",
        [farm, address],
      );
      if (gone.length === 0) {
        throw new RefusedError("missing", `farm ${farm} has no address ${address}`);
      }
    }
  });
}

async function removeNode(call: OldCall): Promise<void> {
  const { store, params, planNetwork } = call;
  const actor = await call.actor();
  const farm = farmId(call);
  await needFarmer(store.database, actor, farm);
  const id = params["node"] ?? "";
  const [node] = await store.database.rows<{ farm: number }>(
    "select farm from nodes where id = $1 and state <> 'deleted'",
    [id],
  );
  if (node === undefined) throw new RefusedError("missing", `there is no node ${id}`);
  if (node.farm !== farm) throw new ApiError("forbidden", `node ${id} is of another farm`);
  await deleteNode(store, actor, id, planNetwork);
}

async function updatePerson(
  store: Store,
  actor: Actor,
  id: number,
  more: Readonly<Record<string, string | undefined>>,
): Promise<void> {
  const user = needUser(actor);
  await findPerson(store.database, id);
  if (user.id !== id && user.role !== "admin") {
    throw new ApiError("forbidden", `only user ${id} may do this`);
  }
  await store.write({ actor: actor.keyId, action: "user.update" }, (write) =>
    write.rows(
      `insert into old_users (id, details) values ($1, $2::jsonb)
       on conflict (id) do update set details = old_users.details || excluded.details`,
      [id, JSON.stringify(more)],
    ),
  );
}

export const FARM_ROUTES: readonly OldRoute[] = [
  taking({
    method: "POST",
    path: "/farms",
    status: 201,
    body: farmBody,
    run: async ({ store, actor }, body) => {
      const who = await actor();
      const { id } = await addFarm(store, who, { name: body.name, owner: body.threebot_id });
      await updateFarm(store, who, id, body);
      return { id };
    },
  }),
  {
    method: "GET",
    path: "/farms",
    status: 200,
    run: async (call) => ({ body: await listFarms(call) }),
  },
  {
    method: "GET",
    path: "/farms/:farm",
    status: 200,
    run: async (call) => ({
      body: farmOf(await findFarm(call.store.database, farmId(call)), await isKnown(call)),
    }),
  },
  taking({
    method: "PUT",
    path: "/farms/:farm",
    status: 200,
    body: farmBody,
    run: async (call, body) => updateFarm(call.store, await call.actor(), farmId(call), body),
  }),
  taking({
    method: "POST",
    path: "/farms/:farm/ip",
    status: 200,
    body: ipsBody,
    run: async (call, body) => addIps(call.store, await call.actor(), farmId(call), body),
  }),
  taking({
    method: "DELETE",
    path: "/farms/:farm/ip",
    status: 200,
    body: addressesBody,
    run: async (call, body) => removeIps(call.store, await call.actor(), farmId(call), body),
  }),
  {
    method: "DELETE",
    path: "/farms/:farm/:node",
    status: 200,
    run: async (call) => {
      await removeNode(call);
      return { body: null };
    },
  },
  taking({
    method: "POST",
    path: "/users",
    status: 201,
    body: userBody,
    run: async ({ store, actor }, { name: text, pubkey, ...more }) => {
      const who = await actor();
      const key = toBase58(Buffer.from(pubkey, "hex"));
      const { id } = await addUser(store, who, { name: text, key, role: "user" });
      await updatePerson(store, who, id, more as Readonly<Record<string, string>>);
      return { id };
    },
  }),
  {
    method: "GET",
    path: "/users",
    status: 200,
    run: async (call) => ({ body: await listPeople(call) }),
  },
  {
    method: "GET",
    path: "/users/:user",
    status: 200,
    run: async (call) => ({ body: userOf(await findPerson(call.store.database, userId(call))) }),
  },
  taking({
    method: "PUT",
    path: "/users/:user",
    status: 200,
    body: personBody,
    run: async (call, body) => updatePerson(call.store, await call.actor(), userId(call), body),
  }),
  taking({
    method: "POST",
    path: "/users/:user/validate",
    status: 200,
    body: proofBody,
    run: async (call, { payload, signature }) => {
      const { key } = await findPerson(call.store.database, userId(call));
      return { is_valid: isSignedBy(key, payload, Buffer.from(signature, "hex")) };
    },
  }),
];
