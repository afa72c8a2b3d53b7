#!/usr/bin/env node
/**
 * `npm run coverage`: the unit project (with storms), and what of `src/` it runs, by layer. Fails if a test does, or if a layer of the
 * protocol has less than 95 % of its branches covered. `--html` leaves a report of every line in `coverage/`; other arguments go to
 * Vitest. Code that only runs in processes and threads of their own (workers, much of io, engine and cli) is tested end to end, which
 * is not measured here.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");
/** Per cent of branches: what decides about packets and keys. Others are shown only. */
const BOUND = 95;
const BOUNDED = ["bytes", "crypto", "wire", "route", "uapi", "session", "tunnel", "lane"];
const SHOWN = ["io", "engine", "control", "cli", "index"];
/** Fewer than `npm test` has: what they reach, they reach early. */
const STORM_SEEDS = "200";

function layerOf(path) {
  const [, first = ""] = relative(ROOT, path).split("/");
  return first.replace(/\.ts$/, "");
}

function measure(folder, args) {
  const { status } = spawnSync(
    join(ROOT, "node_modules", ".bin", "vitest"),
    [
      "run",
      "--project=unit",
      "--coverage.enabled",
      "--coverage.provider=v8",
      "--coverage.reportOnFailure",
      "--coverage.include=src/**/*.ts",
      "--coverage.exclude=src/version.ts",
      "--coverage.reporter=json-summary",
      ...(args.includes("--html") ? ["--coverage.reporter=html"] : []),
      `--coverage.reportsDirectory=${folder}`,
      ...args.filter((arg) => arg !== "--html"),
    ],
    { cwd: ROOT, stdio: "inherit", env: { STORM_SEEDS, ...process.env } },
  );
  const summary = JSON.parse(readFileSync(join(folder, "coverage-summary.json"), "utf8"));
  delete summary.total;
  return { isGreen: status === 0, summary };
}

function percent({ covered, total }) {
  return total === 0 ? 100 : (100 * covered) / total;
}

function sumOf(files, kind) {
  const add = (key) => files.reduce((sum, file) => sum + file[kind][key], 0);
  return { covered: add("covered"), total: add("total") };
}

/** Prints the table; returns the layers that are below their bound. */
function report(summary) {
  const entries = Object.entries(summary);
  const below = [];
  console.log("\nlayer     files   lines  functions  branches          bound");
  for (const name of [...BOUNDED, ...SHOWN]) {
    const files = entries.filter(([path]) => layerOf(path) === name).map(([, file]) => file);
    const branches = sumOf(files, "branches");
    const isBounded = BOUNDED.includes(name);
    const isBelow = isBounded && (files.length === 0 || percent(branches) < BOUND);
    if (isBelow) below.push(name);
    const figures = [
      name.padEnd(9),
      `${files.length}`.padStart(6),
      percent(sumOf(files, "lines")).toFixed(1).padStart(8),
      percent(sumOf(files, "functions")).toFixed(1).padStart(11),
      percent(branches).toFixed(1).padStart(10),
      `${branches.covered}/${branches.total}`.padStart(10),
      (isBounded ? `${BOUND}` : "-").padStart(5),
      isBelow ? "  BELOW" : "",
    ];
    console.log(figures.join(""));
  }
  const names = new Set(entries.map(([path]) => layerOf(path)));
  const unknown = [...names].filter((name) => ![...BOUNDED, ...SHOWN].includes(name));
  if (unknown.length > 0) throw new Error(`scripts/coverage.mjs does not know: ${unknown}`);
  return below;
}

function main(args) {
  const isKept = args.includes("--html");
  const folder = isKept
    ? join(ROOT, "coverage")
    : mkdtempSync(join(tmpdir(), "wirehaul-coverage-"));
  try {
    const { isGreen, summary } = measure(folder, args);
    const below = report(summary);
    if (isKept) console.log(`\nEvery line: ${join(folder, "index.html")}`);
    if (below.length > 0) console.log(`\nBelow ${BOUND} % of branches: ${below.join(", ")}`);
    process.exitCode = isGreen && below.length === 0 ? 0 : 1;
  } finally {
    if (!isKept) rmSync(folder, { recursive: true, force: true });
  }
}

main(process.argv.slice(2));
