/**
 * Token buckets for handshake messages by source (whitepaper 5.3; K ratelimiter.c): asked only while under load. IPv4
 * counts by /32, IPv6 by /64.
 */
import { endpointLayout, FAMILY_V4 } from "../bytes/slab.ts";

/** K ratelimiter.c PACKETS_PER_SECOND and PACKETS_BURSTABLE. */
const HANDSHAKES_PER_SECOND = 20;
const BURST = 5;
/** K ratelimiter.c: entries untouched for a second are dropped. */
const FORGET_AFTER_MS = 1_000;
/** Sources remembered at most; when full, new sources are refused until old ones are forgotten (as K does). */
export const SOURCES_MAX = 8_192;

interface Bucket {
  tokensMs: number;
  lastMs: number;
}

export class RateLimit {
  readonly #buckets = new Map<number, Bucket>();
  readonly #costMs: number;
  readonly #fullMs: number;
  #sweptMs = 0;

  constructor(perSecond: number = HANDSHAKES_PER_SECOND, burst: number = BURST) {
    this.#costMs = 1_000 / perSecond;
    this.#fullMs = this.#costMs * burst;
  }

  /** Takes one token of the source in the endpoint record at `offset`; false: too many. `now` in milliseconds. */
  allow(bytes: Uint8Array, offset: number, now: number): boolean {
    if (now - this.#sweptMs >= FORGET_AFTER_MS) this.#sweep(now);
    const key = sourceKey(bytes, offset);
    const bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      if (this.#buckets.size >= SOURCES_MAX) return false;
      this.#buckets.set(key, { tokensMs: this.#fullMs - this.#costMs, lastMs: now });
      return true;
    }
    const tokens = Math.min(this.#fullMs, bucket.tokensMs + (now - bucket.lastMs));
    bucket.lastMs = now;
    if (tokens < this.#costMs) {
      bucket.tokensMs = tokens;
      return false;
    }
    bucket.tokensMs = tokens - this.#costMs;
    return true;
  }

  get size(): number {
    return this.#buckets.size;
  }

  #sweep(now: number): void {
    this.#sweptMs = now;
    for (const [key, bucket] of this.#buckets) {
      if (now - bucket.lastMs > FORGET_AFTER_MS) this.#buckets.delete(key);
    }
  }
}

/**
 * The source as a number, so that a flood makes no strings: an IPv4 address, or of an IPv6 prefix the last 53 of 64 bits, below zero;
 * the first eleven tell registries apart at most.
 */
function sourceKey(bytes: Uint8Array, offset: number): number {
  const at = offset + endpointLayout.address;
  const first = loadBe32(bytes, at);
  if (bytes[offset + endpointLayout.family]! === FAMILY_V4) return first;
  return -1 - ((first & 0x1f_ffff) * 0x1_0000_0000 + loadBe32(bytes, at + 4));
}

function loadBe32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
  );
}

/** Bytes of the source that a cookie is bound to: 16 address bytes, then the port's two (whitepaper 5.4.7). */
export function copySource(out: Uint8Array, bytes: Uint8Array, offset: number): Uint8Array {
  const family = bytes[offset + endpointLayout.family]!;
  const length = family === FAMILY_V4 ? 4 : 16;
  for (let i = 0; i < length; i++) out[i] = bytes[offset + endpointLayout.address + i]!;
  // Big-endian, as on the wire; the record holds it in host (little-endian) order.
  out[length] = bytes[offset + endpointLayout.port + 1]!;
  out[length + 1] = bytes[offset + endpointLayout.port]!;
  return out.subarray(0, length + 2);
}

/** Room that {@link copySource} needs. */
export const SOURCE_BYTES_MAX = 18;
