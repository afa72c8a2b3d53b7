/**
 * Hexadecimal, as the UAPI writes keys. No table lookup and no branch depends on a digit, since the digits may be a
 * private key's (the same approach as wireguard-tools, src/encoding.c); the strings themselves can't be wiped.
 */

/**
 * The bytes that `text` spells, or undefined unless it is exactly `length` pairs of digits of either case; by default
 * any whole number of pairs. The result is new and the caller's.
 */
export function parseHex(
  text: string,
  length: number = Math.ceil(text.length / 2),
): Uint8Array | undefined {
  if (text.length !== 2 * length) return undefined;
  const bytes = new Uint8Array(length);
  let bad = 0;
  for (let i = 0; i < length; i++) {
    const high = digitValue(text.charCodeAt(2 * i));
    const low = digitValue(text.charCodeAt(2 * i + 1));
    bad |= high | low;
    bytes[i] = (high << 4) | low;
  }
  if (bad < 0) {
    bytes.fill(0);
    return undefined;
  }
  return bytes;
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

/** 0 to 15, or negative: `code` (0 to 65,535) is not a digit. */
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
