/** Both places where a registry's tables may be: a folder and a server. */
import { join } from "node:path";
import type { Lab } from "../../../src/cli/demo/lab.ts";
import { Postgres } from "../../../src/cli/demo/postgres.ts";
import type { DatabasePlace } from "../../../src/control/registry/store/open.ts";

type Makes = (lab: Lab) => Promise<(name: string) => Promise<DatabasePlace>>;

/** Each gives empty databases by name. */
export const KINDS: readonly (readonly [string, Makes])[] = [
  ["a folder", async (lab) => async (name) => ({ data: join(lab.folder, name) })],
  [
    "a server",
    async (lab) => {
      const postgres = await Postgres.start(lab);
      return async (name) => ({ database: await postgres.database(name) });
    },
  ],
];
