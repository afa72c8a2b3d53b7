/**
 * Explicit congestion notification through the tunnel: RFC 6040, normal mode, as table look-ups. The arguments are whole
 * TOS or traffic class bytes, of which only the two ECN bits count; results are ECN bits. Reading and writing the bits in
 * packets is `ip-header.ts`. DSCP never crosses the tunnel's border and is no matter of this file.
 */

/** ECN codepoints (RFC 3168 section 5). */
export const ECN_NOT_ECT = 0;
export const ECN_ECT1 = 1;
export const ECN_ECT0 = 2;
export const ECN_CE = 3;

/** Result of {@link decapsulate}: the packet must be dropped. */
export const ECN_DROP = -1;

/** RFC 6040 figure 4, row = inner, column = outer, both in the order of the codepoints' values. */
const DECAPSULATED: Int8Array = Int8Array.of(
  // Outer: Not-ECT, ECT(1),     ECT(0),      CE
  ...[ECN_NOT_ECT, ECN_NOT_ECT, ECN_NOT_ECT, ECN_DROP],
  ...[ECN_ECT1, ECN_ECT1, ECN_ECT1, ECN_CE],
  ...[ECN_ECT0, ECN_ECT1, ECN_ECT0, ECN_CE],
  ...[ECN_CE, ECN_CE, ECN_CE, ECN_CE],
);

/** ECN bits of the outer header for an inner TOS byte: a copy (RFC 6040 section 4.1). Allocates nothing. */
export function encapsulate(innerTos: number): number {
  return innerTos & 3;
}

/**
 * New ECN bits of the inner header from both TOS bytes, or {@link ECN_DROP}: congestion was marked on a packet whose sender
 * would not see it (RFC 6040 section 4.2). Allocates nothing.
 */
export function decapsulate(outerTos: number, innerTos: number): number {
  return DECAPSULATED[((innerTos & 3) << 2) | (outerTos & 3)]!;
}
