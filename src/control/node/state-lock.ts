/** One process for one state folder: two would take each other's interfaces for leftovers. A lock outlives no process. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RefusedError } from "../model/problem.ts";

export class StateLock {
  readonly #path: string;

  /** Takes the folder; throws a RefusedError naming who has it. */
  constructor(folder: string) {
    this.#path = join(folder, "lock");
    const mine = markOf(process.pid);
    for (let attempt = 0; attempt < 2; attempt++) {
      try {
        writeFileSync(this.#path, JSON.stringify(mine), { flag: "wx", mode: 0o600 });
        return;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      }
      const holder = readMark(this.#path);
      if (holder !== undefined && markOf(holder.pid)?.start === holder.start) {
        throw new RefusedError(
          "conflict",
          `process ${holder.pid} serves the state in ${folder} already: end it first, or name another folder`,
        );
      }
      // Of a process that has ended, or of a time before the last start of the machine.
      rmSync(this.#path, { force: true });
    }
    throw new RefusedError("conflict", `somebody else has just taken the state in ${folder}`);
  }

  release(): void {
    rmSync(this.#path, { force: true });
  }
}

interface Mark {
  readonly pid: number;
  /** Boot of the machine and start of the process in it: no two processes share them with a pid. */
  readonly start: string;
}

function markOf(pid: number): Mark | undefined {
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // proc(5): field 22, counted behind the name, which may hold spaces.
    const start = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
    return { pid, start: `${boot} ${start}` };
  } catch {
    return undefined;
  }
}

function readMark(path: string): Mark | undefined {
  try {
    const { pid, start } = JSON.parse(readFileSync(path, "utf8")) as Mark;
    return Number.isInteger(pid) ? { pid, start } : undefined;
  } catch {
    return undefined;
  }
}
