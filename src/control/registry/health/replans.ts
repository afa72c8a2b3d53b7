/**
 * Plans networks anew for what nodes report: of a network one plan at a time in this process, and one more that waits, for however many ask
 * meanwhile. A relay of 200 members that dies is reported 200 times within seconds.
 */
export class Replans {
  readonly #plan: (network: string) => Promise<void>;
  readonly #running = new Map<string, Promise<void>>();
  readonly #waiting = new Map<string, Promise<void>>();

  constructor(plan: (network: string) => Promise<void>) {
    this.#plan = plan;
  }

  /** Resolves when a plan is made that began after this call. */
  ask(network: string): Promise<void> {
    const there = this.#waiting.get(network);
    if (there !== undefined) return there;
    const before = this.#running.get(network) ?? Promise.resolve();
    // Its fault is told to those who waited for it.
    const next = before.catch(() => undefined).then(() => this.#run(network));
    this.#waiting.set(network, next);
    return next;
  }

  async #run(network: string): Promise<void> {
    this.#waiting.delete(network);
    const run = this.#plan(network);
    this.#running.set(network, run);
    try {
      await run;
    } finally {
      if (this.#running.get(network) === run) this.#running.delete(network);
    }
  }
}
