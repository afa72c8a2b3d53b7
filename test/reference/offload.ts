/**
 * Segmentation offload, written naively: the twin of native/split.c, and the means to build packets and to take apart
 * what native/coalesce.c made. Every packet is its own Uint8Array; checksums are summed word by word.
 */

export const VNET_BYTES = 10;
export const NEEDS_CSUM = 1;
export const GSO = { none: 0, tcpv4: 1, tcpv6: 4, udp: 5, ecn: 0x80 } as const;
export const FIN = 1;
export const SYN = 2;
export const PSH = 8;
export const ACK = 16;
export const CWR = 128;
const TCP = 6;
const UDP = 17;

export interface Vnet {
  flags: number;
  gsoType: number;
  headerLength: number;
  gsoSize: number;
  checksumStart: number;
  checksumOffset: number;
}

/** virtio_net_hdr and packet, as a TUN with IFF_VNET_HDR carries them. */
export function encode(vnet: Vnet, packet: Uint8Array): Uint8Array {
  const out = new Uint8Array(VNET_BYTES + packet.length);
  const view = new DataView(out.buffer);
  out[0] = vnet.flags;
  out[1] = vnet.gsoType;
  view.setUint16(2, vnet.headerLength, true);
  view.setUint16(4, vnet.gsoSize, true);
  view.setUint16(6, vnet.checksumStart, true);
  view.setUint16(8, vnet.checksumOffset, true);
  out.set(packet, VNET_BYTES);
  return out;
}

export function decodeVnet(bytes: Uint8Array): Vnet {
  const view = new DataView(bytes.buffer, bytes.byteOffset, VNET_BYTES);
  return {
    flags: view.getUint8(0),
    gsoType: view.getUint8(1),
    headerLength: view.getUint16(2, true),
    gsoSize: view.getUint16(4, true),
    checksumStart: view.getUint16(6, true),
    checksumOffset: view.getUint16(8, true),
  };
}

const get16 = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!;
export function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = (value >> 8) & 0xff;
  bytes[at + 1] = value & 0xff;
}
function put32(bytes: Uint8Array, at: number, value: number): void {
  put16(bytes, at, Math.floor(value / 65536));
  put16(bytes, at + 2, value % 65536);
}
const get32 = (bytes: Uint8Array, at: number): number =>
  get16(bytes, at) * 65536 + get16(bytes, at + 2);

/** RFC 1071: the folded sum of the words; not inverted. */
export function sum16(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) {
    for (let i = 0; i < part.length; i += 2) {
      sum += (part[i]! << 8) | (part[i + 1] ?? 0);
      if (sum > 0xffff) sum -= 0xffff;
    }
  }
  return sum;
}

const isV6 = (packet: Uint8Array): boolean => packet[0]! >> 4 === 6;

function pseudo(packet: Uint8Array, protocol: number, length: number): Uint8Array {
  const addresses = isV6(packet) ? packet.subarray(8, 40) : packet.subarray(12, 20);
  const out = new Uint8Array(addresses.length + 8);
  out.set(addresses);
  put32(out, addresses.length, length);
  out[addresses.length + 7] = protocol;
  return out;
}

/** Writes IPv4 header, TCP and UDP checksums, of a packet without extension headers or with TCP/UDP at `start`. */
export function complete(packet: Uint8Array, protocol: number, start: number): void {
  if (!isV6(packet)) {
    put16(packet, 10, 0);
    put16(packet, 10, 0xffff ^ sum16(packet.subarray(0, start)));
  }
  const field = start + (protocol === TCP ? 16 : 6);
  put16(packet, field, 0);
  const transport = packet.subarray(start);
  const sum = 0xffff ^ sum16(pseudo(packet, protocol, transport.length), transport);
  put16(packet, field, sum === 0 ? 0xffff : sum);
}

/** Whether all checksums of a packet are right. */
export function verify(packet: Uint8Array, protocol: number, start: number): boolean {
  if (!isV6(packet) && sum16(packet.subarray(0, start)) !== 0xffff) return false;
  const transport = packet.subarray(start);
  return sum16(pseudo(packet, protocol, transport.length), transport) === 0xffff;
}

/** Puts the pseudo-header's sum in the checksum field, as the kernel does for a checksum that is left to the device. */
export function leavePartial(packet: Uint8Array, protocol: number, start: number): void {
  const field = start + (protocol === TCP ? 16 : 6);
  put16(packet, field, sum16(pseudo(packet, protocol, packet.length - start)));
}

export interface PacketShape {
  v6: boolean;
  tcp: boolean;
  /** Numbers of both flows and addresses. */
  flow: number;
  payload: Uint8Array;
  sequence?: number;
  acknowledgement?: number;
  window?: number;
  flags?: number;
  id?: number;
  dontFragment?: boolean;
  tos?: number;
  ttl?: number;
  /** Multiple of four bytes, at most 40. */
  options?: Uint8Array;
  /** Bytes of IPv6 destination options header between IP and transport, a multiple of eight. */
  extension?: number;
}

export function transportStart(shape: { v6: boolean; extension?: number }): number {
  return shape.v6 ? 40 + (shape.extension ?? 0) : 20;
}

/** A packet with right checksums. */
export function build(shape: PacketShape): Uint8Array {
  const start = transportStart(shape);
  const options = shape.options ?? new Uint8Array(0);
  const header = start + (shape.tcp ? 20 + options.length : 8);
  const packet = new Uint8Array(header + shape.payload.length);
  const protocol = shape.tcp ? TCP : UDP;
  if (shape.v6) {
    put32(packet, 0, 0x60000000 + (shape.tos ?? 0) * 0x100000 + shape.flow);
    put16(packet, 4, packet.length - 40);
    packet[6] = protocol;
    packet[7] = shape.ttl ?? 64;
    packet.fill(0x20 + shape.flow, 8, 24);
    packet.fill(0x80 + shape.flow, 24, 40);
    if (shape.extension) {
      packet[6] = 60;
      packet[40] = protocol;
      packet[41] = shape.extension / 8 - 1;
      packet[42] = 1;
      packet[43] = shape.extension - 4;
    }
  } else {
    packet[0] = 0x45;
    packet[1] = shape.tos ?? 0;
    put16(packet, 2, packet.length);
    put16(packet, 4, shape.id ?? 0);
    packet[6] = shape.dontFragment ? 0x40 : 0;
    packet[8] = shape.ttl ?? 64;
    packet[9] = protocol;
    packet.set([10, 0, 0, shape.flow, 10, 0, 1, shape.flow], 12);
  }
  put16(packet, start, 1000 + shape.flow);
  put16(packet, start + 2, 443);
  if (shape.tcp) {
    put32(packet, start + 4, shape.sequence ?? 0);
    put32(packet, start + 8, shape.acknowledgement ?? 1);
    packet[start + 12] = ((20 + options.length) / 4) << 4;
    packet[start + 13] = shape.flags ?? ACK;
    put16(packet, start + 14, shape.window ?? 500);
    packet.set(options, start + 20);
  } else {
    put16(packet, start + 4, packet.length - start);
  }
  packet.set(shape.payload, header);
  complete(packet, protocol, start);
  return packet;
}

/** The packets that a super-packet stands for. The header is taken to be sound. */
export function segment(vnet: Vnet, packet: Uint8Array): Uint8Array[] {
  if (vnet.gsoType === GSO.none) {
    const copy = packet.slice();
    if (vnet.flags & NEEDS_CSUM) {
      const field = vnet.checksumStart + vnet.checksumOffset;
      const sum = 0xffff ^ sum16(copy.subarray(vnet.checksumStart));
      put16(copy, field, sum === 0 ? 0xffff : sum);
    }
    return [copy];
  }
  const tcp = (vnet.gsoType & ~GSO.ecn) !== GSO.udp;
  const start = vnet.checksumStart;
  const header = start + (tcp ? (packet[start + 12]! >> 4) * 4 : 8);
  const pieces: Uint8Array[] = [];
  for (let at = header; at < packet.length; at += vnet.gsoSize) {
    const payload = packet.subarray(at, Math.min(at + vnet.gsoSize, packet.length));
    const piece = new Uint8Array(header + payload.length);
    piece.set(packet.subarray(0, header));
    piece.set(payload, header);
    const last = at + vnet.gsoSize >= packet.length;
    if (isV6(piece)) {
      put16(piece, 4, piece.length - 40);
    } else {
      put16(piece, 2, piece.length);
      put16(piece, 4, (get16(piece, 4) + pieces.length) % 65536);
    }
    if (tcp) {
      put32(piece, start + 4, (get32(piece, start + 4) + at - header) % 2 ** 32);
      if (!last) piece[start + 13]! &= ~(FIN | PSH);
      if (pieces.length > 0) piece[start + 13]! &= ~CWR;
    } else {
      put16(piece, start + 4, piece.length - start);
    }
    complete(piece, tcp ? TCP : UDP, start);
    pieces.push(piece);
  }
  return pieces;
}
