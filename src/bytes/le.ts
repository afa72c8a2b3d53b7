/**
 * Loads and stores of fixed-width integers at any offset of a Uint8Array: little-endian as WireGuard's messages have
 * them (whitepaper 5.4), big-endian as IP headers and TAI64N do.
 *
 * Values are unsigned; a 64-bit integer is two u32, `hi` and `lo`, never a BigInt. Bounds are the caller's: a load
 * past the end reads zeros, a store past the end is lost. Nothing is allocated.
 */

export function loadLe32(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
  );
}

/** Stores the low 32 bits of `value`. */
export function storeLe32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

/** The low half of the little-endian u64 at `at`. */
export function loadLe64Lo(bytes: Uint8Array, at: number): number {
  return loadLe32(bytes, at);
}

/** The high half of the little-endian u64 at `at`. */
export function loadLe64Hi(bytes: Uint8Array, at: number): number {
  return loadLe32(bytes, at + 4);
}

/** Stores hi * 2^32 + lo in eight bytes, little-endian. */
export function storeLe64(bytes: Uint8Array, at: number, hi: number, lo: number): void {
  storeLe32(bytes, at, lo);
  storeLe32(bytes, at + 4, hi);
}

export function loadBe16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

/** Stores the low 16 bits of `value`. */
export function storeBe16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

export function loadBe32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
  );
}

/** Stores the low 32 bits of `value`. */
export function storeBe32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** The high half of the big-endian u64 at `at`. */
export function loadBe64Hi(bytes: Uint8Array, at: number): number {
  return loadBe32(bytes, at);
}

/** The low half of the big-endian u64 at `at`. */
export function loadBe64Lo(bytes: Uint8Array, at: number): number {
  return loadBe32(bytes, at + 4);
}

/** Stores hi * 2^32 + lo in eight bytes, big-endian. */
export function storeBe64(bytes: Uint8Array, at: number, hi: number, lo: number): void {
  storeBe32(bytes, at, hi);
  storeBe32(bytes, at + 4, lo);
}
