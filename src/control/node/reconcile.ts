/** When what is done: in order within one network, several networks at once but not too many, and again and again what failed. */

/** Ours: shells at once; more than two only wait for the kernel's one lock on network settings. */
export const NETWORKS_AT_ONCE = 4;
/** Ours: a network that can't be made now is tried again after these times, and with this much of them added at random. */
const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 60_000;
const JITTER = 0.5;

/** Work by key: in the order of the calls within a key. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();
  readonly #waiting: (() => void)[] = [];
  readonly #limit: number;
  #running = 0;

  constructor(limit: number = NETWORKS_AT_ONCE) {
    this.#limit = limit;
  }

  /** Does `work` when its turn has come; settles as it does. */
  run<Result>(key: string, work: () => Promise<Result>): Promise<Result> {
    const before = this.#last.get(key) ?? Promise.resolve();
    const result = before.then(async () => {
      await this.#enter();
      try {
        return await work();
      } finally {
        this.#leave();
      }
    });
    const settled = result.then(
      () => undefined,
      () => undefined,
    );
    this.#last.set(key, settled);
    void settled.then(() => {
      if (this.#last.get(key) === settled) this.#last.delete(key);
    });
    return result;
  }

  /** Settles when nothing is running or waiting. */
  async idle(): Promise<void> {
    while (this.#last.size > 0) await Promise.all(this.#last.values());
  }

  async #enter(): Promise<void> {
    if (this.#running >= this.#limit) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else this.#running++;
  }

  /** The place goes to who waits longest. */
  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#running--;
    else next();
  }
}

/** What failed, by key, until it succeeds or is called off. */
export class Retries {
  readonly #random: () => number;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #attempts = new Map<string, number>();
  #isStopped = false;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** Calls `again` after a time that grows with each call for the key. Returns that time in milliseconds. */
  later(key: string, again: () => void): number {
    if (this.#isStopped) return 0;
    const attempt = this.#attempts.get(key) ?? 0;
    this.#attempts.set(key, attempt + 1);
    const delayMs =
      Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** attempt) * (1 + JITTER * this.#random());
    clearTimeout(this.#timers.get(key));
    this.#timers.set(key, setTimeout(again, delayMs).unref());
    return delayMs;
  }

  /** It succeeded, or nobody wants it any more. */
  clear(key: string): void {
    clearTimeout(this.#timers.get(key));
    this.#timers.delete(key);
    this.#attempts.delete(key);
  }

  stop(): void {
    this.#isStopped = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }
}
