/**
 * The answer to a local sender whose packet no peer can carry: ICMP host unreachable (type 3 code 1) or ICMPv6 address
 * unreachable (type 1 code 3), as the kernel driver gives. Sources: RFC 792, RFC 1122 section 3.2.2 and RFC 1812 sections
 * 4.3.2.3 to 4.3.2.7 for IPv4, RFC 4443 sections 2.4 and 3.1 for IPv6.
 *
 * It only composes; how often such an answer is worth its while is the caller's rule.
 */
import { loadBe16, storeBe16 } from "../bytes/integer.ts";
import {
  IPV4_DESTINATION,
  IPV4_HEADER_BYTES,
  IPV4_SOURCE,
  IPV6_DESTINATION,
  IPV6_HEADER_BYTES,
  IPV6_SOURCE,
  innerLength,
} from "./ip-header.ts";

/** Most bytes of an answer: an IPv4 datagram that every host takes, and the least MTU of IPv6. */
export const UNREACHABLE_V4_MAX = 576;
export const UNREACHABLE_V6_MAX = 1280;

/** ICMP and ICMPv6 header with its unused word, in bytes. */
const ICMP_HEADER_BYTES = 8;
const PROTOCOL_ICMP = 1;
const PROTOCOL_ICMPV6 = 58;
const HOP_LIMIT = 64;
/** Precedence 6, internetwork control (RFC 1812 section 4.3.2.5). */
const TOS_CONTROL = 0xc0;

/** IPv6 extension headers that may stand before the upper layer (RFC 8200 section 4). */
const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const DESTINATION_OPTIONS = 60;

/**
 * Writes the answer to the packet bytes[offset, offset+length) to out[outOffset..] and returns its length, at most
 * {@link UNREACHABLE_V4_MAX} or {@link UNREACHABLE_V6_MAX} bytes; 0: none may be sent about this packet. `out` may be the
 * same array when the ranges do not overlap, and has room for the longest answer. The answer comes from the address that
 * could not be reached, or from the one at source[sourceOffset..] (4 or 16 bytes, network order). Allocates nothing.
 */
export function composeUnreachable(
  out: Uint8Array,
  outOffset: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
  source: Uint8Array = bytes,
  sourceOffset = -1,
): number {
  const total = innerLength(bytes, offset, length);
  if (total < 0) return 0;
  if (bytes[offset]! >>> 4 === 4) {
    if (!mayAnswerV4(bytes, offset, total)) return 0;
    const from = sourceOffset < 0 ? offset + IPV4_DESTINATION : sourceOffset;
    return composeV4(out, outOffset, bytes, offset, total, source, from);
  }
  if (!mayAnswerV6(bytes, offset, total)) return 0;
  const from = sourceOffset < 0 ? offset + IPV6_DESTINATION : sourceOffset;
  return composeV6(out, outOffset, bytes, offset, total, source, from);
}

function mayAnswerV4(bytes: Uint8Array, offset: number, total: number): boolean {
  const fragment = loadBe16(bytes, offset + 6) & 0x1fff;
  if (fragment !== 0) return false;
  // The sender must be one host: not this network, loopback, multicast, reserved or broadcast.
  const source = bytes[offset + IPV4_SOURCE]!;
  if (source === 0 || source === 127 || source >= 224) return false;
  const destination = bytes[offset + IPV4_DESTINATION]!;
  if (destination === 0 || destination >= 224) return false;
  if (bytes[offset + 9] !== PROTOCOL_ICMP) return true;
  const headerBytes = (bytes[offset]! & 0x0f) << 2;
  return total > headerBytes && !isIcmpError(bytes[offset + headerBytes]!);
}

/** Destination unreachable, source quench, redirect, time exceeded, parameter problem; types unknown are taken for errors. */
function isIcmpError(type: number): boolean {
  return type === 3 || type === 4 || type === 5 || type === 11 || type === 12 || type > 18;
}

function mayAnswerV6(bytes: Uint8Array, offset: number, total: number): boolean {
  const multicast = 0xff;
  if (bytes[offset + IPV6_SOURCE] === multicast) return false;
  if (bytes[offset + IPV6_DESTINATION] === multicast) return false;
  if (isUnspecifiedOrLoopback(bytes, offset + IPV6_SOURCE)) return false;
  if (isUnspecifiedOrLoopback(bytes, offset + IPV6_DESTINATION)) return false;
  let next = bytes[offset + 6]!;
  let at = IPV6_HEADER_BYTES;
  while (
    next === HOP_BY_HOP ||
    next === ROUTING ||
    next === FRAGMENT ||
    next === DESTINATION_OPTIONS
  ) {
    if (at + 8 > total) return false;
    if (next === FRAGMENT) {
      const fragment = loadBe16(bytes, offset + at + 2) & 0xfff8;
      if (fragment !== 0) return false;
    }
    const headerBytes = next === FRAGMENT ? 8 : (bytes[offset + at + 1]! + 1) * 8;
    next = bytes[offset + at]!;
    at += headerBytes;
  }
  if (next !== PROTOCOL_ICMPV6) return true;
  if (at >= total) return false;
  // Informational types have the high bit; a redirect (137) may not be answered either.
  const type = bytes[offset + at]!;
  return type >= 128 && type !== 137;
}

/** `::` or `::1`. */
function isUnspecifiedOrLoopback(bytes: Uint8Array, at: number): boolean {
  for (let i = 0; i < 15; i += 1) {
    if (bytes[at + i] !== 0) return false;
  }
  return bytes[at + 15]! <= 1;
}

function composeV4(
  out: Uint8Array,
  at: number,
  bytes: Uint8Array,
  offset: number,
  total: number,
  source: Uint8Array,
  sourceOffset: number,
): number {
  const icmp = at + IPV4_HEADER_BYTES;
  const quoted = Math.min(total, UNREACHABLE_V4_MAX - IPV4_HEADER_BYTES - ICMP_HEADER_BYTES);
  const length = IPV4_HEADER_BYTES + ICMP_HEADER_BYTES + quoted;
  out.fill(0, at, icmp + ICMP_HEADER_BYTES);
  out[at] = 0x45;
  out[at + 1] = TOS_CONTROL;
  storeBe16(out, at + 2, length);
  // Don't fragment: with it the identification means nothing and may be zero (RFC 6864 section 4.1).
  out[at + 6] = 0x40;
  out[at + 8] = HOP_LIMIT;
  out[at + 9] = PROTOCOL_ICMP;
  copy(out, at + IPV4_SOURCE, source, sourceOffset, 4);
  copy(out, at + IPV4_DESTINATION, bytes, offset + IPV4_SOURCE, 4);
  storeBe16(out, at + 10, checksum(out, at, IPV4_HEADER_BYTES, 0));
  out[icmp] = 3;
  out[icmp + 1] = 1;
  copy(out, icmp + ICMP_HEADER_BYTES, bytes, offset, quoted);
  storeBe16(out, icmp + 2, checksum(out, icmp, ICMP_HEADER_BYTES + quoted, 0));
  return length;
}

function composeV6(
  out: Uint8Array,
  at: number,
  bytes: Uint8Array,
  offset: number,
  total: number,
  source: Uint8Array,
  sourceOffset: number,
): number {
  const icmp = at + IPV6_HEADER_BYTES;
  const quoted = Math.min(total, UNREACHABLE_V6_MAX - IPV6_HEADER_BYTES - ICMP_HEADER_BYTES);
  const payload = ICMP_HEADER_BYTES + quoted;
  out.fill(0, at, icmp + ICMP_HEADER_BYTES);
  out[at] = 0x60;
  storeBe16(out, at + 4, payload);
  out[at + 6] = PROTOCOL_ICMPV6;
  out[at + 7] = HOP_LIMIT;
  copy(out, at + IPV6_SOURCE, source, sourceOffset, 16);
  copy(out, at + IPV6_DESTINATION, bytes, offset + IPV6_SOURCE, 16);
  out[icmp] = 1;
  out[icmp + 1] = 3;
  copy(out, icmp + ICMP_HEADER_BYTES, bytes, offset, quoted);
  // Pseudo-header (RFC 8200 section 8.1): both addresses, which lie before the message, the length, the next header.
  const pseudo = sumWords(out, at + IPV6_SOURCE, 32, payload + PROTOCOL_ICMPV6);
  storeBe16(out, icmp + 2, checksum(out, icmp, payload, pseudo));
  return IPV6_HEADER_BYTES + payload;
}

/** Internet checksum (RFC 1071) of bytes[at, at+length) on top of a sum begun before. */
function checksum(bytes: Uint8Array, at: number, length: number, begun: number): number {
  let sum = sumWords(bytes, at, length, begun);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** Sum of 16-bit words in network order, an odd last byte being a high one; under 2^27 for what is summed here. */
function sumWords(bytes: Uint8Array, at: number, length: number, begun: number): number {
  let sum = begun;
  const even = length & ~1;
  for (let i = 0; i < even; i += 2) sum += loadBe16(bytes, at + i);
  return even === length ? sum : sum + (bytes[at + even]! << 8);
}

function copy(out: Uint8Array, at: number, bytes: Uint8Array, from: number, length: number): void {
  for (let i = 0; i < length; i += 1) out[at + i] = bytes[from + i]!;
}
