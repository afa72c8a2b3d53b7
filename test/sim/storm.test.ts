/** Storms over many seeds: `npm run storm -- --seeds N` runs more, `--seed N` one again. */
import { describe, expect, it, vi } from "vitest";
import { ACTS } from "./mischief.ts";
import { Storm } from "./storm.ts";
import { stormTools } from "./storm-tools.ts";
import { runStorms } from "./storms.ts";
import { TROUBLES } from "./trouble.ts";

const { secrets, watched } = vi.hoisted(() => {
  const all: Uint8Array[] = [];
  return {
    secrets: all,
    watched: <Bytes extends Uint8Array>(bytes: Bytes): Bytes => {
      all.push(bytes);
      return bytes;
    },
  };
});
vi.mock(import("../../src/bytes/secret-bytes.ts"), async (original) => {
  const real = await original();
  return {
    ...real,
    secretBytes: (length) => watched(real.secretBytes(length)),
    secretCopy: (bytes) => watched(real.secretCopy(bytes)),
  };
});

function integer(name: string, otherwise: number): number {
  const text = process.env[name] ?? `${otherwise}`;
  if (!/^[0-9]{1,9}$/.test(text)) throw new Error(`${name} must be a number, it is "${text}"`);
  return Number(text);
}

const FIRST = integer("STORM_FIRST", 1);
const SEEDS = integer("STORM_SEEDS", 500);
/** Seeds of one test: a storm takes some 10 ms. */
const PORTION = 250;

const tools = stormTools(secrets);
const seen = new Set<string>();

describe("storms", () => {
  for (let first = FIRST; first < FIRST + SEEDS; first += PORTION) {
    const count = Math.min(PORTION, FIRST + SEEDS - first);
    it(`seeds ${first} to ${first + count - 1}`, { timeout: 120_000 }, () => {
      const { delivered, handshakes, counts } = runStorms(first, count, tools);
      for (const name of counts.keys()) seen.add(name);
      // Every pair of each storm at the least.
      expect(delivered).toBeGreaterThanOrEqual(2 * count);
      expect(handshakes).toBeGreaterThanOrEqual(2 * count);
    });
  }

  // Each kind is drawn in one of some 30 storms at the least.
  it.runIf(SEEDS >= 200)("all kinds of trouble and mischief were made", () => {
    const kinds = [...TROUBLES.map(({ name }) => name), ...ACTS.map(([, { name }]) => name)];
    expect([...kinds, "cookieReply"].filter((name) => !seen.has(name))).toEqual([]);
  });

  it("a seed gives the same storm each time, to the last datagram", () => {
    const stories = [1, 2].map(() => {
      const storm = new Storm(FIRST, tools, true);
      storm.run();
      return storm.story;
    });
    expect(stories[0]!.length).toBeGreaterThan(50);
    expect(stories[1]).toEqual(stories[0]);
  });
});
