/**
 * The transport cipher that runs in the addon: one call per batch, in place on a registered slab.
 *
 * Owns: nothing but the pairing of a slab with its handle. Doesn't: choose keys, counters or packets.
 */
import type { Slab } from "../bytes/slab.ts";
import type { TransportCipher } from "../crypto/suite.ts";
import { errnoName } from "./errno.ts";
import type { Native, SlabHandle } from "./native.ts";

export class NativeCipher implements TransportCipher {
  readonly #native: Native;
  readonly #slab: Slab;
  readonly #handle: SlabHandle;

  /** `handle` is what `native.slabAttach(slab.buffer)` returned. */
  constructor(native: Native, slab: Slab, handle: SlabHandle) {
    this.#native = native;
    this.#slab = slab;
    this.#handle = handle;
  }

  seal(slab: Slab, key: Uint8Array, first: number, count: number): void {
    this.#expect(slab);
    check("seal", this.#native.seal(this.#handle, key, first, count));
  }

  open(slab: Slab, key: Uint8Array, first: number, count: number): void {
    this.#expect(slab);
    check("open", this.#native.open(this.#handle, key, first, count));
  }

  forget(): void {
    this.#native.forget(this.#handle);
  }

  #expect(slab: Slab): void {
    if (slab !== this.#slab) throw new TypeError("this cipher works on another slab");
  }
}

/** A refusal means a list that was not filled as agreed, or an OpenSSL without ChaCha20-Poly1305. */
function check(action: string, result: number): void {
  if (result < 0) throw new Error(`native ${action} failed: ${errnoName(result)}`);
}
