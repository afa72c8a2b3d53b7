/**
 * What of `src/` the unit project runs, by layer: Vitest's arguments that measure it, and the table. Code that only runs in processes and
 * threads of their own (workers, much of io, engine and cli) is tested end to end, which is not measured here.
 */
import { readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");
/** Per cent of branches: what decides about packets and keys. Others are shown only. */
const BOUND = 95;
const BOUNDED = ["bytes", "crypto", "wire", "route", "uapi", "session", "tunnel", "lane"];
const SHOWN = ["io", "engine", "control", "cli", "index"];

function layerOf(path) {
  const [, first = ""] = relative(ROOT, path).split("/");
  return first.replace(/\.ts$/, "");
}

/** Vitest's arguments by which it leaves a report in `folder`. */
export function coverageArguments(folder) {
  return [
    "--coverage.enabled",
    "--coverage.provider=v8",
    "--coverage.reportOnFailure",
    "--coverage.include=src/**/*.ts",
    "--coverage.exclude=src/version.ts",
    "--coverage.reporter=json-summary",
    `--coverage.reportsDirectory=${folder}`,
  ];
}

function percent({ covered, total }) {
  return total === 0 ? 100 : (100 * covered) / total;
}

function sumOf(files, kind) {
  const add = (key) => files.reduce((sum, file) => sum + file[kind][key], 0);
  return { covered: add("covered"), total: add("total") };
}

/** Prints the table of the report in `folder`; returns the layers that are below their bound. Throws if there is no report. */
export function printLayers(folder) {
  const summary = JSON.parse(readFileSync(join(folder, "coverage-summary.json"), "utf8"));
  delete summary.total;
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
  if (unknown.length > 0) throw new Error(`scripts/layers.mjs does not know: ${unknown}`);
  if (below.length > 0) console.log(`\nBelow ${BOUND} % of branches: ${below.join(", ")}`);
  return below;
}
