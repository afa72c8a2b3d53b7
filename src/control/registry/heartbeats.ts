/** Heartbeats of nodes: those that come at about the same time are one statement; each is answered after the commit. */
import { type Actor, needNode } from "./actor.ts";
import type { Heartbeat } from "./schemas.ts";
import { Batch } from "./store/batch.ts";
import type { Database } from "./store/database.ts";
import type { Store } from "./store/store.ts";

interface Beat {
  readonly node: string;
  readonly uptime: number;
}

/** In the order of ids: two registries never wait for each other's rows. One row for each node: a statement writes none twice. */
const BEAT = `
  with beats as (select distinct on (node) node, uptime from unnest($1::text[], $2::bigint[]) with ordinality as b(node, uptime, at)
    order by node, at desc),
  written as (
    insert into heartbeats (node, uptime, seen) select node, uptime, now() from beats order by node
    on conflict (node) do update set uptime = excluded.uptime, seen = excluded.seen)
  select b.node, coalesce((select max(c.revision) from changes c where c.node = b.node), 0) as revision from beats b`;

const batches = new WeakMap<Database, Batch<Beat, number>>();

function batchOf(database: Database): Batch<Beat, number> {
  let batch = batches.get(database);
  if (batch === undefined) {
    batch = new Batch(async (beats) => {
      const rows = await database.rows<{ node: string; revision: number }>(BEAT, [
        beats.map(({ node }) => node),
        beats.map(({ uptime }) => uptime),
      ]);
      const revisions = new Map(rows.map(({ node, revision }) => [node, revision]));
      return beats.map(({ node }) => revisions.get(node) ?? 0);
    });
    batches.set(database, batch);
  }
  return batch;
}

/** Answers with the newest revision: a node that has an older one has missed something. */
export async function heartbeat(
  store: Store,
  actor: Actor,
  id: string,
  { uptime }: Heartbeat,
): Promise<{ readonly revision: number }> {
  needNode(actor, id);
  return { revision: await batchOf(store.database).ask({ node: id, uptime }) };
}
