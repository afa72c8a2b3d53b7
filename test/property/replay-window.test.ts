import fc from "fast-check";
import { expect, it } from "vitest";
import { REPLAY_WINDOW, ReplayWindow } from "../../src/session/replay-window.ts";

/** The twin: a set of all counters taken, and the greatest. */
class SetWindow {
  readonly #taken = new Set<number>();
  #greatest = -1;

  accept(counter: number): boolean {
    if (this.#taken.has(counter)) return false;
    if (this.#greatest >= 0 && this.#greatest - counter > REPLAY_WINDOW) return false;
    this.#taken.add(counter);
    this.#greatest = Math.max(this.#greatest, counter);
    return true;
  }
}

it("accepts and refuses the same as a set of counters", () => {
  const jump = fc.oneof(
    fc.integer({ min: -40, max: 40 }),
    fc.integer({ min: -9_000, max: 9_000 }),
    fc.constantFrom(31, 32, 33, 63, 64, 8_127, 8_128, 8_129, 8_191, 8_192, 8_193),
  );
  const start = fc.constantFrom(0, 5, 8_192, 2 ** 32 - 100, 2 ** 40);
  fc.assert(
    fc.property(start, fc.array(jump, { maxLength: 300 }), (first, jumps) => {
      const window = new ReplayWindow();
      const twin = new SetWindow();
      let counter = first;
      for (const step of jumps) {
        counter = Math.max(0, counter + step);
        const accepted = window.accept(Math.floor(counter / 2 ** 32), counter >>> 0);
        expect(accepted).toBe(twin.accept(counter));
      }
    }),
    { numRuns: 500 },
  );
});
