/**
 * The datagrams by which nodes tell each other whether they can be reached: requests of an asker, answers of a responder. Pure.
 *
 * Ours. STUN with RFC 5780 does nearly the same, but its answers are longer than its requests, RESPONSE-PORT (7.5) can be aimed at others,
 * and it cannot ask for an answer after a silence. Here all answers are of one length, and a request that gets two of them is longer than
 * both together with their headers. Numbers are big-endian:
 *
 *     0  "WHR", version   4  kind   5  family (4 or 6)   6  port   8  nonce   24  cookie   40  address or delay (u32, ms)   56  zeros
 */

import { isEqual } from "../../../bytes/equal.ts";
import { loadBe16, storeBe16 } from "../../../bytes/integer.ts";
import { formatAddress, parseAddress } from "../../../route/address.ts";

export interface SocketAddress {
  /** As text, maybe with a scope. */
  readonly address: string;
  readonly port: number;
}

/** Asks for "seen". */
export const ECHO = 1;
/** Asks for "accepted", and for "reached" from the responder's other port to another port of the asker. */
export const REACH = 2;
/** Asks for "accepted" now, and for "woken" after a silence. */
export const LATER = 3;
/** Where the request came from, and a cookie; also the answer to what has no good cookie. */
export const SEEN = 129;
export const ACCEPTED = 130;
export const REACHED = 131;
export const WOKEN = 132;
/** Nothing will come: too much is asked for already. */
export const REFUSED = 133;

export type RequestKind = typeof ECHO | typeof REACH | typeof LATER;
export type AnswerKind =
  | typeof SEEN
  | typeof ACCEPTED
  | typeof REACHED
  | typeof WOKEN
  | typeof REFUSED;

export interface Request {
  readonly kind: RequestKind;
  readonly nonce: Uint8Array;
  /** Zeros: there is none yet. */
  readonly cookie: Uint8Array;
  /** Of "reach": where to send to. */
  readonly port: number;
  /** Of "later". */
  readonly delayMs: number;
}

export interface Answer {
  readonly kind: AnswerKind;
  readonly nonce: Uint8Array;
  /** Of "seen". */
  readonly cookie: Uint8Array;
  /** Of "seen"; undefined in others. */
  readonly seen: SocketAddress | undefined;
}

/** Ours: more than can be guessed, as much as WireGuard's cookies (WP 5.4.7). */
export const NONCE_BYTES = 16;
export const COOKIE_BYTES = 16;
/** Ours: what the longest answer needs, to a power of two. */
export const ANSWER_BYTES = 64;
/** Ours: two answers with the headers of one more packet (IPv6 40, UDP 8: RFC 8200, RFC 768) are shorter. */
const LONG_BYTES = 192;
/** Ours: "WHR" and the version of what follows. */
const MAGIC: Uint8Array = new Uint8Array([0x57, 0x48, 0x52, 0x01]);

const KIND_AT = 4;
const FAMILY_AT = 5;
const PORT_AT = 6;
const NONCE_AT = 8;
const COOKIE_AT = 24;
const VALUE_AT = 40;
/** Ours: a message that the kernel put together of several (UDP_GRO) is cut; more than that many are not looked at. */
const CUT_MAX = 64;

/** How long a message of this kind is; 0: there is no such kind. */
function lengthOf(kind: number): number {
  if (kind === REACH || kind === LATER) return LONG_BYTES;
  return kind === ECHO || (kind >= SEEN && kind <= REFUSED) ? ANSWER_BYTES : 0;
}

function begin(kind: number, nonce: Uint8Array, cookie: Uint8Array | undefined): Uint8Array {
  const bytes = new Uint8Array(lengthOf(kind));
  bytes.set(MAGIC);
  bytes[KIND_AT] = kind;
  bytes.set(nonce, NONCE_AT);
  if (cookie !== undefined) bytes.set(cookie, COOKIE_AT);
  return bytes;
}

export function encodeRequest({ kind, nonce, cookie, port, delayMs }: Request): Uint8Array {
  const bytes = begin(kind, nonce, cookie);
  storeBe16(bytes, PORT_AT, port);
  new DataView(bytes.buffer).setUint32(VALUE_AT, delayMs);
  return bytes;
}

/** Throws if `seen` holds no address. */
export function encodeAnswer({ kind, nonce, cookie, seen }: Answer): Uint8Array {
  const bytes = begin(kind, nonce, cookie);
  if (seen === undefined) return bytes;
  const address = parseAddress(seen.address);
  if (address === undefined) throw new Error(`${seen.address} is no address`);
  bytes[FAMILY_AT] = address.family === 2 ? 4 : 6;
  storeBe16(bytes, PORT_AT, seen.port);
  bytes.set(masked(address.bytes, nonce), VALUE_AT);
  return bytes;
}

/** Some NATs rewrite what looks like an address inside a packet (RFC 8489 14.2), so none does. */
function masked(address: Uint8Array, nonce: Uint8Array): Uint8Array {
  return address.map((byte, index) => byte ^ nonce[index]!);
}

/** The messages that one receive gave, in views; what is none ends the search. */
export function cutMessages(bytes: Uint8Array): Uint8Array[] {
  const found: Uint8Array[] = [];
  let at = 0;
  while (at + ANSWER_BYTES <= bytes.length && found.length < CUT_MAX) {
    const length = lengthOf(bytes[at + KIND_AT]!);
    const message = bytes.subarray(at, at + length);
    if (length === 0 || message.length < length) break;
    if (!isEqual(message.subarray(0, MAGIC.length), MAGIC)) break;
    found.push(message);
    at += length;
  }
  return found;
}

/** Of what {@link cutMessages} found; undefined: it is no request. Copies what it keeps. */
export function decodeRequest(bytes: Uint8Array): Request | undefined {
  const kind = bytes[KIND_AT]!;
  if (kind !== ECHO && kind !== REACH && kind !== LATER) return undefined;
  return {
    kind,
    nonce: bytes.slice(NONCE_AT, NONCE_AT + NONCE_BYTES),
    cookie: bytes.slice(COOKIE_AT, COOKIE_AT + COOKIE_BYTES),
    port: loadBe16(bytes, PORT_AT),
    delayMs: new DataView(bytes.buffer, bytes.byteOffset).getUint32(VALUE_AT),
  };
}

/** Of what {@link cutMessages} found; undefined: it is no answer. Copies what it keeps. */
export function decodeAnswer(bytes: Uint8Array): Answer | undefined {
  const kind = bytes[KIND_AT]!;
  if (kind < SEEN || kind > REFUSED) return undefined;
  const nonce = bytes.slice(NONCE_AT, NONCE_AT + NONCE_BYTES);
  const cookie = bytes.slice(COOKIE_AT, COOKIE_AT + COOKIE_BYTES);
  if (kind !== SEEN) return { kind: kind as AnswerKind, nonce, cookie, seen: undefined };
  const family = bytes[FAMILY_AT]!;
  if (family !== 4 && family !== 6) return undefined;
  const address = masked(bytes.slice(VALUE_AT, VALUE_AT + 16), nonce);
  const text = formatAddress(family === 4 ? 2 : 10, address);
  return { kind, nonce, cookie, seen: { address: text, port: loadBe16(bytes, PORT_AT) } };
}
