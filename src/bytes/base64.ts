/**
 * Base64 of 32-byte keys, as configuration files write them: 44 characters, the last of them "=", the two unused bits
 * zero. Stricter than RFC 4648 asks, so that one key has one spelling. No lookup and no branch depends on a character
 * (wireguard-tools, src/encoding.c); the strings themselves can't be wiped.
 */
import { assert } from "./assert.ts";
import { secretBytes } from "./secret-bytes.ts";

const KEY_LENGTH = 32;
const TEXT_LENGTH = 44;
/** "=" */
const PADDING = 61;

/** The 32 bytes that `text` spells, or undefined. The result is new, in memory for secrets, and the caller's. */
export function parseBase64Key(text: string): Uint8Array | undefined {
  if (text.length !== TEXT_LENGTH || text.charCodeAt(TEXT_LENGTH - 1) !== PADDING) return undefined;
  const key = secretBytes(KEY_LENGTH);
  let bad = 0;
  let bits = 0;
  for (let i = 0; i < TEXT_LENGTH - 1; i++) {
    const value = characterValue(text.charCodeAt(i));
    bad |= value;
    bits = (bits << 6) | (value & 63);
    // Four characters make three bytes: one is complete after each character but the first of four.
    const phase = i & 3;
    if (phase !== 0) key[(i >> 2) * 3 + phase - 1] = bits >>> (6 - 2 * phase);
  }
  // 43 characters hold 258 bits, two more than the key.
  if (bad < 0 || (bits & 3) !== 0) {
    key.fill(0);
    return undefined;
  }
  return key;
}

/** The 44 characters of a key of 32 bytes. */
export function formatBase64Key(key: Uint8Array): string {
  assert(key.length === KEY_LENGTH, "a key has 32 bytes");
  let text = "";
  for (let i = 0; i < KEY_LENGTH; i += 3) {
    const bits = (key[i]! << 16) | (key[i + 1]! << 8) | (key[i + 2] ?? 0);
    text += String.fromCharCode(
      characterCode(bits >>> 18),
      characterCode((bits >>> 12) & 63),
      characterCode((bits >>> 6) & 63),
    );
    text += i + 2 < KEY_LENGTH ? String.fromCharCode(characterCode(bits & 63)) : "=";
  }
  return text;
}

/** 0 to 63, or negative: `code` (0 to 65,535) is not in the alphabet. */
function characterValue(code: number): number {
  let value = -1;
  value += within(code, 65, 90) & (code - 65 + 1);
  value += within(code, 97, 122) & (code - 97 + 26 + 1);
  value += within(code, 48, 57) & (code - 48 + 52 + 1);
  value += within(code, 43, 43) & (62 + 1);
  value += within(code, 47, 47) & (63 + 1);
  return value;
}

/** All ones if first <= code <= last, else zero. */
function within(code: number, first: number, last: number): number {
  return ((first - 1 - code) & (code - last - 1)) >> 31;
}

/** A-Z for 0 to 25, a-z to 51, 0-9 to 61, then "+" and "/". */
function characterCode(value: number): number {
  return (
    value +
    65 +
    (((25 - value) >> 31) & 6) -
    (((51 - value) >> 31) & 75) -
    (((61 - value) >> 31) & 15) +
    (((62 - value) >> 31) & 3)
  );
}
