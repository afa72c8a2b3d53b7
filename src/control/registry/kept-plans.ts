/**
 * What each node has been told of a network: read, compared with a new plan, and kept. A plan is a row with the whole and rows with the
 * differences since; the last plans are remembered, so that a change of a network reads nothing of it and writes what differs.
 */
import { randomUUID } from "node:crypto";
import type { NetworkPeer, NetworkResource } from "../model/network-resource.ts";
import type { SealedKey } from "./sealed-key.ts";
import type { Queries } from "./store/database.ts";
import { jsonOf, type Write } from "./store/store.ts";

/** A node's part of a network. `sealedKey` is for the node to open (sealed-key.ts), all else as `wirehaul node` takes it. */
export interface NodePart extends NetworkResource {
  readonly sealedKey?: SealedKey | undefined;
}

/** What a node is told of a network: whole, or by difference from an earlier revision of the same network. */
export interface NetworkChange {
  /** The revision of the node's plan of this network that the difference begins at; 0: the node has nothing of it. */
  readonly base: number;
  /** Undefined: the node has to remove it. All but the peers. */
  readonly resource?: NodePart | undefined;
  /** Peers that are new or other than before. */
  readonly set: readonly NetworkPeer[];
  /** Public keys of peers that have gone. */
  readonly remove: readonly string[];
}

/** A part of a network as it is kept: the whole, and what has been said since, in that order. */
export interface KeptPart {
  readonly plan: NodePart;
  readonly differences: readonly NetworkChange[];
}

/** The parts of a network as its nodes were told, and how many differences there are of each. */
interface Told {
  readonly stamp: string;
  /** False: only some of the parts, which is nothing to remember. */
  readonly isWhole: boolean;
  readonly parts: ReadonlyMap<string, NodePart>;
  readonly counts: ReadonlyMap<string, number>;
}

/** Ours: then a node's plan is written as a whole. Nodes of a network do it at different times: none of its changes takes much longer. */
const DIFFERENCES_MAX = 32;

/** As SQL: a part of `plans p`, as {@link partOf} takes it. */
export const KEPT_PART = `p.plan, coalesce((select jsonb_agg(d.body order by d.revision) from plan_differences d
  where d.network = p.network and d.node = p.node), '[]') as differences`;

/** The part as the node has been told it. */
export function partOf({ plan, differences }: KeptPart): NodePart {
  if (differences.length === 0) return plan;
  const peers = new Map<string, NetworkPeer>(plan.peers.map((peer) => [peer.publicKey, peer]));
  let whole = plan;
  for (const { resource, set, remove } of differences) {
    for (const key of remove) peers.delete(key);
    for (const peer of set) peers.set(peer.publicKey, peer);
    whole = resource ?? whole;
  }
  return { ...whole, peers: [...peers.values()] };
}

/**
 * Stores each node's part that differs from the one before, and says by what. False: none does. The network's lock is the caller's.
 * `scope`: are these all parts of the network, or is nothing said of the others?
 */
export async function keepPlan(
  write: Write,
  network: string,
  revision: number,
  parts: ReadonlyMap<string, NodePart>,
  scope: "all" | "some" = "all",
): Promise<boolean> {
  const before = await toldOf(write, network, scope === "all" ? undefined : [...parts.keys()]);
  const counts = new Map(scope === "all" ? [] : before.counts);
  const told = new Map(scope === "all" ? [] : before.parts);
  const wholes: { node: string; plan: NodePart }[] = [];
  const differences: { node: string; body: NetworkChange }[] = [];
  const equals = new EqualPeers();
  for (const [node, plan] of parts) {
    const old = before.parts.get(node);
    const { difference: body, kept } = compare(old, plan, equals);
    const count = before.counts.get(node) ?? 0;
    told.set(node, kept);
    counts.set(node, count);
    if (body === undefined) continue;
    write.change({ kind: "plan", subject: network, node, body });
    if (old === undefined || isWorthWhole(node, count, plan, body)) {
      wholes.push({ node, plan });
      counts.set(node, 0);
    } else {
      differences.push({ node, body });
      counts.set(node, count + 1);
    }
  }
  const gone = scope === "all" ? [...before.parts].filter(([node]) => !parts.has(node)) : [];
  for (const [node, plan] of gone) {
    const body: NetworkChange = { base: plan.revision, set: [], remove: [] };
    write.change({ kind: "plan", subject: network, node, body });
  }
  if (wholes.length + differences.length + gone.length === 0) return false;
  await store(
    write,
    network,
    revision,
    wholes,
    differences,
    gone.map(([node]) => node),
  );
  await stamp(write, network, revision, { parts: told, counts, isWhole: before.isWhole });
  return true;
}

/** Many differences, or one that is half of the whole. By node, so that not all are written at once. */
function isWorthWhole(
  node: string,
  count: number,
  { peers }: NodePart,
  { set, remove }: NetworkChange,
): boolean {
  if (2 * (set.length + remove.length) > peers.length && peers.length > 1) return true;
  const spread = node.charCodeAt(node.length - 1) % (DIFFERENCES_MAX / 2);
  return count >= DIFFERENCES_MAX / 2 + spread;
}

/** All parts of a network as its nodes were told them, those of this transaction too; the network's lock is the caller's. */
export async function partsOf(
  write: Write,
  network: string,
): Promise<ReadonlyMap<string, NodePart>> {
  return (await toldOf(write, network, undefined)).parts;
}

/** What is remembered, if it is the plan that the database has; else that is read. */
async function toldOf(
  write: Write,
  network: string,
  only: readonly string[] | undefined,
): Promise<Told> {
  const remembered = write.memory.get<Told>(memoryKey(network));
  if (remembered !== undefined) {
    const [row] = await write.rows<{ stamp: string | null }>(
      "select stamp from plan_revisions where network = $1",
      [network],
    );
    if (row?.stamp === remembered.stamp) return remembered;
  }
  return { stamp: "", isWhole: only === undefined, ...(await readParts(write, network, only)) };
}

/** As the database has them. */
export async function readParts(
  queries: Queries,
  network: string,
  only: readonly string[] | undefined,
): Promise<Pick<Told, "parts" | "counts">> {
  const rows = await queries.rows<KeptPart & { readonly node: string }>(
    `select p.node, ${KEPT_PART} from plans p
     where p.network = $1 and ($2::text[] is null or p.node = any($2))`,
    [network, only ?? null],
  );
  return {
    parts: new Map(rows.map((row) => [row.node, partOf(row)])),
    counts: new Map(rows.map(({ node, differences }) => [node, differences.length])),
  };
}

async function store(
  write: Write,
  network: string,
  revision: number,
  wholes: readonly { readonly node: string; readonly plan: NodePart }[],
  differences: readonly { readonly node: string; readonly body: NetworkChange }[],
  gone: readonly string[],
): Promise<void> {
  if (gone.length > 0) {
    await write.rows("delete from plans where network = $1 and node = any($2)", [network, gone]);
  }
  if (wholes.length > 0) {
    await write.rows(
      `with old as (delete from plan_differences where network = $1 and node = any($4))
       insert into plans (network, node, plan, revision)
       select $1, node, plan, $2 from jsonb_to_recordset($3::jsonb) as p(node text, plan jsonb)
       on conflict (network, node) do update set plan = excluded.plan, revision = excluded.revision`,
      [network, revision, JSON.stringify(wholes), wholes.map(({ node }) => node)],
    );
  }
  if (differences.length > 0) {
    await write.rows(
      `insert into plan_differences (network, node, revision, body)
       select $1, node, $2, body from jsonb_to_recordset($3::jsonb) as d(node text, body jsonb)`,
      [
        ...[network, revision],
        `[${differences.map(({ node, body }) => `{"node":${JSON.stringify(node)},"body":${jsonOf(body)}}`).join()}]`,
      ],
    );
  }
}

/** Remembers a plan by a stamp of its own: should the transaction be rolled back, no row has it. */
async function stamp(
  write: Write,
  network: string,
  revision: number,
  told: Omit<Told, "stamp">,
): Promise<void> {
  const fresh = randomUUID();
  const rows = await write.rows(
    `insert into plan_revisions (network, revision, stamp) select id, $2, $3 from networks where id = $1
     on conflict (network) do update set revision = excluded.revision, stamp = excluded.stamp returning 1`,
    [network, revision, fresh],
  );
  if (rows.length === 0 || !told.isWhole) {
    // The network has gone, or the rest of it is not known.
    write.memory.delete(memoryKey(network));
    return;
  }
  let peers = 1;
  for (const part of told.parts.values()) peers += 1 + part.peers.length;
  write.memory.set(memoryKey(network), { ...told, stamp: fresh }, peers);
}

function memoryKey(network: string): string {
  return `plan ${network}`;
}

/** Undefined: nothing but the revision differs. */
export function differenceOf(
  before: NodePart | undefined,
  after: NodePart,
): NetworkChange | undefined {
  return compare(before, after, new EqualPeers()).difference;
}

/**
 * Peers of a plan that are as they were told before. Most are one object for many members, before as after: each pair of objects is compared
 * once. What is equal stays the object that it was, and becomes one for all where it was several (as the database gives it).
 */
class EqualPeers {
  readonly #kept = new Map<NetworkPeer, NetworkPeer>();

  /** The object to keep for `after`; undefined: `before` was another one. */
  keptOf(before: NetworkPeer, after: NetworkPeer): NetworkPeer | undefined {
    const kept = this.#kept.get(after);
    if (kept !== undefined) return kept === before || isSame(kept, before) ? kept : undefined;
    if (!isSame(before, after)) return undefined;
    this.#kept.set(after, before);
    return before;
  }
}

/** `kept`: what is told now, of the objects that were there before where they are equal, so that memory does not change hands. */
function compare(
  before: NodePart | undefined,
  after: NodePart,
  equals: EqualPeers,
): { readonly difference: NetworkChange | undefined; readonly kept: NodePart } {
  const { peers: _peers, revision: _revision, ...rest } = after;
  const old = new Map(before?.peers.map((peer) => [peer.publicKey, peer]));
  const set: NetworkPeer[] = [];
  const peers = after.peers.map((peer) => {
    const earlier = old.get(peer.publicKey);
    old.delete(peer.publicKey);
    const kept = earlier && equals.keptOf(earlier, peer);
    if (kept === undefined) set.push(peer);
    return kept ?? peer;
  });
  const remove = [...old.keys()];
  if (before !== undefined && set.length === 0 && remove.length === 0) {
    const { peers: _before, revision: _old, ...earlier } = before;
    if (isSame(earlier, rest)) return { difference: undefined, kept: before };
  }
  const resource = { ...rest, peers: [], revision: after.revision };
  const difference = { base: before?.revision ?? 0, resource, set, remove };
  return { difference, kept: { ...after, peers } };
}

/** Equal as JSON, whatever the order of parts: that of the database has its own. An undefined part is none. */
function isSame(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false;
    for (let at = 0; at < a.length; at++) if (!isSame(a[at], b[at])) return false;
    return true;
  }
  if (Array.isArray(b)) return false;
  const one = a as Readonly<Record<string, unknown>>;
  const other = b as Readonly<Record<string, unknown>>;
  for (const key in one) if (!isSame(one[key], other[key])) return false;
  for (const key in other) if (one[key] === undefined && other[key] !== undefined) return false;
  return true;
}
