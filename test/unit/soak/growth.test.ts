import { describe, expect, it } from "vitest";
import { growthOf, type Point, warmUpSeconds } from "../../../bench/soak/growth.ts";
import { Dice } from "../../sim/dice.ts";

const HOUR = 3_600;

/** A sample every two seconds. */
function sampled(duration: number, valueAt: (time: number) => number): Point[] {
  return Array.from({ length: duration / 2 }, (_, index) => ({
    time: 2 * index,
    value: valueAt(2 * index),
  }));
}

/** Garbage that piles up by 10 over 40 s and is collected. */
const saw = (time: number): number => 50 + (time % 40) / 4;

describe("growth", () => {
  it("of a constant is none", () => {
    expect(
      growthOf(
        sampled(600, () => 30),
        600,
      ),
    ).toMatchObject({ total: 0, perHour: 0 });
  });

  it("of a line is its own, over the time after the warm-up", () => {
    const growth = growthOf(
      sampled(HOUR, (time) => 30 + time / 100),
      HOUR,
    );
    expect(growth?.perHour).toBeCloseTo(36, 6);
    expect(growth?.total).toBeCloseTo(36 * (1 - warmUpSeconds(HOUR) / HOUR), 6);
  });

  it("isn't a saw's, nor that of bursts", () => {
    const dice = new Dice(1);
    for (const duration of [180, 600, HOUR]) {
      const points = sampled(duration, (time) => saw(time) + (dice.chance(0.2) ? 40 : 0));
      expect(Math.abs(growthOf(points, duration)!.total)).toBeLessThan(3);
    }
  });

  it("of a leak below a saw is the leak's", () => {
    const dice = new Dice(2);
    const leak = (time: number): number => (24 * time) / 600;
    const points = sampled(600, (time) => saw(time) + leak(time) + 5 * dice.next());
    const measured = leak(600 - warmUpSeconds(600));
    expect(growthOf(points, 600)!.total).toBeGreaterThan(0.85 * measured);
    expect(growthOf(points, 600)!.total).toBeLessThan(1.15 * measured);
  });

  it("during the warm-up does not count", () => {
    const start = warmUpSeconds(600);
    expect(
      growthOf(
        sampled(600, (time) => Math.min(time, start)),
        600,
      )!.total,
    ).toBe(0);
  });

  it("is not bent by a few odd values", () => {
    const points = sampled(600, (time) => (time > 500 && time < 560 ? 5 : 30));
    expect(growthOf(points, 600)!.total).toBe(0);
  });

  it("of what comes in steps is seen", () => {
    // A descriptor a minute.
    const growth = growthOf(
      sampled(600, (time) => 30 + Math.floor(time / 60)),
      600,
    );
    expect(growth!.total).toBeGreaterThan(6);
  });

  it("can't be told from a few samples", () => {
    expect(growthOf([], 600)).toBeUndefined();
    expect(
      growthOf(
        sampled(240, () => 1),
        600,
      ),
    ).toBeUndefined();
  });
});
