/**
 * An input read as a script: numbers and choices from the front. What is left out reads as zero, so that any bytes mean something,
 * and an input that is cut stays valid.
 */
export class Script {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isOver(): boolean {
    return this.#at >= this.#bytes.length;
  }

  byte(): number {
    return this.#bytes[this.#at++] ?? 0;
  }

  /** 0 to 65,535, least byte first. */
  word(): number {
    return this.byte() | (this.byte() << 8);
  }

  /** 0 to `limit - 1`; limits up to 256 take one byte, above that two. */
  below(limit: number): number {
    return (limit <= 256 ? this.byte() : this.word()) % limit;
  }

  flag(): boolean {
    return (this.byte() & 1) === 1;
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)]!;
  }

  /** `length` bytes; zeros where the script is over. */
  bytes(length: number): Uint8Array {
    const out = new Uint8Array(length);
    out.set(this.#bytes.subarray(this.#at, this.#at + length));
    this.#at += length;
    return out;
  }

  /** All that is left. */
  rest(): Uint8Array {
    const rest = this.#bytes.slice(this.#at);
    this.#at = this.#bytes.length;
    return rest;
  }
}
