#!/usr/bin/env node
/**
 * Builds the addon: one compiler call, no build system, nothing downloaded.
 *
 *   node native/build.mjs               native/build/wirehaul.node
 *   node native/build.mjs --debug       native/build/debug/wirehaul.node, with address and undefined-behaviour sanitizers
 *   node native/build.mjs --prebuilds   native/prebuilds/linux-<arch>-<libc>/wirehaul.node for every toolchain there is
 *   ... --output FOLDER                 there instead; not with --prebuilds
 *   ... --force                         builds even when nothing changed
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const WARNINGS = ["-Wall", "-Wextra", "-Wconversion"];
/** CI has -Werror here; a user's compiler may warn of what ours does not. */
const MORE = (process.env.WIREHAUL_CFLAGS ?? "").split(/\s+/).filter(Boolean);
const COMMON = ["-std=c11", "-D_GNU_SOURCE", "-fvisibility=hidden", "-fPIC", "-shared"];
const RELEASE = ["-O3", "-DNDEBUG", "-s"];
const DEBUG = [
  "-O1",
  "-g",
  "-fno-omit-frame-pointer",
  "-fsanitize=address,undefined",
  "-fno-sanitize-recover=all",
];

class BuildError extends Error {}

function findHeaders() {
  const beside = join(dirname(process.execPath), "..", "include", "node");
  if (existsSync(join(beside, "node_api.h")) && existsSync(join(beside, "openssl", "evp.h"))) {
    return [beside];
  }
  let api = existsSync(join(beside, "node_api.h")) ? beside : undefined;
  if (api === undefined) {
    try {
      api = createRequire(import.meta.url)("node-api-headers").include_dir;
    } catch {
      throw new BuildError("no node_api.h beside node: run `npm install node-api-headers`");
    }
  }
  // The compiler finds /usr/include itself; Debian keeps opensslconf.h in the folder of the architecture.
  if (!existsSync("/usr/include/openssl/evp.h")) {
    throw new BuildError("no OpenSSL headers: run `apt-get install libssl-dev`");
  }
  return [api];
}

const works = (command) => spawnSync(command, ["--version"], { stdio: "ignore" }).status === 0;

function findCompiler() {
  if (process.env.CC) {
    const [command, ...rest] = process.env.CC.split(/\s+/).filter(Boolean);
    if (command === undefined || !works(command)) {
      throw new BuildError(`CC=${process.env.CC} does not run`);
    }
    return [command, ...rest];
  }
  const found = ["cc", "gcc", "clang"].find(works);
  if (found === undefined) {
    throw new BuildError("no C compiler: run `apt-get install gcc libc6-dev` (or build-essential)");
  }
  return [found];
}

function inputs() {
  return readdirSync(here)
    .filter((name) => /\.[ch]$/.test(name))
    .sort();
}

/** Content, not times: right after a checkout, a clock step or a change of Node as well. */
function fingerprint(command) {
  const hash = createHash("sha256").update(JSON.stringify([command, process.version]));
  for (const name of inputs()) hash.update(name).update(readFileSync(join(here, name)));
  return hash.digest("hex");
}

/** Returns "built" or "up to date". */
function compile(compiler, flags, headers, output, force) {
  const sources = inputs()
    .filter((name) => name.endsWith(".c"))
    .map((name) => join(here, name));
  const command = [
    ...compiler,
    ...COMMON,
    ...flags,
    ...WARNINGS,
    ...MORE,
    ...headers.map((path) => `-I${path}`),
    ...sources,
  ];
  const mark = fingerprint(command);
  const stamp = `${output}.stamp`;
  if (!force && existsSync(output) && existsSync(stamp) && readFileSync(stamp, "utf8") === mark) {
    return "up to date";
  }
  mkdirSync(dirname(output), { recursive: true });
  // Beside it, then renamed: a process that has the old one loaded keeps its pages.
  const temporary = `${output}.${process.pid}`;
  const [program, ...rest] = [...command, "-lm", "-o", temporary];
  const result = spawnSync(program, rest, { encoding: "utf8" });
  if (result.error || result.status !== 0) {
    process.stderr.write(result.stderr ?? "");
    throw new BuildError(`${program} failed${result.error ? `: ${result.error.message}` : ""}`);
  }
  if (result.stderr) process.stderr.write(result.stderr);
  renameSync(temporary, output);
  writeFileSync(stamp, mark);
  return "built";
}

function ownLibc() {
  return process.report.getReport().header.glibcVersionRuntime ? "glibc" : "musl";
}

/** Compilers that may make a target, best first. */
function crossCompilers(arch, libc) {
  const triple = `${arch === "x64" ? "x86_64" : "aarch64"}-linux-${libc === "glibc" ? "gnu" : "musl"}`;
  const list = [`${triple}-gcc`];
  if (arch === process.arch && libc === "musl") list.push("musl-gcc");
  if (arch === process.arch && libc === ownLibc()) list.push(findCompiler().join(" "));
  return list;
}

function prebuilds(headers, force) {
  for (const arch of ["x64", "arm64"]) {
    for (const libc of ["glibc", "musl"]) {
      const target = `linux-${arch}-${libc}`;
      const candidates = crossCompilers(arch, libc);
      const compiler = candidates.find((command) => works(command.split(" ")[0]));
      if (compiler === undefined) {
        console.log(`${target}: skipped, no ${candidates.join(" or ")}`);
        continue;
      }
      const output = join(here, "prebuilds", target, "wirehaul.node");
      // Kernel headers hold numbers only; a musl wrapper on a glibc system does not look for them by itself.
      const kernel = compiler.includes("musl") ? ["-idirafter", "/usr/include"] : [];
      const machine =
        libc === "musl" && arch === process.arch && existsSync("/usr/include/x86_64-linux-gnu")
          ? ["-idirafter", "/usr/include/x86_64-linux-gnu"]
          : [];
      const flags = [...RELEASE, ...kernel, ...machine];
      try {
        console.log(`${target}: ${compile(compiler.split(" "), flags, headers, output, force)}`);
      } catch (error) {
        if (!(error instanceof BuildError)) throw error;
        console.log(`${target}: skipped, ${error.message}`);
      }
    }
  }
}

function main() {
  const known = new Set(["--debug", "--prebuilds", "--force"]);
  const args = process.argv.slice(2);
  const outputAt = args.indexOf("--output");
  const [, folder] = outputAt < 0 ? [] : args.splice(outputAt, 2);
  if (outputAt >= 0 && folder === undefined) throw new BuildError("--output needs a folder");
  const given = new Set(args);
  for (const argument of given) {
    if (!known.has(argument)) throw new BuildError(`unknown argument ${argument}`);
  }
  if (process.platform !== "linux") throw new BuildError("the addon is for Linux");
  const headers = findHeaders();
  const force = given.has("--force");
  if (given.has("--prebuilds")) {
    if (folder !== undefined) throw new BuildError("--prebuilds have places of their own");
    prebuilds(headers, force);
    return;
  }
  const debug = given.has("--debug");
  const output = join(folder ?? join(here, "build", debug ? "debug" : ""), "wirehaul.node");
  const compiler = findCompiler();
  // Node is not built with a sanitizer: its library must be one that can be preloaded (see scripts/sanitize.mjs).
  const shared = debug && /clang/.test(compiler[0]) ? ["-shared-libasan"] : [];
  const flags = debug ? [...DEBUG, ...shared] : RELEASE;
  const outcome = compile(compiler, flags, headers, output, force);
  console.log(`${relative(process.cwd(), output)}: ${outcome}`);
}

try {
  main();
} catch (error) {
  if (!(error instanceof BuildError)) throw error;
  console.error(`native/build.mjs: ${error.message}`);
  process.exitCode = 1;
}
