/**
 * Bytes for the checks: hexadecimal, little-endian words, headers, comparison that throws, and the AEAD by which inputs are made.
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import { blake2s } from "@noble/hashes/blake2.js";

export const HEADER = 16;
export const TAG = 16;

/** ChaCha20-Poly1305 of node:crypto with any nonce, which no suite takes: ciphertext and tag. */
export function sealWith(key, nonce, ad, plaintext) {
  const cipher = createCipheriv("chacha20-poly1305", key, nonce, { authTagLength: TAG });
  cipher.setAAD(ad, { plaintextLength: plaintext.length });
  return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

/** The plaintext of a transport message; throws if it is not authentic. */
export function openTransport(key, message) {
  const nonce = Buffer.concat([new Uint8Array(4), message.subarray(8, HEADER)]);
  const cipher = createDecipheriv("chacha20-poly1305", key, nonce, { authTagLength: TAG });
  cipher.setAuthTag(message.subarray(-TAG));
  return Buffer.concat([cipher.update(message.subarray(HEADER, -TAG)), cipher.final()]);
}

/** A transport message as bytes; `counter` is 16 hexadecimal digits, the low byte first, as in a header. */
export function transportMessage(key, receiver, counter, plaintext) {
  const head = bytes(header(receiver, counter));
  const nonce = Buffer.concat([new Uint8Array(4), head.subarray(8)]);
  return Buffer.concat([head, sealWith(key, nonce, new Uint8Array(0), plaintext)]);
}

/** mac1 of a handshake message for the owner of `publicKey` (whitepaper 5.4.4); both are hexadecimal, and so is the result. */
export function mac1For(publicKey, message) {
  const key = blake2s(Buffer.concat([Buffer.from("mac1----"), bytes(publicKey)]));
  return hex(blake2s(bytes(message), { key, dkLen: 16 }));
}

/** mac2 of a message for who holds `secret`, sent from these bytes of a source (whitepaper 5.4.7). */
export function mac2For(secret, source, message) {
  const cookie = blake2s(source, { key: secret, dkLen: 16 });
  return blake2s(message, { key: cookie, dkLen: 16 });
}

export function header(receiver, counter) {
  return `04000000${hex(le32(receiver))}${counter}`;
}

export function le32(value) {
  const out = new Uint8Array(4);
  new DataView(out.buffer).setUint32(0, value, true);
  return out;
}

export function flipped(original, at) {
  const copy = original.slice();
  copy[at] ^= 0x80;
  return copy;
}

/** Not zeros, so that an output left unwritten shows. */
export function filled(length) {
  return new Uint8Array(length).fill(0xa5);
}

export function text(ascii) {
  return new Uint8Array(Buffer.from(ascii, "ascii"));
}

export function bytes(digits) {
  return new Uint8Array(Buffer.from(digits, "hex"));
}

export function hex(data) {
  return Buffer.from(data.buffer, data.byteOffset, data.length).toString("hex");
}

export function expect(actual, expected, what) {
  if (actual !== expected) throw new Error(`${what}: expected ${expected}, got ${actual}`);
}
