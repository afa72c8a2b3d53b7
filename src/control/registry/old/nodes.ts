/** Nodes as the old API has them: the same nodes, in BCDB's words (research, section 4.2). */
import { z } from "zod";
import { ApiError } from "../../api/errors.ts";
import { parseHost, parseInterfaceAddress } from "../../model/cidr.ts";
import { RefusedError } from "../../model/problem.ts";
import { type Actor, needFarmer, needNode } from "../actor.ts";
import { heartbeat } from "../heartbeats.ts";
import { keyBytes } from "../key.ts";
import { registerNode, reportPorts } from "../nodes.ts";
import type { Store } from "../store/store.ts";

interface Resources {
  readonly cru: number;
  readonly mru: number;
  readonly hru: number;
  readonly sru: number;
}

export interface OldRegistration {
  readonly node_id: string;
  readonly farm_id: number;
  readonly os_version: string;
  readonly public_key_hex: string;
  readonly location: Readonly<Record<string, string | number | undefined>>;
  readonly hostname?: string | undefined;
  readonly node_id_v1?: string | undefined;
  readonly uptime?: number | undefined;
}

export interface OldIface {
  readonly name: string;
  readonly addrs: readonly string[] | null;
  readonly gateway: readonly string[] | null;
  readonly macaddress?: string | undefined;
}

export interface OldPublic {
  readonly master: string;
  readonly type: number;
  readonly ipv4: string;
  readonly ipv6: string;
  readonly gw4: string;
  readonly gw6: string;
  readonly version?: number | undefined;
}

/** What `POST /nodes/ID/capacity` brings: kept as it is. */
export type OldDetails = Readonly<Record<string, unknown>>;

const text = z
  .string()
  .max(256)
  .regex(/^\P{Cc}*$/u, "has control characters");
const float = z.number().min(0);

/** More is sent than is needed; it is passed over, as BCDB does. */
export const registrationSchema: z.ZodType<OldRegistration> = z.object({
  node_id: text,
  farm_id: z.int().min(1),
  os_version: text.min(1),
  public_key_hex: z.string().regex(/^[0-9a-fA-F]{64}$/, "is no public key in hexadecimal"),
  location: z.object({
    city: text.optional(),
    country: text.optional(),
    continent: text.optional(),
    latitude: z.number().optional(),
    longitude: z.number().optional(),
  }),
  hostname: text.optional(),
  node_id_v1: text.optional(),
  uptime: z.int().min(0).optional(),
});
const addresses = z.array(z.string().max(64)).max(64).nullable();
export const ifacesSchema: z.ZodType<readonly OldIface[]> = z
  .array(
    z.object({ name: text, addrs: addresses, gateway: addresses, macaddress: text.optional() }),
  )
  .max(256);
export const oldPortsSchema: z.ZodType<{ readonly ports: readonly number[] }> = z.object({
  ports: z.array(z.int().min(1).max(65_535)).max(65_535),
});
export const uptimeSchema: z.ZodType<{ readonly uptime: number }> = z.object({
  uptime: z.int().min(0).max(Number.MAX_SAFE_INTEGER),
});
export const capacitySchema: z.ZodType<OldDetails> = z.object({
  capacity: z.object({ cru: float, mru: float, hru: float, sru: float }),
});

const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
export interface OldUsed extends Resources {
  /** Numbers of workloads by kind. */
  readonly [more: string]: number;
}
/** Flat: the resources, and how many workloads there are of each kind. */
export const usedSchema: z.ZodType<OldUsed> = z
  .object({ cru: float, mru: float, hru: float, sru: float })
  .catchall(count)
  .refine((used) => Object.keys(used).length <= 64, "has too many counters");
export const freeSchema: z.ZodType<{ readonly free_to_use: boolean }> = z.object({
  free_to_use: z.boolean(),
});

export function ofFamily(family: 2 | 10, hasLength: boolean): z.ZodType<string> {
  const parse = hasLength ? parseInterfaceAddress : parseHost;
  return z
    .string()
    .max(64)
    .refine(
      (value) => parse(value)?.family === family,
      `is no IPv${family === 2 ? 4 : 6} ${hasLength ? "prefix" : "address"}`,
    );
}
export const publicSchema: z.ZodType<OldPublic> = z.object({
  master: text.min(1).max(16),
  type: z.literal(0, "only 0 (macvlan) is possible"),
  ipv4: ofFamily(2, true),
  ipv6: ofFamily(10, true),
  gw4: ofFamily(2, false),
  gw6: ofFamily(10, false),
  version: z.int().optional(),
});

export interface OldNode {
  readonly id: number;
  readonly node_id: string;
  readonly farm_id: number;
  readonly approved: boolean;
  readonly ifaces: readonly OldIface[];
  readonly public_config: OldPublic | null;
  readonly wg_ports: readonly number[];
  readonly [more: string]: unknown;
}

interface Row {
  readonly id: number;
  readonly node: string;
  readonly farm: number;
  readonly state: string;
  readonly hostname: string | null;
  readonly os_version: string | null;
  readonly location: object | null;
  readonly capacity: Resources | null;
  readonly created: Date;
  readonly uptime: number | null;
  readonly seen: Date | null;
  readonly ports: readonly number[];
  readonly ifaces: readonly OldIface[] | null;
  readonly public_config: OldPublic | null;
  readonly used: Resources | null;
  readonly workloads: object | null;
  readonly free_to_use: boolean | null;
}

const ROW = `n.number as id, n.id as node, n.farm, n.state, n.hostname, n.os_version, n.location, n.capacity, n.created,
  h.uptime, h.seen, o.ifaces, o.public_config, o.used, o.workloads, o.free_to_use,
  n.used_ports || array(select l.port from port_leases l where l.node = n.id) as ports
  from nodes n left join heartbeats h on h.node = n.id left join old_nodes o on o.node = n.id`;
const NOTHING: Resources = { cru: 0, mru: 0, hru: 0, sru: 0 };

function nodeOf(row: Row): OldNode {
  const seconds = (date: Date | null): number =>
    date === null ? 0 : Math.floor(date.getTime() / 1000);
  return {
    id: row.id,
    node_id: row.node,
    hostname: row.hostname ?? "",
    node_id_v1: "",
    farm_id: row.farm,
    os_version: row.os_version ?? "",
    created: seconds(row.created),
    updated: seconds(row.seen ?? row.created),
    uptime: row.uptime ?? 0,
    address: "",
    location: row.location ?? {},
    total_resources: row.capacity ?? NOTHING,
    used_resources: row.used ?? NOTHING,
    reserved_resources: NOTHING,
    workloads: row.workloads ?? {},
    proofs: [],
    ifaces: row.ifaces ?? [],
    public_config: row.public_config,
    free_to_use: row.free_to_use ?? false,
    approved: row.state === "approved",
    public_key_hex: keyBytes(row.node)?.toString("hex") ?? "",
    wg_ports: row.ports,
    deleted: row.state === "deleted",
    reserved: false,
  };
}

export async function showOldNode(store: Store, id: string): Promise<OldNode> {
  const [row] = await store.database.rows<Row>(`select ${ROW} where n.id = $1`, [id]);
  if (row === undefined) throw new RefusedError("missing", `there is no node ${id}`);
  return nodeOf(row);
}

export async function listOldNodes(
  store: Store,
  {
    page,
    size,
    farm,
  }: { readonly page: number; readonly size: number; readonly farm?: number | undefined },
): Promise<{ readonly nodes: OldNode[]; readonly pages: number }> {
  const where = "n.state <> 'deleted' and ($1::bigint is null or n.farm = $1)";
  const [count] = await store.database.rows<{ count: number }>(
    `select count(*) as count from nodes n where ${where}`,
    [farm ?? null],
  );
  const rows = await store.database.rows<Row>(
    `select ${ROW} where ${where} order by n.number limit $2 offset $3`,
    [farm ?? null, size, (page - 1) * size],
  );
  return { nodes: rows.map(nodeOf), pages: Math.ceil((count?.count ?? 0) / size) };
}

/** As the new one; a node without a token waits for approval. */
export async function registerOld(
  store: Store,
  actor: Actor,
  node: OldRegistration,
): Promise<OldNode> {
  if (actor.keyId !== node.node_id) throw new ApiError("forbidden", "node_id is not the signer's");
  if (keyBytes(node.node_id)?.toString("hex") !== node.public_key_hex.toLowerCase()) {
    throw new RefusedError("invalid", "node_id is not base58 of public_key_hex");
  }
  await registerNode(store, actor, {
    farm: node.farm_id,
    // Unique, as the old API has no names.
    name: node.node_id,
    osVersion: node.os_version,
    location: node.location,
    ...(node.hostname === undefined ? {} : { hostname: node.hostname }),
  });
  return await showOldNode(store, node.node_id);
}

async function keep(
  store: Store,
  actor: string,
  node: string,
  column: "ifaces" | "public_config" | "used" | "workloads" | "free_to_use",
  value: unknown,
): Promise<void> {
  await store.write({ actor, action: `node.${column}` }, async (write) => {
    const [row] = await write.rows<{ farm: number }>(
      "select farm from nodes where id = $1 and state <> 'deleted'",
      [node],
    );
    if (row === undefined) throw new RefusedError("missing", `there is no node ${node}`);
    await write.rows(
      `insert into old_nodes (node, ${column}) values ($1, $2::${column === "free_to_use" ? "boolean" : "jsonb"})
       on conflict (node) do update set ${column} = excluded.${column}`,
      [node, JSON.stringify(value)],
    );
    write.change({ kind: "node", subject: node, farm: row.farm });
  });
}

export async function setIfaces(
  store: Store,
  actor: Actor,
  node: string,
  ifaces: readonly OldIface[],
): Promise<void> {
  needNode(actor, node);
  await keep(store, actor.keyId, node, "ifaces", ifaces);
}

export async function setPorts(
  store: Store,
  actor: Actor,
  node: string,
  ports: { readonly ports: readonly number[] },
): Promise<void> {
  await reportPorts(store, actor, node, ports);
}

export async function setUptime(
  store: Store,
  actor: Actor,
  node: string,
  uptime: { readonly uptime: number },
): Promise<void> {
  await heartbeat(store, actor, node, uptime);
}

export async function setCapacity(
  store: Store,
  actor: Actor,
  node: string,
  { capacity }: OldDetails,
): Promise<void> {
  needNode(actor, node);
  await store.write({ actor: actor.keyId, action: "node.capacity" }, (write) =>
    write.rows("update nodes set capacity = $2::jsonb where id = $1", [
      node,
      JSON.stringify(capacity),
    ]),
  );
}

export async function setUsed(
  store: Store,
  actor: Actor,
  node: string,
  { cru, mru, hru, sru, ...workloads }: OldUsed,
): Promise<void> {
  needNode(actor, node);
  await keep(store, actor.keyId, node, "used", { cru, mru, hru, sru });
  await keep(store, actor.keyId, node, "workloads", workloads);
}

/** The farmer says whether it may be paid for with what costs nothing. */
export async function setFree(
  store: Store,
  actor: Actor,
  node: string,
  { free_to_use: isFree }: { readonly free_to_use: boolean },
): Promise<void> {
  await needFarmerOf(store, actor, node);
  await keep(store, actor.keyId, node, "free_to_use", isFree);
}

async function needFarmerOf(store: Store, actor: Actor, node: string): Promise<void> {
  const [row] = await store.database.rows<{ farm: number }>(
    "select farm from nodes where id = $1",
    [node],
  );
  if (row === undefined) throw new RefusedError("missing", `there is no node ${node}`);
  await needFarmer(store.database, actor, row.farm);
}

export async function setPublic(
  store: Store,
  actor: Actor,
  node: string,
  config: OldPublic,
): Promise<void> {
  await needFarmerOf(store, actor, node);
  await keep(store, actor.keyId, node, "public_config", config);
}
