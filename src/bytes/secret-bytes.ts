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
export function secretCopy(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = secretBytes(bytes.length);
  copySecret(copy, bytes);
  return copy;
}

/**
 * `to.set(from)`, byte by byte. That is memmove, which leaves what it moved in vector registers; V8 writes all of them to memory
 * that it never wipes when it deoptimizes a function, at any time (src/deoptimizer of V8, RegisterValues).
 */
export function copySecret(to: Uint8Array, from: Uint8Array): void {
  for (let i = 0; i < from.length; i++) to[i] = from[i]!;
}

/** What {@link concealed} memory shows. */
export const CONCEALED = "(hidden)";

/** Node's registered symbol (node:util inspect.custom): no import is needed for it. */
const INSPECT: symbol = Symbol.for("nodejs.util.inspect.custom");
const show = (): string => CONCEALED;
const properties: PropertyDescriptorMap = Object.fromEntries(
  [INSPECT, "toJSON", "toString", "toLocaleString"].map((name) => [name, { value: show }]),
);

/**
 * Makes printing (console.log, util.inspect, JSON, String) show a placeholder in place of these bytes, and gives them back: for
 * secrets in plain data that a program may print. Inside classes they are private fields, which nothing prints. A message
 * between threads does not keep it. Some microseconds: not for what a handshake makes.
 */
export function concealed<Bytes extends Uint8Array>(bytes: Bytes): Bytes {
  return Object.defineProperties(bytes, properties);
}
