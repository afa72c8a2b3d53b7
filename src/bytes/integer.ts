/**
 * Loads and stores of fixed-width integers at any offset of a Uint8Array: little-endian as WireGuard's messages have
 * them (whitepaper 5.4), big-endian as IP headers do.
 *
 * Values are unsigned. Bounds are the caller's: a load past the end reads zeros, a store past the end is lost. Nothing is
 * allocated.
 */

export function loadLe32(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
  );
}

export function loadBe16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

/** Stores the low 16 bits of `value`. */
export function storeBe16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}
