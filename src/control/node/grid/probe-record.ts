/** What the last probes of a peer say: alive, how long answers take, how many are lost. Pure. */

/** As the contract of `PUT nodes/:id/links` has it. */
const WINDOW = 20;
const MISSES = 3;

export class ProbeRecord {
  /** Round trips of the last probes, NaN: no answer; oldest first. */
  readonly #last: number[] = [];
  #isAlive: boolean | undefined;
  #misses = 0;

  /** Undefined: not known yet. */
  get isAlive(): boolean | undefined {
    return this.#isAlive;
  }

  /** Some were missed, and it isn't settled what that means. */
  get isDoubtful(): boolean {
    return this.#misses > 0 && this.#misses < MISSES;
  }

  answered(roundTripMs: number): void {
    this.#misses = 0;
    this.#isAlive = true;
    this.#add(roundTripMs);
  }

  missed(): void {
    this.#misses += 1;
    if (this.#misses >= MISSES) this.#isAlive = false;
    this.#add(Number.NaN);
  }

  /** Share of the last probes without an answer; undefined: there were none. */
  get loss(): number | undefined {
    if (this.#last.length === 0) return undefined;
    return this.#last.filter(Number.isNaN).length / this.#last.length;
  }

  /** Median of those that were answered; undefined: none was. */
  get roundTripMs(): number | undefined {
    const sorted = this.#last.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    if (sorted.length === 0) return undefined;
    const median =
      sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
    return Math.round(median * 10) / 10;
  }

  #add(value: number): void {
    this.#last.push(value);
    if (this.#last.length > WINDOW) this.#last.shift();
  }
}
