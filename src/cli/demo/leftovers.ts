/**
 * What a run makes on the machine (namespaces, processes, UAPI sockets, files), written down before it is made, so that a later run
 * can remove what a killed one left. A process is known by pid and start time: a pid alone may have gone to another program.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

interface ProcessMark {
  readonly pid: number;
  readonly start: string;
}

interface Leftovers {
  owner: ProcessMark;
  namespaces: string[];
  processes: ProcessMark[];
  paths: string[];
}

/** Start time of a process in clock ticks since boot (proc(5), field 22 of stat), or undefined if there is no such process. */
export function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The program's name, in parentheses, may hold spaces; field 3 follows the last one.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

function folder(): string {
  return join(tmpdir(), "wirehaul-runs");
}

function isAlive(mark: ProcessMark): boolean {
  return startTime(mark.pid) === mark.start;
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended in between.
  }
}

/** What runs in a namespace of ours was started by us, even if it went into the background. */
function processesIn(namespace: string): number[] {
  const { stdout } = spawnSync("ip", ["netns", "pids", namespace], { encoding: "utf8" });
  return (stdout ?? "").split("\n").filter(Boolean).map(Number);
}

/** Removes all that is written down there; what has gone already is no error. */
function destroy(leftovers: Leftovers): void {
  for (const mark of leftovers.processes) {
    if (isAlive(mark)) kill(mark.pid);
  }
  for (const name of leftovers.namespaces) {
    for (const pid of processesIn(name)) kill(pid);
    spawnSync("ip", ["netns", "delete", name], { stdio: "ignore" });
  }
  for (const path of leftovers.paths) rmSync(path, { recursive: true, force: true });
}

/** Removes what runs left whose process has ended. */
export function sweep(): void {
  let files: string[];
  try {
    files = readdirSync(folder());
  } catch {
    return;
  }
  for (const file of files) {
    const path = join(folder(), file);
    let leftovers: Leftovers;
    try {
      leftovers = JSON.parse(readFileSync(path, "utf8")) as Leftovers;
    } catch {
      continue;
    }
    if (isAlive(leftovers.owner)) continue;
    destroy(leftovers);
    rmSync(path, { force: true });
  }
}

/** What this run makes. */
export class RunRecord {
  readonly #path: string;
  readonly #leftovers: Leftovers;

  constructor(token: string) {
    this.#leftovers = {
      owner: { pid: process.pid, start: startTime(process.pid) ?? "" },
      namespaces: [],
      processes: [],
      paths: [],
    };
    mkdirSync(folder(), { recursive: true, mode: 0o700 });
    this.#path = join(folder(), `${token}.json`);
    this.#save();
  }

  namespace(name: string): void {
    this.#leftovers.namespaces.push(name);
    this.#save();
  }

  process(pid: number): void {
    const start = startTime(pid);
    if (start === undefined) return;
    this.#leftovers.processes.push({ pid, start });
    this.#save();
  }

  path(path: string): void {
    this.#leftovers.paths.push(path);
    this.#save();
  }

  /** Removes everything, at once and without waiting: usable while the process exits. */
  destroy(): void {
    destroy(this.#leftovers);
    rmSync(this.#path, { force: true });
  }

  #save(): void {
    writeFileSync(`${this.#path}.new`, JSON.stringify(this.#leftovers), { mode: 0o600 });
    renameSync(`${this.#path}.new`, this.#path);
  }
}
