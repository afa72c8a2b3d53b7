/**
 * Finds and loads the compiled addon, and refuses one that was built for another slab layout.
 *
 * Owns: where `wirehaul.node` may lie, the comparison of its `abi` with `src/bytes/slab.ts`, and the messages a user
 * sees when either fails. Doesn't: build it (`npm run build:native` does), or use it.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as slab from "../bytes/slab.ts";
import { counterNames, type Native } from "./native.ts";

const FILE = "wirehaul.node";
const ADVICE = "run `npm run build:native`";

let loaded: Native | undefined;

/**
 * The addon of this thread; the environment variable WIREHAUL_NATIVE names another file (the sanitizers' build). Throws an
 * Error with one line of advice when it is missing or does not fit.
 */
export function loadNative(): Native {
  loaded ??= loadNativeFrom(findNative());
  return loaded;
}

/** As {@link loadNative}, from a given file. */
export function loadNativeFrom(path: string): Native {
  let addon: Native;
  try {
    addon = createRequire(import.meta.url)(path) as Native;
  } catch (error) {
    const reason = error instanceof Error ? error.message.split("\n", 1)[0] : String(error);
    throw new Error(`cannot load ${path}: ${reason}; ${ADVICE}`, { cause: error });
  }
  const mismatch = abiMismatch(addon.abi);
  if (mismatch !== undefined) {
    throw new Error(`${path} does not fit this version of wirehaul: ${mismatch}; ${ADVICE}`);
  }
  return addon;
}

/** What the addon must report: every size and region of the slab, every field of an endpoint record. */
export function expectedAbi(): Record<string, number> {
  const expected: Record<string, number> = {
    ENDPOINT_BYTES: slab.ENDPOINT_BYTES,
    RECEIVED_MAX: slab.RECEIVED_MAX,
    MESSAGES_MAX: slab.MESSAGES_MAX,
    MESSAGE_STRIDE: slab.MESSAGE_STRIDE,
    INNER_MAX: slab.INNER_MAX,
    DATAGRAMS_MAX: slab.DATAGRAMS_MAX,
    GROUPS_MAX: slab.GROUPS_MAX,
    PLAIN_MAX: slab.PLAIN_MAX,
    OUTBOUND_BYTES: slab.OUTBOUND_BYTES,
    COMPOSED_BYTES: slab.COMPOSED_BYTES,
    HEADROOM_BYTES: slab.HEADROOM_BYTES,
    TAILROOM_BYTES: slab.TAILROOM_BYTES,
    counters: counterNames.length,
  };
  for (const [name, region] of Object.entries(slab.slabLayout)) {
    if (typeof region === "number") {
      expected[`region.${name}`] = region;
    } else {
      expected[`region.${name}`] = region.offset;
      expected[`bytes.${name}`] = region.bytes;
    }
  }
  for (const [name, offset] of Object.entries(slab.endpointLayout)) {
    expected[`endpoint.${name}`] = offset;
  }
  for (const [index, name] of counterNames.entries()) expected[`counter.${name}`] = index;
  return expected;
}

/** The first number in which `abi` differs from this version's, in words; undefined: none. */
export function abiMismatch(abi: Readonly<Record<string, number>> | undefined): string | undefined {
  if (abi === undefined) return "it reports no abi";
  const expected = expectedAbi();
  for (const name of new Set([...Object.keys(expected), ...Object.keys(abi)])) {
    if (abi[name] !== expected[name]) {
      return `${name} is ${abi[name] ?? "absent"} in the addon, ${expected[name] ?? "absent"} here`;
    }
  }
  return undefined;
}

function findNative(): string {
  const chosen = process.env["WIREHAUL_NATIVE"];
  if (chosen) return chosen;
  const root = packageRoot(dirname(fileURLToPath(import.meta.url)));
  const target = `linux-${process.arch}-${libc()}`;
  // A checkout's own first: prebuilds that were made for a package there go out of date.
  const candidates = [
    join(root, "native", "build", FILE),
    join(root, "native", "prebuilds", target, FILE),
  ];
  const found = candidates.find((path) => existsSync(path));
  if (found === undefined) {
    throw new Error(`the native addon is not built (no ${candidates.join(", no ")}); ${ADVICE}`);
  }
  return found;
}

/** The nearest folder above with a package.json: the same from src/io and from dist/src/io. */
function packageRoot(from: string): string {
  for (let folder = from; ; folder = dirname(folder)) {
    if (existsSync(join(folder, "package.json"))) return folder;
    if (folder === dirname(folder)) throw new Error(`no package.json above ${from}`);
  }
}

function libc(): "glibc" | "musl" {
  // Only the report's header tells; it costs a few milliseconds, once.
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return report.header?.glibcVersionRuntime === undefined ? "musl" : "glibc";
}
