/**
 * `npm run storm -- [--seeds N] [--seed FIRST]`: storms of test/sim/storm.ts from seed FIRST on; with --seed alone, that one.
 */
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";

const { values } = parseArgs({ options: { seeds: { type: "string" }, seed: { type: "string" } } });
const seeds = values.seeds ?? (values.seed === undefined ? "10000" : "1");
const { status } = spawnSync(
  "npx",
  ["vitest", "run", "--project", "unit", "test/sim/storm.test.ts"],
  {
    stdio: "inherit",
    env: { ...process.env, STORM_SEEDS: seeds, STORM_FIRST: values.seed ?? "1" },
  },
);
process.exit(status ?? 1);
