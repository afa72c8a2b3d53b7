/**
 * The suite in TypeScript alone, on @noble/curves, @noble/hashes and @noble/ciphers: the reference that every other
 * backend is compared with, and the fallback where OpenSSL lacks an operation.
 *
 * It allocates. Copies of secrets that it makes are wiped where noble lets it; BigInts inside X25519 can't be, and
 * their arithmetic is not constant-time (noble's own security note). Doesn't: transport packets (`noble-cipher.ts`).
 */

import { chacha20poly1305, xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import { x25519 } from "@noble/curves/ed25519.js";
import { blake2s } from "@noble/hashes/blake2.js";
import { hmac } from "@noble/hashes/hmac.js";
import { assert } from "../bytes/assert.ts";
import { copySecret } from "../bytes/secret-bytes.ts";
import { HASH_BYTES, KEY_BYTES, MAC_BYTES, type Suite, TAG_BYTES, XNONCE_BYTES } from "./suite.ts";

const ZERO_NONCE = new Uint8Array(12);

/** The part of noble's AEAD objects that is used here; each serves one message. */
interface Aead {
  encrypt(plaintext: Uint8Array, output: Uint8Array): Uint8Array;
  decrypt(ciphertext: Uint8Array, output: Uint8Array): Uint8Array;
}

export const nobleSuite: Suite = {
  name: "noble",

  sharedSecret(out, secret, point) {
    assert(out.length === KEY_BYTES, "the shared secret has 32 bytes");
    assert(secret.length === KEY_BYTES && point.length === KEY_BYTES, "X25519 takes 32 bytes each");
    let shared: Uint8Array;
    try {
      shared = x25519.getSharedSecret(secret, point);
    } catch {
      // With lengths checked, noble throws for one reason: the point is of low order.
      out.fill(0);
      return false;
    }
    copySecret(out, shared);
    shared.fill(0);
    return true;
  },

  publicKey(out, secret) {
    assert(out.length === KEY_BYTES && secret.length === KEY_BYTES, "X25519 takes 32 bytes each");
    out.set(x25519.getPublicKey(secret));
  },

  hash(out, a, b) {
    assert(out.length === HASH_BYTES, "a hash has 32 bytes");
    const state = blake2s.create({});
    take(out, state.update(a).update(b).digest());
  },

  mac(out, key, input) {
    assert(out.length === MAC_BYTES, "a mac has 16 bytes");
    assert(key.length >= 1 && key.length <= KEY_BYTES, "a mac key has 1 to 32 bytes");
    const state = blake2s.create({ key, dkLen: MAC_BYTES });
    take(out, state.update(input).digest());
  },

  hmac(out, key, input) {
    assert(out.length === HASH_BYTES, "a hash has 32 bytes");
    take(out, hmac(blake2s, key, input));
  },

  seal(out, key, plaintext, ad) {
    seal(chacha20poly1305(key, ZERO_NONCE, ad), out, key, plaintext);
  },

  open(out, key, ciphertext, ad) {
    return open(chacha20poly1305(key, ZERO_NONCE, ad), out, key, ciphertext);
  },

  xseal(out, key, nonce, plaintext, ad) {
    assert(nonce.length === XNONCE_BYTES, "an extended nonce has 24 bytes");
    seal(xchacha20poly1305(key, nonce, ad), out, key, plaintext);
  },

  xopen(out, key, nonce, ciphertext, ad) {
    assert(nonce.length === XNONCE_BYTES, "an extended nonce has 24 bytes");
    return open(xchacha20poly1305(key, nonce, ad), out, key, ciphertext);
  },
};

/** Moves a result into `out` and wipes where it came from. */
function take(out: Uint8Array, result: Uint8Array): void {
  copySecret(out, result);
  result.fill(0);
}

function seal(aead: Aead, out: Uint8Array, key: Uint8Array, plaintext: Uint8Array): void {
  assert(key.length === KEY_BYTES, "a key has 32 bytes");
  assert(out.length === plaintext.length + TAG_BYTES, "room for the ciphertext and its tag");
  aead.encrypt(plaintext, out);
}

function open(aead: Aead, out: Uint8Array, key: Uint8Array, ciphertext: Uint8Array): boolean {
  assert(key.length === KEY_BYTES, "a key has 32 bytes");
  assert(out.length + TAG_BYTES === ciphertext.length, "room for the plaintext");
  try {
    aead.decrypt(ciphertext, out);
    return true;
  } catch {
    // With lengths checked, noble throws for one reason: the tag is wrong.
    out.fill(0);
    return false;
  }
}
