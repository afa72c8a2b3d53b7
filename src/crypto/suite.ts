/**
 * The cryptographic suite that WireGuard fixes (whitepaper 5.4): X25519, BLAKE2s, HMAC-BLAKE2s, ChaCha20-Poly1305
 * and XChaCha20-Poly1305, behind one interface with two implementations: `noble.ts` (pure TypeScript, the
 * reference) and `openssl.ts` (node:crypto). Both must give equal bytes for equal input.
 *
 * Lengths are checked: a wrong one is a programmer's error and throws. In `sharedSecret`, `publicKey`, `hash`, `mac` and
 * `hmac`, `out` may be or overlap an input. Inputs are only read; temporaries that hold secrets are wiped where possible.
 *
 * Handshake-rate operations only. Transport packets go through {@link TransportCipher}, which works on a slab.
 */
import type { Slab } from "../bytes/slab.ts";

export const KEY_BYTES = 32;
export const HASH_BYTES = 32;
export const MAC_BYTES = 16;
export const TAG_BYTES = 16;
export const XNONCE_BYTES = 24;

export interface Suite {
  readonly name: "noble" | "openssl";

  /**
   * X25519(secret, point) into `out` (32 bytes each; RFC 7748 5).
   * Returns false when the result is all zero (a low-order point; RFC 7748 6.1): `out` is then all zero.
   */
  sharedSecret(out: Uint8Array, secret: Uint8Array, point: Uint8Array): boolean;

  /** The public key of `secret` into `out`: X25519(secret, 9). Clamping is done inside; `secret` is not changed. */
  publicKey(out: Uint8Array, secret: Uint8Array): void;

  /** BLAKE2s-256 of `a || b` into `out` (32 bytes; RFC 7693). */
  hash(out: Uint8Array, a: Uint8Array, b: Uint8Array): void;

  /** Keyed BLAKE2s with 16 bytes of output (mac1, mac2; whitepaper 5.4.4). `key` is 1 to 32 bytes. */
  mac(out: Uint8Array, key: Uint8Array, input: Uint8Array): void;

  /** HMAC-BLAKE2s-256 (RFC 2104, block of 64 bytes) into `out` (32 bytes). */
  hmac(out: Uint8Array, key: Uint8Array, input: Uint8Array): void;

  /**
   * ChaCha20-Poly1305 (RFC 8439 2.8) with a zero nonce, as every AEAD of the handshake uses it (a fresh key each).
   * `out` is plaintext.length + 16 bytes and may not overlap `plaintext`.
   */
  seal(out: Uint8Array, key: Uint8Array, plaintext: Uint8Array, ad: Uint8Array): void;

  /** Opens what {@link seal} made; `out` is ciphertext.length - 16 bytes. False: not authentic, `out` is zeroed. */
  open(out: Uint8Array, key: Uint8Array, ciphertext: Uint8Array, ad: Uint8Array): boolean;

  /** XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03), 24-byte nonce: cookie replies (whitepaper 5.4.7). */
  xseal(
    out: Uint8Array,
    key: Uint8Array,
    nonce: Uint8Array,
    plaintext: Uint8Array,
    ad: Uint8Array,
  ): void;
  xopen(
    out: Uint8Array,
    key: Uint8Array,
    nonce: Uint8Array,
    ciphertext: Uint8Array,
    ad: Uint8Array,
  ): boolean;
}

/**
 * Batched ChaCha20-Poly1305 in place on a slab, with empty associated data (whitepaper 5.4.6).
 *
 * Each packet has WireGuard's transport shape: 16 bytes of header, of which the last eight are the little-endian
 * counter; payload; 16 bytes of tag. The nonce is four zero bytes and those eight, read from the packet itself.
 * The addon allocates nothing per packet (noble's does); the key (32 bytes) is only read, and `forget` wipes any copy kept between calls.
 */
export interface TransportCipher {
  /** Seals datagrams `first` to `first + count - 1` of `slab.datagram*`; lengths are wire lengths (payload + 32). */
  seal(slab: Slab, key: Uint8Array, first: number, count: number): void;

  /**
   * Opens received datagrams `first` to `first + count - 1` in place. `slab.opened[i]` becomes the payload length, or
   * -1 when the datagram is not authentic (its bytes are then undefined). Payload begins at offset + 16. Lengths below
   * 32 give -1.
   */
  open(slab: Slab, key: Uint8Array, first: number, count: number): void;

  /** Wipes key material that the cipher itself holds from the last call. */
  forget(): void;
}
