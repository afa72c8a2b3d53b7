import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Bounds,
  LONGEST_MS,
  learn,
  NOTHING_TRIED,
  nextRound,
  ROUNDS_MAX,
} from "../../../../../src/control/node/reachability/lifetime.ts";

/** The search against a NAT that forgets after `lifetimeMs`; `isLost` tells whether a trial's packets are lost. */
function search(
  lifetimeMs: number,
  isLost: () => boolean = () => false,
): { bounds: Bounds; tookMs: number; rounds: number } {
  let bounds = NOTHING_TRIED;
  let tookMs = 0;
  for (let round = 0; ; round++) {
    const silences = nextRound(bounds, round);
    if (silences.length === 0) return { bounds, tookMs, rounds: round };
    expect(silences).toEqual([...silences].sort((a, b) => a - b));
    const trials = [];
    for (const silenceMs of silences) {
      const hasLived = silenceMs < lifetimeMs && !isLost();
      trials.push({ silenceMs, hasLived });
      // As the measurement does: longer ones are given up.
      if (!hasLived) break;
    }
    tookMs += trials.at(-1)?.silenceMs ?? 0;
    bounds = learn(bounds, trials);
  }
}

const lifetime = fc.integer({ min: 1, max: 600_000 });

describe("search for a mapping's lifetime", () => {
  it("item 32: finds it from below, near enough, within six minutes", () => {
    fc.assert(
      fc.property(lifetime, (lifetimeMs) => {
        const { bounds, tookMs, rounds } = search(lifetimeMs);
        const { aliveMs, deadMs } = bounds;
        expect(aliveMs).toBeLessThan(lifetimeMs);
        if (deadMs === undefined) expect(aliveMs).toBe(LONGEST_MS);
        else {
          expect(deadMs).toBeGreaterThanOrEqual(lifetimeMs);
          expect(deadMs - aliveMs).toBeLessThanOrEqual(Math.max(500, aliveMs / 4));
        }
        expect(rounds).toBeLessThanOrEqual(ROUNDS_MAX);
        expect(tookMs).toBeLessThanOrEqual(360_000);
      }),
    );
  });

  it("lost packets make it shorter, never longer", () => {
    fc.assert(
      fc.property(lifetime, fc.infiniteStream(fc.boolean()), (lifetimeMs, losses) => {
        const { aliveMs, deadMs } = search(lifetimeMs, () => losses.next().value).bounds;
        expect(aliveMs).toBeLessThan(lifetimeMs);
        if (deadMs !== undefined) expect(deadMs).toBeGreaterThan(aliveMs);
      }),
    );
  });

  it("the 30 s of Linux, and 5 s", () => {
    expect(search(30_000).bounds).toEqual({ aliveMs: 29_000, deadMs: 30_000 });
    expect(search(5_000).bounds.aliveMs).toBeGreaterThanOrEqual(4_500);
  });

  it("ends after three rounds, however little they brought", () => {
    expect(nextRound({ aliveMs: 10_000, deadMs: 20_000 }, 2)).toEqual([12_500, 15_000, 17_500]);
    expect(nextRound({ aliveMs: 10_000, deadMs: 20_000 }, 3)).toEqual([]);
  });

  it("a silence that was survived outweighs a shorter one that was not: a packet was lost", () => {
    const trials = [
      { silenceMs: 2_000, hasLived: true },
      { silenceMs: 4_000, hasLived: false },
      { silenceMs: 8_000, hasLived: true },
      { silenceMs: 16_000, hasLived: false },
    ];
    expect(learn(NOTHING_TRIED, trials)).toEqual({ aliveMs: 8_000, deadMs: 16_000 });
  });
});
