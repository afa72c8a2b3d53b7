#!/usr/bin/env node
/**
 * `npm run fuzz -- [--minutes N] [--target NAME ...] [--seed N] [--keep]`: all fuzz targets, N minutes in all (1), and a table.
 * `npm run fuzz -- --target NAME --input FILE` replays one input.
 *
 * Inputs that reach something new go to .fuzz/corpus, which the next run begins with; with --keep the best of them, made small, also
 * to test/fuzz/corpus, which `npm test` replays. A finding is written to .fuzz/findings with the command that repeats it.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { buildTarget, findCompiler, findFuzzer, NATIVE_TARGETS } from "./fuzz-native.mjs";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");
const WORK = join(ROOT, ".fuzz");
const MAIN = join(WORK, "js", "test", "fuzz", "main.js");
const FINDINGS = join(WORK, "findings");
/** Parts of the time. */
const SHARES = {
  lane: 4,
  packets: 2,
  uapi: 2,
  configuration: 1,
  arguments: 1,
  split: 1,
  coalesce: 2,
  message: 1,
  filter: 1,
};
const NATIVE_BYTES_MAX = 600;
/** Inputs of a kept corpus: it is in the repository, and every test run replays it. */
const KEPT_MAX = 80;
/** A process that says nothing for so long hangs: an input takes milliseconds. */
const SILENCE_MS = 60_000;

const keptFolder = (name) => join(ROOT, "test", "fuzz", "corpus", name);
const scratchFolder = (name) => join(WORK, "corpus", name);
const shown = (path) => relative(process.cwd(), path) || ".";

class Usage extends Error {}

function options() {
  const text = { type: "string" };
  const { values } = parseArgs({
    options: {
      minutes: text,
      target: { type: "string", multiple: true },
      seed: text,
      input: text,
      keep: { type: "boolean" },
    },
  });
  const minutes = Number(values.minutes ?? 1);
  const seed = Number(values.seed ?? 1 + (Date.now() % 1_000_000));
  if (!(minutes > 0)) throw new Usage(`--minutes must be above 0, it is "${values.minutes}"`);
  if (!Number.isSafeInteger(seed) || seed < 1) throw new Usage("--seed must be a whole number");
  const names = values.target ?? Object.keys(SHARES);
  const unknown = names.find((name) => !Object.hasOwn(SHARES, name));
  if (unknown !== undefined) {
    throw new Usage(`there is no target "${unknown}", only ${Object.keys(SHARES).join(", ")}`);
  }
  if (values.input !== undefined && names.length !== 1)
    throw new Usage("--input needs one --target");
  return { minutes, seed, names, input: values.input, keep: values.keep === true };
}

/** Compiles sources and targets to .fuzz/js: Node 20 cannot run them as they are. */
function buildTypeScript() {
  const tsc = join(ROOT, "node_modules", ".bin", "tsc");
  const { status } = spawnSync(tsc, ["-p", "tsconfig.fuzz.json"], { cwd: ROOT, stdio: "inherit" });
  if (status !== 0) throw new Error("the fuzz targets do not compile");
}

function saveFinding(name, bytes, reason) {
  mkdirSync(FINDINGS, { recursive: true });
  const id = createHash("sha256").update(bytes).digest("hex").slice(0, 12);
  const path = join(FINDINGS, `${name}-${id}`);
  writeFileSync(path, bytes);
  tellFinding(name, path, bytes.length, reason);
  return path;
}

function tellFinding(name, path, size, reason) {
  console.log(`\nFINDING in ${name}: ${reason.split("\n").slice(0, 12).join("\n")}`);
  console.log(`  input (${size} bytes): ${shown(path)}`);
  console.log(`  repeat it with: npm run fuzz -- --target ${name} --input ${shown(path)}\n`);
}

/** One line that is written over, on a terminal; elsewhere nothing. */
function progress(name, { runs, reached, news }) {
  if (!process.stdout.isTTY) return;
  process.stdout.write(`\r${name}: ${runs} inputs, ${reached} reached, ${news} new   `);
}

function start(command, args) {
  const child = spawn(command, args, { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
  const exit = new Promise((resolve) => {
    child.on("close", (code, signal) => resolve({ code, signal }));
    child.on("error", (error) => resolve({ code: null, signal: error.message }));
  });
  return { child, exit };
}

async function fuzzTypeScript(name, seconds, seed) {
  const current = join(WORK, `current-${name}`);
  const { child, exit } = start(process.execPath, [
    MAIN,
    "fuzz",
    name,
    `--seed=${seed}`,
    `--seconds=${seconds}`,
    `--kept=${keptFolder(name)}`,
    `--scratch=${scratchFolder(name)}`,
    `--current=${current}`,
  ]);
  const result = { name, runs: 0, seconds, news: 0, reached: 0, findings: 0 };
  let isHanging = false;
  const hang = () => {
    isHanging = true;
    child.kill("SIGKILL");
  };
  let timer = setTimeout(hang, SILENCE_MS);
  let errors = "";
  child.stderr.on("data", (chunk) => {
    errors = `${errors}${chunk}`.slice(-4_000);
  });
  for await (const line of createInterface({ input: child.stdout })) {
    clearTimeout(timer);
    timer = setTimeout(hang, SILENCE_MS);
    const message = JSON.parse(line);
    if (message.kind === "finding") {
      result.findings++;
      saveFinding(name, Uint8Array.from(message.input), message.reason);
    } else {
      Object.assign(result, message);
      progress(name, result);
    }
  }
  clearTimeout(timer);
  const { code, signal } = await exit;
  if (code === 0) return result;
  // It did not end by itself: the input at hand is what did it.
  result.findings++;
  const record = existsSync(current) ? readFileSync(current) : Buffer.alloc(4);
  const input = record.subarray(4, 4 + (record.length < 4 ? 0 : record.readUInt32LE(0)));
  const reason = isHanging ? `no answer for ${SILENCE_MS} ms` : `${signal ?? code}: ${errors}`;
  saveFinding(name, input, reason);
  return result;
}

async function fuzzNative(name, seconds, seed, clang) {
  const binary = buildTarget(name, clang, true);
  for (const folder of [scratchFolder(name), keptFolder(name), FINDINGS]) {
    mkdirSync(folder, { recursive: true });
  }
  const before = new Set(readdirSync(FINDINGS));
  const { child, exit } = start(binary, [
    `-max_total_time=${Math.max(1, Math.round(seconds))}`,
    `-seed=${seed}`,
    `-max_len=${NATIVE_BYTES_MAX}`,
    "-timeout=20",
    "-print_final_stats=1",
    `-artifact_prefix=${FINDINGS}/${name}-`,
    scratchFolder(name),
    keptFolder(name),
  ]);
  child.stdout.resume();
  const result = { name, runs: 0, seconds, news: 0, reached: 0, findings: 0 };
  let atStart;
  let text = "";
  const begun = Date.now();
  for await (const line of createInterface({ input: child.stderr })) {
    if (!/^#|^stat|RECOMMENDED|^"/.test(line)) text = `${text}${line}\n`.slice(0, 8_000);
    const features = /^#(\d+)\s+(INITED|NEW|REDUCE|pulse|DONE)\s+cov: \d+ ft: (\d+)/.exec(line);
    if (features !== null) {
      atStart ??= Number(features[3]);
      result.runs = Number(features[1]);
      result.reached = Number(features[3]);
      result.news = result.reached - atStart;
      progress(name, result);
    }
    const units = /^stat::number_of_executed_units:\s+(\d+)/.exec(line);
    if (units !== null) result.runs = Number(units[1]);
  }
  const { code } = await exit;
  result.seconds = (Date.now() - begun) / 1_000;
  const files = readdirSync(FINDINGS).filter((file) => !before.has(file));
  for (const file of files.filter((one) => one.startsWith(`${name}-`))) {
    result.findings++;
    const path = minimiseNative(binary, join(FINDINGS, file));
    tellFinding(name, path, statSync(path).size, text);
  }
  if (code !== 0 && result.findings === 0) {
    throw new Error(`${name} ended with ${code} and left no input:\n${text}`);
  }
  return result;
}

function minimiseNative(binary, path) {
  const smaller = `${path}.small`;
  spawnSync(binary, [
    "-minimize_crash=1",
    "-max_total_time=10",
    `-exact_artifact_path=${smaller}`,
    path,
  ]);
  // What libFuzzer makes of it may be another finding, but it is one.
  if (existsSync(smaller)) renameSync(smaller, path);
  return path;
}

function keepTypeScript(name) {
  const result = spawnSync(
    process.execPath,
    [
      MAIN,
      "keep",
      name,
      `--kept=${keptFolder(name)}`,
      `--scratch=${scratchFolder(name)}`,
      `--most=${KEPT_MAX}`,
    ],
    { cwd: ROOT, encoding: "utf8" },
  );
  if (result.status !== 0) throw new Error(`${name}: nothing is kept: ${result.stderr}`);
  const { before, inputs, bytes } = JSON.parse(result.stdout);
  console.log(`${name}: kept ${inputs} inputs (${before} before), ${bytes} bytes`);
}

function keepNative(name, clang) {
  const binary = buildTarget(name, clang, true);
  const kept = keptFolder(name);
  const fresh = join(WORK, `merged-${name}`);
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh, { recursive: true });
  const sources = [kept, scratchFolder(name)].filter((folder) => existsSync(folder));
  const flags = ["-merge=1", "-use_counters=0", `-max_len=${NATIVE_BYTES_MAX}`];
  const { status, stderr } = spawnSync(binary, [...flags, fresh, ...sources], { encoding: "utf8" });
  if (status !== 0) throw new Error(`${name}: nothing is kept:\n${stderr}`);
  rmSync(kept, { recursive: true, force: true });
  mkdirSync(kept, { recursive: true });
  let bytes = 0;
  for (const file of readdirSync(fresh)) {
    bytes += statSync(join(fresh, file)).size;
    renameSync(join(fresh, file), join(kept, file.slice(0, 12)));
  }
  rmSync(fresh, { recursive: true, force: true });
  console.log(`${name}: kept ${readdirSync(kept).length} inputs, ${bytes} bytes`);
}

function replay(name, input) {
  if (!existsSync(input)) throw new Usage(`there is no input ${input}`);
  if (NATIVE_TARGETS.includes(name)) {
    const compiler = findCompiler();
    if (compiler === undefined) throw new Error("no C compiler: run `apt-get install gcc`");
    const { status } = spawnSync(buildTarget(name, compiler, false), [input], { stdio: "inherit" });
    return status === 0;
  }
  const { stdout, status } = spawnSync(
    process.execPath,
    [MAIN, "replay", name, `--kept=${input}`],
    {
      cwd: ROOT,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const messages = stdout
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));
  for (const { kind, reason } of messages) if (kind === "finding") console.log(reason);
  return status === 0 && messages.every(({ kind }) => kind === "end");
}

function printTable(results) {
  const rows = [["target", "inputs", "a second", "reached", "new", "findings"]];
  for (const { name, runs, seconds, reached, news, findings } of results) {
    const rate = Math.round(runs / Math.max(seconds, 0.001));
    rows.push([name, runs, rate, reached, news, findings].map(String));
  }
  const widths = rows[0].map((_cell, column) => Math.max(...rows.map((row) => row[column].length)));
  console.log();
  for (const row of rows) {
    const cells = row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column]),
    );
    console.log(cells.join("  "));
  }
}

async function main() {
  const { minutes, seed, names, input, keep } = options();
  mkdirSync(WORK, { recursive: true });
  if (names.some((name) => !NATIVE_TARGETS.includes(name))) buildTypeScript();
  if (input !== undefined) {
    const isGood = replay(names[0], input);
    console.log(isGood ? "no finding" : "the finding is still there");
    return isGood ? 0 : 1;
  }
  const { clang, missing } = findFuzzer();
  const wanted = names.filter((name) => clang !== undefined || !NATIVE_TARGETS.includes(name));
  for (const name of names) {
    if (!wanted.includes(name)) console.log(`${name}: not run, ${missing}: npm run setup -- fuzz`);
  }
  const shares = wanted.reduce((sum, name) => sum + SHARES[name], 0);
  console.log(`seed ${seed}: ${wanted.length} targets in ${minutes} minutes`);
  const results = [];
  for (const name of wanted) {
    const seconds = (minutes * 60 * SHARES[name]) / shares;
    const result = NATIVE_TARGETS.includes(name)
      ? await fuzzNative(name, seconds, seed, clang)
      : await fuzzTypeScript(name, seconds, seed);
    if (process.stdout.isTTY) process.stdout.write("\r\x1b[K");
    results.push(result);
  }
  if (keep) {
    for (const name of wanted) {
      if (results.some((result) => result.name === name && result.findings > 0)) {
        console.log(`${name}: nothing is kept while there are findings`);
      } else if (NATIVE_TARGETS.includes(name)) keepNative(name, clang);
      else keepTypeScript(name);
    }
  }
  printTable(results);
  return results.some(({ findings }) => findings > 0) ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`fuzz: ${error.message}`);
  if (!(error instanceof Usage || error.code?.startsWith?.("ERR_PARSE_ARGS"))) {
    console.error(error.stack);
  }
  process.exitCode = 2;
}
