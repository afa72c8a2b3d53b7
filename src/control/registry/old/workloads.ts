/**
 * Workloads of the old API (research, section 4.4): a user signs what nodes shall have, the nodes poll, deploy and report. A network is
 * one row for each of its nodes, which take their own part of it; to its customer the first row stands for all. What a workload is made of
 * is `workload-body.ts`.
 */
import { createHash } from "node:crypto";
import { ApiError } from "../../api/errors.ts";
import { RefusedError } from "../../model/problem.ts";
import { type Actor, needNode, needOwner, needUser } from "../actor.ts";
import { isSignedBy } from "../key.ts";
import type { Queries } from "../store/database.ts";
import type { Store, Write } from "../store/store.ts";
import { needPool } from "./pools.ts";
import {
  challengeOf,
  nodesOf,
  type OldResult,
  type OldSignature,
  type OldWorkload,
} from "./workload-body.ts";

/** BCDB's numbers. */
const ACTION = { sign: 1, deploy: 3, delete: 4, deleted: 6 } as const;
const STATE_ERROR = 0;
/** BCDB: of one poll. */
const POLL_MAX = 200;

/** True if it is the signature of the SHA-256 of a text by the key. */
function isSigned(keyId: string, challenge: string, signature: string): boolean {
  const digest = createHash("sha256").update(challenge).digest();
  return isSignedBy(keyId, digest, Buffer.from(signature, "hex"));
}

interface Signature {
  readonly tid: number;
  readonly signature: string;
  readonly epoch: number;
}

interface Row {
  readonly id: number;
  readonly owner: number;
  readonly node: string;
  readonly workload_id: number;
  readonly next_action: number;
  readonly body: OldWorkload;
  readonly result: OldResult | null;
  /** The first row of its network; null: it is the first, or no network. */
  readonly lead: number | null;
  readonly signatures_provision: readonly Signature[];
  readonly signatures_delete: readonly Signature[];
}

const COLUMNS =
  "id, owner, node, workload_id, next_action, body, result, lead, signatures_provision, signatures_delete";

/** As BCDB answers. */
export type WorkloadView = OldWorkload & {
  readonly id: number;
  readonly node_id: string;
  readonly next_action: number;
  readonly version: number;
  readonly result: OldResult | object;
};

function viewOf(row: Row): WorkloadView {
  const { id, node, next_action, body, result, signatures_provision, signatures_delete } = row;
  return {
    ...{ ...body, id, node_id: node, next_action, version: 2, result: result ?? {} },
    ...{ signatures_provision, signatures_delete },
  };
}

/** What its customer sees of a network: gone when all are, wrong when one is, there when all are. */
function wholeOf(rows: readonly Row[]): WorkloadView {
  const [first] = rows as readonly [Row, ...Row[]];
  const failed = rows.find(({ result }) => result?.state === STATE_ERROR);
  const isAnswered = rows.every(({ result }) => result !== null);
  const left = rows.filter(({ next_action }) => next_action !== ACTION.deleted);
  const next_action = left.some((row) => row.next_action === ACTION.delete)
    ? ACTION.delete
    : (left[0]?.next_action ?? ACTION.deleted);
  const result = failed?.result ?? (isAnswered ? first.result : null);
  return viewOf({ ...first, next_action, result });
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
  const nodes = nodesOf(workload);
  const isToSign = workload.signing_request_provision.quorum_min > 0;
  return await store.write({ actor: actor.keyId, action: "workload.add" }, async (write) => {
    const approved = await write.rows<{ id: string }>(
      "select id from nodes where id = any($1) and state = 'approved'",
      [nodes],
    );
    const missing = nodes.find((node) => !approved.some(({ id }) => id === node));
    if (missing !== undefined)
      throw new RefusedError("missing", `there is no approved node ${missing}`);
    await needPool(write, user.id, workload.pool_id, nodes);
    let lead: number | undefined;
    for (const node of nodes) {
      const [made] = await write.rows<{ id: number }>(
        `insert into workloads (owner, node, workload_id, type, next_action, body, lead)
         values ($1, $2, $3, $4, $5, $6::jsonb, $7) returning id`,
        [
          ...[user.id, node, workload.workload_id, workload.workload_type],
          ...[isToSign ? ACTION.sign : ACTION.deploy, JSON.stringify(workload), lead ?? null],
        ],
      );
      const id = made?.id ?? 0;
      lead ??= id;
      write.change({ kind: "workload", subject: String(id), node, owner: user.id });
    }
    return { reservation_id: lead ?? 0 };
  });
}

async function find(queries: Queries, id: number): Promise<Row> {
  const [row] = await queries.rows<Row>(`select ${COLUMNS} from workloads where id = $1`, [id]);
  if (row === undefined) throw new RefusedError("missing", `there is no workload ${id}`);
  return row;
}

/** All rows of what it is a part of, the first one first. */
async function wholeRows(queries: Queries, { id, lead }: Row): Promise<Row[]> {
  return await queries.rows<Row>(
    `select ${COLUMNS} from workloads where id = $1 or lead = $1 order by id`,
    [lead ?? id],
  );
}

export async function showWorkload(store: Store, actor: Actor, id: number): Promise<WorkloadView> {
  const row = await find(store.database, id);
  if (actor.keyId === row.node) return viewOf(row);
  needOwner(actor, row.owner, `workload ${id}`);
  return row.lead === null ? wholeOf(await wholeRows(store.database, row)) : viewOf(row);
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
    `select ${COLUMNS} from workloads where lead is null and ($1::bigint is null or owner = $1)
       and ($2::integer is null or next_action = $2) order by id limit $3 offset $4`,
    [owner, filter.action ?? null, filter.size, (filter.page - 1) * filter.size],
  );
  return rows.map(viewOf);
}

/** One of those who have to agree does; when enough have, the nodes will hear of it. */
export async function signProvision(
  store: Store,
  actor: Actor,
  id: number,
  signature: OldSignature,
): Promise<void> {
  await store.write({ actor: actor.keyId, action: "workload.sign" }, async (write) => {
    const row = await lockRow(write, id);
    if (row.next_action !== ACTION.sign) {
      throw new ApiError("unsigned", "workload not expecting signatures");
    }
    const { signing_request_provision: request } = row.body;
    const signatures = addSignature(actor, row, "provision", signature);
    const isEnough = signatures.length >= request.quorum_min;
    await advance(write, row, "signatures_provision", signatures, isEnough ? ACTION.deploy : null);
  });
}

/** The customer wants it gone, or those do who have to agree to that: the nodes will hear of it. */
export async function signDelete(
  store: Store,
  actor: Actor,
  id: number,
  signature: OldSignature,
): Promise<void> {
  await store.write({ actor: actor.keyId, action: "workload.delete" }, async (write) => {
    const row = await lockRow(write, id);
    const { signing_request_delete: request } = row.body;
    const signatures = addSignature(actor, row, "delete", signature);
    const isEnough = signatures.length >= Math.max(1, request.quorum_min);
    await advance(write, row, "signatures_delete", signatures, isEnough ? ACTION.delete : null);
  });
}

/** Of a network the first, which has its signatures. */
async function lockRow(write: Write, id: number): Promise<Row> {
  const { lead } = await find(write, id);
  await write.rows("select 1 from workloads where id = $1 for update", [lead ?? id]);
  return await find(write, lead ?? id);
}

/** Who isn't asked for it has nothing to sign; where nobody is, its customer is. */
function addSignature(
  actor: Actor,
  row: Row,
  what: "provision" | "delete",
  { tid, signature }: OldSignature,
): Signature[] {
  const user = needUser(actor);
  const { signers } = row.body[`signing_request_${what}`];
  const asked = signers.length === 0 ? [row.owner] : signers;
  if (!asked.includes(user.id)) needOwner(actor, row.owner, `workload ${row.id}`);
  if (tid !== user.id || !asked.includes(tid)) {
    throw new ApiError("unsigned", `the signature of user ${tid} is not asked for`);
  }
  if (!isSigned(user.keyId, `${challengeOf(row.body)}${what}${tid}`, signature)) {
    throw new ApiError("unsigned", `failed to verify the signature of user ${tid}`);
  }
  const before = row[`signatures_${what}`].filter((one) => one.tid !== tid);
  return [...before, { tid, signature, epoch: Math.floor(Date.now() / 1000) }];
}

/** Keeps the signatures; with an action, all rows of it that have not gone get that. */
async function advance(
  write: Write,
  { id }: Row,
  column: "signatures_provision" | "signatures_delete",
  signatures: readonly Signature[],
  action: number | null,
): Promise<void> {
  await write.rows(`update workloads set ${column} = $2::jsonb where id = $1`, [
    id,
    JSON.stringify(signatures),
  ]);
  if (action === null) return;
  const rows = await write.rows<Row>(
    `update workloads set next_action = case when next_action = $4 and $2::integer = $5::integer then $3::integer else $2::integer end
     where (id = $1 or lead = $1) and next_action <> $3 returning ${COLUMNS}`,
    [id, action, ACTION.deleted, ACTION.sign, ACTION.delete],
  );
  for (const { id: of, node, owner } of rows) {
    write.change({ kind: "workload", subject: String(of), node, owner });
  }
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

/** A workload that failed is to be deleted; of a network, at all its nodes. */
export async function setResult(
  store: Store,
  actor: Actor,
  node: string,
  gwid: string,
  result: OldResult,
): Promise<void> {
  needNode(actor, node);
  await store.write({ actor: actor.keyId, action: "workload.result" }, async (write) => {
    const row = await ofNode(write, node, gwid);
    await write.rows("update workloads set result = $2::jsonb where id = $1", [
      row.id,
      JSON.stringify(result),
    ]);
    write.change({ kind: "workload", subject: String(row.id), node, owner: row.owner });
    if (result.state !== STATE_ERROR) return;
    const failed = await write.rows<Row>(
      `update workloads set next_action = $2 where (id = $1 or lead = $1) and next_action = $3 returning ${COLUMNS}`,
      [row.lead ?? row.id, ACTION.delete, ACTION.deploy],
    );
    for (const { id, node: of, owner } of failed) {
      if (id !== row.id) write.change({ kind: "workload", subject: String(id), node: of, owner });
    }
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
