/**
 * What a process remembers of the database, to read less: bounded by weights, the least recently used goes first. Never the truth: who uses
 * it finds out from the database that what is remembered still is as it was.
 */
export class Memory {
  readonly #max: number;
  /** In the order of last use. */
  readonly #entries = new Map<string, { readonly value: unknown; readonly weight: number }>();
  #weight = 0;

  /** `max`: of all weights together. */
  constructor(max: number) {
    this.#max = max;
  }

  get weight(): number {
    return this.#weight;
  }

  get<T>(key: string): T | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry.value as T;
  }

  set(key: string, value: unknown, weight: number): void {
    this.delete(key);
    if (weight > this.#max) return;
    this.#entries.set(key, { value, weight });
    this.#weight += weight;
    while (this.#weight > this.#max) {
      const [oldest = ""] = this.#entries.keys();
      this.delete(oldest);
    }
  }

  delete(key: string): void {
    this.#weight -= this.#entries.get(key)?.weight ?? 0;
    this.#entries.delete(key);
  }
}
