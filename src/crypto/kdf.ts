/**
 * KDF1, KDF2 and KDF3 of the whitepaper (5.4): HKDF (RFC 5869) with HMAC-BLAKE2s, `key` as salt, no info.
 *
 *   t0 = HMAC(key, input)   t1 = HMAC(t0, 1)   t2 = HMAC(t0, t1 || 2)   t3 = HMAC(t0, t2 || 3)
 *
 * Every output is 32 bytes. The first may be `key` itself (the chaining key is replaced in place); other outputs may
 * not overlap anything. `input` may be of any length, zero too, and overlap no output. t0 is wiped before returning.
 * These are three small allocations at handshake rate; nothing here keeps state between calls.
 */
import { copySecret, secretBytes } from "../bytes/secret-bytes.ts";
import { HASH_BYTES, type Suite } from "./suite.ts";

export function kdf1(suite: Suite, t1: Uint8Array, key: Uint8Array, input: Uint8Array): void {
  const t0 = extract(suite, key, input);
  expandFirst(suite, t1, t0);
  t0.fill(0);
}

export function kdf2(
  suite: Suite,
  t1: Uint8Array,
  t2: Uint8Array,
  key: Uint8Array,
  input: Uint8Array,
): void {
  const t0 = extract(suite, key, input);
  expandFirst(suite, t1, t0);
  expandNext(suite, t2, t0, t1, 2);
  t0.fill(0);
}

export function kdf3(
  suite: Suite,
  t1: Uint8Array,
  t2: Uint8Array,
  t3: Uint8Array,
  key: Uint8Array,
  input: Uint8Array,
): void {
  const t0 = extract(suite, key, input);
  expandFirst(suite, t1, t0);
  expandNext(suite, t2, t0, t1, 2);
  expandNext(suite, t3, t0, t2, 3);
  t0.fill(0);
}

function extract(suite: Suite, key: Uint8Array, input: Uint8Array): Uint8Array {
  const t0 = secretBytes(HASH_BYTES);
  suite.hmac(t0, key, input);
  return t0;
}

const ONE = Uint8Array.of(1);

function expandFirst(suite: Suite, out: Uint8Array, t0: Uint8Array): void {
  suite.hmac(out, t0, ONE);
}

function expandNext(
  suite: Suite,
  out: Uint8Array,
  t0: Uint8Array,
  previous: Uint8Array,
  position: number,
): void {
  const input = secretBytes(HASH_BYTES + 1);
  copySecret(input, previous);
  input[HASH_BYTES] = position;
  suite.hmac(out, t0, input);
  input.fill(0);
}
