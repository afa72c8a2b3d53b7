/**
 * Takes what nodes report of their links, and does what time alone asks for. Figures are one cheap write; only what plans may see takes the
 * network's lock and plans it anew. All times are the database's, so several registries agree.
 */
import { type Actor, needNode } from "../actor.ts";
import { KEPT_PART, type KeptPart, partOf } from "../kept-plans.ts";
import { lockNetwork, type PlanNetwork, replan } from "../planning.ts";
import type { LinksReport, PeerLink } from "../schemas.ts";
import type { Queries } from "../store/database.ts";
import type { Store } from "../store/store.ts";
import { SILENT_MS } from "./judge.ts";
import { dueOf, isOther, mature, type PeerRecord, stampAll, withOneKey } from "./record.ts";
import type { Replans } from "./replans.ts";

const NOW = "extract(epoch from now())::float8 * 1000";
const NOBODY: ReadonlySet<string> = new Set();
/** Ours: "wh" and a number, as of the migrations' lock. */
const TICK_LOCK = 0x7768_0002;
/** Ours: a break in which nobody could have been heard. */
const BREAK_MS = 30_000;

interface Kept {
  readonly network: string;
  readonly records: readonly PeerRecord[];
  /** Undefined: when time makes something else of one of them. */
  readonly due?: number;
}

interface Known {
  readonly network: string;
  readonly peers: readonly PeerRecord[] | null;
  readonly at: number;
}

/** Networks that it does not name stay; those that the node is not in (any more) are passed over. What is as before is no write. */
export async function reportLinks(
  store: Store,
  actor: Actor,
  node: string,
  { networks }: LinksReport,
  replans: Replans,
): Promise<void> {
  needNode(actor, node);
  const linksOf = new Map(networks.map(({ network, peers }) => [network, peers]));
  const known = await store.database.rows<Known>(
    `select m.network, r.peers, ${NOW} as at from network_nodes m
     left join link_reports r on r.network = m.network and r.node = m.node
     where m.node = $1 and m.network = any($2) order by m.network`,
    [node, [...linksOf.keys()]],
  );
  const figures: Kept[] = [];
  const turned: string[] = [];
  for (const { network, peers, at } of known) {
    const before = peers ?? [];
    const records = stampAll(before, linksOf.get(network) ?? [], at, NOBODY);
    if (isTurned(before, records)) turned.push(network);
    else if (!isEqual(before, records)) figures.push({ network, records });
  }
  if (figures.length > 0) await keep(store.database, node, figures);
  const planned = turned.map(async (network) => {
    const links = linksOf.get(network) ?? [];
    const isNews = await store.database.transaction((queries) =>
      turn(queries, network, node, links),
    );
    if (isNews) await replans.ask(network);
  });
  await Promise.all(planned);
}

/**
 * Keeps what plans may see, and that it is due: should this process end before it has planned, another does. False: the node has left the network, or
 * nothing is other than before.
 */
async function turn(
  queries: Queries,
  network: string,
  node: string,
  links: readonly PeerLink[],
): Promise<boolean> {
  const [row] = await queries.rows<Known & (KeptPart | { readonly plan: null })>(
    `select m.network, r.peers, ${NOW} as at, ${KEPT_PART}
     from network_nodes m left join link_reports r on r.network = m.network and r.node = m.node
     left join plans p on p.network = m.network and p.node = m.node
     where m.network = $1 and m.node = $2`,
    [network, node],
  );
  if (row === undefined) return false;
  const before = row.peers ?? [];
  const routeless = (row.plan === null ? [] : partOf(row).peers).flatMap((peer) =>
    peer.allowedIps.length === 0 ? [peer.publicKey] : [],
  );
  const records = stampAll(before, links, row.at, new Set(routeless));
  const isNews = isTurned(before, records);
  if (isNews || !isEqual(before, records)) {
    await keep(queries, node, [{ network, records, ...(isNews ? { due: row.at } : {}) }]);
  }
  return isNews;
}

async function keep(
  queries: Queries,
  node: string,
  reports: readonly Kept[],
  isNews = true,
): Promise<void> {
  const rows = reports.map(({ network, records, due }) => {
    const times = due === undefined ? records.flatMap((record) => dueOf(record) ?? []) : [due];
    return { network, peers: records, due: times.length === 0 ? null : Math.min(...times) };
  });
  // The node may have left one of them since.
  await queries.rows(
    `insert into link_reports (network, node, peers, due)
     select r.network, $1, r.peers, to_timestamp(r.due / 1000.0)
     from jsonb_to_recordset($2::jsonb) as r(network text, peers jsonb, due float8)
     join network_nodes m on m.network = r.network and m.node = $1
     on conflict (network, node) do update set peers = excluded.peers, due = excluded.due,
       at = case when $3 then now() else link_reports.at end`,
    [node, JSON.stringify(rows), isNews],
  );
}

/** A member's key has become another: what its peers said of the old one they say of the new one. The network's lock is the caller's. */
export async function renameKey(
  queries: Queries,
  network: string,
  old: string,
  publicKey: string,
): Promise<void> {
  const rows = await queries.rows<{ node: string; peers: readonly PeerRecord[] }>(
    "select node, peers from link_reports where network = $1 order by node for update",
    [network],
  );
  for (const { node, peers } of rows) {
    const records = withOneKey(peers, new Map([[publicKey, old]])).map((record) =>
      record.publicKey === old ? { ...record, publicKey } : record,
    );
    if (!isEqual(peers, records)) await keep(queries, node, [{ network, records }], false);
  }
}

/** True if plans may see something else. */
function isTurned(before: readonly PeerRecord[], after: readonly PeerRecord[]): boolean {
  if (before.length !== after.length) return true;
  const old = new Map(before.map((record) => [record.publicKey, record]));
  return after.some((record) => isOther(old.get(record.publicKey), record));
}

function isEqual(before: readonly PeerRecord[], after: readonly PeerRecord[]): boolean {
  const textOf = (records: readonly PeerRecord[]): string[] =>
    records.map((record) => JSON.stringify(Object.entries(record).sort())).sort();
  return JSON.stringify(textOf(before)) === JSON.stringify(textOf(after));
}

/**
 * What time alone changes: heartbeats that are missed, trials and probations that end. One registry at a time does it; returns the networks that
 * were planned anew.
 */
export async function tick(store: Store, replans: Replans): Promise<readonly string[]> {
  const networks = await store.database.transaction(async (queries) => {
    const [lock] = await queries.rows<{ mine: boolean }>(
      "select pg_try_advisory_xact_lock($1) as mine",
      [TICK_LOCK],
    );
    if (lock?.mine !== true) return [];
    const found = new Set(await silences(queries));
    const due = await queries.rows<{ network: string }>(
      `select network from link_reports where due <= now()
       union select network from relay_states where due <= now()`,
    );
    for (const { network } of due) found.add(network);
    return [...found].sort();
  });
  for (const network of networks) await replans.ask(network);
  return networks;
}

/** Plans a network by all that was reported and all that time made of it. */
export async function planAnew(
  store: Store,
  network: string,
  planNetwork: PlanNetwork | undefined,
): Promise<void> {
  await store.write({ actor: "registry", action: "network.health" }, async (write) => {
    await lockNetwork(write, network);
    await matureAll(write, network);
    await replan(write, network, planNetwork);
  });
}

/** Marks who has missed heartbeats and who is back; returns their networks. */
async function silences(queries: Queries): Promise<readonly string[]> {
  const [listening] = await queries.rows<{ long: boolean }>(
    `update listening set last = now(),
       since = case when now() - last > make_interval(secs => $1) then now() else since end
     returning now() - since > make_interval(secs => $2) as long`,
    [BREAK_MS / 1_000, SILENT_MS / 1_000],
  );
  if (listening?.long !== true) return [];
  const rows = await queries.rows<{ network: string }>(
    `with turned as (
       update heartbeats set silent = not silent
       where silent <> (seen < now() - make_interval(secs => $1)) returning node)
     select distinct network from network_nodes m join turned t on t.node = m.node`,
    [SILENT_MS / 1_000],
  );
  return rows.map(({ network }) => network);
}

async function matureAll(queries: Queries, network: string): Promise<void> {
  const rows = await queries.rows<{ node: string; peers: readonly PeerRecord[]; at: number }>(
    `select node, peers, ${NOW} as at from link_reports where network = $1 and due <= now()`,
    [network],
  );
  for (const { node, peers, at } of rows) {
    const records = peers.map((record) => mature(record, at));
    await keep(queries, node, [{ network, records }], false);
  }
}
