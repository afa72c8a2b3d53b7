/**
 * `npm run soak`: minutes, hours or days of traffic, rekeys and churn, and what they leave in memory, descriptors, threads, timers and
 * receiver indexes. Writes samples (CSV), everything (JSON) and a chart (SVG) to `soak/DATE`, prints a table, and ends with 1 if a
 * figure grew beyond its bound, a window of pings was not answered, or a program ended or failed.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ROOT } from "../../src/cli/demo/implementations.ts";
import type { Lab } from "../../src/cli/demo/lab.ts";
import { inLab } from "../in-lab.ts";
import { align } from "../table.ts";
import { drawChart } from "./chart.ts";
import { askToCollect } from "./collect.ts";
import { eventAt } from "./events.ts";
import { makeNetwork, type Network, SPOKES } from "./network.ts";
import { type Options, parseOptions, USAGE } from "./options.ts";
import { type Rate, type RunRecord, type Sample, saveRecord, takeSample } from "./samples.ts";
import { PingWatch, transfer, WINDOW_SECONDS } from "./traffic.ts";
import { type Excuse, type GrowthLine, isWithin, judgeGrowth, judgeWindows } from "./verdict.ts";

/** Of a run, so many samples of a program, at most one a second and at least one a minute. */
const SAMPLES = 600;
/** Before each of these samples garbage is collected: what is left then is what is held. */
const SETTLED_EVERY = 5;
/** Within 100 ms; later where the lane is busy. */
const COLLECTION_MS = 500;
const EVENT_PAUSE_MS = 2_000;
const TRANSFER_PAUSE_MS = 2_000;
const HOUR = 3_600;
/** The last windows: whoever was touched is well again, and the end is as quiet as the beginning. */
const QUIET_SECONDS = 2 * WINDOW_SECONDS;

function tell(text: string): void {
  process.stderr.write(`soak: ${text}\n`);
}

/** A run while it goes on. */
class Soak {
  readonly problems: string[] = [];
  readonly excuses: Excuse[] = [];
  readonly rates: Rate[] = [];
  readonly samples: ReadonlyMap<string, Sample[]> = new Map([
    ["hub", []],
    ["steady", []],
  ]);
  readonly #network: Network;
  readonly #duration: number;
  readonly #startMs: number = Date.now();

  constructor(network: Network, duration: number) {
    this.#network = network;
    this.#duration = duration;
  }

  get now(): number {
    return (Date.now() - this.#startMs) / 1_000;
  }

  /** Everything at once until the time is up or something is wrong; how long that was. */
  async run(): Promise<number> {
    const watches = SPOKES.map((title) => new PingWatch(this.#network, title, this.#startMs));
    await Promise.all([this.#sample(), this.#trouble(), this.#transfer()]);
    const end = this.now;
    for (const watch of watches) {
      if (!watch.isRunning) this.#fail(`the pings to ${watch.title} ended early`);
      const { answered, excused, failed } = judgeWindows(
        watch.title,
        await watch.stop(end),
        this.excuses,
      );
      tell(`pings to ${watch.title}: ${answered} windows answered, ${excused} excused`);
      if (answered === 0) this.#fail(`no window of pings to ${watch.title} was answered`);
      for (const { from, to, received } of failed) {
        this.#fail(`pings to ${watch.title}: ${received} answers from ${from} s to ${to} s`);
      }
    }
    return end;
  }

  get #goesOn(): boolean {
    return this.problems.length === 0 && this.now < this.#duration;
  }

  #fail(problem: string): void {
    tell(problem);
    this.problems.push(problem);
  }

  async #sample(): Promise<void> {
    const intervalMs = Math.min(Math.max((this.#duration * 1_000) / SAMPLES, 1_000), 60_000);
    const names = { hub: this.#network.hub.name, steady: this.#network.spokes.steady.node.name };
    for (let index = 0; this.#goesOn; index++) {
      const isSettled = index % SETTLED_EVERY === SETTLED_EVERY - 1;
      for (const [program, name] of Object.entries(names)) {
        try {
          if (isSettled) {
            await askToCollect(name);
            await this.#pause(COLLECTION_MS);
          }
          this.samples.get(program)!.push(await takeSample(name, this.now, isSettled));
        } catch (error) {
          this.#fail(`${program}: ${(error as Error).message}`);
        }
      }
      this.#checkPrograms();
      await this.#pause(intervalMs);
    }
  }

  /** Nobody ends that was not ended by an event. */
  #checkPrograms(): void {
    const { hub, spokes } = this.#network;
    const { steady, guest } = spokes;
    const programs = [hub.program, steady.node.program, guest.node.program];
    for (const { isRunning, title, output } of programs) {
      if (!isRunning) this.#fail(`\`${title}\` has ended: ${output.slice(-500)}`);
    }
    if (/churn failed.*/.test(hub.program.output)) {
      this.#fail(/churn failed.*/.exec(hub.program.output)![0]);
    }
  }

  async #trouble(): Promise<void> {
    const hasLong = this.#duration >= HOUR;
    for (let index = 0; this.now < this.#duration - QUIET_SECONDS && this.#goesOn; index++) {
      const { what, touches, graceSeconds, happen } = eventAt(index, hasLong);
      const from = this.now;
      try {
        await happen(this.#network);
      } catch (error) {
        this.#fail(`${what}: ${(error as Error).message}`);
      }
      this.excuses.push({ what, touches, from, to: this.now + graceSeconds });
      await this.#pause(EVENT_PAUSE_MS);
    }
  }

  async #transfer(): Promise<void> {
    for (let index = 0; this.#goesOn; index++) {
      const time = this.now;
      try {
        const { title, gigabits } = await transfer(this.#network, index);
        this.rates.push({ time, title, gigabits });
      } catch (error) {
        this.#fail(`transfer ${index}: ${(error as Error).message}`);
      }
      await this.#pause(TRANSFER_PAUSE_MS);
    }
  }

  /** Not past the end. */
  async #pause(ms: number): Promise<void> {
    await sleep(Math.max(0, Math.min(ms, (this.#duration - this.now) * 1_000)));
  }
}

function describe(lines: readonly GrowthLine[]): string {
  const show = (value: number): string => (Number.isNaN(value) ? "-" : value.toFixed(2));
  const rows = lines.map((line) => [
    `${line.program}, ${line.figure}`,
    ...[line.first, line.last, line.grown, line.perHour, line.max].map(show),
    isWithin(line) ? "yes" : "NO",
  ]);
  const head = ["figure (memory in MiB)", "first", "last", "grown", "per hour", "at most", "met"];
  return align([head, ...rows]);
}

async function soak(lab: Lab, { minutes, lanes }: Options): Promise<boolean> {
  const duration = minutes * 60;
  tell(`${minutes} minutes, ${lanes} lanes; making the network`);
  const run = new Soak(await makeNetwork(lab, lanes), duration);
  const end = await run.run();
  const growth = [...run.samples].flatMap(([program, samples]) =>
    // Of a run that was broken off nothing can be said.
    end < duration ? [] : judgeGrowth(program, samples, duration),
  );
  const grown = growth.filter((line) => !isWithin(line));
  run.problems.push(...grown.map(({ program, figure }) => `${program}: ${figure} grows`));
  const folder = join(ROOT, "soak", new Date().toISOString().replaceAll(":", "-").slice(0, 19));
  mkdirSync(folder, { recursive: true });
  const marks = run.excuses.map(({ what, from, to }) => ({ what, from, to }));
  const record: RunRecord = { duration: end, samples: run.samples, marks, rates: run.rates };
  saveRecord(folder, record, { minutes, lanes, problems: run.problems, growth });
  writeFileSync(join(folder, "soak.svg"), drawChart(record));
  if (growth.length > 0) process.stdout.write(`${describe(growth)}\n`);
  const passed = run.problems.length === 0;
  const counts = `${marks.length} events, ${run.rates.length} transfers`;
  process.stdout.write(`${passed ? "passed" : "FAILED"}: ${counts}; ${folder}\n`);
  for (const problem of run.problems) process.stdout.write(`  ${problem}\n`);
  return passed;
}

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2));
  if (typeof options === "string") {
    process.stderr.write(`soak: ${options}\n${USAGE}`);
    return 1;
  }
  if (process.getuid?.() !== 0) {
    tell("root is needed to make network namespaces: run it with sudo");
    return 1;
  }
  return (await inLab((lab) => soak(lab, options))) ? 0 : 1;
}

process.exitCode = await main();
