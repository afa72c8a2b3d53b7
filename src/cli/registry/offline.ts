/** What `wirehaul registry` does with a database itself, without asking a registry. Each gives the line to show. */
import { planNetwork } from "../../control/mesh/network-plan.ts";
import { planAll } from "../../control/registry/full-plan.ts";
import { type BackupSummary, backUp, restore } from "../../control/registry/store/backup.ts";
import type { Database } from "../../control/registry/store/database.ts";
import { type DatabasePlace, openDatabase } from "../../control/registry/store/open.ts";
import { Store } from "../../control/registry/store/store.ts";

export async function planAllOf(place: DatabasePlace): Promise<string> {
  return await withDatabase(place, async (database) => {
    const store = new Store(database);
    const entry = new URL("./plan-thread.js", import.meta.url).href;
    const options = { store, url: place.database, planNetwork, entry };
    const { networks, changed } = await planAll(options);
    return `${networks} networks planned, ${changed} differ`;
  });
}

export async function backUpTo(file: string, place: DatabasePlace): Promise<string> {
  return await withDatabase(place, async (database) => line(file, await backUp(database, file)));
}

export async function restoreFrom(file: string, place: DatabasePlace): Promise<string> {
  return await withDatabase(place, async (database) => line(file, await restore(database, file)));
}

async function withDatabase<Result>(
  place: DatabasePlace,
  run: (database: Database) => Promise<Result>,
): Promise<Result> {
  const database = await openDatabase(place, () => undefined);
  try {
    return await run(database);
  } finally {
    await database.close();
  }
}

function line(file: string, { rows, version }: BackupSummary): string {
  return `${file}: ${rows} rows, version ${version}`;
}
