/** What an inner packet is to a plain reader of RFC 791 and RFC 8200: shares no code with what it judges. */
import { headerChecksum } from "../../sim/packets.ts";

/** The packet's own length; undefined: it is no packet, or longer than what there is. */
export function naiveLength(packet: Uint8Array): number | undefined {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  const version = (packet[0] ?? 0) >> 4;
  if (version === 4 && packet.length >= 20) {
    const header = (packet[0]! & 15) * 4;
    const total = view.getUint16(2);
    return header >= 20 && total >= header && total <= packet.length ? total : undefined;
  }
  if (version !== 6 || packet.length < 40) return undefined;
  const total = 40 + view.getUint16(4);
  return total <= packet.length ? total : undefined;
}

export interface Addresses {
  readonly family: 2 | 10;
  /** 16 bytes each, IPv4 in the first four. */
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
}

/** Undefined: too short, or another version. */
export function naiveAddresses(packet: Uint8Array): Addresses | undefined {
  const version = (packet[0] ?? 0) >> 4;
  const at = (from: number, length: number): Uint8Array => {
    const bytes = new Uint8Array(16);
    bytes.set(packet.subarray(from, from + length));
    return bytes;
  };
  if (version === 4 && packet.length >= 20) {
    return { family: 2, source: at(12, 4), destination: at(16, 4) };
  }
  if (version !== 6 || packet.length < 40) return undefined;
  return { family: 10, source: at(8, 16), destination: at(24, 16) };
}

/** The two bits of RFC 3168. The packet has two bytes. */
export function naiveEcn(packet: Uint8Array): number {
  return packet[0]! >> 4 === 4 ? packet[1]! & 3 : (packet[1]! >> 4) & 3;
}

const CE = 3;

/** RFC 6040 4.2 in words; undefined: the packet must go. */
export function naiveDecapsulated(outer: number, inner: number): number | undefined {
  if (outer === CE) return inner === 0 ? undefined : CE;
  if (inner === 0 || inner === CE) return inner;
  return outer === 1 ? 1 : inner;
}

/** Without the bits that a tunnel may change: those of ECN, and the IPv4 header checksum. */
export function withoutEcn(packet: Uint8Array): Uint8Array {
  const copy = packet.slice();
  if (copy[0]! >> 4 === 4) {
    copy[1]! &= 0xfc;
    copy[10] = 0;
    copy[11] = 0;
  } else {
    copy[1]! &= 0xcf;
  }
  return copy;
}

/** Whether the checksum of an IPv4 header without options is right. */
export function hasRightChecksum(packet: Uint8Array): boolean {
  return ((packet[10]! << 8) | packet[11]!) === headerChecksum(packet);
}

/** Internet checksum (RFC 1071) over all of `bytes`, folded: 0xffff if it is right. */
export function folded(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) {
    for (let i = 0; i < part.length; i++) sum += i % 2 === 0 ? part[i]! << 8 : part[i]!;
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/**
 * Whether `answer` is an ICMP or ICMPv6 "unreachable" to the sender of `packet`, about it, with right lengths and checksums
 * (RFC 792, RFC 4443 3.1).
 */
export function isUnreachableFor(answer: Uint8Array, packet: Uint8Array): boolean {
  const from = naiveAddresses(packet);
  const to = naiveAddresses(answer);
  if (from === undefined || to === undefined || from.family !== to.family) return false;
  if (naiveLength(answer) !== answer.length) return false;
  if (!to.destination.every((byte, index) => byte === from.source[index])) return false;
  const start = from.family === 2 ? 20 : 40;
  const quoted = answer.subarray(start + 8);
  if (quoted.length === 0 || quoted.some((byte, index) => byte !== packet[index])) return false;
  const message = answer.subarray(start);
  if (from.family === 2) {
    const isRight = folded(answer.subarray(0, 20)) === 0xffff && folded(message) === 0xffff;
    return isRight && answer[9] === 1 && message[0] === 3 && message[1] === 1;
  }
  const pseudo = new Uint8Array(8);
  new DataView(pseudo.buffer).setUint16(2, message.length);
  pseudo[7] = 58;
  const sum = folded(answer.subarray(8, 40), pseudo, message);
  return sum === 0xffff && answer[6] === 58 && message[0] === 1 && message[1] === 3;
}
