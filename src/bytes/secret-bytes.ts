/**
 * Memory for secrets. V8 keeps typed arrays of up to 64 bytes inside its heap (--typed-array-max-size-in-heap), and its
 * collector leaves a copy behind each time it moves one: wiping the array would not wipe those. Bytes over an ArrayBuffer
 * of their own stay where they are.
 */

/** `length` zero bytes that are never moved; the owner wipes them with fill(0). */
export function secretBytes(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(length));
}

/** A copy of `bytes` that is never moved. */
export function secretCopy(bytes: Uint8Array): Uint8Array {
  const copy = secretBytes(bytes.length);
  copy.set(bytes);
  return copy;
}
