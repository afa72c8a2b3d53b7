/** ICMP echoes of both families as bytes (RFC 792, RFC 4443 4), as a ping socket takes and gives them: without an IP header. Pure. */

/** Tells the answer to one request from all others; nobody can make it up before the request is there. */
export const NONCE_BYTES = 8;
/** RFC 792: type, code, checksum, identifier, sequence number. */
const HEADER_BYTES = 8;
/** RFC 792 and RFC 4443 4.1, 4.2. */
const TYPES = { 4: { request: 8, reply: 0 }, 6: { request: 128, reply: 129 } } as const;

/** A request. The kernel writes checksum and identifier. */
export function encodeEcho(family: 4 | 6, sequence: number, nonce: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + NONCE_BYTES);
  bytes[0] = TYPES[family].request;
  bytes[6] = (sequence >> 8) & 0xff;
  bytes[7] = sequence & 0xff;
  bytes.set(nonce.subarray(0, NONCE_BYTES), HEADER_BYTES);
  return bytes;
}

/** The nonce of an answer; undefined: it is something else. */
export function decodeEcho(family: 4 | 6, bytes: Uint8Array): Uint8Array | undefined {
  if (bytes.length !== HEADER_BYTES + NONCE_BYTES) return undefined;
  if (bytes[0] !== TYPES[family].reply || bytes[1] !== 0) return undefined;
  return bytes.subarray(HEADER_BYTES);
}
