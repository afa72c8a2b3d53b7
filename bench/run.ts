/**
 * `npm run bench -- [--smoke] [--rounds N] [--seconds N] [--only NAME,NAME]`: throughput, delay, CPU and memory of the WireGuard
 * implementations that are on this machine, one after the other in each round, so that a machine's moods meet all alike.
 * Both ends run on the same machine: only ratios within one run mean something. `npm run bench -- micro`: see `micro.ts`.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { ROOT } from "../src/cli/demo/implementations.ts";
import { Lab } from "../src/cli/demo/lab.ts";
import { CONTESTANTS, type Contestant, isPresent, makeCourse, versionOf } from "./contestant.ts";
import { type Effort, type Figures, measure } from "./measures.ts";
import { formatMicro, measureMicro } from "./micro.ts";
import { formatTable } from "./table.ts";

const USAGE = `usage: npm run bench -- [--smoke] [--rounds N] [--seconds N] [--only NAME,NAME]
       npm run bench -- micro
`;
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

function facts(): object {
  return {
    machine: {
      processor: cpus()[0]?.model,
      cores: cpus().length,
      memoryGigabytes: Math.round(totalmem() / 2 ** 30),
    },
    kernel: release(),
    node: process.version,
  };
}

/** Writes one JSON file with the machine, the date and `content`; gives its path. */
function save(content: object): string {
  const folder = join(ROOT, "bench", "results");
  mkdirSync(folder, { recursive: true });
  const date = new Date().toISOString();
  const path = join(folder, `${date.replaceAll(":", "-").slice(0, 19)}.json`);
  writeFileSync(path, `${JSON.stringify({ date, ...facts(), ...content }, null, 2)}\n`);
  return path;
}

function micro(): number {
  const results = measureMicro((figure) => process.stdout.write(`${formatMicro(figure)}\n`));
  tell(`written to ${save({ micro: results })}`);
  return 0;
}

async function main(): Promise<number> {
  const args = process.argv.slice(2);
  if (args.length === 1 && args[0] === "micro") return micro();
  const options = parse(args);
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
  const { effort } = options;
  tell(`written to ${save({ versions, effort, results: Object.fromEntries(results) })}`);
  return failures === 0 ? 0 : 1;
}

process.exitCode = await main();
