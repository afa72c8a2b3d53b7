/**
 * Cookies that show that somebody gets what is sent to the address it sends from, as WireGuard's (WP 5.4.7): bound to the address, not
 * to the port, valid for two to four minutes. Nothing is kept per asker. Pure but for the digest.
 */
import { createHmac } from "node:crypto";
import { isEqual } from "../../../bytes/equal.ts";
import { parseAddress } from "../../../route/address.ts";
import { COOKIE_BYTES } from "./message.ts";

/** WP 5.4.7: the secret changes every two minutes; here its number in the digest does. */
const SLOT_MS = 120_000;

export class Cookies {
  readonly #secret: Uint8Array;

  /** `secret`: 32 random bytes, this object's from now on. */
  constructor(secret: Uint8Array) {
    this.#secret = secret;
  }

  /** `now` in milliseconds of a clock that only goes forward. */
  make(address: string, now: number): Uint8Array {
    return this.#of(address, Math.floor(now / SLOT_MS));
  }

  isGood(cookie: Uint8Array, address: string, now: number): boolean {
    const slot = Math.floor(now / SLOT_MS);
    return [slot, slot - 1].some((number) => isEqual(cookie, this.#of(address, number)));
  }

  #of(address: string, slot: number): Uint8Array {
    const parsed = parseAddress(address);
    if (parsed === undefined) throw new Error(`${address} is no address`);
    const head = new Uint8Array(9);
    new DataView(head.buffer).setFloat64(0, slot);
    head[8] = parsed.family;
    const digest = createHmac("sha256", this.#secret).update(head).update(parsed.bytes).digest();
    return new Uint8Array(digest.subarray(0, COOKIE_BYTES));
  }
}
