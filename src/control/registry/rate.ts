/** Rates by token buckets, in bounded memory: who is forgotten for lack of room begins anew. Pure: time comes as an argument. */

interface Bucket {
  tokens: number;
  at: number;
}

export class Rate {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #max: number;
  /** In the order of last use. */
  readonly #buckets = new Map<string, Bucket>();

  /** `max`: how many are remembered. */
  constructor(perSecond: number, burst: number, max: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#max = max;
  }

  /** Takes one token; false: there is none. `now`: milliseconds of any clock that goes forward. */
  take(who: string, now: number): boolean {
    const old = this.#buckets.get(who) ?? { tokens: this.#burst, at: now };
    const gained = (Math.max(0, now - old.at) / 1000) * this.#perSecond;
    const tokens = Math.min(this.#burst, old.tokens + gained);
    const isThere = tokens >= 1;
    this.#buckets.delete(who);
    this.#buckets.set(who, { tokens: isThere ? tokens - 1 : tokens, at: now });
    if (this.#buckets.size > this.#max) {
      const [oldest = ""] = this.#buckets.keys();
      this.#buckets.delete(oldest);
    }
    return isThere;
  }
}
