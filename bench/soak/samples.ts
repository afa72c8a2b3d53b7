/** What is sampled of a running program, and the files that keep it. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { askStatus } from "../../src/cli/status.ts";
import { MIB } from "../table.ts";

/** One look at a program, by its status (`wirehaul status --json`). */
export interface Sample {
  /** Seconds since the start. */
  readonly time: number;
  /** Mebibytes. */
  readonly resident: number;
  readonly heap: number;
  readonly laneHeap: number;
  readonly descriptors: number;
  readonly threads: number;
  /** Of the interface that stays. */
  readonly timers: number;
  readonly indexes: number;
  /** Taken after the garbage was collected. */
  readonly isSettled: boolean;
}

export type Figure = Exclude<keyof Sample, "time" | "isSettled">;

export const FIGURES: readonly Figure[] = [
  "resident",
  "heap",
  "laneHeap",
  "descriptors",
  "threads",
  "timers",
  "indexes",
];

/** Something that was done to the network, or went wrong in it. */
export interface Mark {
  readonly what: string;
  /** Seconds since the start. */
  readonly from: number;
  readonly to: number;
}

export interface Rate {
  readonly time: number;
  readonly title: string;
  readonly gigabits: number;
}

/** All that a run found. */
export interface RunRecord {
  readonly duration: number;
  readonly samples: ReadonlyMap<string, readonly Sample[]>;
  readonly marks: readonly Mark[];
  readonly rates: readonly Rate[];
}

export async function takeSample(name: string, time: number, isSettled: boolean): Promise<Sample> {
  const { process, timers, indexes } = await askStatus(name);
  return {
    time: Math.round(time * 10) / 10,
    resident: round(process.residentBytes / MIB),
    heap: round(process.heapBytes / MIB),
    laneHeap: round(process.laneHeapBytes / MIB),
    descriptors: process.descriptors,
    threads: process.threads,
    timers,
    indexes,
    isSettled,
  };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

/** `samples.csv`, a line a sample, and `run.json` with everything. */
export function saveRecord(folder: string, record: RunRecord, verdict: object): void {
  const lines = [["program", "time_s", ...FIGURES, "settled"].join(",")];
  for (const [program, samples] of record.samples) {
    for (const sample of samples) {
      const figures = FIGURES.map((figure) => sample[figure]);
      lines.push([program, sample.time, ...figures, Number(sample.isSettled)].join(","));
    }
  }
  writeFileSync(join(folder, "samples.csv"), `${lines.join("\n")}\n`);
  const content = { ...verdict, ...record, samples: Object.fromEntries(record.samples) };
  writeFileSync(join(folder, "run.json"), `${JSON.stringify(content)}\n`);
}
