/**
 * The transport cipher in TypeScript alone, on @noble/ciphers: the reference for the addon's (`WIREHAUL_CRYPTO=noble`).
 *
 * Unlike the addon's it allocates for each packet (noble makes a cipher object per nonce). Keeps no key between calls.
 */
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { assert } from "../bytes/assert.ts";
import type { Slab } from "../bytes/slab.ts";
import { KEY_BYTES, TAG_BYTES, type TransportCipher } from "./suite.ts";

/** Transport header: type, receiver index, counter (whitepaper 5.4.6). */
const HEADER_BYTES = 16;
const COUNTER_AT = 8;
const OVERHEAD_BYTES = HEADER_BYTES + TAG_BYTES;

/** Four zero bytes and the counter of the packet at hand. */
const nonce = new Uint8Array(12);

export const nobleCipher: TransportCipher = {
  seal(slab, key, first, count) {
    assert(key.length === KEY_BYTES, "a key has 32 bytes");
    for (let i = first; i < first + count; i++) {
      const offset = slab.datagramOffset[i]!;
      const end = offset + slab.datagramLength[i]!;
      assert(end - offset >= OVERHEAD_BYTES, "a datagram to seal has room for header and tag");
      readNonce(slab, offset);
      const plaintext = slab.bytes.subarray(offset + HEADER_BYTES, end - TAG_BYTES);
      chacha20poly1305(key, nonce).encrypt(
        plaintext,
        slab.bytes.subarray(offset + HEADER_BYTES, end),
      );
    }
  },

  open(slab, key, first, count) {
    assert(key.length === KEY_BYTES, "a key has 32 bytes");
    for (let i = first; i < first + count; i++) {
      slab.opened[i] = openOne(slab, key, slab.receivedOffset[i]!, slab.receivedLength[i]!);
    }
  },

  forget() {
    // noble wipes its own copies at the end of each packet.
  },
};

/** The payload length, or -1: too short, or not authentic. */
function openOne(slab: Slab, key: Uint8Array, offset: number, length: number): number {
  if (length < OVERHEAD_BYTES) return -1;
  const start = offset + HEADER_BYTES;
  const end = offset + length;
  readNonce(slab, offset);
  try {
    const plaintext = slab.bytes.subarray(start, end - TAG_BYTES);
    chacha20poly1305(key, nonce).decrypt(slab.bytes.subarray(start, end), plaintext);
    return plaintext.length;
  } catch {
    // With lengths checked, noble throws for one reason: the tag is wrong.
    return -1;
  }
}

function readNonce(slab: Slab, offset: number): void {
  const at = offset + COUNTER_AT;
  for (let i = 0; i < 8; i++) nonce[4 + i] = slab.bytes[at + i]!;
}
