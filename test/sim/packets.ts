/** Inner packets for tests. */

export const AF_INET = 2;
export const AF_INET6 = 10;

/** An IPv4 packet of `length` bytes (at least 20) with a payload that tells `mark`. The header checksum is right. */
export function ipv4Packet(
  source: string,
  destination: string,
  length: number,
  mark = 0,
  tos = 0,
): Uint8Array {
  const packet = new Uint8Array(length);
  const view = new DataView(packet.buffer);
  packet[0] = 0x45;
  packet[1] = tos;
  view.setUint16(2, length, false);
  packet[8] = 64;
  packet[9] = 253;
  packet.set(source.split(".").map(Number), 12);
  packet.set(destination.split(".").map(Number), 16);
  view.setUint16(10, headerChecksum(packet), false);
  for (let i = 20; i < length; i++) packet[i] = (mark * 31 + i * 7) & 0xff;
  return packet;
}

/** One's complement checksum of a 20-byte IPv4 header whose checksum field is taken as zero. */
export function headerChecksum(packet: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < 20; i += 2) {
    if (i !== 10) sum += (packet[i]! << 8) | packet[i + 1]!;
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
