/**
 * Capacity pools of the old API: a customer gets one before it makes workloads, names it in each, and says on which nodes of one farm they
 * may be. Nothing is paid and nothing used up: what is asked for is there.
 */
import { z } from "zod";
import { ApiError } from "../../api/errors.ts";
import { RefusedError } from "../../model/problem.ts";
import { type Actor, needUser } from "../actor.ts";
import { isSignedBy } from "../key.ts";
import type { Queries } from "../store/database.ts";
import type { Store } from "../store/store.ts";

/** BCDB's "never": the largest number of 64 bits, in what JSON of JavaScript can say. */
const NEVER = Number.MAX_SAFE_INTEGER;
const NODES_MAX = 1_000;
/** Ours: of one user. */
const POOLS_MAX = 1_000;

interface PoolData {
  /** 0: a new one. */
  readonly pool_id: number;
  readonly cus: number;
  readonly sus: number;
  readonly ipv4u: number;
  readonly node_ids: readonly string[];
  readonly currencies: readonly string[];
}

export interface PoolWish {
  /** What is signed: the same as `data_reservation`. */
  readonly json: string;
  readonly data_reservation: PoolData;
  readonly customer_tid: number;
  readonly customer_signature: string;
}

/** Far below what a sum of them overflows at. */
const units = z.int().min(0).max(1_000_000_000_000).default(0);
const dataSchema: z.ZodType<PoolData> = z.object({
  pool_id: z.int().min(0).max(Number.MAX_SAFE_INTEGER).default(0),
  cus: units,
  sus: units,
  ipv4u: units,
  node_ids: z.array(z.string().max(64)).min(1).max(NODES_MAX),
  currencies: z
    .array(z.string().max(64))
    .max(64)
    .nullish()
    .transform((value) => value ?? []),
});
export const wishSchema: z.ZodType<PoolWish> = z.object({
  json: z.string().max(256 * 1_024),
  data_reservation: dataSchema,
  customer_tid: z.int().min(1),
  customer_signature: z.string().regex(/^[0-9a-fA-F]{128}$/, "is no signature in hexadecimal"),
});

interface Row {
  readonly id: number;
  readonly owner: number;
  readonly nodes: readonly string[];
  readonly cus: number;
  readonly sus: number;
  readonly ipv4us: number;
  readonly updated: Date;
  readonly active: readonly number[];
}

const ROW = `p.id, p.owner, p.nodes, p.cus, p.sus, p.ipv4us, p.updated, array(
    select w.id from workloads w where w.owner = p.owner and w.lead is null and w.next_action <> 6
      and (w.body ->> 'pool_id')::bigint = p.id order by w.id limit 1000) as active
  from pools p`;

function viewOf({ id, owner, nodes, cus, sus, ipv4us, updated, active }: Row): object {
  return {
    ...{ pool_id: id, cus, sus, ipv4us, node_ids: nodes, active_workload_ids: active },
    ...{ active_cu: 0, active_su: 0, active_ipv4: 0, empty_at: NEVER },
    ...{ customer_tid: owner, sponsor_tid: owner },
    last_updated: Math.floor(updated.getTime() / 1000),
  };
}

export async function addPool(store: Store, actor: Actor, wish: PoolWish): Promise<object> {
  const user = needUser(actor);
  const { json, data_reservation: data, customer_tid: tid, customer_signature: signature } = wish;
  if (tid !== user.id) throw new ApiError("forbidden", "customer_tid is not the signer's");
  if (JSON.stringify(parsed(json)) !== JSON.stringify(data)) {
    throw new RefusedError("invalid", "json is not what data_reservation says");
  }
  if (!isSignedBy(user.keyId, json, Buffer.from(signature, "hex"))) {
    throw new RefusedError("invalid", "customer_signature is not that of json by its customer");
  }
  const nodes = [...new Set(data.node_ids)];
  if (nodes.length < data.node_ids.length) {
    throw new RefusedError("conflict", "node_ids names a node twice");
  }
  const id = await store.write({ actor: actor.keyId, action: "pool.add" }, async (write) => {
    const farms = await write.rows<{ farm: number; count: number }>(
      "select farm, count(*) as count from nodes where id = any($1) and state = 'approved' group by farm",
      [nodes],
    );
    if (farms.reduce((sum, { count }) => sum + count, 0) < nodes.length) {
      throw new RefusedError("invalid", "node_ids names what is no approved node");
    }
    if (farms.length > 1) throw new RefusedError("invalid", "all nodes have to be of one farm");
    if (data.pool_id !== 0) {
      const [more] = await write.rows<{ id: number }>(
        `update pools set cus = cus + $3, sus = sus + $4, ipv4us = ipv4us + $5, updated = now()
         where id = $1 and owner = $2 returning id`,
        [data.pool_id, user.id, data.cus, data.sus, data.ipv4u],
      );
      if (more === undefined) {
        throw new RefusedError("invalid", `you have no pool ${data.pool_id}`);
      }
      return more.id;
    }
    const [count] = await write.rows<{ count: number }>(
      "select count(*) as count from pools where owner = $1",
      [user.id],
    );
    if ((count?.count ?? 0) >= POOLS_MAX) {
      throw new ApiError("too_many", `you have ${POOLS_MAX} pools already`);
    }
    const [made] = await write.rows<{ id: number }>(
      `insert into pools (owner, nodes, cus, sus, ipv4us) values ($1, $2::jsonb, $3, $4, $5) returning id`,
      [user.id, JSON.stringify(nodes), data.cus, data.sus, data.ipv4u],
    );
    return made?.id ?? 0;
  });
  return { reservation_id: id, escrow_information: { address: "", asset: "", amount: 0 } };
}

function parsed(json: string): PoolData | undefined {
  try {
    return dataSchema.safeParse(JSON.parse(json)).data;
  } catch {
    return undefined;
  }
}

/** Refuses workloads of a pool that isn't there, is another's, or isn't for these nodes; 0: without one. */
export async function needPool(
  queries: Queries,
  owner: number,
  pool: number,
  nodes: readonly string[],
): Promise<void> {
  if (pool === 0) return;
  const [row] = await queries.rows<Row>(`select ${ROW} where p.id = $1`, [pool]);
  if (row === undefined) throw new RefusedError("missing", "pool does not exist");
  if (row.owner !== owner || !nodes.every((node) => row.nodes.includes(node))) {
    throw new ApiError("forbidden", "not allowed to deploy workload on this pool");
  }
}

export async function showPool(store: Store, id: number): Promise<object> {
  const [row] = await store.database.rows<Row>(`select ${ROW} where p.id = $1`, [id]);
  if (row === undefined) throw new RefusedError("missing", "capacity pool not found");
  return viewOf(row);
}

export async function listPools(store: Store, owner: number): Promise<object[]> {
  const rows = await store.database.rows<Row>(
    `select ${ROW} where p.owner = $1 order by p.id limit ${POOLS_MAX}`,
    [owner],
  );
  return rows.map(viewOf);
}
