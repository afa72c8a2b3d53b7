#!/usr/bin/env node
/**
 * The suite on Node.js 24, whose binary comes from npm: it lands in node_modules/.cache/wirehaul/node24, and package.json and its
 * lock file know nothing of it.
 *
 *   node scripts/node24.mjs              all of `npm test`
 *   node scripts/node24.mjs --quick      test/unit, test/native and a part of the e2e project
 *   node scripts/node24.mjs FILTER ...   as `npm test -- FILTER ...`
 *   node scripts/node24.mjs --print      only fetches it and prints its path
 *
 * The addon is tried in both ways in which users have it: built for this Node (test/native alone), then built with the headers
 * of Node 24. Needs what `node scripts/setup.mjs test` makes.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");
const FOLDER = join(ROOT, "node_modules", ".cache", "wirehaul", "node24");
const VERSION = "24.21.0";
/** Of the packages that hold the binary, as `npm view node-linux-ARCH@VERSION dist.integrity` tells. */
const INTEGRITY = {
  x64: "sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==",
  arm64:
    "sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==",
};
/** What differs most between versions of Node and OpenSSL: crypto, memory, sockets, processes, descriptors. */
const QUICK = [
  ...["test/unit", "test/native"],
  ...["library", "lifecycle", "crypto-backends", "secrets", "unprivileged"].map(
    (name) => `test/e2e/${name}.test.ts`,
  ),
];

class NodeError extends Error {}

const say = (text) => process.stderr.write(`node24: ${text}\n`);
const PACKAGE = `node-linux-${process.arch}`;
const HOME = join(FOLDER, "node_modules", PACKAGE);
const NODE = join(HOME, "bin", "node");

/** What npm recorded of the package that is there. */
function installed() {
  const record = join(FOLDER, "node_modules", ".package-lock.json");
  if (!existsSync(record) || !existsSync(NODE)) return undefined;
  return JSON.parse(readFileSync(record, "utf8")).packages[`node_modules/${PACKAGE}`];
}

function fetchNode() {
  const integrity = INTEGRITY[process.arch];
  if (integrity === undefined) throw new NodeError(`there is no package for ${process.arch}`);
  if (installed()?.version === VERSION && installed().integrity === integrity) return;
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(FOLDER, { recursive: true });
  // A package of its own, or npm would add to ours.
  writeFileSync(join(FOLDER, "package.json"), '{ "private": true }\n');
  const args = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  say(`npm install ${PACKAGE}@${VERSION}`);
  const result = spawnSync("npm", [...args, `${PACKAGE}@${VERSION}`], {
    cwd: FOLDER,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
  if (result.status !== 0) {
    throw new NodeError(`npm failed: ${result.error?.message ?? result.stderr.trim()}`);
  }
  if (installed()?.integrity !== integrity) {
    rmSync(FOLDER, { recursive: true, force: true });
    throw new NodeError(`${PACKAGE}@${VERSION} is not the package that was expected`);
  }
}

/** Runs a script of ours on Node 24; whatever it starts as `node` is Node 24 too. */
function run(args, environment = {}) {
  say(`node ${args.join(" ")}`);
  const result = spawnSync(NODE, args, {
    cwd: ROOT,
    stdio: "inherit",
    env: {
      ...process.env,
      PATH: `${dirname(NODE)}${delimiter}${process.env.PATH ?? ""}`,
      ...environment,
    },
  });
  return result.status === 0;
}

function main() {
  fetchNode();
  const args = process.argv.slice(2);
  if (args[0] === "--print") {
    console.log(NODE);
    return;
  }
  const filter = args[0] === "--quick" ? QUICK : args;
  const build = join("native", "build", "node24");
  if (!run([join("native", "build.mjs"), "--output", build])) {
    throw new NodeError("the addon can't be built with the headers of Node 24");
  }
  const test = join("scripts", "test.mjs");
  const isGreen = [
    args.length > 0 && args[0] !== "--quick" ? true : run([test, "test/native"]),
    run([test, ...filter], { WIREHAUL_NATIVE: join(ROOT, build, "wirehaul.node") }),
  ];
  process.exitCode = isGreen.every(Boolean) ? 0 : 1;
}

try {
  main();
} catch (error) {
  if (!(error instanceof NodeError)) throw error;
  say(error.message);
  process.exitCode = 1;
}
