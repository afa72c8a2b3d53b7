/**
 * `npm run test:sanitize [-- --runs N] [-- --seed N]`: the native code under AddressSanitizer and UBSan.
 *
 * 1. the fuzz targets native/test/fuzz_*.c: their kept inputs, then N random ones (`npm run fuzz` is for finding new ones);
 * 2. the whole addon: builds native/build/debug and runs test/native on it, the sanitizer's library preloaded into node.
 *
 * Fails on the first finding. A step that cannot run here says why.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildTarget, findCompiler, NATIVE_TARGETS } from "./fuzz-native.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const debug = join(root, "native", "build", "debug");
function run(command, args, env = {}) {
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, ...env },
  });
  if (result.error) throw result.error;
  if (result.status !== 0) {
    console.error(
      `sanitize: ${command} ${args[0] ?? ""} failed (${result.status ?? result.signal})`,
    );
    process.exit(1);
  }
}

/** The sanitizer's run-time library of a compiler, as a file; undefined: it has none. */
function runtime(compiler) {
  const names = compiler.includes("clang")
    ? [
        `libclang_rt.asan-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so`,
        "libclang_rt.asan.so",
      ]
    : ["libasan.so"];
  for (const name of names) {
    const path = spawnSync(compiler, [`-print-file-name=${name}`], {
      encoding: "utf8",
    }).stdout.trim();
    if (isAbsolute(path) && existsSync(path)) return path;
  }
  return undefined;
}

const compiler = findCompiler();
if (compiler === undefined) {
  console.error("sanitize: no C compiler: run `apt-get install gcc libc6-dev`");
  process.exit(1);
}

const passed = process.argv.slice(2);
for (const name of NATIVE_TARGETS) {
  const target = buildTarget(name, compiler, false);
  run(target, [join(root, "test", "fuzz", "corpus", name)]);
  run(target, passed.length > 0 ? passed : ["--runs", "5000"]);
}

const library = runtime(compiler);
if (library === undefined) {
  console.log(`sanitize: the addon itself skipped: ${compiler} has no shared sanitizer library`);
} else {
  run(process.execPath, [join(root, "native", "build.mjs"), "--debug"], { CC: compiler });
  run(
    process.execPath,
    [join(root, "node_modules", "vitest", "vitest.mjs"), "run", "--project", "unit", "test/native"],
    {
      LD_PRELOAD: library,
      // V8 reserves and leaks on purpose; what we allocate is freed by finalizers, which the worker tests look at.
      ASAN_OPTIONS: "detect_leaks=0:halt_on_error=1:abort_on_error=1",
      UBSAN_OPTIONS: "halt_on_error=1:print_stacktrace=1",
      WIREHAUL_NATIVE: join(debug, "wirehaul.node"),
    },
  );
}
console.log("sanitize: no finding");
