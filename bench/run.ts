/**
 * `npm run bench -- [--smoke] [--rounds N] [--seconds N] [--only NAME,NAME]`: throughput, delay, CPU and memory of the WireGuard
 * implementations that are on this machine, one after the other in each round, so that a machine's moods meet all alike.
 * Both ends run on the same machine: only ratios within one run mean something.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { ROOT } from "../src/cli/demo/implementations.ts";
import { Lab } from "../src/cli/demo/lab.ts";
import { CONTESTANTS, type Contestant, isPresent, makeCourse, versionOf } from "./contestant.ts";
import { type Effort, type Figures, measure } from "./measures.ts";
import { formatTable } from "./table.ts";

const USAGE = "usage: npm run bench -- [--smoke] [--rounds N] [--seconds N] [--only NAME,NAME]\n";
const SMOKE: Effort = { seconds: 1, pings: 50, hasUdpSearch: false };
const FULL: Effort = { seconds: 5, pings: 500, hasUdpSearch: true };
const FULL_ROUNDS = 3;

interface Options {
  readonly effort: Effort;
  readonly rounds: number;
  readonly contestants: readonly Contestant[];
}

function parse(args: readonly string[]): Options | undefined {
  const isSmoke = args.includes("--smoke");
  let { seconds } = isSmoke ? SMOKE : FULL;
  let rounds = isSmoke ? 1 : FULL_ROUNDS;
  let contestants = CONTESTANTS.filter(isPresent);
  const rest = args.filter((argument) => argument !== "--smoke");
  for (let option = rest.shift(); option !== undefined; option = rest.shift()) {
    const value = rest.shift() ?? "";
    if (option === "--rounds") rounds = Number(value);
    else if (option === "--seconds") seconds = Number(value);
    else if (option === "--only") {
      const names = value.split(",");
      contestants = contestants.filter((name) => names.includes(name));
      if (contestants.length !== names.length) return undefined;
    } else return undefined;
  }
  if (!(Number.isInteger(rounds) && rounds > 0 && Number.isInteger(seconds) && seconds > 0)) {
    return undefined;
  }
  return { effort: { ...(isSmoke ? SMOKE : FULL), seconds }, rounds, contestants };
}

const tell = (text: string): void => {
  process.stderr.write(`bench: ${text}\n`);
};

async function runOne(contestant: Contestant, effort: Effort): Promise<Figures> {
  const lab = new Lab();
  try {
    return await measure(await makeCourse(lab, contestant), effort);
  } catch (error) {
    process.stderr.write(lab.logs().slice(-4_000));
    throw error;
  } finally {
    await lab.close();
  }
}

function save(results: ReadonlyMap<string, readonly Figures[]>, facts: object): string {
  const folder = join(ROOT, "bench", "results");
  mkdirSync(folder, { recursive: true });
  const date = new Date().toISOString();
  const path = join(folder, `${date.replaceAll(":", "-").slice(0, 19)}.json`);
  const content = { date, ...facts, results: Object.fromEntries(results) };
  writeFileSync(path, `${JSON.stringify(content, null, 2)}\n`);
  return path;
}

async function main(): Promise<number> {
  const options = parse(process.argv.slice(2));
  if (options === undefined) {
    process.stderr.write(USAGE);
    return 1;
  }
  if (process.getuid?.() !== 0) {
    tell("root is needed to make network namespaces: run it with sudo");
    return 1;
  }
  const versions: { [name: string]: string } = {};
  for (const name of options.contestants) versions[name] = await versionOf(name);
  const results = new Map<Contestant, Figures[]>(options.contestants.map((name) => [name, []]));
  let failures = 0;
  for (let round = 1; round <= options.rounds; round++) {
    for (const name of options.contestants) {
      tell(`round ${round} of ${options.rounds}: ${name} (${versions[name]})`);
      try {
        results.get(name)!.push(await runOne(name, options.effort));
      } catch (error) {
        tell(`${name} failed: ${(error as Error).message}`);
        failures++;
      }
    }
  }
  process.stdout.write(`${formatTable(results)}\n`);
  const machine = {
    processor: cpus()[0]?.model,
    cores: cpus().length,
    memoryGigabytes: Math.round(totalmem() / 2 ** 30),
  };
  const facts = { machine, kernel: release(), node: process.version, versions };
  tell(`written to ${save(results, { ...facts, effort: options.effort })}`);
  return failures === 0 ? 0 : 1;
}

process.exitCode = await main();
