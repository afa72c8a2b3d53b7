/**
 * Finds the source of a flood of handshake messages that prove nothing, so that the kernel can be asked to throw most of them away
 * (native/filter.c) before each wakes a lane. One source at a time: that from which most refused messages come, by the vote of
 * Boyer and Moore, which needs no table that a flood could fill. A source is one address, over IPv6 too: its neighbours in the /64
 * may be honest.
 */
import { ENDPOINT_BYTES, endpointLayout } from "../bytes/slab.ts";

/** Ours: refusals of one source in a second, more than those of all others, that make it a flood. */
export const FLOOD_REFUSALS = 200;
const WINDOW_MS = 1_000;
/** Ours: how long messages are shed before it is asked whether the flood goes on. */
export const SHED_MS = 10_000;
/** native/filter.c SAMPLE: one message in so many passes. */
const SAMPLE = 64;
/** A flood goes on if what passes in {@link SHED_MS} stands for as many as began it, a second. */
const SAMPLED_MIN: number = Math.ceil((FLOOD_REFUSALS * (SHED_MS / WINDOW_MS)) / SAMPLE);

/** What is to be done with the socket's filter. */
export const FloodStep = { none: 0, shed: 1, lift: 2 } as const;

export class FloodWatch {
  /** The endpoint record (48 bytes) of the source that is shed, while {@link isShedding}; else of the candidate. */
  readonly source: Uint8Array = new Uint8Array(ENDPOINT_BYTES);
  isShedding = false;
  /** How often it was begun. */
  begun = 0;
  #votes = 0;
  #windowMs = Number.NEGATIVE_INFINITY;
  #untilMs = 0;
  #sampled = 0;

  /** An unproven message came from the source in the endpoint record at `offset`. */
  see(bytes: Uint8Array, offset: number): void {
    if (this.isShedding && this.#isSource(bytes, offset)) this.#sampled++;
  }

  /** It was refused: above its source's rate. */
  refuse(bytes: Uint8Array, offset: number, now: number): void {
    if (this.isShedding) return;
    if (now - this.#windowMs >= WINDOW_MS) {
      this.#windowMs = now;
      this.#votes = 0;
    }
    if (this.#votes > 0 && !this.#isSource(bytes, offset)) {
      this.#votes--;
      return;
    }
    if (this.#votes === 0) {
      for (let i = 0; i < ENDPOINT_BYTES; i++) this.source[i] = bytes[offset + i]!;
    }
    this.#votes++;
  }

  /** To be asked once a turn; the caller does what is answered, and says so by the next call. */
  decide(now: number): number {
    if (!this.isShedding) {
      if (this.#votes < FLOOD_REFUSALS) return FloodStep.none;
      this.isShedding = true;
      this.begun++;
      this.#begin(now);
      return FloodStep.shed;
    }
    if (now < this.#untilMs) return FloodStep.none;
    const goesOn = this.#sampled >= SAMPLED_MIN;
    this.#begin(now);
    if (goesOn) return FloodStep.none;
    this.reset();
    return FloodStep.lift;
  }

  /** The sockets are others now, without a filter; or it was refused. */
  reset(): void {
    this.isShedding = false;
    this.#votes = 0;
  }

  /** Monotonic: when {@link decide} has something to do at the latest. */
  get deadline(): number {
    return this.isShedding ? this.#untilMs : Number.POSITIVE_INFINITY;
  }

  #isSource(bytes: Uint8Array, offset: number): boolean {
    const { address, family } = endpointLayout;
    if (this.source[family] !== bytes[offset + family]) return false;
    for (let at = address; at < address + 16; at++) {
      if (this.source[at] !== bytes[offset + at]) return false;
    }
    return true;
  }

  #begin(now: number): void {
    this.#untilMs = now + SHED_MS;
    this.#sampled = 0;
    this.#votes = 0;
  }
}
