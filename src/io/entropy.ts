/**
 * Entropy for the pure layers: Node's generator, which is OpenSSL's seeded by the kernel.
 *
 * A call into it costs some 100 microseconds on a thread that was idle, and the timers of an idle tunnel want four bytes of
 * jitter for the first packet of every exchange: that was half of an idle ping's time on the way out. Small requests
 * are therefore served from bytes drawn ahead; keys are always drawn fresh.
 */
import { randomFillSync } from "node:crypto";

/** Ours: requests up to this size come from the pool. Indexes and jitter have 4 bytes, keys 32, nonces 24. */
const SMALL_BYTES = 8;
const POOL_BYTES = 1024;

const pool = new Uint8Array(POOL_BYTES);
let used = POOL_BYTES;

/** Fills `out` with unpredictable bytes. */
export function entropy(out: Uint8Array): void {
  if (out.length > SMALL_BYTES) {
    randomFillSync(out);
    return;
  }
  if (used + out.length > POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
  }
  out.set(pool.subarray(used, used + out.length));
  // Each byte is used once.
  pool.fill(0, used, used + out.length);
  used += out.length;
}
