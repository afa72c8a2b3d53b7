/**
 * The few fields of an inner packet's IP header that the tunnel needs: version, total length, TOS or traffic class with
 * its ECN bits. Sources: RFC 791 and RFC 8200 for the layouts, RFC 1624 for the checksum update.
 *
 * A packet is bytes[offset, offset+available). Nothing here allocates or throws. Options, extension headers and header
 * checksums are not checked: that is the receiving host's business.
 */
import { loadBe16, storeBe16 } from "../bytes/integer.ts";

/** IPv4 header without options, and the fixed IPv6 header, in bytes. */
export const IPV4_HEADER_BYTES = 20;
export const IPV6_HEADER_BYTES = 40;
/** Offset of the source address: 4 bytes in IPv4, 16 in IPv6. */
export const IPV4_SOURCE = 12;
export const IPV6_SOURCE = 8;
/** Offset of the destination address. */
export const IPV4_DESTINATION = 16;
export const IPV6_DESTINATION = 24;

/** Offset of the IPv4 header checksum, 16 bits in network order. */
const IPV4_CHECKSUM = 10;
/** Low two bits of the TOS or traffic class byte (RFC 3168 section 5). */
export const ECN_MASK = 0x03;

/** Reasons of {@link innerLength}: neither version 4 nor 6; shorter than its header; length fields that contradict. */
export const BAD_VERSION = -1;
export const BAD_HEADER = -2;
export const BAD_LENGTH = -3;

/** Reads the version nibble, 0 to 15. The packet has at least one byte. */
export function version(bytes: Uint8Array, offset: number): number {
  return bytes[offset]! >>> 4;
}

/**
 * Gives the packet's own total length in bytes, header included, at most `available`: what follows is padding. Negative:
 * {@link BAD_VERSION}, {@link BAD_HEADER} or {@link BAD_LENGTH}. `available` may be 0. An IPv6 jumbogram (payload length 0)
 * is its bare header here, as in the kernel driver.
 */
export function innerLength(bytes: Uint8Array, offset: number, available: number): number {
  if (available < 1) return BAD_HEADER;
  const first = bytes[offset]!;
  if (first >>> 4 === 4) {
    if (available < IPV4_HEADER_BYTES) return BAD_HEADER;
    const headerBytes = (first & 0x0f) << 2;
    if (headerBytes < IPV4_HEADER_BYTES) return BAD_HEADER;
    const total = loadBe16(bytes, offset + 2);
    return total < headerBytes || total > available ? BAD_LENGTH : total;
  }
  if (first >>> 4 !== 6) return BAD_VERSION;
  if (available < IPV6_HEADER_BYTES) return BAD_HEADER;
  const total = IPV6_HEADER_BYTES + loadBe16(bytes, offset + 4);
  return total > available ? BAD_LENGTH : total;
}

/** Reads the IPv4 TOS or IPv6 traffic class byte. The packet has at least two bytes and version 4 or 6. */
export function tos(bytes: Uint8Array, offset: number): number {
  const first = bytes[offset]!;
  if (first >>> 4 === 4) return bytes[offset + 1]!;
  return ((first & 0x0f) << 4) | (bytes[offset + 1]! >>> 4);
}

/** Sets the two ECN bits to `ecn` (0 to 3) and mends the IPv4 header checksum; the packet has a whole, valid header. */
export function setEcn(bytes: Uint8Array, offset: number, ecn: number): void {
  if (bytes[offset]! >>> 4 !== 4) {
    bytes[offset + 1] = (bytes[offset + 1]! & ~(ECN_MASK << 4)) | (ecn << 4);
    return;
  }
  const before = bytes[offset + 1]!;
  const after = (before & ~ECN_MASK) | ecn;
  bytes[offset + 1] = after;
  // HC' = ~(~HC + ~m + m') (RFC 1624 equation 3); the version byte of the word cancels out.
  const checksum = loadBe16(bytes, offset + IPV4_CHECKSUM);
  let sum = (~checksum & 0xffff) + (~before & 0xffff) + after;
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  storeBe16(bytes, offset + IPV4_CHECKSUM, ~sum);
}
