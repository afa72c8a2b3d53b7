/**
 * All vector sets, what is checked by them, and how. Plain JavaScript, so that the tests run it on the sources and
 * `scripts/vectors.mjs` on `dist/`; `run.d.mts` has the types.
 *
 * A check returns false when the backend can't show the case, true when it passes, and throws when it fails. It reads vectors only
 * from files and computes no expected value with the backend under test.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { playConversation } from "./lane/conversation.mjs";
import { handshakeChecks } from "./lane/handshakes.mjs";
import { laneTableChecks } from "./lane/tables.mjs";
import { primitiveChecks } from "./primitives.mjs";
import { tableChecks } from "./tables.mjs";

const laneChecks = {
  ...handshakeChecks,
  ...laneTableChecks,
  "wireguard-conversation"(parts, tape) {
    playConversation(parts, tape, "initiator");
    playConversation(parts, tape, "responder");
    return true;
  },
};

/** In the order of the table. */
const NAMES = [
  ...Object.keys(primitiveChecks),
  "wireguard-conversation",
  ...Object.keys(tableChecks),
];

/** Beside the checkout: sets that are not part of it. */
export const SHARED = fileURLToPath(new URL("../../shared/vectors/", import.meta.url));

/** Every set of this folder: { name, source, cases, check(backend, case) }. */
export function loadSets() {
  return NAMES.map((name) =>
    readSet(fileURLToPath(new URL(`${name}.json`, import.meta.url)), name, name),
  );
}

/** The sets of another folder, if it exists: what each means is said by `set` in the file, or by its name. */
export function loadSharedSets(folder = SHARED) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((file) => file.endsWith(".json"))
    .sort()
    .map((file) => readSet(join(folder, file), `shared: ${file.slice(0, -5)}`, file.slice(0, -5)));
}

function readSet(path, name, byName) {
  let document;
  try {
    document = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new Error(`${path} is not JSON: ${error.message}`);
  }
  const { set = byName, source, cases } = document;
  if (!NAMES.includes(set)) {
    throw new Error(
      `${path}: there is no set "${set}"; name the file after one, or put "set" into it: ${NAMES.join(", ")}`,
    );
  }
  if (!Array.isArray(cases) || cases.length === 0) throw new Error(`${path}: "cases" is no list`);
  return { name, source, cases, check: (backend, vector) => check(set, backend, vector) };
}

function check(set, backend, vector) {
  if (backend.lane !== undefined) return laneChecks[set]?.(backend.lane, vector) ?? false;
  if (backend.tables !== undefined) return tableChecks[set]?.(backend.tables, vector) ?? false;
  return primitiveChecks[set]?.(backend, vector) ?? false;
}

/** Modules whose exports the checks use, by path below `src`. */
const MODULES = [
  "bytes/slab",
  "lane/interface",
  "lane/lane",
  "lane/status",
  "route/address",
  "route/allowed-ips",
  "session/keypair",
  "session/rate-limit",
  "session/replay-window",
  "tunnel/configure",
  "tunnel/drop",
  "tunnel/sessions",
  "uapi/format",
  "uapi/parse",
];

/**
 * What is checked: { name, backend } each, of the modules that `load` gives by their path below `src`. `backend` is undefined where
 * the addon is needed and can't be loaded; `onMissing` is told why.
 */
export async function makeBackends(load, onMissing) {
  const code = Object.assign({}, ...(await Promise.all(MODULES.map(load))));
  const kdf = await load("crypto/kdf");
  const { nobleSuite } = await load("crypto/noble");
  const { nobleCipher } = await load("crypto/noble-cipher");
  const { opensslSuite } = await load("crypto/openssl");
  const slab = new code.Slab();
  const addon = await loadAddon(load, slab, onMissing);
  const lane = (suite, cipher) =>
    suite === undefined || cipher === undefined
      ? undefined
      : { lane: { suite, cipher, slab, code } };
  return [
    ["noble suite", { suite: nobleSuite, kdf }],
    ["openssl suite", { suite: opensslSuite, kdf }],
    ["addon suite", addon && { suite: addon.suite, kdf }],
    ["noble cipher", { cipher: nobleCipher, slab }],
    ["addon cipher", addon && { cipher: addon.cipher, slab }],
    ["tables", { tables: code }],
    ["noble lane", lane(nobleSuite, nobleCipher)],
    ["openssl lane", lane(opensslSuite, addon?.cipher)],
    ["addon lane", lane(addon?.suite, addon?.cipher)],
  ].map(([name, backend]) => ({ name, backend }));
}

async function loadAddon(load, slab, onMissing) {
  const { loadNative } = await load("io/load-native");
  const { NativeCipher } = await load("io/native-cipher");
  const { nativeSuite } = await load("io/native-suite");
  try {
    const native = loadNative();
    const cipher = new NativeCipher(native, slab, native.slabAttach(slab.buffer));
    return { suite: nativeSuite(native), cipher };
  } catch (error) {
    onMissing(error);
    return undefined;
  }
}
