/**
 * A device's own static key and what follows from it: public key, mac1 key, and the hash state that every handshake
 * towards it starts from. Recomputed as a whole when the key changes.
 */
import { secretCopy } from "../bytes/secret-bytes.ts";
import { HASH_BYTES, KEY_BYTES, type Suite } from "../crypto/suite.ts";
import { CONSTRUCTION, IDENTIFIER, LABEL_COOKIE, LABEL_MAC1 } from "../wire/constants.ts";

const EMPTY = new Uint8Array(0);

/** ASCII only: the labels of the protocol. */
function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

const CONSTRUCTION_BYTES = ascii(CONSTRUCTION);
const IDENTIFIER_BYTES = ascii(IDENTIFIER);
const MAC1_BYTES = ascii(LABEL_MAC1);
const COOKIE_BYTES = ascii(LABEL_COOKIE);

/** HASH(label || public key): the key of mac1 or of the cookie's XChaCha20-Poly1305 (whitepaper 5.4.4, 5.4.7). */
export function labelKey(
  suite: Suite,
  label: "mac1" | "cookie",
  publicKey: Uint8Array,
): Uint8Array {
  const key = new Uint8Array(HASH_BYTES);
  suite.hash(key, label === "mac1" ? MAC1_BYTES : COOKIE_BYTES, publicKey);
  return key;
}

/** HASH(CONSTRUCTION) into `out`: the first chaining key (whitepaper 5.4.2). */
export function initialChainKey(suite: Suite, out: Uint8Array): void {
  suite.hash(out, CONSTRUCTION_BYTES, EMPTY);
}

/** HASH(HASH(chain key || IDENTIFIER) || responder's public key) into `out`: the first hash. */
export function initialHash(suite: Suite, out: Uint8Array, responder: Uint8Array): void {
  const chainKey = new Uint8Array(HASH_BYTES);
  initialChainKey(suite, chainKey);
  suite.hash(out, chainKey, IDENTIFIER_BYTES);
  suite.hash(out, out, responder);
}

export class Identity {
  /** Private, as every secret in a class: what prints objects does not see it. */
  readonly #secret: Uint8Array;
  readonly publicKey: Uint8Array = new Uint8Array(KEY_BYTES);
  readonly mac1Key: Uint8Array;
  readonly cookieKey: Uint8Array;

  /** Copies `secret` (32 bytes). */
  constructor(suite: Suite, secret: Uint8Array) {
    this.#secret = secretCopy(secret);
    suite.publicKey(this.publicKey, this.#secret);
    this.mac1Key = labelKey(suite, "mac1", this.publicKey);
    this.cookieKey = labelKey(suite, "cookie", this.publicKey);
  }

  /** 32 bytes; wiped by {@link wipe}. Not clamped: the suite clamps where it computes. */
  get secret(): Uint8Array {
    return this.#secret;
  }

  wipe(): void {
    this.#secret.fill(0);
  }
}
