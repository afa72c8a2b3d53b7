/**
 * mac1, mac2 and cookies (whitepaper 5.4.4, 5.4.7; K cookie.c): `CookieChecker` is the receiver's side, one per
 * device, `CookieJar` the sender's, one per peer. Time and entropy come in as arguments.
 */

import { isEqual, isZero } from "../bytes/equal.ts";
import { secretBytes } from "../bytes/secret-bytes.ts";
import { KEY_BYTES, MAC_BYTES, type Suite, XNONCE_BYTES } from "../crypto/suite.ts";
import {
  COOKIE_SECRET_AGE_MAX,
  COOKIE_SECRET_LATENCY,
  TYPE_COOKIE_REPLY,
} from "../wire/constants.ts";
import { COOKIE_BYTES, COOKIE_REPLY_BYTES, cookieReplyLayout } from "../wire/layout.ts";
import type { Identity } from "./identity.ts";
import { copySource, SOURCE_BYTES_MAX } from "./rate-limit.ts";

/** Fills the array with unpredictable bytes. */
export type Entropy = (out: Uint8Array) => void;

const NEVER = Number.NEGATIVE_INFINITY;

export class CookieChecker {
  readonly #suite: Suite;
  readonly #secret = secretBytes(KEY_BYTES);
  #secretMadeMs = NEVER;
  readonly #mac = new Uint8Array(MAC_BYTES);
  readonly #cookie = new Uint8Array(COOKIE_BYTES);
  readonly #source = new Uint8Array(SOURCE_BYTES_MAX);

  constructor(suite: Suite) {
    this.#suite = suite;
  }

  /** True if the message's mac1 (at `message.length - 32`) was made for this identity. */
  hasMac1(identity: Identity, message: Uint8Array): boolean {
    const at = message.length - 2 * MAC_BYTES;
    this.#suite.mac(this.#mac, identity.mac1Key, message.subarray(0, at));
    return isEqual(this.#mac, message.subarray(at, at + MAC_BYTES));
  }

  /** True if the message's mac2 proves that its sender got the cookie for the source in the endpoint record. */
  hasMac2(message: Uint8Array, endpoint: Uint8Array, now: number): boolean {
    if (now - this.#secretMadeMs > COOKIE_SECRET_AGE_MAX) return false;
    const at = message.length - MAC_BYTES;
    // Most messages of a flood have none, and a cookie's mac is never zero but by chance in 2^128.
    if (isZero(message.subarray(at))) return false;
    this.#makeCookie(endpoint);
    this.#suite.mac(this.#mac, this.#cookie, message.subarray(0, at));
    return isEqual(this.#mac, message.subarray(at));
  }

  /**
   * Writes a cookie reply (64 bytes) to `message` into `out`: the cookie of its source, sealed with a key that follows
   * from our public key, bound to its mac1.
   */
  reply(
    out: Uint8Array,
    identity: Identity,
    message: Uint8Array,
    senderIndex: number,
    endpoint: Uint8Array,
    now: number,
    entropy: Entropy,
  ): void {
    if (now - this.#secretMadeMs > COOKIE_SECRET_AGE_MAX) {
      entropy(this.#secret);
      this.#secretMadeMs = now;
    }
    this.#makeCookie(endpoint);
    const view = new DataView(out.buffer, out.byteOffset, COOKIE_REPLY_BYTES);
    view.setUint32(cookieReplyLayout.type, TYPE_COOKIE_REPLY, true);
    view.setUint32(cookieReplyLayout.receiver, senderIndex, true);
    const nonce = out.subarray(cookieReplyLayout.nonce, cookieReplyLayout.nonce + XNONCE_BYTES);
    entropy(nonce);
    const mac1At = message.length - 2 * MAC_BYTES;
    this.#suite.xseal(
      out.subarray(cookieReplyLayout.cookie, COOKIE_REPLY_BYTES),
      identity.cookieKey,
      nonce,
      this.#cookie,
      message.subarray(mac1At, mac1At + MAC_BYTES),
    );
  }

  wipe(): void {
    this.#secret.fill(0);
    this.#secretMadeMs = NEVER;
    this.#cookie.fill(0);
  }

  #makeCookie(endpoint: Uint8Array): void {
    this.#suite.mac(this.#cookie, this.#secret, copySource(this.#source, endpoint, 0));
  }
}

export class CookieJar {
  readonly #lastMac1 = new Uint8Array(MAC_BYTES);
  #awaiting = false;
  readonly #cookie = new Uint8Array(COOKIE_BYTES);
  #cookieMs = NEVER;

  /** Writes mac1 and, with a fresh cookie at hand, mac2 into the last 32 bytes of a handshake message. */
  addMacs(suite: Suite, message: Uint8Array, mac1Key: Uint8Array, now: number): void {
    const mac1At = message.length - 2 * MAC_BYTES;
    const mac2At = message.length - MAC_BYTES;
    const mac1 = message.subarray(mac1At, mac2At);
    suite.mac(mac1, mac1Key, message.subarray(0, mac1At));
    this.#lastMac1.set(mac1);
    this.#awaiting = true;
    const mac2 = message.subarray(mac2At);
    if (now - this.#cookieMs < COOKIE_SECRET_AGE_MAX - COOKIE_SECRET_LATENCY) {
      suite.mac(mac2, this.#cookie, message.subarray(0, mac2At));
    } else {
      mac2.fill(0);
    }
  }

  /** Takes the cookie out of a cookie reply to our last message. False: not authentic, or nothing was asked. */
  consumeReply(suite: Suite, reply: Uint8Array, cookieKey: Uint8Array, now: number): boolean {
    if (!this.#awaiting) return false;
    const nonceAt = cookieReplyLayout.nonce;
    const cookie = new Uint8Array(COOKIE_BYTES);
    const authentic = suite.xopen(
      cookie,
      cookieKey,
      reply.subarray(nonceAt, nonceAt + XNONCE_BYTES),
      reply.subarray(cookieReplyLayout.cookie, COOKIE_REPLY_BYTES),
      this.#lastMac1,
    );
    if (!authentic) return false;
    this.#cookie.set(cookie);
    this.#cookieMs = now;
    this.#awaiting = false;
    return true;
  }

  /** True while a cookie is held that has not aged out. */
  hasCookie(now: number): boolean {
    return (
      !isZero(this.#cookie) && now - this.#cookieMs < COOKIE_SECRET_AGE_MAX - COOKIE_SECRET_LATENCY
    );
  }
}
