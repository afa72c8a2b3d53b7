#!/usr/bin/env node
/**
 * Makes a fresh clone ready, and says in one line each what it does; says nothing when nothing is to be done.
 *
 *   node scripts/setup.mjs        what building needs
 *   node scripts/setup.mjs demo   and what `npm run demo` and the bench need
 *   node scripts/setup.mjs test   and what `npm test` needs
 *   node scripts/setup.mjs fuzz   what building and `npm run fuzz` need
 *
 * Runs before anything is installed: plain JavaScript, no dependencies.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");
const NODE_WANTED = [20, 19];
const SYSTEM_FOLDERS = [
  "/usr/local/sbin",
  "/usr/local/bin",
  "/usr/sbin",
  "/usr/bin",
  "/sbin",
  "/bin",
];
const LINES_SHOWN = 40;
const MAX_OUTPUT = 64 * 1024 * 1024;

class SetupError extends Error {}

const say = (text) => process.stderr.write(`setup: ${text}\n`);

function findProgram(name) {
  const folders = (process.env.PATH ?? "").split(delimiter).concat(SYSTEM_FOLDERS);
  return folders.some((folder) => folder !== "" && existsSync(join(folder, name)));
}

/** Whether clang comes with libFuzzer. */
function hasLibFuzzer() {
  const { stdout } = spawnSync("clang", ["-print-runtime-dir"], { encoding: "utf8" });
  const folder = stdout?.trim() ?? "";
  return (
    folder !== "" &&
    existsSync(folder) &&
    readdirSync(folder).some((name) => /^libclang_rt\.fuzzer(-[a-z0-9_]+)?\.a$/.test(name))
  );
}

/** Which Debian package is needed for what, and how to see that it is there. */
const PACKAGES = {
  build: {
    gcc: () => ["cc", "gcc", "clang"].some(findProgram) || Boolean(process.env.CC),
    "libc6-dev": () => existsSync("/usr/include/stdio.h"),
    "libssl-dev": () =>
      existsSync(join(dirname(process.execPath), "../include/node/openssl/evp.h")) ||
      existsSync("/usr/include/openssl/evp.h"),
  },
  demo: {
    iproute2: () => findProgram("ip"),
    "iputils-ping": () => findProgram("ping"),
    "wireguard-tools": () => findProgram("wg") && findProgram("wg-quick"),
    iperf3: () => findProgram("iperf3"),
    procps: () => findProgram("sysctl"),
    udhcpc: () => findProgram("udhcpc"),
    nftables: () => findProgram("nft"),
  },
  test: {
    "wireguard-go": () => findProgram("wireguard-go"),
    tcpdump: () => findProgram("tcpdump"),
    curl: () => findProgram("curl"),
    openssl: () => findProgram("openssl"),
    "dnsmasq-base": () => findProgram("dnsmasq"),
    // Of these, systemd-analyze alone is run: it checks the unit that ships.
    systemd: () => findProgram("systemd-analyze"),
    strace: () => findProgram("strace"),
    faketime: () => findProgram("faketime"),
    fping: () => findProgram("fping"),
    "redis-server": () => findProgram("redis-server"),
    postgresql: () => existsSync("/usr/lib/postgresql"),
  },
  fuzz: {
    clang: () => findProgram("clang"),
    "libclang-rt-dev": hasLibFuzzer,
  },
};

const USES = {
  build: ["build"],
  demo: ["build", "demo"],
  test: ["build", "demo", "test"],
  fuzz: ["build", "fuzz"],
};

function checkNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  const [wantedMajor, wantedMinor] = NODE_WANTED;
  if (major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)) return;
  throw new SetupError(
    `Node.js ${NODE_WANTED.join(".")} or later is needed, this is ${process.versions.node}`,
  );
}

/** Runs quietly; its output is shown only if it fails. */
function run(command, args, environment = {}) {
  const result = spawnSync(command, args, {
    cwd: ROOT,
    encoding: "utf8",
    maxBuffer: MAX_OUTPUT,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...environment },
  });
  if (result.error === undefined && result.status === 0) return result.stdout;
  const lines = `${result.stdout ?? ""}${result.stderr ?? ""}`.trimEnd().split("\n");
  process.stderr.write(`${lines.slice(0, LINES_SHOWN).join("\n")}\n`);
  const why = result.error?.message ?? (result.signal || `exit code ${result.status}`);
  throw new SetupError(`\`${[command, ...args].join(" ")}\` failed: ${why}`);
}

function installPackages(use) {
  const missing = [];
  for (const group of USES[use]) {
    for (const [name, isThere] of Object.entries(PACKAGES[group])) {
      if (!isThere()) missing.push(name);
    }
  }
  if (missing.length === 0) return;
  const command = `apt-get install --no-install-recommends ${missing.join(" ")}`;
  const isRoot = process.getuid?.() === 0;
  if (!isRoot || !findProgram("apt-get")) {
    const why = isRoot ? "there is no apt-get here" : "only root may install them";
    throw new SetupError(`packages are missing and ${why}; install them with: ${command}`);
  }
  const environment = { DEBIAN_FRONTEND: "noninteractive" };
  say("apt-get update");
  run("apt-get", ["update", "-q"], environment);
  say(command);
  run("apt-get", ["install", "-q", "-y", "--no-install-recommends", ...missing], environment);
}

const readJson = (path) => JSON.parse(readFileSync(join(ROOT, path), "utf8"));

/** Whether what npm recorded as installed is what package-lock.json asks for. */
function areModulesCurrent() {
  const recorded = join("node_modules", ".package-lock.json");
  if (!existsSync(join(ROOT, recorded))) return false;
  const installed = readJson(recorded).packages;
  for (const [path, wanted] of Object.entries(readJson("package-lock.json").packages)) {
    if (path === "") continue;
    const found = installed[path];
    // Packages for other processors and systems are optional and not installed.
    if (found === undefined && wanted.optional) continue;
    if (found?.version !== wanted.version || found.integrity !== wanted.integrity) return false;
    if (!existsSync(join(ROOT, path))) return false;
  }
  return true;
}

function installModules() {
  if (areModulesCurrent()) return;
  say("npm ci");
  const args = ["ci", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"];
  const npm = process.env.npm_execpath;
  if (npm?.endsWith(".js")) run(process.execPath, [npm, ...args]);
  else run("npm", args);
}

function buildNative() {
  const output = run(process.execPath, [join("native", "build.mjs")]);
  if (!output.includes("up to date")) say("built the native addon");
}

function filesUnder(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

const SOURCE_FOLDERS = ["src", "workers", "bench"];

/** Content, not times: right after a checkout as well. */
function sourceFingerprint() {
  const hash = createHash("sha256");
  const sources = SOURCE_FOLDERS.flatMap((folder) => filesUnder(join(ROOT, folder)));
  const settings = ["tsconfig.json", "tsconfig.build.json", "package-lock.json"];
  for (const path of [...sources, ...settings.map((name) => join(ROOT, name))]) {
    if (path.endsWith(".ts") || path.endsWith(".json")) {
      hash.update(`${relative(ROOT, path)}\0`).update(readFileSync(path));
    }
  }
  return hash.digest("hex");
}

/** Output whose source has gone would still be found by an import. */
function removeOrphans() {
  for (const path of SOURCE_FOLDERS.flatMap((folder) => filesUnder(join(ROOT, "dist", folder)))) {
    const source = relative(join(ROOT, "dist"), path).replace(/(\.d\.ts|\.js|\.js\.map)$/, ".ts");
    if (!existsSync(join(ROOT, source))) rmSync(path);
  }
}

function buildTypeScript() {
  const stamp = join(ROOT, "dist", ".stamp");
  const mark = sourceFingerprint();
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === mark) return;
  say("tsc -p tsconfig.build.json");
  run(join(ROOT, "node_modules", ".bin", "tsc"), ["-p", "tsconfig.build.json"]);
  removeOrphans();
  writeFileSync(stamp, mark);
}

function main() {
  const use = process.argv[2] ?? "build";
  if (process.argv.length > 3 || !Object.hasOwn(USES, use)) {
    throw new SetupError("usage: node scripts/setup.mjs [demo|test|fuzz]");
  }
  checkNode();
  if (process.platform !== "linux") throw new SetupError("Wirehaul runs on Linux only");
  installPackages(use);
  installModules();
  buildNative();
  buildTypeScript();
}

try {
  main();
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  say(error.message);
  process.exitCode = 1;
}
