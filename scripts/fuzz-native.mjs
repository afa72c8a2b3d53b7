/**
 * The fuzz targets in C: native/test/fuzz_*.c, each with the pure files of the addon, under AddressSanitizer and UBSan. With clang
 * they are libFuzzer's, with any other compiler native/test/driver.c runs them.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");
const NATIVE = join(ROOT, "native");

export const NATIVE_TARGETS = ["split", "coalesce", "message", "filter"];

/** What they judge; all without node_api.h. */
const PURE = ["split.c", "coalesce.c", "checksum.c", "message.c", "filter.c", "steer.c"];

export const SANITIZE = [
  "-std=c11",
  "-D_GNU_SOURCE",
  "-O1",
  "-g",
  "-fno-omit-frame-pointer",
  "-fsanitize=address,undefined",
  "-fno-sanitize-recover=all",
];

const works = (command) => spawnSync(command, ["--version"], { stdio: "ignore" }).status === 0;

/** The compiler that CC names, or gcc, or clang; undefined: there is none. */
export function findCompiler() {
  return [process.env.CC, "gcc", "clang"].find((name) => name && works(name));
}

/** clang, if it has libFuzzer; else what is missing. */
export function findFuzzer() {
  const clang = [process.env.CC, "clang"].find((name) => name?.includes("clang") && works(name));
  if (clang === undefined) return { missing: "there is no clang" };
  const folder = spawnSync(clang, ["-print-runtime-dir"], { encoding: "utf8" }).stdout.trim();
  const hasFuzzer =
    existsSync(folder) &&
    readdirSync(folder).some((name) => /^libclang_rt\.fuzzer(-[a-z0-9_]+)?\.a$/.test(name));
  return hasFuzzer ? { clang } : { missing: `${clang} has no libFuzzer` };
}

/** Builds a target and gives its path; `compiler`: a clang with libFuzzer if `isFuzzer`. Nothing is done if nothing has changed. */
export function buildTarget(name, compiler, isFuzzer) {
  const folder = join(NATIVE, "build", isFuzzer ? "fuzz" : "replay");
  const output = join(folder, name);
  const sources = [...PURE, "test/packet.c", `test/fuzz_${name}.c`];
  if (!isFuzzer) sources.push("test/driver.c");
  const flags = isFuzzer ? [...SANITIZE, "-fsanitize=fuzzer"] : SANITIZE;
  const command = [...flags, ...sources.map((file) => join(NATIVE, file)), "-o", output];
  const hash = createHash("sha256").update(JSON.stringify([compiler, command]));
  for (const file of [...headers(), ...sources]) hash.update(readFileSync(join(NATIVE, file)));
  const mark = hash.digest("hex");
  const stamp = `${output}.stamp`;
  if (existsSync(output) && existsSync(stamp) && readFileSync(stamp, "utf8") === mark) {
    return output;
  }
  mkdirSync(folder, { recursive: true });
  const result = spawnSync(compiler, command, { encoding: "utf8" });
  if (result.status !== 0) {
    throw new Error(`${compiler} cannot build the fuzz target ${name}:\n${result.stderr ?? ""}`);
  }
  writeFileSync(stamp, mark);
  return output;
}

function headers() {
  const inFolder = (folder) =>
    readdirSync(join(NATIVE, folder))
      .filter((file) => file.endsWith(".h"))
      .map((file) => join(folder, file));
  return [...inFolder("."), ...inFolder("test")].toSorted();
}
