/**
 * One fuzz target in a process of its own, started by scripts/fuzz.mjs. Says what it does in lines of JSON on standard output:
 *
 *   main.js fuzz TARGET --seed N (--seconds N | --runs N) --kept FOLDER --scratch FOLDER --current FILE
 *   main.js replay TARGET --kept PATH
 *   main.js keep TARGET --kept FOLDER --scratch FOLDER --most N
 *
 * FILE holds the input at hand, its length in front: what the parent finds there if this process dies or hangs.
 */
import { ftruncateSync, openSync, readdirSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { readInputs, writeInput } from "./guided/corpus.ts";
import { distil, failureOf, GuidedLoop } from "./guided/loop.ts";
import type { Target } from "./target.ts";
import { TARGETS } from "./targets.ts";

const REPORT_MS = 1_000;
/** Tries to make one input smaller when it is kept. */
const KEEP_TRIES = 60;

function say(message: object): void {
  writeSync(1, `${JSON.stringify(message)}\n`);
}

/** Writes the input at hand where the parent finds it. */
function recorder(path: string): (input: Uint8Array) => void {
  const fd = openSync(path, "w");
  const length = new Uint32Array(1);
  return (input) => {
    length[0] = input.length;
    writeSync(fd, new Uint8Array(length.buffer), 0, 4, 0);
    if (input.length > 0) writeSync(fd, input, 0, input.length, 4);
    ftruncateSync(fd, 4 + input.length);
  };
}

interface Options {
  readonly seed: number;
  readonly seconds: number;
  readonly runs: number;
  readonly most: number;
  readonly kept: string;
  readonly scratch: string;
  readonly current: string;
}

function fuzz(target: Target, { seed, seconds, runs, kept, scratch, current }: Options): void {
  const inputs = [...readInputs(kept), ...readInputs(scratch)];
  const begun = performance.now();
  let reportedMs = begun;
  const loop = new GuidedLoop({
    target,
    seed,
    inputs,
    before: recorder(current),
    keep: (input) => void writeInput(scratch, input),
    goOn: (progress) => {
      const now = performance.now();
      if (now - reportedMs >= REPORT_MS) {
        reportedMs = now;
        say({ kind: "progress", ...progress });
      }
      return progress.runs < runs && now - begun < seconds * 1_000;
    },
  });
  const { finding, ...progress } = loop.run();
  const took = (performance.now() - begun) / 1_000;
  if (finding !== undefined) {
    const { input, original, reason } = finding;
    say({ kind: "finding", reason, input: [...input], originalBytes: original.length });
  }
  say({ kind: "end", ...progress, seconds: took });
}

function replay(target: Target, { kept }: Options): void {
  const inputs = readInputs(kept);
  for (const input of inputs) {
    const failure = failureOf(target, input);
    if (failure !== undefined) say({ kind: "finding", reason: failure.reason, input: [...input] });
  }
  say({ kind: "end", runs: inputs.length });
}

/** Makes the kept corpus anew out of both: the fewest and smallest inputs, at most so many. */
function keep(target: Target, { kept, scratch, most }: Options): void {
  const before = readInputs(kept);
  const chosen = distil(target, [...before, ...readInputs(scratch)], most, KEEP_TRIES);
  for (const name of before.length > 0 ? readdirSync(kept) : []) rmSync(join(kept, name));
  for (const input of chosen) writeInput(kept, input);
  const bytes = chosen.reduce((sum, { length }) => sum + length, 0);
  say({ kind: "kept", before: before.length, inputs: chosen.length, bytes });
}

function main(): void {
  const text = { type: "string" } as const;
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seed: text,
      seconds: text,
      runs: text,
      most: text,
      kept: text,
      scratch: text,
      current: text,
    },
  });
  const target = TARGETS.find(({ name }) => name === positionals[1]);
  if (target === undefined) throw new Error(`there is no target "${positionals[1]}"`);
  const options: Options = {
    seed: Number(values.seed ?? 1),
    seconds: Number(values.seconds ?? Number.POSITIVE_INFINITY),
    runs: Number(values.runs ?? Number.POSITIVE_INFINITY),
    most: Number(values.most ?? Number.POSITIVE_INFINITY),
    kept: values.kept ?? "",
    scratch: values.scratch ?? "",
    current: values.current ?? "",
  };
  if (positionals[0] === "fuzz") fuzz(target, options);
  else if (positionals[0] === "keep") keep(target, options);
  else replay(target, options);
}

main();
