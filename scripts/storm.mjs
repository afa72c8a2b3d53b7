/**
 * `npm run storm -- [--seeds N] [--seed FIRST]`: storms of test/sim/storm.ts from seed FIRST on; with --seed alone, that one. Many are
 * shared out over as many processes as there are cores.
 */
import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");
/** Fewer are not worth another process. */
const SHARE_MIN = 250;

/** Runs storms; what it prints is held back, so that shares do not mix. */
function run(first, seeds) {
  const child = spawn(
    join(ROOT, "node_modules", ".bin", "vitest"),
    ["run", "--project", "unit", "test/sim/storm.test.ts"],
    {
      cwd: ROOT,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, STORM_SEEDS: `${seeds}`, STORM_FIRST: `${first}` },
    },
  );
  const output = [];
  child.stdout.on("data", (bytes) => output.push(bytes));
  child.stderr.on("data", (bytes) => output.push(bytes));
  return new Promise((resolve) => {
    child.on("close", (status) => {
      process.stdout.write(Buffer.concat(output));
      resolve(status === 0);
    });
  });
}

function integer(text, name) {
  if (!/^[0-9]{1,9}$/.test(text)) {
    console.error(`--${name} must be a number, it is "${text}"`);
    process.exit(1);
  }
  return Number(text);
}

const { values } = parseArgs({ options: { seeds: { type: "string" }, seed: { type: "string" } } });
const first = integer(values.seed ?? "1", "seed");
const seeds = integer(values.seeds ?? (values.seed === undefined ? "10000" : "1"), "seeds");
const shares = Math.max(1, Math.min(availableParallelism(), Math.floor(seeds / SHARE_MIN)));
const started = performance.now();
const results = await Promise.all(
  Array.from({ length: shares }, (_, share) => {
    const from = Math.floor((seeds * share) / shares);
    return run(first + from, Math.floor((seeds * (share + 1)) / shares) - from);
  }),
);
const seconds = ((performance.now() - started) / 1_000).toFixed(0);
const isGreen = results.every((result) => result);
console.log(`${seeds} storms in ${seconds} s: ${isGreen ? "all invariants hold" : "FAILED"}`);
process.exit(isGreen ? 0 : 1);
