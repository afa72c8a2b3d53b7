/** Unpredictable bytes from the kernel by way of OpenSSL's generator. */
import { randomFillSync } from "node:crypto";

/** Fills `out`. Throws if the system has no entropy, which ends the lane: nothing may go on without. */
export function entropy(out: Uint8Array): void {
  randomFillSync(out);
}
