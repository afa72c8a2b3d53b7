/** Inner packets for the tests of this folder, with right checksums and lengths unless a test breaks them. */
import { parseAddress } from "../../../src/route/address.ts";

export interface PacketOptions {
  readonly source?: string;
  readonly destination?: string;
  readonly protocol?: number;
  readonly payload?: Uint8Array;
  readonly tos?: number;
  /** IPv4 only: 4-byte words of options. */
  readonly optionWords?: number;
  /** IPv4 only: flags and fragment offset. */
  readonly fragment?: number;
}

export function ipv4(options: PacketOptions = {}): Uint8Array {
  const { source = "10.0.0.1", destination = "10.0.0.2", protocol = 17, tos = 0 } = options;
  const { payload = new Uint8Array(8), optionWords = 0, fragment = 0 } = options;
  const headerBytes = 20 + optionWords * 4;
  const packet = new Uint8Array(headerBytes + payload.length);
  const view = new DataView(packet.buffer);
  packet[0] = 0x40 | (headerBytes / 4);
  packet[1] = tos;
  view.setUint16(2, packet.length);
  view.setUint16(4, 0xbeef);
  view.setUint16(6, fragment);
  packet[8] = 64;
  packet[9] = protocol;
  packet.set(parseAddress(source)!.bytes.subarray(0, 4), 12);
  packet.set(parseAddress(destination)!.bytes.subarray(0, 4), 16);
  // Options are all "end of options", the payload follows.
  packet.set(payload, headerBytes);
  view.setUint16(10, onesComplement(packet.subarray(0, headerBytes)));
  return packet;
}

export function ipv6(options: PacketOptions = {}): Uint8Array {
  const { source = "fd00::1", destination = "fd00::2", protocol = 17, tos = 0 } = options;
  const { payload = new Uint8Array(8) } = options;
  const packet = new Uint8Array(40 + payload.length);
  const view = new DataView(packet.buffer);
  view.setUint32(0, 0x6000_0000 | (tos << 20) | 0x12345);
  view.setUint16(4, payload.length);
  packet[6] = protocol;
  packet[7] = 64;
  packet.set(parseAddress(source)!.bytes, 8);
  packet.set(parseAddress(destination)!.bytes, 24);
  packet.set(payload, 40);
  return packet;
}

/** Internet checksum, added up as one big number: unlike the code under test. 0 over data whose checksum is right. */
export function onesComplement(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) {
    for (let i = 0; i < part.length; i += 1) sum += part[i]! * (i % 2 === 0 ? 256 : 1);
  }
  // The sum modulo 65,535, where 0 of anything but nothing is written 65,535.
  const rest = sum % 0xffff;
  return 0xffff - (rest === 0 && sum > 0 ? 0xffff : rest);
}
