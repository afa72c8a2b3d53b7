/**
 * The OpenSSL suite through the addon: what node:crypto does with the same code, without its objects. Microseconds on a 2-core
 * virtual machine, Node 20.20, beside those of `src/crypto/openssl.ts`:
 *
 *                        node:crypto    addon
 *   sharedSecret             73           27
 *   publicKey                36           13
 *   hash of 64 bytes        0.9          0.5
 *   hmac                    3.5          0.9
 *   seal, open of 16        4.8          1.3
 *
 * XChaCha20 is that suite's own.
 */
import { assert } from "../bytes/assert.ts";
import { opensslSuite } from "../crypto/openssl.ts";
import { HASH_BYTES, KEY_BYTES, type Suite, TAG_BYTES } from "../crypto/suite.ts";
import { errnoName } from "./errno.ts";
import type { Native } from "./native.ts";

/** BLAKE2s's block: a longer key of an HMAC is hashed first (RFC 2104); the handshake has none. */
const HMAC_KEY_MAX = 64;
const ENOSYS = 38;

/** The base point of curve25519 (RFC 7748 4.1). */
const BASE_POINT = new Uint8Array(KEY_BYTES);
BASE_POINT[0] = 9;

export function nativeSuite(native: Native): Suite {
  const probe = new Uint8Array(KEY_BYTES);
  // A node that is linked with the system's OpenSSL does not show its X25519.
  const hasX25519 = native.x25519(probe, BASE_POINT, BASE_POINT) !== -ENOSYS;
  return {
    ...opensslSuite,

    sharedSecret(out, secret, point) {
      if (!hasX25519) return opensslSuite.sharedSecret(out, secret, point);
      return checked("X25519", native.x25519(out, secret, point)) === 1;
    },

    publicKey(out, secret) {
      if (hasX25519) checked("X25519", native.x25519Public(out, secret));
      else opensslSuite.publicKey(out, secret);
    },

    mac(out, key, input) {
      checked("BLAKE2s", native.mac(out, key, input));
    },

    hash(out, a, b) {
      checked("BLAKE2s", native.blake2s(out, a, b));
    },

    hmac(out, key, input) {
      assert(out.length === HASH_BYTES, "a hash has 32 bytes");
      if (key.length > HMAC_KEY_MAX) opensslSuite.hmac(out, key, input);
      else checked("HMAC", native.hmac(out, key, input));
    },

    seal(out, key, plaintext, ad) {
      assert(out.length === plaintext.length + TAG_BYTES, "room for the ciphertext and its tag");
      checked("seal", native.noiseSeal(out, key, plaintext, ad));
    },

    open(out, key, ciphertext, ad) {
      assert(out.length + TAG_BYTES === ciphertext.length, "room for the plaintext");
      return checked("open", native.noiseOpen(out, key, ciphertext, ad)) === 1;
    },
  };
}

/** A refusal means a wrong length, which is a programmer's error, or an OpenSSL without the algorithm. */
function checked(action: string, result: number): number {
  if (result < 0) throw new Error(`native ${action} failed: ${errnoName(result)}`);
  return result;
}
