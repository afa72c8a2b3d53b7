/**
 * `npm run vectors`: every vector of `vectors/` on every backend in `dist/` and through the whole lane (so: after `npm run build`), as a
 * table: set, cases, and how many passed on each. A dash: the backend doesn't show that set; "not built": there is no addon.
 *
 * Sets of `../shared/vectors` run too, if that folder exists; `-- --shared FOLDER` names another. Fails if any case does, or if no
 * backend shows it.
 */
import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { loadSets, loadSharedSets, makeBackends, SHARED } from "../vectors/run.mjs";

const { values } = parseArgs({ options: { shared: { type: "string" } } });
if (!existsSync(new URL("../dist/src/crypto/suite.js", import.meta.url))) {
  console.error("vectors: dist/ is not built; run `npm run build`");
  process.exit(1);
}
if (values.shared !== undefined && !existsSync(values.shared)) {
  console.error(`vectors: there is no folder ${values.shared}`);
  process.exit(1);
}

const backends = await makeBackends(
  (path) => import(new URL(`../dist/src/${path}.js`, import.meta.url).href),
  (error) => console.error(`vectors: ${error.message}`),
);
const failures = [];

/** What stands in the table for one set and one backend; adds the cases that it showed to `shown`. */
function cell(set, { name, backend }, shown) {
  if (backend === undefined) return "not built";
  let tried = 0;
  let passed = 0;
  for (const vector of set.cases) {
    try {
      if (!set.check(backend, vector)) continue;
      passed++;
    } catch (error) {
      failures.push(`${set.name}, ${vector.name}, ${name}: ${error.message}`);
    }
    shown.add(vector);
    tried++;
  }
  if (tried === 0) return "-";
  return passed === tried ? String(passed) : `${passed} of ${tried}`;
}

let sets;
try {
  sets = [...loadSets(), ...loadSharedSets(values.shared ?? SHARED)];
} catch (error) {
  console.error(`vectors: ${error.message}`);
  process.exit(1);
}
const rows = [["set", "cases", ...backends.map(({ name }) => name)]];
for (const set of sets) {
  const shown = new Set();
  const cells = backends.map((backend) => cell(set, backend, shown));
  rows.push([set.name, String(set.cases.length), ...cells]);
  for (const vector of set.cases) {
    if (!shown.has(vector)) failures.push(`${set.name}, ${vector.name}: no backend shows it`);
  }
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
