/** Brings a database to the version that this program knows: one transaction, one process at a time, never backwards. */
import { RefusedError } from "../../model/problem.ts";
import type { Database, Queries } from "./database.ts";
import { SCHEMA_1 } from "./schema-1.ts";
import { SCHEMA_2 } from "./schema-2.ts";
import { SCHEMA_3 } from "./schema-3.ts";
import { SCHEMA_4 } from "./schema-4.ts";
import { SCHEMA_5 } from "./schema-5.ts";
import { SCHEMA_6 } from "./schema-6.ts";

/** Version n is reached by the first n. One that has been released is never changed. */
export const MIGRATIONS: readonly string[] = [
  SCHEMA_1,
  SCHEMA_2,
  SCHEMA_3,
  SCHEMA_4,
  SCHEMA_5,
  SCHEMA_6,
];

/** Ours: keys of advisory locks ("wh" and a number); those of networks are in a space of their own. */
const MIGRATION_LOCK = 0x7768_0001;

/** 0: the database is empty. */
export async function versionOf(queries: Queries): Promise<number> {
  const [there] = await queries.rows<{ found: boolean }>(
    "select to_regclass('schema_version') is not null as found",
  );
  if (there?.found !== true) return 0;
  const [row] = await queries.rows<{ version: number }>("select version from schema_version");
  return row?.version ?? 0;
}

/** Returns the version before. Throws a RefusedError, and changes nothing, if the database is of a newer program. */
export async function migrate(
  database: Database,
  migrations: readonly string[] = MIGRATIONS,
): Promise<number> {
  return await database.transaction((queries) => migrateWithin(queries, migrations));
}

/** The same within a transaction. */
export async function migrateWithin(
  queries: Queries,
  migrations: readonly string[] = MIGRATIONS,
): Promise<number> {
  await queries.rows("select pg_advisory_xact_lock($1)", [MIGRATION_LOCK]);
  const version = await versionOf(queries);
  if (version > migrations.length) {
    throw new RefusedError(
      "conflict",
      `the database has version ${version}, this program knows ${migrations.length}: run the newer program, or restore a backup of before`,
    );
  }
  if (version === 0 && migrations.length > 0) {
    await queries.script(`create table schema_version (
      single boolean primary key default true check (single), version integer not null);
      insert into schema_version (version) values (0)`);
  }
  for (const text of migrations.slice(version)) await queries.script(text);
  if (version < migrations.length) {
    await queries.rows("update schema_version set version = $1", [migrations.length]);
  }
  return version;
}
