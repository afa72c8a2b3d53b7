/** Time and randomness as the control plane's loops use them, so that tests bring their own; and a wait that can be cut short. */
import { setTimeout as sleep } from "node:timers/promises";

export interface Clock {
  /** Milliseconds, only ever forward. */
  now(): number;
  /** Resolves after `ms`, or as soon as `signal` is aborted. Never rejects. */
  wait(ms: number, signal?: AbortSignal): Promise<void>;
  /** In [0, 1). */
  random(): number;
}

export const realClock: Clock = {
  now: () => performance.now(),
  wait: async (ms, signal) => {
    try {
      await sleep(ms, undefined, signal === undefined ? {} : { signal });
    } catch {
      // Aborted: that is an answer as well.
    }
  },
  random: () => Math.random(),
};

/** What a loop waits at: for a time, or until somebody rings. A ring while nobody waits is kept for the next wait. */
export class Bell {
  readonly #clock: Clock;
  #waiting: AbortController | undefined;
  #hasRung = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  ring(): void {
    if (this.#waiting === undefined) this.#hasRung = true;
    else this.#waiting.abort();
  }

  /** Resolves after `ms` (false), or when rung (true). One waiter at a time. */
  async wait(ms: number): Promise<boolean> {
    if (this.#hasRung) {
      this.#hasRung = false;
      return true;
    }
    const controller = new AbortController();
    this.#waiting = controller;
    await this.#clock.wait(ms, controller.signal);
    this.#waiting = undefined;
    return controller.signal.aborted;
  }
}
