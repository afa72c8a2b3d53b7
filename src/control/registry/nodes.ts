/** Nodes: joining, approval, what they report of themselves, and their end. */
import { ApiError } from "../api/errors.ts";
import type { Nic } from "../model/nic.ts";
import { RefusedError } from "../model/problem.ts";
import { type Actor, needFarmer, needKnown, needNode } from "./actor.ts";
import type { Page } from "./page.ts";
import { spendToken } from "./people.ts";
import { lockNetwork, type PlanNetwork, replan } from "./planning.ts";
import type { NewNode, Reachability, UsedPorts } from "./schemas.ts";
import type { Store, Write } from "./store/store.ts";

export interface NodeView {
  readonly id: string;
  readonly farm: number;
  readonly name: string;
  readonly state: "pending" | "approved" | "deleted";
  readonly hostname: string | null;
  readonly osVersion: string | null;
  readonly location: object | null;
  readonly capacity: object | null;
  readonly reachability: Reachability | null;
  /** Ports that something on the node uses, or that are leased. */
  readonly usedPorts: readonly number[];
  readonly uptime: number | null;
  /** Of the last heartbeat. */
  readonly seen: Date | null;
  readonly created: Date;
}

export interface NodeDetails extends NodeView {
  /** null: there is none, or it is not for who asks. */
  readonly census: readonly Nic[] | null;
}

const VIEW = `n.id, n.farm, n.name, n.state, n.hostname, n.os_version as "osVersion", n.location, n.capacity,
  n.reachability, n.created, h.uptime, h.seen,
  n.used_ports || array(select l.port from port_leases l where l.node = n.id) as "usedPorts"`;
/** Ours: whoever makes keys can't fill the store; farmers approve or delete. */
const PENDING_MAX = 1_000;

/** A node comes, for the first time or again. With a token of the farm it is approved at once. */
export async function registerNode(
  store: Store,
  actor: Actor,
  node: NewNode,
): Promise<NodeDetails> {
  if (actor.kind === "user") {
    throw new ApiError("forbidden", "this is for nodes: a user's key can't be a node's");
  }
  const id = actor.keyId;
  await store.write({ actor: id, action: "node.register" }, async (write) => {
    const [farm] = await write.rows("select 1 from farms where id = $1", [node.farm]);
    if (farm === undefined) throw new RefusedError("missing", `there is no farm ${node.farm}`);
    const [old] = await write.rows<{ farm: number; state: NodeView["state"] }>(
      "select farm, state from nodes where id = $1 for update",
      [id],
    );
    if (old?.state === "deleted") {
      throw new ApiError(
        "forbidden",
        "the node has been deleted: it needs a new key to join again",
      );
    }
    if (old !== undefined && old.farm !== node.farm) {
      throw new RefusedError("conflict", `the node is of farm ${old.farm}: delete it there first`);
    }
    const values = [
      ...[id, node.farm, node.name, node.hostname ?? null, node.osVersion ?? null],
      ...[json(node.location), json(node.capacity)],
    ];
    if (old === undefined) {
      await write.rows(
        `insert into nodes (id, farm, name, hostname, os_version, location, capacity, state)
         values ($1, $2, $3, $4, $5, $6, $7, 'pending')`,
        values,
      );
    } else {
      await write.rows(
        `update nodes set name = $3, hostname = $4, os_version = $5, location = coalesce($6, location),
         capacity = coalesce($7, capacity) where id = $1 and farm = $2`,
        values,
      );
    }
    if (old?.state !== "approved") await admit(write, id, node, old === undefined);
    write.change({ kind: "node", subject: id, node: id, farm: node.farm });
  });
  return await showNode(store, actor, id);
}

async function admit(write: Write, id: string, node: NewNode, isNew: boolean): Promise<void> {
  if (node.token !== undefined) {
    if (!(await spendToken(write, node.farm, node.token, id))) {
      throw new ApiError("forbidden", "the token is spent, expired, or of another farm");
    }
    await write.rows("update nodes set state = 'approved' where id = $1", [id]);
    return;
  }
  if (!isNew) return;
  const [pending] = await write.rows<{ count: number }>(
    "select count(*) as count from nodes where state = 'pending'",
  );
  if ((pending?.count ?? 0) > PENDING_MAX) {
    throw new ApiError(
      "too_many",
      `${PENDING_MAX} nodes wait for approval already: join by a token`,
    );
  }
}

function json(value: unknown): string | null {
  return value === undefined ? null : JSON.stringify(value);
}

export interface NodeFilter {
  readonly farm?: number | undefined;
  readonly state?: string | undefined;
}

export async function listNodes(
  store: Store,
  actor: Actor,
  filter: NodeFilter,
  page: Page,
): Promise<NodeView[]> {
  needKnown(actor);
  return await store.database.rows<NodeView>(
    `select ${VIEW} from nodes n left join heartbeats h on h.node = n.id
     where n.id > $1 and ($3::bigint is null or n.farm = $3)
       and (case when $4::text is null then n.state <> 'deleted' else n.state = $4 end)
     order by n.id limit $2`,
    [page.after, page.limit, filter.farm ?? null, filter.state ?? null],
  );
}

/** The census, which has a farm's own addresses, is for its farmer, admins and the node itself. */
export async function showNode(store: Store, actor: Actor, id: string): Promise<NodeDetails> {
  if (actor.keyId !== id) needKnown(actor);
  const [found] = await store.database.rows<NodeDetails & { farmer: number }>(
    `select ${VIEW}, n.census, f.owner as farmer from nodes n join farms f on f.id = n.farm
     left join heartbeats h on h.node = n.id where n.id = $1`,
    [id],
  );
  if (found === undefined) throw new RefusedError("missing", `there is no node ${id}`);
  const { farmer, ...node } = found;
  const mayAll =
    actor.keyId === id ||
    (actor.kind === "user" && (actor.role === "admin" || actor.id === farmer));
  return mayAll ? node : { ...node, census: null };
}

async function farmOf(store: Store, id: string): Promise<number> {
  const [node] = await store.database.rows<{ farm: number }>(
    "select farm from nodes where id = $1 and state <> 'deleted'",
    [id],
  );
  if (node === undefined) throw new RefusedError("missing", `there is no node ${id}`);
  return node.farm;
}

export async function approveNode(store: Store, actor: Actor, id: string): Promise<NodeDetails> {
  const farm = await farmOf(store, id);
  await needFarmer(store.database, actor, farm);
  await store.write({ actor: actor.keyId, action: "node.approve" }, async (write) => {
    await write.rows("update nodes set state = 'approved' where id = $1 and state = 'pending'", [
      id,
    ]);
    write.change({ kind: "node", subject: id, node: id, farm });
  });
  return await showNode(store, actor, id);
}

/** The node leaves all its networks: its peers are told, wherever it is. Its key is refused from then on. */
export async function deleteNode(
  store: Store,
  actor: Actor,
  id: string,
  planNetwork: PlanNetwork | undefined,
): Promise<void> {
  const farm = await farmOf(store, id);
  await needFarmer(store.database, actor, farm);
  await store.write({ actor: actor.keyId, action: "node.delete" }, async (write) => {
    await write.rows("update nodes set state = 'deleted' where id = $1", [id]);
    const networks = await lockNetworksOf(write, id);
    await write.rows("delete from network_clients where access = $1", [id]);
    await write.rows("delete from network_nodes where node = $1", [id]);
    await write.rows("delete from port_leases where node = $1", [id]);
    for (const network of networks) await replan(write, network, planNetwork);
    write.change({ kind: "node", subject: id, node: id, farm });
  });
}

/** In the order in which all lock them. */
async function lockNetworksOf(write: Write, node: string): Promise<string[]> {
  const found = await write.rows<{ network: string }>(
    "select network from network_nodes where node = $1 order by network",
    [node],
  );
  const networks = found.map(({ network }) => network);
  for (const network of networks) await lockNetwork(write, network);
  return networks;
}

export async function reportPorts(
  store: Store,
  actor: Actor,
  id: string,
  { ports }: UsedPorts,
): Promise<void> {
  needNode(actor, id);
  await store.write({ actor: id, action: "node.ports" }, (write) =>
    write.rows(
      `update nodes set used_ports = $2::integer[]
       where id = $1 and used_ports is distinct from $2::integer[]`,
      [id, [...new Set(ports)].sort((a, b) => a - b)],
    ),
  );
}

export async function reportCensus(
  store: Store,
  actor: Actor,
  id: string,
  census: readonly Nic[],
  planNetwork: PlanNetwork | undefined,
): Promise<void> {
  const { farm } = needNode(actor, id);
  await report(store, id, farm, "census", census, planNetwork);
}

export async function reportReachability(
  store: Store,
  actor: Actor,
  id: string,
  reachability: Reachability,
  planNetwork: PlanNetwork | undefined,
): Promise<void> {
  const { farm } = needNode(actor, id);
  await report(store, id, farm, "reachability", reachability, planNetwork);
}

/** What is as before is no write, and plans nothing. */
async function report(
  store: Store,
  id: string,
  farm: number,
  column: "census" | "reachability",
  value: unknown,
  planNetwork: PlanNetwork | undefined,
): Promise<void> {
  const text = JSON.stringify(value);
  await store.write({ actor: id, action: `node.${column}` }, async (write) => {
    const [same] = await write.rows(`select 1 from nodes where id = $1 and ${column} = $2::jsonb`, [
      id,
      text,
    ]);
    if (same !== undefined) return;
    const networks = await lockNetworksOf(write, id);
    await write.rows(`update nodes set ${column} = $2::jsonb where id = $1`, [id, text]);
    for (const network of networks) await replan(write, network, planNetwork);
    write.change({ kind: "node", subject: id, farm });
  });
}
