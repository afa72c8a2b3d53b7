/** Token buckets: the burst, the rate, and bounded memory. */
import { expect, it } from "vitest";
import { Rate } from "../../../../src/control/registry/rate.ts";

it("gives the burst, then the rate, to each of them", () => {
  const rate = new Rate(2, 3, 10);
  const takes = (who: string, now: number): number => {
    let count = 0;
    while (rate.take(who, now)) count++;
    return count;
  };
  expect([takes("a", 0), takes("b", 0), takes("a", 499), takes("a", 500)]).toEqual([3, 3, 0, 1]);
  expect(takes("a", 60_000)).toBe(3);
});

it("forgets who came longest ago when there are too many", () => {
  const rate = new Rate(1, 1, 2);
  expect([rate.take("a", 0), rate.take("b", 0), rate.take("a", 1), rate.take("c", 1)]).toEqual([
    ...[true, true, false, true],
  ]);
  // b is forgotten, a is not.
  expect([rate.take("a", 2), rate.take("b", 2)]).toEqual([false, true]);
});
