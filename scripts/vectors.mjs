/**
 * `npm run vectors`: every vector of `vectors/` on every backend in `dist/` (so: after `npm run build`), as a table of cases
 * passed. A dash: the backend doesn't show that set; "not built": there is no addon. Fails if any case does.
 */
import { existsSync } from "node:fs";
import { loadSets } from "../vectors/run.mjs";

if (!existsSync(new URL("../dist/src/crypto/suite.js", import.meta.url))) {
  console.error("vectors: dist/ is not built; run `npm run build`");
  process.exit(1);
}

const load = (path) => import(new URL(`../dist/src/${path}.js`, import.meta.url).href);
const { Slab } = await load("bytes/slab");
const kdf = await load("crypto/kdf");
const { nobleSuite } = await load("crypto/noble");
const { nobleCipher } = await load("crypto/noble-cipher");
const { opensslSuite } = await load("crypto/openssl");

const slab = new Slab();
const backends = [
  ["noble suite", { suite: nobleSuite, kdf }],
  ["openssl suite", { suite: opensslSuite, kdf }],
  ["noble cipher", { cipher: nobleCipher, slab }],
  ["native cipher", await nativeBackend()],
];

async function nativeBackend() {
  const { loadNative } = await load("io/load-native");
  const { NativeCipher } = await load("io/native-cipher");
  try {
    const native = loadNative();
    return { cipher: new NativeCipher(native, slab, native.slabAttach(slab.buffer)), slab };
  } catch (error) {
    console.error(`vectors: ${error.message}`);
    return undefined;
  }
}

const failures = [];

/** What stands in the table for one set and one backend. */
function cell(set, name, backend) {
  if (backend === undefined) return "not built";
  let shown = 0;
  let passed = 0;
  for (const vector of set.cases) {
    try {
      if (!set.check(backend, vector)) continue;
      passed++;
    } catch (error) {
      failures.push(`${set.name}, ${vector.name}, ${name}: ${error.message}`);
    }
    shown++;
  }
  return shown === 0 ? "-" : `${passed} of ${shown}`;
}

const rows = [["set", "cases", ...backends.map(([name]) => name)]];
for (const set of loadSets()) {
  const cells = backends.map(([name, backend]) => cell(set, name, backend));
  rows.push([set.name, String(set.cases.length), ...cells]);
}
const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
for (const row of rows) {
  console.log(
    row
      .map((text, column) => text.padEnd(widths[column]))
      .join("  ")
      .trimEnd(),
  );
}
for (const failure of failures) console.error(`FAILED ${failure}`);
process.exitCode = failures.length === 0 ? 0 : 1;
