/** A registry as it runs, on Debian's PostgreSQL with Debian's settings, filled with a grid; and what both of them cost. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../src/cli/demo/implementations.ts";
import type { Lab } from "../src/cli/demo/lab.ts";
import { Postgres } from "../src/cli/demo/postgres.ts";
import type { Background } from "../src/control/linux/command.ts";
import type { Database } from "../src/control/registry/store/database.ts";
import { migrate } from "../src/control/registry/store/migrations.ts";
import { openDatabase } from "../src/control/registry/store/open.ts";
import { cpuSeconds, residentBytes } from "./process-cost.ts";
import { tell } from "./progress.ts";
import { SeededGrid } from "./registry-grid.ts";

const START_MS = 60_000;
/** USER_HZ, as in process-cost.ts. */
const TICKS_PER_SECOND = 100;
/** Ours: no bound that is measured instead of the rest. All nodes are behind one address here. */
const RATE = "1000000";

export interface Costs {
  /** CPU seconds until now, of all threads and of all processes of the server. */
  readonly registryCpu: number;
  readonly databaseCpu: number;
  /** Bytes. */
  readonly registryResident: number;
}

export class RegistryService {
  readonly database: Database;
  readonly databaseUrl: string;
  readonly grid: SeededGrid;
  readonly postgres: Postgres;
  readonly #lab: Lab;
  #process: Background | undefined;

  private constructor(
    lab: Lab,
    postgres: Postgres,
    databaseUrl: string,
    database: Database,
    grid: SeededGrid,
  ) {
    this.#lab = lab;
    this.postgres = postgres;
    this.databaseUrl = databaseUrl;
    this.database = database;
    this.grid = grid;
  }

  /** The database with `nodes` nodes; no registry serves yet. */
  static async fill(lab: Lab, nodes: number): Promise<RegistryService> {
    tell(`registry: a database with ${nodes} nodes`);
    const postgres = await Postgres.start(lab, SETTINGS);
    const url = await postgres.database("grid");
    const database = await openDatabase({ database: url }, (_level, text) => tell(text));
    await migrate(database);
    const grid = await SeededGrid.fill(database, nodes);
    await database.script("analyze");
    return new RegistryService(lab, postgres, url, database, grid);
  }

  /** Starts the registry; returns its URL. */
  async serve(): Promise<string> {
    const served = this.#lab.spawn([
      ...[process.execPath, ...NODE_FLAGS, join(ROOT, "bin", "wirehaul"), "registry", "run"],
      ...["--database", this.databaseUrl, "--listen", "127.0.0.1:0"],
      ...["--rate-per-key", RATE, "--rate-per-address", RATE],
    ]);
    this.#process = served;
    await served.waitFor("serving http", START_MS);
    return /serving (http:[^"]+)"/.exec(served.output)?.[1] ?? "";
  }

  costs(): Costs {
    const pid = this.#process?.pid ?? 0;
    return {
      registryCpu: cpuSeconds([pid]),
      databaseCpu:
        cpuSeconds([this.postgres.pid, ...childrenOf(this.postgres.pid)]) +
        endedCpuSeconds(this.postgres.pid),
      registryResident: residentBytes(pid),
    };
  }

  /** What it said that is an error. */
  faults(): readonly string[] {
    const lines = this.#process?.output.split("\n") ?? [];
    return lines.filter((line) => line.includes('"level":"error"') || line.includes('"level":50'));
  }

  async close(): Promise<void> {
    await this.#process?.stop();
    await this.database.close();
    await this.postgres.stop();
  }
}

/** For looking into it: "NAME=VALUE" of postgresql.conf; flags of Node.js, such as --cpu-prof. */
const SETTINGS = (process.env["BENCH_POSTGRES"] ?? "").split(" ").filter((word) => word !== "");
const NODE_FLAGS = (process.env["BENCH_NODE"] ?? "").split(" ").filter((word) => word !== "");

/** Of its processes that have ended: connections of a pool that were idle (proc(5): cutime and cstime, fields 16 and 17). */
function endedCpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[13]) + Number(fields[14])) / TICKS_PER_SECOND;
}

function childrenOf(pid: number): number[] {
  return readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const status = readFileSync(`/proc/${name}/status`, "latin1");
      return Number(/^PPid:\s+(\d+)/m.exec(status)?.[1]) === pid ? [Number(name)] : [];
    } catch {
      // It has ended meanwhile.
      return [];
    }
  });
}
