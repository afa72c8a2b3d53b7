/**
 * Sizes and byte offsets of the four messages (whitepaper 5.4.2 to 5.4.7). Integers are little-endian.
 *
 *   initiation    type(4) sender(4) ephemeral(32) static(32+16) timestamp(12+16) mac1(16) mac2(16)         148
 *   response      type(4) sender(4) receiver(4) ephemeral(32) empty(0+16) mac1(16) mac2(16)                 92
 *   cookie reply  type(4) receiver(4) nonce(24) cookie(16+16)                                               64
 *   transport     type(4) receiver(4) counter(8) payload(n+16)                                          32 + n
 */

export const INITIATION_BYTES = 148;
export const RESPONSE_BYTES = 92;
export const COOKIE_REPLY_BYTES = 64;
/** Header and tag of a transport message, which is also the size of a keepalive. */
export const TRANSPORT_OVERHEAD_BYTES = 32;
export const TRANSPORT_HEADER_BYTES = 16;
export const TIMESTAMP_BYTES = 12;
export const COOKIE_BYTES = 16;
export const MAC_BYTES = 16;

export const initiationLayout = {
  type: 0,
  sender: 4,
  ephemeral: 8,
  static: 40,
  timestamp: 88,
  mac1: 116,
  mac2: 132,
} as const;

export const responseLayout = {
  type: 0,
  sender: 4,
  receiver: 8,
  ephemeral: 12,
  empty: 44,
  mac1: 60,
  mac2: 76,
} as const;

export const cookieReplyLayout = { type: 0, receiver: 4, nonce: 8, cookie: 32 } as const;

export const transportLayout = { type: 0, receiver: 4, counter: 8, payload: 16 } as const;
