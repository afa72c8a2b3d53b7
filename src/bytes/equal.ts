/**
 * Comparisons whose time depends on lengths alone, for tags and keys. As far as JavaScript can promise: no branch and
 * no index depends on the content, but the engine gives no guarantee.
 */

/** True if both hold the same bytes. Lengths are public: different lengths give false at once. Allocates nothing. */
export function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  const length = a.length;
  if (b.length !== length) return false;
  let difference = 0;
  for (let i = 0; i < length; i++) difference |= a[i]! ^ b[i]!;
  return difference === 0;
}

/** True if every byte is zero; true for no bytes. Allocates nothing. */
export function isZero(bytes: Uint8Array): boolean {
  const length = bytes.length;
  let union = 0;
  for (let i = 0; i < length; i++) union |= bytes[i]!;
  return union === 0;
}
