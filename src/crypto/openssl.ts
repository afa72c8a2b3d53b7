/**
 * The suite on node:crypto, which is OpenSSL: the fast backend. The only file of `src/crypto` that imports from Node.
 *
 * Keyed BLAKE2s (`mac`) and XChaCha20-Poly1305 (`xseal`, `xopen`) are noble's: Node's OpenSSL has neither. HChaCha20
 * from noble with the AEAD from OpenSSL was tried for a cookie's 16 bytes: 8.0 microseconds, against noble's 8.1.
 *
 * Microseconds on a 2-core virtual machine; every operation at the sizes that a handshake has:
 *
 *                          noble   Node 20.20, OpenSSL 3.0   Node 24.21, OpenSSL 3.5
 *   sharedSecret             935              73                       139
 *   publicKey                300              36                        68
 *   hash of 64 bytes         2.1             0.9                       0.8
 *   hmac: createHmac         7.7             2.2                   12 - 24
 *   hmac: two hashes                         3.5                       3.3
 *   seal, open of 16         6.0             4.8                        21
 *
 * OpenSSL 3.5 sets up a MAC or cipher context slowly. HMAC, of which a handshake has about twenty, therefore goes by two
 * hashes; the AEAD, of which it has three, stays OpenSSL's for its constant-time code.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  type KeyObject,
} from "node:crypto";
import { assert } from "../bytes/assert.ts";
import { copySecret, secretBytes } from "../bytes/secret-bytes.ts";
import { nobleSuite } from "./noble.ts";
import { HASH_BYTES, KEY_BYTES, type Suite, TAG_BYTES } from "./suite.ts";

const AEAD = "chacha20-poly1305";
const HASH = "blake2s256";
/** BLAKE2s's block (RFC 7693 2.1). */
const BLOCK_BYTES = 64;
const ZERO_NONCE = new Uint8Array(12);
const TAG_OPTIONS = { authTagLength: TAG_BYTES } as const;

export const opensslSuite: Suite = {
  name: "openssl",

  sharedSecret(out, secret, point) {
    assert(out.length === KEY_BYTES, "the shared secret has 32 bytes");
    const keys = { privateKey: importSecret(secret), publicKey: importPoint(point) };
    let shared: Uint8Array;
    try {
      shared = diffieHellman(keys);
    } catch {
      // OpenSSL takes any 32 bytes for a key and refuses one thing: to derive an all-zero secret.
      out.fill(0);
      return false;
    }
    take(out, shared);
    return true;
  },

  publicKey(out, secret) {
    assert(out.length === KEY_BYTES, "a public key has 32 bytes");
    const { x } = createPublicKey(importSecret(secret)).export({ format: "jwk" });
    assert(x !== undefined, "an X25519 public key exports its coordinate");
    out.set(Buffer.from(x, "base64url"));
  },

  hash(out, a, b) {
    assert(out.length === HASH_BYTES, "a hash has 32 bytes");
    take(out, createHash(HASH).update(a).update(b).digest());
  },

  mac(out, key, input) {
    nobleSuite.mac(out, key, input);
  },

  hmac(out, key, input) {
    assert(out.length === HASH_BYTES, "a hash has 32 bytes");
    // RFC 2104, by two hashes; why not createHmac: see the head of this file.
    const pad = secretBytes(BLOCK_BYTES);
    if (key.length > BLOCK_BYTES) take(pad, createHash(HASH).update(key).digest());
    else copySecret(pad, key);
    for (let i = 0; i < BLOCK_BYTES; i++) pad[i]! ^= 0x36;
    const inner = createHash(HASH).update(pad).update(input).digest();
    for (let i = 0; i < BLOCK_BYTES; i++) pad[i]! ^= 0x36 ^ 0x5c;
    take(out, createHash(HASH).update(pad).update(inner).digest());
    inner.fill(0);
    pad.fill(0);
  },

  seal(out, key, plaintext, ad) {
    assert(out.length === plaintext.length + TAG_BYTES, "room for the ciphertext and its tag");
    const cipher = createCipheriv(AEAD, key, ZERO_NONCE, TAG_OPTIONS);
    cipher.setAAD(ad, { plaintextLength: plaintext.length });
    out.set(cipher.update(plaintext));
    cipher.final();
    out.set(cipher.getAuthTag(), plaintext.length);
  },

  open(out, key, ciphertext, ad) {
    assert(out.length + TAG_BYTES === ciphertext.length, "room for the plaintext");
    const decipher = createDecipheriv(AEAD, key, ZERO_NONCE, TAG_OPTIONS);
    decipher.setAAD(ad, { plaintextLength: out.length });
    decipher.setAuthTag(ciphertext.subarray(out.length));
    const plaintext = decipher.update(ciphertext.subarray(0, out.length));
    try {
      decipher.final();
    } catch {
      // The tag is wrong: nothing else is left to fail.
      plaintext.fill(0);
      out.fill(0);
      return false;
    }
    take(out, plaintext);
    return true;
  },

  xseal(out, key, nonce, plaintext, ad) {
    nobleSuite.xseal(out, key, nonce, plaintext, ad);
  },

  xopen(out, key, nonce, ciphertext, ad) {
    return nobleSuite.xopen(out, key, nonce, ciphertext, ad);
  },
};

/**
 * Keys go in as JWK, not as DER: OpenSSL 3 takes ten times longer to find its way through DER. For one DH with both
 * imports, microseconds on Node 20.20 on a 2-core virtual machine:
 *
 *   JWK 74 (secret 29, point 5, derivation 30)   DER 413 (secret 319, point 68)   noble 880
 *
 * The price is a base64url copy of the secret on the JavaScript heap until that memory is used again, as noble's
 * BigInts are. Key objects are not kept between calls, though that would save 25 of the 74: a table of recent secrets
 * would hold ephemeral ones past the end of their handshake. OpenSSL wipes a key object's copy when it is collected.
 *
 * Node wants `x` to be a string beside `d` but derives the public key by itself.
 */
function importSecret(secret: Uint8Array): KeyObject {
  assert(secret.length === KEY_BYTES, "a secret key has 32 bytes");
  return createPrivateKey({
    key: { kty: "OKP", crv: "X25519", d: encode(secret), x: "" },
    format: "jwk",
  });
}

function importPoint(point: Uint8Array): KeyObject {
  assert(point.length === KEY_BYTES, "a public key has 32 bytes");
  return createPublicKey({ key: { kty: "OKP", crv: "X25519", x: encode(point) }, format: "jwk" });
}

function encode(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64url");
}

/** Moves a result into `out` and wipes where it came from. */
function take(out: Uint8Array, result: Uint8Array): void {
  copySecret(out, result);
  result.fill(0);
}
