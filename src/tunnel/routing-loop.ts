/**
 * The tunnel's own datagrams, led back into it by a route to the peer's endpoint. Each would be sealed again, leave as a larger one
 * and come back: a storm that ends when the route does. The index in a message's clear header tells them apart from the datagrams
 * of another tunnel inside this one. Ours: K and G have no such check.
 *
 * Not seen: a loop over two tunnels, where each carries the other's datagrams, and what follows the first fragment.
 */
import { loadBe16, loadLe32 } from "../bytes/integer.ts";
import { IPV4_HEADER_BYTES, IPV6_HEADER_BYTES, version as versionOf } from "../route/ip-header.ts";
import { TYPE_INITIATION, TYPE_RESPONSE, TYPE_TRANSPORT } from "../wire/constants.ts";
import {
  initiationLayout,
  responseLayout,
  TRANSPORT_HEADER_BYTES,
  transportLayout,
} from "../wire/layout.ts";
import type { Peer } from "./peer.ts";
import type { TunnelState } from "./state.ts";

/** RFC 791 3.1, RFC 8200 3 and 4.5, RFC 768. */
const IPV4_FRAGMENT = 6;
const IPV4_FRAGMENT_OFFSET_MASK = 0x1fff;
const IPV4_PROTOCOL = 9;
const IPV6_NEXT_HEADER = 6;
const IPV6_FRAGMENT_HEADER_BYTES = 8;
const IPV6_FRAGMENT_OFFSET_MASK = 0xfff8;
const FRAGMENT = 44;
const UDP = 17;
const UDP_HEADER_BYTES = 8;

/** True if this inner packet, which has a whole IP header and would go to `peer`, is a message of ours to that peer. */
export function isOwnMessage(
  state: TunnelState,
  peer: Peer,
  offset: number,
  length: number,
): boolean {
  const { bytes } = state.slab;
  const at = payloadAt(bytes, offset);
  if (at < 0 || at + TRANSPORT_HEADER_BYTES > offset + length) return false;
  switch (loadLe32(bytes, at)) {
    case TYPE_TRANSPORT: {
      const receiver = loadLe32(bytes, at + transportLayout.receiver);
      return (
        receiver === peer.current?.remoteIndex ||
        receiver === peer.previous?.remoteIndex ||
        receiver === peer.next?.remoteIndex
      );
    }
    case TYPE_INITIATION:
      return state.handshakes.get(loadLe32(bytes, at + initiationLayout.sender)) === peer;
    case TYPE_RESPONSE:
      return state.keypairs.get(loadLe32(bytes, at + responseLayout.sender))?.peerId === peer.id;
    default:
      return false;
  }
}

/** Where the payload of a UDP datagram begins, or -1: it is none, or the middle of one. */
function payloadAt(bytes: Uint8Array, offset: number): number {
  if (versionOf(bytes, offset) === 4) {
    if (bytes[offset + IPV4_PROTOCOL]! !== UDP) return -1;
    if ((loadBe16(bytes, offset + IPV4_FRAGMENT) & IPV4_FRAGMENT_OFFSET_MASK) !== 0) return -1;
    const headerBytes = (bytes[offset]! & 0x0f) << 2;
    return offset + Math.max(headerBytes, IPV4_HEADER_BYTES) + UDP_HEADER_BYTES;
  }
  const next = bytes[offset + IPV6_NEXT_HEADER]!;
  const after = offset + IPV6_HEADER_BYTES;
  if (next === UDP) return after + UDP_HEADER_BYTES;
  if (next !== FRAGMENT || bytes[after]! !== UDP) return -1;
  if ((loadBe16(bytes, after + 2) & IPV6_FRAGMENT_OFFSET_MASK) !== 0) return -1;
  return after + IPV6_FRAGMENT_HEADER_BYTES + UDP_HEADER_BYTES;
}
