/**
 * What a responder answers, without its sockets: bytes and time come in, datagrams to send go out. It sends only to the address that
 * asked, and to another of its ports, or later, only with a cookie that shows that whoever asks gets what is sent there. A request is
 * never shorter than all that it brings about. What one source and all together may ask is bounded, so is what is remembered.
 */

import { formatHex } from "../../../bytes/hex.ts";
import { ENDPOINT_BYTES, endpointLayout } from "../../../bytes/slab.ts";
import { parseAddress } from "../../../route/address.ts";
import { RateLimit } from "../../../session/rate-limit.ts";
import type { Cookies } from "./cookies.ts";
import {
  ACCEPTED,
  type AnswerKind,
  COOKIE_BYTES,
  cutMessages,
  decodeRequest,
  ECHO,
  encodeAnswer,
  REACH,
  REACHED,
  REFUSED,
  type Request,
  SEEN,
  type SocketAddress,
  WOKEN,
} from "./message.ts";

export interface Sending {
  /** "asked": the socket that was asked; "other": the one that nobody speaks to. */
  readonly from: "asked" | "other";
  readonly to: SocketAddress;
  readonly bytes: Uint8Array;
}

/** Ours: a node that measures all at once asks some fifty times within a second; behind one NAT there may be many. */
const PER_SECOND = 50;
const BURST = 200;
/** Ours: 5,000 answers of 64 bytes are 4 Mbit/s with their headers, whoever asks. */
const TOTAL_PER_SECOND = 5_000;
/** Ours: RFC 4787 REQ-5 recommends five minutes or more to NATs; nobody has to wait for longer. */
export const DELAY_MAX_MS = 300_000;
/** Ours: for some hundred nodes that measure at once; a hundred bytes each. */
const WAITING_MAX = 8_192;
const WAITING_OF_SOURCE_MAX = 128;
/** RFC 6335: those below belong to services that nobody shall be made to send to. */
const PORT_MIN = 1_024;

const NO_COOKIE = new Uint8Array(COOKIE_BYTES);

interface Waiting {
  readonly dueMs: number;
  readonly to: SocketAddress;
  readonly nonce: Uint8Array;
}

export class Answering {
  readonly #cookies: Cookies;
  readonly #limit = new RateLimit(PER_SECOND, BURST);
  readonly #record = new Uint8Array(ENDPOINT_BYTES);
  readonly #waiting = new Map<string, Waiting>();
  readonly #waitingOf = new Map<string, number>();
  #tokens = TOTAL_PER_SECOND;
  #lastMs = 0;
  /** Datagrams that got no answer. */
  dropped = 0;

  constructor(cookies: Cookies) {
    this.#cookies = cookies;
  }

  /** How many wait for their time. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Of how many places (an IPv4 address, an IPv6 prefix of 64 bits) something waits. */
  get places(): number {
    return this.#waitingOf.size;
  }

  /** What to send for a datagram from `source`, at `now` (milliseconds, only forward). Never throws. */
  take(datagram: Uint8Array, source: SocketAddress, now: number): Sending[] {
    const messages = cutMessages(datagram);
    if (messages.length === 0) this.dropped += 1;
    return messages.flatMap((message) => this.#answer(message, source, now));
  }

  /** Whose time has come. */
  due(now: number): Sending[] {
    const sendings: Sending[] = [];
    for (const [key, { dueMs, to, nonce }] of this.#waiting) {
      if (dueMs > now) continue;
      this.#forget(key, to.address);
      sendings.push(sending("asked", to, WOKEN, nonce));
    }
    return sendings;
  }

  #answer(message: Uint8Array, source: SocketAddress, now: number): Sending[] {
    const request = decodeRequest(message);
    if (request === undefined || source.port === 0 || !this.#mayAsk(source.address, now)) {
      this.dropped += 1;
      return [];
    }
    const { kind, nonce, cookie } = request;
    if (kind === ECHO || !this.#cookies.isGood(cookie, source.address, now)) {
      const fresh = this.#cookies.make(source.address, now);
      const bytes = encodeAnswer({ kind: SEEN, nonce, cookie: fresh, seen: source });
      return [{ from: "asked", to: source, bytes }];
    }
    if (kind === REACH) return this.#reach(request, source);
    return this.#later(request, source, now);
  }

  #reach({ nonce, port }: Request, source: SocketAddress): Sending[] {
    if (port < PORT_MIN) return [sending("asked", source, REFUSED, nonce)];
    const to = { address: source.address, port };
    return [sending("asked", source, ACCEPTED, nonce), sending("other", to, REACHED, nonce)];
  }

  #later({ nonce, delayMs }: Request, source: SocketAddress, now: number): Sending[] {
    const key = `${source.address} ${source.port} ${formatHex(nonce)}`;
    const isAgain = this.#waiting.has(key);
    const count = this.#waitingOf.get(placeOf(source.address)) ?? 0;
    const isFull = this.#waiting.size >= WAITING_MAX || count >= WAITING_OF_SOURCE_MAX;
    if (delayMs > DELAY_MAX_MS || (isFull && !isAgain)) {
      return [sending("asked", source, REFUSED, nonce)];
    }
    // Asked again because the answer was lost: the silence begins anew.
    this.#waiting.set(key, { dueMs: now + delayMs, to: source, nonce });
    if (!isAgain) this.#waitingOf.set(placeOf(source.address), count + 1);
    return [sending("asked", source, ACCEPTED, nonce)];
  }

  #forget(key: string, address: string): void {
    this.#waiting.delete(key);
    const place = placeOf(address);
    const count = (this.#waitingOf.get(place) ?? 1) - 1;
    if (count === 0) this.#waitingOf.delete(place);
    else this.#waitingOf.set(place, count);
  }

  #mayAsk(address: string, now: number): boolean {
    const passed = Math.max(0, now - this.#lastMs);
    this.#lastMs = now;
    this.#tokens = Math.min(TOTAL_PER_SECOND, this.#tokens + (passed * TOTAL_PER_SECOND) / 1000);
    if (this.#tokens < 1) return false;
    const parsed = parseAddress(address);
    if (parsed === undefined) return false;
    this.#record[endpointLayout.family] = parsed.family;
    this.#record.set(parsed.bytes, endpointLayout.address);
    if (!this.#limit.allow(this.#record, 0, now)) return false;
    this.#tokens -= 1;
    return true;
  }
}

/** Whose it is: an IPv4 address, an IPv6 prefix of 64 bits, as K ratelimiter.c counts. */
function placeOf(address: string): string {
  const parsed = parseAddress(address);
  return parsed?.family === 10 ? formatHex(parsed.bytes.subarray(0, 8)) : address;
}

function sending(
  from: Sending["from"],
  to: SocketAddress,
  kind: AnswerKind,
  nonce: Uint8Array,
): Sending {
  return {
    from,
    to,
    bytes: encodeAnswer({ kind, nonce, cookie: NO_COOKIE, seen: undefined }),
  };
}
