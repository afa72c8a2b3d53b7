#!/usr/bin/env node
/**
 * `npm test`: types, lint, the unit project, then as root the three end-to-end projects side by side; what the others print comes
 * when they have ended. With `--coverage` the unit project is measured (`layers.mjs`). Other arguments go to Vitest (a file
 * name, -t ...).
 * The last line is `N passed, N failed` and, if so, `, N skipped`: all Vitest tests together; a failed check counts as one failure.
 * What failed, and why, is also added to the file that WIREHAUL_FAILURES names.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { coverageArguments, printLayers } from "./layers.mjs";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");
const IS_MEASURED = process.argv.includes("--coverage");
const FILTER = process.argv.slice(2).filter((arg) => arg !== "--coverage");
const BINARIES = join(ROOT, "node_modules", ".bin");

function run(name, args) {
  const result = spawnSync(join(BINARIES, name), args, { cwd: ROOT, stdio: "inherit" });
  return result.status === 0;
}

function check(name, args) {
  return verdict(name, run(name, args));
}

function verdict(name, isClean) {
  console.log(`${name}: ${isClean ? "clean" : "FAILED"}`);
  if (!isClean) tellFailure(`${name}: FAILED`);
  return { passed: 0, failed: isClean ? 0 : 1, skipped: 0 };
}

function tellFailure(text) {
  const file = process.env.WIREHAUL_FAILURES;
  if (file) appendFileSync(file, `${text}\n`);
}

function fullName(file, test) {
  return [relative(ROOT, file.name), ...test.ancestorTitles, test.title].join(" > ");
}

/** Counts one report; a file that could not be loaded has no tests and counts as a failure. */
function count(report) {
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const file of report.testResults) {
    for (const test of file.assertionResults) {
      if (test.status === "passed") total.passed++;
      else if (test.status === "failed") {
        total.failed++;
        tellFailure(`${fullName(file, test)}\n${test.failureMessages.join("\n")}`);
      } else {
        total.skipped++;
        // With a filter given, nearly all are.
        if (FILTER.length > 0) continue;
        console.log(
          `skipped: ${fullName(file, test)}: ${test.meta?.skipReason ?? "no reason given"}`,
        );
      }
    }
    const hasFailure = file.assertionResults.some((test) => test.status === "failed");
    if (file.status === "failed" && !hasFailure) {
      total.failed++;
      tellFailure(`${relative(ROOT, file.name)}\n${file.message}`);
    }
  }
  return total;
}

function projectArguments(project, output, more) {
  return [
    "run",
    "--project",
    project,
    "--passWithNoTests",
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${output}`,
    ...more,
    ...FILTER,
  ];
}

function read(project, output, isGreen) {
  let total;
  try {
    total = count(JSON.parse(readFileSync(output, "utf8")));
  } catch (error) {
    console.log(`${project}: Vitest left no report (${error.message})`);
    tellFailure(`${project}: Vitest left no report (${error.message})`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
  // An error outside of any test, such as an unhandled rejection.
  if (!isGreen && total.failed === 0) {
    total.failed = 1;
    tellFailure(`${project}: an error outside of any test`);
  }
  return total;
}

/** Runs one and shows what it prints, at once or when it has ended. */
async function runProject(project, folder, { isShownAtOnce, more = [] }) {
  const output = join(folder, `${project}.json`);
  const program = spawn(join(BINARIES, "vitest"), projectArguments(project, output, more), {
    cwd: ROOT,
    stdio: isShownAtOnce ? "inherit" : ["ignore", "pipe", "pipe"],
  });
  const printed = [];
  for (const stream of [program.stdout, program.stderr]) {
    stream?.on("data", (data) => printed.push(data));
  }
  const [status] = await once(program, "close");
  return () => {
    process.stdout.write(Buffer.concat(printed));
    return read(project, output, status === 0);
  };
}

async function runUnit(folder) {
  const isShownAtOnce = true;
  if (!IS_MEASURED) return [(await runProject("unit", folder, { isShownAtOnce }))()];
  const coverage = join(folder, "coverage");
  const more = coverageArguments(coverage);
  const tests = (await runProject("unit", folder, { isShownAtOnce, more }))();
  // Vitest that breaks off leaves none; that is a failure already.
  if (!existsSync(coverage)) return [tests];
  return [tests, verdict("coverage", printLayers(coverage).length === 0)];
}

async function main() {
  const folder = mkdtempSync(join(tmpdir(), "wirehaul-test-"));
  const results = [];
  try {
    results.push(check("tsc", ["-p", "tsconfig.json"]));
    results.push(check("biome", ["check", "."]));
    results.push(...(await runUnit(folder)));
    if (process.getuid() === 0) {
      const side = (project, isShownAtOnce = false) =>
        runProject(project, folder, { isShownAtOnce });
      const all = [side("e2e", true), side("node"), side("waiting")];
      for (const report of await Promise.all(all)) results.push(report());
    } else console.log("e2e: not run, network namespaces need root");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const sum = (key) => results.reduce((total, result) => total + result[key], 0);
  const skipped = sum("skipped");
  console.log(
    `${sum("passed")} passed, ${sum("failed")} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`,
  );
  process.exitCode = sum("failed") === 0 ? 0 : 1;
}

await main();
