/**
 * TAI64N timestamps of initiations (whitepaper 5.4.2, https://cr.yp.to/libtai/tai64.html): eight bytes of seconds
 * and four of nanoseconds, big-endian. Reads no clock.
 */

/** TAI64 label of 1970-01-01 with the ten leap seconds of then: 2^62 + 10. High word of it; the low one is added below. */
const TAI64_BASE_HI = 0x4000_0000;
const TAI64_BASE_LO = 10;
/** K noise.c tai64n_now: nanoseconds are rounded down to the largest power of two that is not above 1e9 / 50, so as to
 * leak no fine clock. */
const NANOSECONDS_MASK = ~((1 << 24) - 1);

/** Writes the timestamp of `unixMs` (milliseconds since 1970, below 2^53) into 12 bytes of `out`. */
export function writeTai64n(out: Uint8Array, unixMs: number): void {
  const seconds = Math.floor(unixMs / 1000);
  const nanoseconds = Math.floor((unixMs - seconds * 1000) * 1_000_000) & NANOSECONDS_MASK;
  const low = seconds + TAI64_BASE_LO;
  const view = new DataView(out.buffer, out.byteOffset, out.byteLength);
  view.setUint32(0, TAI64_BASE_HI + Math.floor(low / 0x1_0000_0000), false);
  view.setUint32(4, low % 0x1_0000_0000, false);
  view.setUint32(8, nanoseconds >>> 0, false);
}

/** True if timestamp `a` is later than `b` (12 bytes each). */
export function isLater(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < 12; i++) {
    if (a[i]! !== b[i]!) return a[i]! > b[i]!;
  }
  return false;
}
