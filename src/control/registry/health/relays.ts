/** Relays as they are judged, one network at a time: by what its members report and by heartbeats. Kept, since a judgement needs the one before. */
import type { GridNode } from "../../mesh/grid.ts";
import type { Queries } from "../store/database.ts";
import { type Health, judge, PROBATION_MS, type RelayRecord, type Votes } from "./judge.ts";
import type { PeerRecord } from "./record.ts";

const NO_VOTES: Votes = { yes: 0, no: 0 };

/** A member as the judgement sees it. */
export interface Witness {
  readonly node: string;
  readonly public_key: string | null;
  readonly records: readonly PeerRecord[] | null;
  /** It has missed its heartbeats: what it said has no weight any more. */
  readonly silent: boolean;
}

/** What members other than itself say of each, by its key; the words of all are gone through once. */
export class Hearing {
  readonly #votes = new Map<string, { yes: number; no: number }>();

  constructor(witnesses: readonly Witness[]) {
    for (const { public_key, silent, records } of witnesses) {
      if (silent) continue;
      const heard = new Set<string>();
      for (const { publicKey, isDead, isAlive } of records ?? []) {
        if (publicKey === public_key || heard.has(publicKey)) continue;
        heard.add(publicKey);
        if (!isDead && isAlive !== true) continue;
        const votes = this.#votes.get(publicKey) ?? { yes: 0, no: 0 };
        if (isDead) votes.no += 1;
        else votes.yes += 1;
        this.#votes.set(publicKey, votes);
      }
    }
  }

  on({ public_key }: Witness): Votes {
    return this.#votes.get(public_key ?? "") ?? NO_VOTES;
  }
}

/** Judges all relays of a network anew, and keeps it; the network's lock is the caller's. Those that are not named are up. */
export async function healthOf(
  queries: Queries,
  network: string,
  members: readonly Witness[],
  nodes: ReadonlyMap<string, GridNode>,
): Promise<ReadonlyMap<string, Health>> {
  const { before, at } = await relayRecords(queries, network);
  const hearing = new Hearing(members);
  const health = new Map<string, Health>();
  const kept: { node: string; health: string; since: number; due: number | null }[] = [];
  const gone: string[] = [];
  for (const member of members) {
    const { node } = member;
    const old = before.get(node);
    const isPublic = [nodes.get(node)?.v4, nodes.get(node)?.v6].some(
      (standing) => standing?.kind === "public",
    );
    const record = isPublic ? judge(old, hearing.on(member), member.silent, at) : undefined;
    if (record !== undefined) health.set(node, record.health);
    if (record === old) continue;
    if (record === undefined) gone.push(node);
    else kept.push({ node, ...record, due: dueOf(record) ?? null });
  }
  if (gone.length > 0) {
    await queries.rows("delete from relay_states where network = $1 and node = any($2)", [
      network,
      gone,
    ]);
  }
  if (kept.length > 0) {
    await queries.rows(
      `insert into relay_states (network, node, health, since, due)
       select $1, node, health, to_timestamp(since / 1000.0), to_timestamp(due / 1000.0)
       from jsonb_to_recordset($2::jsonb) as r(node text, health text, since float8, due float8)
       on conflict (network, node) do update
         set health = excluded.health, since = excluded.since, due = excluded.due`,
      [network, JSON.stringify(kept)],
    );
  }
  return health;
}

/** As they were judged last, and the database's time. */
export async function relayRecords(
  queries: Queries,
  network: string,
): Promise<{ readonly before: ReadonlyMap<string, RelayRecord>; readonly at: number }> {
  const rows = await queries.rows<{
    at: number;
    node: string | null;
    health: RelayRecord["health"];
    since: number;
  }>(
    `select extract(epoch from now())::float8 * 1000 as at, r.node, r.health,
       extract(epoch from r.since)::float8 * 1000 as since
     from (select 1) one left join relay_states r on r.network = $1`,
    [network],
  );
  const before = new Map(
    rows.flatMap(({ node, health, since }) => (node === null ? [] : [[node, { health, since }]])),
  );
  return { before, at: rows[0]?.at ?? 0 };
}

function dueOf({ health, since }: RelayRecord): number | undefined {
  return health === "probation" ? since + PROBATION_MS : undefined;
}
