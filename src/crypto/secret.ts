/**
 * A private key that doesn't print itself: console, inspect, JSON and string conversion all show a placeholder, and
 * the bytes can be wiped. It can't protect from a heap dump, nor wipe copies that others made.
 */
import { assert } from "../bytes/assert.ts";
import { secretBytes } from "../bytes/secret-bytes.ts";
import { KEY_BYTES } from "./suite.ts";

const PLACEHOLDER = "(secret)";

export class SecretKey {
  readonly #bytes = secretBytes(KEY_BYTES);
  #wiped = false;

  /** Copies `bytes` (32); the caller wipes its own. */
  constructor(bytes: Uint8Array) {
    assert(bytes.length === KEY_BYTES, "a secret key has 32 bytes");
    this.#bytes.set(bytes);
  }

  /**
   * The live 32 bytes, not a copy: owned by this object, zero after {@link wipe}, not to be written to nor kept.
   * Throws once wiped, since an all-zero key would otherwise be used in silence.
   */
  expose(): Uint8Array {
    assert(!this.#wiped, "a secret key in use has not been wiped");
    return this.#bytes;
  }

  get isWiped(): boolean {
    return this.#wiped;
  }

  /** Overwrites the bytes with zeros, for good. May be called again. */
  wipe(): void {
    this.#bytes.fill(0);
    this.#wiped = true;
  }

  toString(): string {
    return PLACEHOLDER;
  }

  toJSON(): string {
    return PLACEHOLDER;
  }

  // What `console.log` and `util.inspect` look for, by its public name, so that node:util isn't needed; defined here
  // because isolated declarations allow no computed member.
  static {
    Object.defineProperty(SecretKey.prototype, Symbol.for("nodejs.util.inspect.custom"), {
      value: () => PLACEHOLDER,
    });
  }
}
