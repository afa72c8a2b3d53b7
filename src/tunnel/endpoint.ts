/**
 * Endpoint records (see src/bytes/slab.ts): 48 bytes that say where a peer was heard from and which of our addresses
 * it spoke to. Comparison and copying, without allocation.
 */
import { ENDPOINT_BYTES, endpointLayout } from "../bytes/slab.ts";

/** True if the record at `offset` of `bytes` equals `endpoint` (48 bytes), the local part included. */
export function isSameEndpoint(endpoint: Uint8Array, bytes: Uint8Array, offset: number): boolean {
  for (let i = 0; i < ENDPOINT_BYTES; i++) {
    if (endpoint[i]! !== bytes[offset + i]!) return false;
  }
  return true;
}

/** Copies a record of 48 bytes. */
export function copyEndpoint(
  target: Uint8Array,
  targetOffset: number,
  source: Uint8Array,
  sourceOffset: number,
): void {
  for (let i = 0; i < ENDPOINT_BYTES; i++) target[targetOffset + i] = source[sourceOffset + i]!;
}

/** True if an address is known. */
export function hasEndpoint(endpoint: Uint8Array): boolean {
  return endpoint[endpointLayout.family]! !== 0;
}

/** True if a local source address is remembered. */
export function hasSource(bytes: Uint8Array, offset: number): boolean {
  for (let i = endpointLayout.source; i < endpointLayout.reserved; i++) {
    if (bytes[offset + i]! !== 0) return true;
  }
  return false;
}

/** Forgets the local source address and interface: the kernel chooses again. */
export function clearSource(bytes: Uint8Array, offset: number): void {
  bytes.fill(0, offset + endpointLayout.source, offset + endpointLayout.reserved);
}
