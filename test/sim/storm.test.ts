/** Storms over many seeds: `npm run storm -- --seeds N` runs more, `--seed N` one again. */
import { describe, expect, it } from "vitest";
import { Slab } from "../../src/bytes/slab.ts";
import { loadNative } from "../../src/io/load-native.ts";
import { NativeCipher } from "../../src/io/native-cipher.ts";
import { nativeSuite } from "../../src/io/native-suite.ts";
import { runStorms, type StormTools } from "./storm.ts";

function integer(name: string, otherwise: number): number {
  const text = process.env[name] ?? `${otherwise}`;
  if (!/^[0-9]{1,9}$/.test(text)) throw new Error(`${name} must be a number, it is "${text}"`);
  return Number(text);
}

const FIRST = integer("STORM_FIRST", 1);
const SEEDS = integer("STORM_SEEDS", 500);
/** Seeds of one test: a storm takes some 10 ms. */
const PORTION = 250;

const native = loadNative();
const slab = new Slab();
const tools: StormTools = {
  suite: nativeSuite(native),
  cipher: new NativeCipher(native, slab, native.slabAttach(slab.buffer)),
  slab,
};

describe("storms", () => {
  for (let first = FIRST; first < FIRST + SEEDS; first += PORTION) {
    const count = Math.min(PORTION, FIRST + SEEDS - first);
    it(`seeds ${first} to ${first + count - 1}`, { timeout: 120_000 }, () => {
      const { delivered, handshakes } = runStorms(first, count, tools);
      // Every pair of each storm at the least.
      expect(delivered).toBeGreaterThanOrEqual(2 * count);
      expect(handshakes).toBeGreaterThanOrEqual(2 * count);
    });
  }
});
