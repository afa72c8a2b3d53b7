/**
 * The slab: one ArrayBuffer per lane that holds every packet in flight and the lists that point into it.
 *
 * A packet is (offset, length) in `bytes`; lists are parallel Int32Arrays, so that nothing is allocated per packet
 * and native code sees the same memory. The layout below is the contract with `native/slab.h`, which asserts the
 * same numbers; `src/io/native.ts` compares both when the addon is loaded.
 *
 * This file knows no protocol and owns no policy about who fills which list:
 *
 *   received   datagrams from UDP     (offset, length, message)   message = which receive they came in
 *   inner      packets from TUN       (offset, length, run)       run = packets cut from one super-packet
 *   datagrams  datagrams to UDP       (offset, length), cut into groups: one endpoint, one segmented send each
 *   plain      packets to TUN         (offset, length)
 */

/** Bytes of one endpoint record. See {@link endpointLayout}. */
export const ENDPOINT_BYTES = 48;

/**
 * One endpoint record, all fields in host byte order unless said otherwise:
 * remote family, port and address, and the local address (and interface) that it was spoken to at.
 */
export const endpointLayout = {
  /** u16: AF_INET (2), AF_INET6 (10), or 0: no endpoint. */
  family: 0,
  /** u16: UDP port. */
  port: 2,
  /** u32: IPv6 scope id of `address`, or 0. */
  scope: 4,
  /** 16 bytes, network order; IPv4 in the first four, the rest zero. */
  address: 8,
  /** 16 bytes, network order: local source address; all zero: let the kernel choose. */
  source: 24,
  /** u32: index of the interface `source` belongs to, or 0. */
  sourceInterface: 40,
  /** u32: always 0. */
  reserved: 44,
} as const;

/** AF_INET and AF_INET6 on Linux (include/linux/socket.h). */
export const FAMILY_V4 = 2;
export const FAMILY_V6 = 10;

/** Most datagrams that one receive call lists. UDP_GRO merges at most 64 (UDP_GRO_CNT_MAX, net/ipv4/udp_offload.c). */
export const RECEIVED_MAX = 1024;
/** Most messages of one recvmmsg: 16 * 64 = RECEIVED_MAX. */
export const MESSAGES_MAX = 16;
/** Bytes kept for one received message: the largest UDP payload there is, rounded up. */
export const MESSAGE_STRIDE = 65_536;
/** Most packets that one TUN read call lists: one 64 KiB super-packet at the least TCP segment size the kernel allows
 * (TCP_MIN_SND_MSS 48, include/net/tcp.h) is 1,365. */
export const INNER_MAX = 2048;
/** Most datagrams, and most groups of them, that wait for one send call. */
export const DATAGRAMS_MAX = 2048;
export const GROUPS_MAX = 512;
/** Most packets that one TUN write call takes. */
export const PLAIN_MAX = 1024;
/** Bytes for packets read from TUN: 256 KiB is the budget of one turn, 256 KiB the room of one worst-case split. */
export const OUTBOUND_BYTES = 524_288;
/** Bytes for datagrams that do not come from TUN: handshake messages, keepalives, staged packets. */
export const COMPOSED_BYTES = 262_144;
/** Room before each inner packet: the transport header. */
export const HEADROOM_BYTES = 16;
/** Room after each inner packet's padding: the tag. */
export const TAILROOM_BYTES = 16;

const PAGE = 4096;

interface Region {
  readonly offset: number;
  readonly bytes: number;
}

function layOut<Name extends string>(
  sizes: readonly (readonly [Name, number])[],
): Record<Name, Region> & { readonly end: number } {
  const regions: Record<string, Region> = {};
  let offset = 0;
  for (const [name, bytes] of sizes) {
    regions[name] = { offset, bytes };
    offset = Math.ceil((offset + bytes) / 64) * 64;
  }
  const end = Math.ceil(offset / PAGE) * PAGE;
  return Object.assign(regions as Record<Name, Region>, { end });
}

/** Byte offset and size of each region. Lists are 64-byte aligned; the order is the contract with native code. */
export const slabLayout: Record<SlabRegion, Region> & { readonly end: number } = layOut([
  ["receivedOffset", RECEIVED_MAX * 4],
  ["receivedLength", RECEIVED_MAX * 4],
  ["receivedMessage", RECEIVED_MAX * 4],
  ["opened", RECEIVED_MAX * 4],
  ["messageEndpoint", MESSAGES_MAX * ENDPOINT_BYTES],
  ["messageTos", MESSAGES_MAX * 4],
  ["innerOffset", INNER_MAX * 4],
  ["innerLength", INNER_MAX * 4],
  ["innerRun", INNER_MAX * 4],
  ["datagramOffset", DATAGRAMS_MAX * 4],
  ["datagramLength", DATAGRAMS_MAX * 4],
  ["groupStart", GROUPS_MAX * 4],
  ["groupCount", GROUPS_MAX * 4],
  ["groupTos", GROUPS_MAX * 4],
  ["groupStatus", GROUPS_MAX * 4],
  ["groupEndpoint", GROUPS_MAX * ENDPOINT_BYTES],
  ["plainOffset", PLAIN_MAX * 4],
  ["plainLength", PLAIN_MAX * 4],
  ["inbound", MESSAGES_MAX * MESSAGE_STRIDE],
  ["outbound", OUTBOUND_BYTES],
  ["composed", COMPOSED_BYTES],
]);

export type SlabRegion =
  | "receivedOffset"
  | "receivedLength"
  | "receivedMessage"
  | "opened"
  | "messageEndpoint"
  | "messageTos"
  | "innerOffset"
  | "innerLength"
  | "innerRun"
  | "datagramOffset"
  | "datagramLength"
  | "groupStart"
  | "groupCount"
  | "groupTos"
  | "groupStatus"
  | "groupEndpoint"
  | "plainOffset"
  | "plainLength"
  | "inbound"
  | "outbound"
  | "composed";

/** One lane's packet memory. Its views are made once and live as long as the lane; the buffer is never transferred. */
export class Slab {
  readonly buffer: ArrayBuffer;
  /** The whole slab; every offset in every list indexes this. */
  readonly bytes: Uint8Array;
  /** The whole slab as little-endian words. */
  readonly view: DataView;

  readonly receivedOffset: Int32Array;
  readonly receivedLength: Int32Array;
  /** Index of the message (0 to MESSAGES_MAX - 1) that a received datagram came in. */
  readonly receivedMessage: Int32Array;
  /** After `open`: plaintext length of the received datagram of the same index, or -1: not authentic. */
  readonly opened: Int32Array;
  /** IP TOS or traffic class byte of each message. */
  readonly messageTos: Int32Array;

  readonly innerOffset: Int32Array;
  readonly innerLength: Int32Array;
  readonly innerRun: Int32Array;

  readonly datagramOffset: Int32Array;
  /** Wire length: header, padded payload and tag. */
  readonly datagramLength: Int32Array;
  readonly groupStart: Int32Array;
  readonly groupCount: Int32Array;
  readonly groupTos: Int32Array;
  /** After a send: 0 or -errno of each group. */
  readonly groupStatus: Int32Array;

  readonly plainOffset: Int32Array;
  readonly plainLength: Int32Array;

  constructor() {
    this.buffer = new ArrayBuffer(slabLayout.end);
    this.bytes = new Uint8Array(this.buffer);
    this.view = new DataView(this.buffer);
    const list = (name: SlabRegion): Int32Array =>
      new Int32Array(this.buffer, slabLayout[name].offset, slabLayout[name].bytes / 4);
    this.receivedOffset = list("receivedOffset");
    this.receivedLength = list("receivedLength");
    this.receivedMessage = list("receivedMessage");
    this.opened = list("opened");
    this.messageTos = list("messageTos");
    this.innerOffset = list("innerOffset");
    this.innerLength = list("innerLength");
    this.innerRun = list("innerRun");
    this.datagramOffset = list("datagramOffset");
    this.datagramLength = list("datagramLength");
    this.groupStart = list("groupStart");
    this.groupCount = list("groupCount");
    this.groupTos = list("groupTos");
    this.groupStatus = list("groupStatus");
    this.plainOffset = list("plainOffset");
    this.plainLength = list("plainLength");
  }
}
