/**
 * The sliding window against replays (whitepaper 5.4.6; RFC 6479's ring of words). One window per receiving key.
 * Counters are 64 bits as two unsigned words. It is asked only about packets that have been authenticated.
 */

/** Bits in the ring (K messages.h COUNTER_BITS_TOTAL). */
const RING_BITS = 8192;
const RING_WORDS = RING_BITS / 32;
/** K messages.h COUNTER_WINDOW_SIZE: one 64-bit word of the ring is always being overwritten. */
export const REPLAY_WINDOW: number = RING_BITS - 64;

export class ReplayWindow {
  /** Greatest counter taken, plus one; zero: none yet. */
  #nextHi = 0;
  #nextLo = 0;
  readonly #ring = new Uint32Array(RING_WORDS);

  /** Takes the counter: true the first time it is seen within the window, false for a replay or one too old. */
  accept(hi: number, lo: number): boolean {
    if (hi === this.#nextHi && lo === this.#nextLo) {
      // In order, the usual case: only a step into a new word needs clearing.
      if ((lo & 31) === 0) this.#ring[(lo >>> 5) & (RING_WORDS - 1)] = 0;
      this.#ring[(lo >>> 5) & (RING_WORDS - 1)]! |= 1 << (lo & 31);
      this.#advance(hi, lo);
      return true;
    }
    // Below 2^53 by construction where it matters: only differences smaller than the ring are used.
    const ahead = (hi - this.#nextHi) * 0x1_0000_0000 + (lo - this.#nextLo);
    if (ahead >= 0) {
      this.#clear(lo, ahead);
      this.#ring[(lo >>> 5) & (RING_WORDS - 1)]! |= 1 << (lo & 31);
      this.#advance(hi, lo);
      return true;
    }
    // `ahead` counts from the greatest taken plus one.
    if (-ahead > REPLAY_WINDOW + 1) return false;
    const word = (lo >>> 5) & (RING_WORDS - 1);
    const bit = 1 << (lo & 31);
    if ((this.#ring[word]! & bit) !== 0) return false;
    this.#ring[word]! |= bit;
    return true;
  }

  #advance(hi: number, lo: number): void {
    this.#nextLo = (lo + 1) >>> 0;
    this.#nextHi = this.#nextLo === 0 ? (hi + 1) >>> 0 : hi;
  }

  /** Clears the words between the last counter taken and `lo`, which lies `ahead` past the next expected one. */
  #clear(lo: number, ahead: number): void {
    const target = lo >>> 5;
    // The word of the last counter taken keeps its bits; it is #next - 1, except at the very start.
    const last = (this.#nextLo - 1) >>> 5;
    let words = ahead >= RING_BITS ? RING_WORDS : (target - last) & (RING_WORDS - 1);
    if (words === 0 && ahead >= 32) words = RING_WORDS;
    for (let i = 0; i < words; i++) this.#ring[(target - i) & (RING_WORDS - 1)] = 0;
  }
}
