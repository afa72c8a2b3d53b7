/**
 * Receiver indexes: random 32-bit numbers that peers address us by (whitepaper 5.4.2), each standing for one owner (a
 * keypair or a handshake). Open addressing with linear probing; the index, being random, is its own hash.
 */

const CAPACITY_MIN = 64;

export class IndexTable<Owner extends object> {
  #keys = new Uint32Array(CAPACITY_MIN);
  #owners: (Owner | undefined)[] = new Array<Owner | undefined>(CAPACITY_MIN).fill(undefined);
  #mask = CAPACITY_MIN - 1;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** The owner of `index`, or undefined. Allocates nothing. */
  get(index: number): Owner | undefined {
    let slot = index & this.#mask;
    for (;;) {
      const owner = this.#owners[slot];
      if (owner === undefined || this.#keys[slot] === index) return owner;
      slot = (slot + 1) & this.#mask;
    }
  }

  /** Gives `index` to `owner`; the index must be free. */
  set(index: number, owner: Owner): void {
    if (this.#count * 2 >= this.#owners.length) this.#resize(this.#owners.length * 2);
    this.#put(index, owner);
    this.#count++;
  }

  /** Frees `index` if it is `owner`'s. */
  delete(index: number, owner: Owner): void {
    let slot = index & this.#mask;
    for (;;) {
      const found = this.#owners[slot];
      if (found === undefined) return;
      if (this.#keys[slot] === index) {
        if (found !== owner) return;
        break;
      }
      slot = (slot + 1) & this.#mask;
    }
    this.#close(slot);
    this.#count--;
    if (this.#owners.length > CAPACITY_MIN && this.#count * 8 < this.#owners.length) {
      this.#resize(this.#owners.length / 2);
    }
  }

  #put(index: number, owner: Owner): void {
    let slot = index & this.#mask;
    while (this.#owners[slot] !== undefined) slot = (slot + 1) & this.#mask;
    this.#keys[slot] = index;
    this.#owners[slot] = owner;
  }

  /** Empties a slot and moves back what probed past it. */
  #close(slot: number): void {
    let hole = slot;
    let next = (hole + 1) & this.#mask;
    for (;;) {
      const owner = this.#owners[next];
      if (owner === undefined) break;
      const home = this.#keys[next]! & this.#mask;
      if (((next - home) & this.#mask) >= ((next - hole) & this.#mask)) {
        this.#keys[hole] = this.#keys[next]!;
        this.#owners[hole] = owner;
        hole = next;
      }
      next = (next + 1) & this.#mask;
    }
    this.#owners[hole] = undefined;
    this.#keys[hole] = 0;
  }

  #resize(capacity: number): void {
    const keys = this.#keys;
    const owners = this.#owners;
    this.#keys = new Uint32Array(capacity);
    this.#owners = new Array<Owner | undefined>(capacity).fill(undefined);
    this.#mask = capacity - 1;
    for (let slot = 0; slot < owners.length; slot++) {
      const owner = owners[slot];
      if (owner !== undefined) this.#put(keys[slot]!, owner);
    }
  }
}
