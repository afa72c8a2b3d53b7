/**
 * Plans all networks anew: after a program with other rules, or a database that was restored. Each network is a transaction of its own under
 * its own lock, as any change is, so registries may go on serving. On a server, threads do it, each with connections of its own; what a thread
 * that died was at is rolled back, and done again by another.
 */
import { availableParallelism } from "node:os";
import { Piscina } from "piscina";
import { lockNetwork, type PlanNetwork, replan } from "./planning.ts";
import type { Store } from "./store/store.ts";

export interface FullPlan {
  readonly networks: number;
  /** Those of which some node's part is another one now. */
  readonly changed: number;
}

/** What a thread is asked for. */
export interface FullPlanTask {
  /** The URL of the server. */
  readonly database: string;
  readonly networks: readonly string[];
}

export interface FullPlanOptions {
  /** For lists of networks, and to plan in this thread if it has no `url`. */
  readonly store: Store;
  readonly url?: string | undefined;
  readonly planNetwork: PlanNetwork;
  /** URL of the module that a thread runs: its `plan` does a {@link FullPlanTask}. */
  readonly entry: string;
  /** Cores of this machine unless told. */
  readonly threads?: number | undefined;
}

/** Ours: a handful of seconds, so that little is done twice. */
const NETWORKS_AT_ONCE = 8;
/** Ours: one waits for the database while the other one is planned. */
const TASKS_PER_THREAD = 2;
/** Ours: a network that kills three threads kills each. */
const ATTEMPTS_MAX = 3;
/** Ours: a plan is short-lived objects; with the usual 16 MiB a fifth of the time is spent on moving them. */
const YOUNG_MIB = 64;

/** Rejects with the first network's error that remains one; what has been planned until then stays. */
export async function planAll(options: FullPlanOptions): Promise<FullPlan> {
  const { store, url, planNetwork } = options;
  const found = await store.database.rows<{ id: string }>("select id from networks order by id");
  const ids = found.map(({ id }) => id);
  if (url === undefined) {
    return { networks: ids.length, changed: await planNetworks(store, ids, planNetwork) };
  }
  return { networks: ids.length, changed: await inThreads(url, ids, options) };
}

async function inThreads(
  database: string,
  ids: readonly string[],
  { threads = availableParallelism(), entry }: FullPlanOptions,
): Promise<number> {
  const pool = new Piscina<FullPlanTask, number>({
    filename: entry,
    name: "plan",
    minThreads: 0,
    maxThreads: threads,
    concurrentTasksPerWorker: TASKS_PER_THREAD,
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB },
  });
  // A thread that dies is told by the tasks that it had.
  pool.on("error", () => undefined);
  try {
    let next = 0;
    let changed = 0;
    const run = async (): Promise<void> => {
      while (next < ids.length) {
        const networks = ids.slice(next, next + NETWORKS_AT_ONCE);
        next += NETWORKS_AT_ONCE;
        const differ = await attempt(pool, { database, networks });
        changed += differ;
      }
    };
    await Promise.all(Array.from({ length: threads * TASKS_PER_THREAD }, run));
    return changed;
  } finally {
    await pool.destroy();
  }
}

async function attempt(pool: Piscina<FullPlanTask, number>, task: FullPlanTask): Promise<number> {
  for (let left = ATTEMPTS_MAX - 1; ; left--) {
    try {
      return await pool.run(task);
    } catch (error) {
      if (left === 0) throw error;
    }
  }
}

/** One after the other; returns how many differ. */
export async function planNetworks(
  store: Store,
  ids: readonly string[],
  planNetwork: PlanNetwork,
): Promise<number> {
  let changed = 0;
  for (const id of ids) {
    const isOther = await store.write(
      { actor: "operator", action: "network.plan" },
      async (write) => {
        await lockNetwork(write, id);
        return await replan(write, id, planNetwork);
      },
    );
    if (isOther) changed += 1;
  }
  return changed;
}
