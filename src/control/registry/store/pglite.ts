/**
 * PostgreSQL in this process (PGlite), its files in a folder: no server to run. One process at a time has the folder. A killed process
 * loses nothing that was answered; a machine that loses power may, since PGlite runs without fsync: a server is for grids that mind.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { PGlite, types } from "@electric-sql/pglite";
import { StateLock } from "../../node/state-lock.ts";
import type { Database, Queries } from "./database.ts";

type Connection = Pick<PGlite, "query" | "exec">;

function queriesOf(connection: Connection): Queries {
  return {
    rows: async <Row>(text: string, values: readonly unknown[] = []) =>
      (await connection.query<Row>(text, [...values])).rows,
    script: async (text) => {
      await connection.exec(text);
    },
  };
}

/** Throws a RefusedError if another process has the folder. */
export async function openFolder(folder: string): Promise<Database> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const lock = new StateLock(folder);
  let database: PGlite;
  try {
    database = await PGlite.create({
      dataDir: join(folder, "postgres"),
      parsers: { [types.INT8]: Number },
    });
  } catch (error) {
    lock.release();
    throw new Error(`the database in ${folder} does not open: ${(error as Error).message}`, {
      cause: error,
    });
  }
  return {
    ...queriesOf(database),
    // One connection: nothing waits for anything else.
    transaction: (run) => database.transaction((inner) => run(queriesOf(inner))),
    listen: async (channel, heard) => {
      await database.listen(channel, heard);
    },
    close: async () => {
      await database.close();
      lock.release();
    },
  };
}
