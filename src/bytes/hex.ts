/**
 * Hexadecimal, as the UAPI writes keys. No table lookup and no branch depends on a digit, since the digits may be a
 * private key's (the same approach as wireguard-tools, src/encoding.c). Strings can't be
 * wiped, so secrets are parsed from bytes and written to bytes; `formatHex` is for what is public.
 */
import { secretBytes } from "./secret-bytes.ts";

/**
 * The bytes that `digits` (ASCII) spell, or undefined unless they are exactly `length` pairs of digits of either case. The result is
 * new, in memory for secrets, and the caller's.
 */
export function parseHex(digits: Uint8Array, length: number): Uint8Array | undefined {
  if (digits.length !== 2 * length) return undefined;
  const bytes = secretBytes(length);
  let bad = 0;
  for (let i = 0; i < length; i++) {
    const high = digitValue(digits[2 * i]!);
    const low = digitValue(digits[2 * i + 1]!);
    bad |= high | low;
    bytes[i] = (high << 4) | low;
  }
  if (bad < 0) {
    bytes.fill(0);
    return undefined;
  }
  return bytes;
}

/** Writes the lower-case digits of `bytes` as ASCII into `out` from `at` on. */
export function writeHex(out: Uint8Array, at: number, bytes: Uint8Array): void {
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!;
    out[at + 2 * i] = digitCode(byte >>> 4);
    out[at + 2 * i + 1] = digitCode(byte & 15);
  }
}

/** Two lower-case digits for each byte. */
export function formatHex(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!;
    text += String.fromCharCode(digitCode(byte >>> 4), digitCode(byte & 15));
  }
  return text;
}

/** 0 to 15, or negative: `code` (0 to 255) is not a digit. */
function digitValue(code: number): number {
  const letter = code | 32;
  let value = -1;
  // Each mask is all ones exactly when the code lies in the range.
  value += (((48 - 1 - code) & (code - 57 - 1)) >> 31) & (code - 48 + 1);
  value += (((97 - 1 - letter) & (letter - 102 - 1)) >> 31) & (letter - 97 + 10 + 1);
  return value;
}

/** The code of digit 0 to 15: 48 for "0", and 39 more from "a" on. */
function digitCode(value: number): number {
  return 48 + value + (((9 - value) >> 31) & 39);
}
