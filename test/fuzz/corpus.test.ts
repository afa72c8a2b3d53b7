/** The kept inputs of all fuzz targets, once more. `npm run fuzz` looks for new ones. */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { buildTarget, findCompiler, NATIVE_TARGETS } from "../../scripts/fuzz-native.mjs";
import { skip } from "../e2e/harness/skip.ts";
import { readInputs } from "./guided/corpus.ts";
import { failureOf } from "./guided/loop.ts";
import { TARGETS } from "./targets.ts";

const CORPUS = join(import.meta.dirname, "corpus");

describe("kept inputs", () => {
  it.each(TARGETS.map((target) => [target.name, target] as const))("%s", (name, target) => {
    const inputs = [...target.seeds, ...readInputs(join(CORPUS, name))];
    expect(inputs.length).toBeGreaterThan(target.seeds.length);
    for (const input of inputs) expect(failureOf(target, input)?.reason).toBeUndefined();
  });

  it.for(NATIVE_TARGETS)("%s, in C under sanitizers", (name, context) => {
    const compiler = findCompiler();
    if (compiler === undefined) return skip(context, "no C compiler");
    const target = buildTarget(name, compiler, false);
    const { stdout, stderr, status } = spawnSync(target, [join(CORPUS, name)], {
      encoding: "utf8",
    });
    expect(stderr).toBe("");
    expect(stdout).toBe(`${readdirSync(join(CORPUS, name)).length} inputs replayed\n`);
    expect(status).toBe(0);
  });

  it("belong to a target", () => {
    const names = [...TARGETS.map(({ name }) => name), ...NATIVE_TARGETS];
    expect(readdirSync(CORPUS).toSorted()).toEqual(names.toSorted());
  });
});
