/**
 * The whole store as one file, and back: gzip of lines of JSON, a head, one line per row, a foot with the count and a digest. It is the
 * same for both databases: a folder's backup can be restored into a server. A snapshot: writers are not stopped.
 */
import { createHash, type Hash } from "node:crypto";
import {
  closeSync,
  createReadStream,
  fsyncSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { createGunzip, gzipSync } from "node:zlib";
import { RefusedError } from "../../model/problem.ts";
import type { Database, Queries } from "./database.ts";
import { MIGRATIONS, migrateWithin, versionOf } from "./migrations.ts";

const FORMAT = "wirehaul-registry-backup";
/** In the order in which rows refer to each other; nonces too: a restored registry accepts no old request. */
export const TABLES: readonly string[] = [
  "users",
  "farms",
  "nodes",
  "heartbeats",
  "join_tokens",
  "networks",
  "port_leases",
  "port_refusals",
  "network_nodes",
  "network_clients",
  "rotations",
  "sealed_keys",
  "sealed_boxes",
  "old_nodes",
  "old_farms",
  "old_farm_ips",
  "old_users",
  "pools",
  "workloads",
  "plans",
  "plan_differences",
  "plan_revisions",
  "link_reports",
  "relay_states",
  "network_paths",
  "nonces",
  "log_position",
  "changes",
  "audit",
];
/** Their ids are counted by the database. */
const COUNTED: readonly (readonly [table: string, column: string])[] = [
  ["users", "id"],
  ["farms", "id"],
  ["nodes", "number"],
  ["pools", "id"],
  ["workloads", "id"],
  ["audit", "id"],
];
const ROWS_AT_ONCE = 500;
/** Ours: more changes than are made between a backup and the day when it is needed. */
const REVISIONS_AHEAD = 1_000_000_000;

export interface BackupSummary {
  readonly rows: number;
  readonly version: number;
}

/** Writes `path` (mode 0600), whole or not at all. */
export async function backUp(database: Database, path: string): Promise<BackupSummary> {
  const fresh = `${path}.new`;
  const fd = openSync(fresh, "w", 0o600);
  try {
    const summary = await database.transaction(async (queries) => {
      await queries.script("set transaction isolation level repeatable read, read only");
      return await dump(queries, (bytes) => writeSync(fd, bytes));
    });
    fsyncSync(fd);
    renameSync(fresh, path);
    const folder = openSync(dirname(path), "r");
    fsyncSync(folder);
    closeSync(folder);
    return summary;
  } catch (error) {
    rmSync(fresh, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
}

async function dump(queries: Queries, write: (bytes: Buffer) => void): Promise<BackupSummary> {
  const version = await versionOf(queries);
  if (version === 0) throw new RefusedError("missing", "there is no registry in this database");
  const hash = createHash("sha256");
  let rows = 0;
  // Each piece is a gzip member of its own: together they are one gzip file (RFC 1952 2.2).
  const put = (lines: readonly string[]): void => {
    const text = `${lines.join("\n")}\n`;
    hash.update(text);
    write(gzipSync(text));
  };
  put([JSON.stringify({ format: FORMAT, version })]);
  for (const table of TABLES) {
    await queries.script(
      `declare dumped cursor for select to_jsonb(t)::text as line from ${table} t`,
    );
    for (;;) {
      const found = await queries.rows<{ line: string }>(`fetch ${ROWS_AT_ONCE} from dumped`);
      if (found.length === 0) break;
      rows += found.length;
      put(found.map(({ line }) => `{"t":"${table}","r":${line}}`));
    }
    await queries.script("close dumped");
  }
  const foot = `${JSON.stringify({ rows, sha256: hash.digest("hex") })}\n`;
  write(gzipSync(foot));
  return { rows, version };
}

/** Fills an empty database from a file; throws, and changes nothing, if the database isn't empty or the file isn't whole. */
export async function restore(database: Database, path: string): Promise<BackupSummary> {
  return await database.transaction(async (queries) => {
    if ((await versionOf(queries)) > 0) await refuseUsed(queries);
    return await load(queries, path);
  });
}

async function refuseUsed(queries: Queries): Promise<void> {
  const tables = await tablesThere(queries);
  for (const table of tables.filter((name) => name !== "log_position")) {
    const [row] = await queries.rows<{ used: boolean }>(
      `select exists (select from ${table}) as used`,
    );
    if (row?.used === true) {
      throw new RefusedError(
        "conflict",
        `the database is not empty (there are rows in ${table}): restore into an empty one`,
      );
    }
  }
}

async function load(queries: Queries, path: string): Promise<BackupSummary> {
  const broken = (what: string): RefusedError =>
    new RefusedError("invalid", `${path} is no whole backup: ${what}`);
  const hash: Hash = createHash("sha256");
  let version = 0;
  let rows = 0;
  let batch: string[] = [];
  let table = "";
  let foot: { rows?: unknown; sha256?: unknown } | undefined;
  const flush = async (): Promise<void> => {
    if (batch.length === 0) return;
    await queries.rows(
      `insert into ${table} select * from jsonb_populate_recordset(null::${table}, $1::jsonb)`,
      [`[${batch.join(",")}]`],
    );
    rows += batch.length;
    batch = [];
  };
  try {
    for await (const line of linesOf(path)) {
      if (foot !== undefined) throw broken("something follows its end");
      const value = parseLine(line) as Record<string, unknown> | undefined;
      if (value === undefined) throw broken("a line is no JSON");
      if (version === 0) {
        if (value["format"] !== FORMAT || !Number.isInteger(value["version"])) {
          throw broken("its head is missing");
        }
        version = value["version"] as number;
        await prepare(queries, version);
      } else if (typeof value["t"] === "string") {
        if (!TABLES.includes(value["t"])) throw broken(`there is no table "${value["t"]}"`);
        if (value["t"] !== table || batch.length >= ROWS_AT_ONCE) await flush();
        table = value["t"];
        batch.push(JSON.stringify(value["r"]));
      } else {
        foot = value;
        continue;
      }
      hash.update(`${line}\n`);
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") throw new RefusedError("missing", `there is no file ${path}`);
    if (code?.startsWith("Z_")) throw broken((error as Error).message);
    throw error;
  }
  await flush();
  if (foot === undefined) throw broken("its end is missing");
  if (foot.rows !== rows || foot.sha256 !== hash.digest("hex")) throw broken("its digest is wrong");
  await finish(queries);
  return { rows, version };
}

function linesOf(path: string): AsyncIterable<string> {
  const source = createReadStream(path);
  const unpacked = createGunzip();
  source.on("error", (error) => unpacked.destroy(error));
  return createInterface({ input: source.pipe(unpacked), crlfDelay: Number.POSITIVE_INFINITY });
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** Tables as they were at that version, and no trigger that would write of its own. */
async function prepare(queries: Queries, version: number): Promise<void> {
  if (version > MIGRATIONS.length) {
    throw new RefusedError(
      "conflict",
      `the backup has version ${version}, this program knows ${MIGRATIONS.length}: restore it with the newer program`,
    );
  }
  if ((await versionOf(queries)) > version) {
    throw new RefusedError(
      "conflict",
      `the backup has version ${version}, the database has newer tables: restore into one without tables`,
    );
  }
  await migrateWithin(queries, MIGRATIONS.slice(0, version));
  await queries.rows("delete from log_position");
  await setTriggers(queries, "disable");
}

async function setTriggers(queries: Queries, state: "enable" | "disable"): Promise<void> {
  for (const table of await tablesThere(queries)) {
    await queries.script(`alter table ${table} ${state} trigger user`);
  }
}

/** A database of an earlier version has fewer. */
async function tablesThere(queries: Queries): Promise<string[]> {
  const rows = await queries.rows<{ name: string }>(
    "select t.name from unnest($1::text[]) as t(name) where to_regclass(t.name) is not null",
    [TABLES],
  );
  return TABLES.filter((table) => rows.some(({ name }) => name === table));
}

async function finish(queries: Queries): Promise<void> {
  await migrateWithin(queries);
  // Who has heard of changes after the backup is never taken for one who knows those that get their numbers now: all are told all.
  await queries.rows("update log_position set revision = revision + $1, pruned = revision + $1", [
    REVISIONS_AHEAD,
  ]);
  await setTriggers(queries, "enable");
  const tables = await tablesThere(queries);
  for (const [table, column] of COUNTED) {
    if (!tables.includes(table)) continue;
    await queries.rows(
      `select setval(pg_get_serial_sequence('${table}', '${column}'), greatest((select max(${column}) from ${table}), 1))`,
    );
  }
}
