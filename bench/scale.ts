/** `scale`: many interfaces in one process: memory of each, the time to make them, and how often an idle process wakes. */
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Lab } from "../src/cli/demo/lab.ts";
import { inLab } from "./in-lab.ts";
import { residentBytes } from "./process-cost.ts";
import { tell } from "./progress.ts";
import type { Made } from "./scale-child.ts";
import { align, MIB } from "./table.ts";

export interface ScaleFigures {
  readonly interfaces: number;
  /** Bytes of resident memory. */
  readonly resident: number;
  /** Milliseconds until all are made and configured, one after the other. */
  readonly createMs: number;
  /** Voluntary context switches of all threads while nothing is sent. */
  readonly wakeUpsPerSecond: number;
}

const COUNTS = [1, 10, 100, 1_000] as const;
/** 1,000 interfaces take some seconds, most of it in the kernel. */
const LIMIT_MS = 120_000;
/** Before counting: what starting set in motion has come to rest. */
const SETTLE_MS = 2_000;
const IDLE_SECONDS = 5;
const CHILD = fileURLToPath(new URL("./scale-child.js", import.meta.url));

/** With 1, 10, 100 and 1,000 interfaces, as far as `most`. */
export async function measureScale(most: number): Promise<ScaleFigures[]> {
  const figures: ScaleFigures[] = [];
  for (const count of COUNTS.filter((candidate) => candidate <= most)) {
    tell(`scale: ${count} interfaces`);
    figures.push(await inLab((lab) => measureCount(lab, count)));
  }
  return figures;
}

async function measureCount(lab: Lab, count: number): Promise<ScaleFigures> {
  const namespace = await lab.namespace("n");
  const child = namespace.spawn([process.execPath, CHILD, `${count}`, lab.name("s")]);
  await child.waitFor("}\n", LIMIT_MS);
  const made = JSON.parse(child.output) as Made;
  await sleep(SETTLE_MS);
  const before = contextSwitches(child.pid);
  await sleep(IDLE_SECONDS * 1_000);
  return {
    interfaces: count,
    resident: residentBytes(child.pid),
    createMs: made.milliseconds,
    wakeUpsPerSecond: (contextSwitches(child.pid) - before) / IDLE_SECONDS,
  };
}

/** Voluntary ones (proc(5)), of all threads: how often they were woken from a wait, give or take. */
function contextSwitches(pid: number): number {
  let sum = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const status = readFileSync(`/proc/${pid}/task/${thread}/status`, "latin1");
    sum += Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)?.[1] ?? 0);
  }
  return sum;
}

/** Bytes of memory per interface beyond the first, by the largest count; NaN with one count only. */
export function bytesPerInterface(figures: readonly ScaleFigures[]): number {
  const first = figures[0];
  const last = figures.at(-1);
  if (first === undefined || last === undefined || first === last) return Number.NaN;
  return (last.resident - first.resident) / (last.interfaces - first.interfaces);
}

export function formatScale(figures: readonly ScaleFigures[]): string {
  const rows = figures.map((row) => [
    `${row.interfaces}`,
    (row.resident / MIB).toFixed(1),
    row.createMs.toFixed(0),
    row.wakeUpsPerSecond.toFixed(1),
  ]);
  const head = ["interfaces", "memory, MiB", "made in, ms", "wake-ups, 1/s"];
  const each = (bytesPerInterface(figures) / MIB).toFixed(3);
  return `${align([head, ...rows])}\nmemory per extra interface: ${each} MiB`;
}
