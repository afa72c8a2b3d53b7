/**
 * `registry-plan`: all networks of a grid planned: by the planner alone, in one thread and in one for each core; and by `wirehaul registry plan`'s own
 * path, with transactions, comparison and events, in PostgreSQL: as new ones, then again when nothing differs.
 */
import { availableParallelism } from "node:os";
import { Piscina } from "piscina";
import { planNetwork } from "../src/control/mesh/network-plan.ts";
import { planAll } from "../src/control/registry/full-plan.ts";
import { Store } from "../src/control/registry/store/store.ts";
import { inLab } from "./in-lab.ts";
import type { RegistryEffort } from "./options.ts";
import { tell } from "./progress.ts";
import { type PlanAnswer, type PlanTask, sizeAt } from "./registry-plan-child.ts";
import { RegistryService } from "./registry-service.ts";
import { align } from "./table.ts";

export interface PlanFigures {
  readonly nodes: number;
  readonly networks: number;
  /** In all networks together. */
  readonly members: number;
  readonly peers: number;
  /** The longest that any thread planned. */
  readonly oneThreadSeconds: number;
  readonly threads: number;
  readonly threadsSeconds: number;
  /** By the registry's own path, in its threads. */
  readonly stored: number;
  readonly storedMembers: number;
  readonly storedSeconds: number;
  readonly storedAgainSeconds: number;
}

const NETWORKS_AT_ONCE = 20;

export async function measurePlan({
  nodes,
  planned,
  stored,
}: RegistryEffort): Promise<PlanFigures> {
  const threads = availableParallelism();
  tell(`registry-plan: ${planned} networks in one thread`);
  const one = await inThreads(1, nodes, planned);
  tell(`registry-plan: ${planned} networks in ${threads} threads`);
  const all = await inThreads(threads, nodes, planned);
  return {
    ...{ nodes, networks: planned, members: one.members, peers: one.peers },
    ...{ oneThreadSeconds: one.seconds, threads, threadsSeconds: all.seconds },
    ...(await inDatabase(nodes, stored)),
  };
}

async function inThreads(
  threads: number,
  nodes: number,
  networks: number,
): Promise<{ readonly seconds: number; readonly members: number; readonly peers: number }> {
  const pool = new Piscina<PlanTask, PlanAnswer>({
    filename: new URL("./registry-plan-child.js", import.meta.url).href,
    name: "plan",
    minThreads: threads,
    maxThreads: threads,
    resourceLimits: { maxYoungGenerationSizeMb: 64 },
  });
  try {
    let next = 0;
    let members = 0;
    let peers = 0;
    const times = await Promise.all(
      Array.from({ length: threads }, async () => {
        let ms = 0;
        while (next < networks) {
          const from = next;
          next = Math.min(networks, next + NETWORKS_AT_ONCE);
          const answer = await pool.run({ nodes, from, to: next });
          ms += answer.planMs;
          members += answer.members;
          peers += answer.peers;
        }
        return ms;
      }),
    );
    return { seconds: Math.max(...times) / 1_000, members, peers };
  } finally {
    await pool.destroy();
  }
}

async function inDatabase(
  nodes: number,
  stored: number,
): Promise<Pick<PlanFigures, "stored" | "storedMembers" | "storedSeconds" | "storedAgainSeconds">> {
  return await inLab(async (lab) => {
    const service = await RegistryService.fill(lab, nodes);
    try {
      let storedMembers = 0;
      for (let number = 0; number < stored; number++) {
        storedMembers += (await service.grid.network(sizeAt(number))).nodes.length;
      }
      const store = new Store(service.database);
      const entry = new URL("../src/cli/registry/plan-thread.js", import.meta.url).href;
      const timed = async (changed: number): Promise<number> => {
        const begin = performance.now();
        const found = await planAll({ store, url: service.databaseUrl, planNetwork, entry });
        const seconds = (performance.now() - begin) / 1_000;
        if (found.networks !== stored || found.changed !== changed) {
          throw new Error(`${found.networks} networks planned, ${found.changed} of them differ`);
        }
        return seconds;
      };
      tell(`registry-plan: ${stored} networks in the database`);
      const storedSeconds = await timed(stored);
      const storedAgainSeconds = await timed(0);
      return { stored, storedMembers, storedSeconds, storedAgainSeconds };
    } finally {
      await service.close();
    }
  });
}

export function formatPlan(figures: PlanFigures): string {
  const seconds = (value: number): string => `${value.toFixed(2)} s`;
  return align([
    ["nodes, networks of 2 to 200 nodes", `${figures.nodes}, ${figures.networks}`],
    ["members, peers of all", `${figures.members}, ${figures.peers}`],
    ["planned in one thread", seconds(figures.oneThreadSeconds)],
    [`planned in ${figures.threads} threads`, seconds(figures.threadsSeconds)],
    ["in the database: networks, members", `${figures.stored}, ${figures.storedMembers}`],
    ["  as new ones", seconds(figures.storedSeconds)],
    ["  again, nothing differs", seconds(figures.storedAgainSeconds)],
  ]);
}
