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
  packet.set(ipv4Header(source, destination, length, tos));
  for (let i = 20; i < length; i++) packet[i] = (mark * 31 + i * 7) & 0xff;
  return packet;
}

/** The header alone, of a packet of `length` bytes. */
export function ipv4Header(
  source: string,
  destination: string,
  length: number,
  tos = 0,
): Uint8Array {
  const header = new Uint8Array(20);
  const view = new DataView(header.buffer);
  header[0] = 0x45;
  header[1] = tos;
  view.setUint16(2, length, false);
  header[8] = 64;
  header[9] = 253;
  header.set(source.split(".").map(Number), 12);
  header.set(destination.split(".").map(Number), 16);
  view.setUint16(10, headerChecksum(header), false);
  return header;
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
