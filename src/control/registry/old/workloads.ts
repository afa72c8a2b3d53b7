/**
 * Workloads of the old API (research, sections 4.4 and 5.1): a user signs what a node shall have, the node polls, deploys and reports. Of the
 * kinds, only network_resource; pools are not kept, so nothing is ever unpaid. Its private key is sealed to the node, and stays so.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { ApiError } from "../../api/errors.ts";
import { RefusedError } from "../../model/problem.ts";
import { type Actor, needNode, needOwner, needUser } from "../actor.ts";
import { isSignedBy } from "../key.ts";
import type { Queries } from "../store/database.ts";
import type { Store } from "../store/store.ts";

/** BCDB's numbers. */
const NETWORK_RESOURCE = 10;
const ACTION = { deploy: 3, delete: 4, deleted: 6 } as const;
const STATE_ERROR = 0;
/** BCDB: of one poll. */
const POLL_MAX = 200;

export interface OldWorkload {
  readonly workload_id: number;
  readonly node_id: string;
  readonly pool_id: number;
  readonly reference: string;
  readonly description: string;
  readonly metadata: string;
  readonly customer_tid: number;
  readonly customer_signature: string;
  readonly epoch: number;
  readonly workload_type: number;
  readonly name: string;
  readonly network_iprange: string;
  readonly wireguard_private_key_encrypted: string;
  readonly wireguard_public_key: string;
  readonly wireguard_listen_port: number;
  readonly iprange: string;
  readonly peers: readonly {
    readonly public_key: string;
    readonly endpoint: string;
    readonly iprange: string;
    readonly allowed_iprange: readonly string[];
  }[];
}

export interface OldResult {
  readonly category: number;
  readonly workload_id: string;
  readonly data_json?: unknown;
  readonly signature: string;
  readonly state: number;
  readonly message: string;
  readonly epoch: number;
  readonly node_id: string;
}

const text = z
  .string()
  .max(1_024)
  .regex(/^\P{Cc}*$/u, "has control characters")
  .default("");
const whole = z.int().min(0).max(Number.MAX_SAFE_INTEGER).default(0);

export const workloadSchema: z.ZodType<OldWorkload> = z.object({
  workload_id: whole,
  node_id: text,
  pool_id: whole,
  reference: text,
  description: text,
  metadata: text,
  customer_tid: whole,
  customer_signature: z.string().regex(/^[0-9a-fA-F]{128}$/, "is no signature in hexadecimal"),
  epoch: whole,
  workload_type: z.literal(NETWORK_RESOURCE, "only 10 (network_resource) is possible"),
  name: text,
  network_iprange: text,
  wireguard_private_key_encrypted: z
    .string()
    .regex(/^[0-9a-fA-F]{96,512}$/, "is no sealed key in hexadecimal"),
  wireguard_public_key: text,
  wireguard_listen_port: z.int().min(1).max(65_535),
  iprange: text,
  peers: z
    .array(
      z.object({
        public_key: text,
        endpoint: text,
        iprange: text,
        allowed_iprange: z.array(z.string().max(64)).max(1_024),
      }),
    )
    .max(4_096),
});
export const resultSchema: z.ZodType<OldResult> = z.object({
  category: whole,
  workload_id: text,
  data_json: z.json().optional(),
  signature: text,
  state: z.int().min(0).max(2),
  message: text,
  epoch: whole,
  node_id: text,
});
export const signSchema: z.ZodType<{ readonly tid: number; readonly signature: string }> = z.object(
  {
    tid: whole,
    signature: z.string().regex(/^[0-9a-fA-F]{128}$/, "is no signature in hexadecimal"),
  },
);

/** What a customer signs, before it is hashed (research, section 5.1). */
export function challengeOf(workload: OldWorkload): string {
  return [
    workload.workload_id,
    workload.node_id,
    workload.pool_id,
    workload.reference,
    workload.customer_tid,
    "NETWORK_RESOURCE",
    workload.epoch,
    workload.description,
    workload.metadata,
    workload.name,
    workload.network_iprange,
    workload.wireguard_private_key_encrypted,
    workload.wireguard_public_key,
    workload.wireguard_listen_port,
    workload.iprange,
    ...workload.peers.flatMap((peer) => [
      peer.public_key,
      peer.endpoint,
      peer.iprange,
      ...peer.allowed_iprange,
    ]),
  ].join("");
}

/** True if it is the signature of the SHA-256 of a text by the key. */
function isSigned(keyId: string, challenge: string, signature: string): boolean {
  const digest = createHash("sha256").update(challenge).digest();
  return isSignedBy(keyId, digest, Buffer.from(signature, "hex"));
}

interface Row {
  readonly id: number;
  readonly owner: number;
  readonly node: string;
  readonly workload_id: number;
  readonly next_action: number;
  readonly body: OldWorkload;
  readonly result: OldResult | null;
}

const COLUMNS = "id, owner, node, workload_id, next_action, body, result";

/** As BCDB answers. */
export type WorkloadView = OldWorkload & {
  readonly id: number;
  readonly next_action: number;
  readonly version: number;
  readonly result: OldResult | object;
};

function viewOf({ id, next_action, body, result }: Row): WorkloadView {
  return { ...body, id, next_action, version: 2, result: result ?? {} };
}

export async function addWorkload(
  store: Store,
  actor: Actor,
  workload: OldWorkload,
): Promise<{ readonly reservation_id: number }> {
  const user = needUser(actor);
  if (workload.customer_tid !== user.id)
    throw new ApiError("forbidden", "customer_tid is not the signer's");
  if (!isSigned(user.keyId, challengeOf(workload), workload.customer_signature)) {
    throw new RefusedError(
      "invalid",
      "customer_signature is not that of this workload by its customer",
    );
  }
  return await store.write({ actor: actor.keyId, action: "workload.add" }, async (write) => {
    const [node] = await write.rows("select 1 from nodes where id = $1 and state = 'approved'", [
      workload.node_id,
    ]);
    if (node === undefined)
      throw new RefusedError("missing", `there is no approved node ${workload.node_id}`);
    const [made] = await write.rows<{ id: number }>(
      `insert into workloads (owner, node, workload_id, type, next_action, body)
       values ($1, $2, $3, $4, $5, $6::jsonb) returning id`,
      [
        ...[user.id, workload.node_id, workload.workload_id, workload.workload_type],
        ...[ACTION.deploy, JSON.stringify(workload)],
      ],
    );
    const id = made?.id ?? 0;
    write.change({ kind: "workload", subject: String(id), node: workload.node_id, owner: user.id });
    return { reservation_id: id };
  });
}

async function find(queries: Queries, id: number): Promise<Row> {
  const [row] = await queries.rows<Row>(`select ${COLUMNS} from workloads where id = $1`, [id]);
  if (row === undefined) throw new RefusedError("missing", `there is no workload ${id}`);
  return row;
}

export async function showWorkload(store: Store, actor: Actor, id: number): Promise<WorkloadView> {
  const row = await find(store.database, id);
  if (actor.keyId !== row.node) needOwner(actor, row.owner, `workload ${id}`);
  return viewOf(row);
}

/** One's own; admins may name another's. */
export async function listWorkloads(
  store: Store,
  actor: Actor,
  filter: {
    readonly page: number;
    readonly size: number;
    readonly owner?: number | undefined;
    readonly action?: number | undefined;
  },
): Promise<WorkloadView[]> {
  const user = needUser(actor);
  const owner = user.role === "admin" ? (filter.owner ?? null) : user.id;
  const rows = await store.database.rows<Row>(
    `select ${COLUMNS} from workloads where ($1::bigint is null or owner = $1)
       and ($2::integer is null or next_action = $2) order by id limit $3 offset $4`,
    [owner, filter.action ?? null, filter.size, (filter.page - 1) * filter.size],
  );
  return rows.map(viewOf);
}

/** The customer wants it gone: the node will hear of it. */
export async function signDelete(
  store: Store,
  actor: Actor,
  id: number,
  { tid, signature }: { readonly tid: number; readonly signature: string },
): Promise<void> {
  await store.write({ actor: actor.keyId, action: "workload.delete" }, async (write) => {
    const row = await find(write, id);
    const user = needOwner(actor, row.owner, `workload ${id}`);
    if (
      tid !== user.id ||
      !isSigned(user.keyId, `${challengeOf(row.body)}delete${tid}`, signature)
    ) {
      throw new RefusedError(
        "invalid",
        "the signature is not that of this deletion by its customer",
      );
    }
    await write.rows("update workloads set next_action = $2 where id = $1 and next_action <> $3", [
      ...[id, ACTION.delete, ACTION.deleted],
    ]);
    write.change({ kind: "workload", subject: String(id), node: row.node, owner: row.owner });
  });
}

/**
 * A node's poll: what it has to deploy or delete from an id on; if nothing, older ones that it has to delete. `lastId` goes back to the
 * caller as `x-last-id`: ask from one more.
 */
export async function poll(
  store: Store,
  actor: Actor,
  node: string,
  from: number,
): Promise<{ readonly workloads: WorkloadView[]; readonly lastId: number }> {
  needNode(actor, node);
  const ask = (where: string, actions: readonly number[]): Promise<Row[]> =>
    store.database.rows<Row>(
      `select ${COLUMNS} from workloads where node = $1 and ${where} and next_action = any($3::integer[])
       order by id limit ${POLL_MAX}`,
      [node, from, actions],
    );
  const fresh = await ask("id >= $2", [ACTION.deploy, ACTION.delete]);
  if (fresh.length > 0) return { workloads: fresh.map(viewOf), lastId: fresh.at(-1)?.id ?? from };
  const queued = await ask("id < $2", [ACTION.delete]);
  if (queued.length > 0) return { workloads: queued.map(viewOf), lastId: Math.max(0, from - 1) };
  const [highest] = await store.database.rows<{ id: number }>(
    "select coalesce(max(id), 0) as id from workloads",
  );
  return { workloads: [], lastId: highest?.id ?? 0 };
}

/** "<id>-<workload_id>". */
function idOf(gwid: string): readonly [id: number, workload: number] {
  const [, id, workload] = /^(\d{1,15})-(\d{1,15})$/.exec(gwid) ?? [];
  if (id === undefined) throw new RefusedError("missing", `there is no workload ${gwid}`);
  return [Number(id), Number(workload)];
}

async function ofNode(queries: Queries, node: string, gwid: string): Promise<Row> {
  const [id, workload] = idOf(gwid);
  const row = await find(queries, id);
  if (row.node !== node || row.workload_id !== workload) {
    throw new RefusedError("missing", `node ${node} has no workload ${gwid}`);
  }
  return row;
}

export async function showByNode(store: Store, actor: Actor, gwid: string): Promise<WorkloadView> {
  const [id] = idOf(gwid);
  return await showWorkload(store, actor, id);
}

/** A workload that failed is to be deleted. */
export async function setResult(
  store: Store,
  actor: Actor,
  node: string,
  gwid: string,
  result: OldResult,
): Promise<void> {
  needNode(actor, node);
  await store.write({ actor: actor.keyId, action: "workload.result" }, async (write) => {
    const { id, owner } = await ofNode(write, node, gwid);
    await write.rows(
      `update workloads set result = $2::jsonb,
         next_action = case when $3 and next_action = $4 then $5 else next_action end where id = $1`,
      [id, JSON.stringify(result), result.state === STATE_ERROR, ACTION.deploy, ACTION.delete],
    );
    write.change({ kind: "workload", subject: String(id), node, owner });
  });
}

/** The node has deleted it. */
export async function setDeleted(
  store: Store,
  actor: Actor,
  node: string,
  gwid: string,
): Promise<void> {
  needNode(actor, node);
  await store.write({ actor: actor.keyId, action: "workload.deleted" }, async (write) => {
    const { id, owner } = await ofNode(write, node, gwid);
    await write.rows("update workloads set next_action = $2 where id = $1", [id, ACTION.deleted]);
    write.change({ kind: "workload", subject: String(id), node, owner });
  });
}
