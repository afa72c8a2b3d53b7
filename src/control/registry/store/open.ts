/** Opens the registry's database, whichever it is. */
import { RefusedError } from "../../model/problem.ts";
import type { Database } from "./database.ts";
import { openFolder } from "./pglite.ts";
import { openServer } from "./server.ts";

/** One of both: a folder of this process's own, or the URL of a PostgreSQL server. */
export interface DatabasePlace {
  readonly data?: string | undefined;
  readonly database?: string | undefined;
}

export async function openDatabase(
  { data, database }: DatabasePlace,
  log: (level: "info" | "error", text: string) => void,
): Promise<Database> {
  if ((data === undefined) === (database === undefined)) {
    throw new RefusedError(
      "invalid",
      "name one of both: --data FOLDER or --database postgres://...",
    );
  }
  if (data !== undefined) return await openFolder(data);
  if (!/^postgres(ql)?:\/\//.test(database ?? "")) {
    throw new RefusedError("invalid", "--database is no postgres:// URL");
  }
  return await openServer(database ?? "", log);
}
