#!/usr/bin/env node
/**
 * `npm run coverage`: the unit project (with few storms), and what of `src/` it runs, by layer (`layers.mjs`). Fails if a test does, or
 * if a layer of the protocol has less than 95 % of its branches covered. `--html` leaves a report of every line in `coverage/`; other
 * arguments go to Vitest. `npm test -- --coverage` measures the same in its own run of the unit project.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { coverageArguments, printLayers } from "./layers.mjs";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");
/** Fewer than `npm test` has: what they reach, they reach early. */
const STORM_SEEDS = "200";

function measure(folder, args) {
  const { status } = spawnSync(
    join(ROOT, "node_modules", ".bin", "vitest"),
    [
      "run",
      "--project=unit",
      ...coverageArguments(folder),
      ...(args.includes("--html") ? ["--coverage.reporter=html"] : []),
      ...args.filter((arg) => arg !== "--html"),
    ],
    { cwd: ROOT, stdio: "inherit", env: { STORM_SEEDS, ...process.env } },
  );
  return status === 0;
}

function main(args) {
  const isKept = args.includes("--html");
  const folder = isKept
    ? join(ROOT, "coverage")
    : mkdtempSync(join(tmpdir(), "wirehaul-coverage-"));
  try {
    const isGreen = measure(folder, args);
    const below = printLayers(folder);
    if (isKept) console.log(`\nEvery line: ${join(folder, "index.html")}`);
    process.exitCode = isGreen && below.length === 0 ? 0 : 1;
  } finally {
    if (!isKept) rmSync(folder, { recursive: true, force: true });
  }
}

main(process.argv.slice(2));
