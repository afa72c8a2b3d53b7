/** A clock that moves only when told, with dice that always fall the same. */
import type { Clock } from "../../../src/control/linux/clock.ts";

interface Wait {
  readonly at: number;
  readonly resolve: () => void;
}

export class VirtualClock implements Clock {
  #now = 0;
  #waits: Wait[] = [];

  now(): number {
    return this.#now;
  }

  random(): number {
    return 0;
  }

  wait(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.resolve();
    return new Promise((done) => {
      const end = (): void => {
        this.#waits = this.#waits.filter((other) => other !== wait);
        resolve();
      };
      const resolve = (): void => {
        signal?.removeEventListener("abort", end);
        done();
      };
      const wait: Wait = { at: this.#now + ms, resolve };
      this.#waits.push(wait);
      signal?.addEventListener("abort", end);
    });
  }

  /** Lets time pass, waking whoever waits in the order of their times; what they do then is done when this resolves. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await settle();
      const next = this.#waits.toSorted((a, b) => a.at - b.at)[0];
      if (next === undefined || next.at > end) break;
      this.#now = Math.max(this.#now, next.at);
      this.#waits = this.#waits.filter((wait) => wait !== next);
      next.resolve();
    }
    this.#now = end;
    await settle();
  }
}

/** Lets all promises that can go on do so. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 5; i += 1) await new Promise((resolve) => setImmediate(resolve));
}
