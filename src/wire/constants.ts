/**
 * Constants of the WireGuard protocol, each with its source: "WP" is the whitepaper ("WireGuard: Next Generation
 * Kernel Network Tunnel", 2020-06-01), "K" the Linux driver (drivers/net/wireguard), "G" wireguard-go.
 * Limits of our own live beside the code that they bound. Times are milliseconds, sizes bytes.
 */

/** WP 5.4.1: the Noise protocol name, hashed into the first chaining key. */
export const CONSTRUCTION = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
/** WP 5.4.1: the prologue. */
export const IDENTIFIER = "WireGuard v1 zx2c4 Jason@zx2c4.com";
/** WP 5.4.4: labels of the keys for mac1 and for cookies. */
export const LABEL_MAC1 = "mac1----";
export const LABEL_COOKIE = "cookie--";

/** WP 6.1: a new session is begun after so many messages under one key: 2^60. K messages.h, G constants.go. */
export const REKEY_AFTER_MESSAGES_HI = 0x1000_0000;
/** WP 6.1 and G: no message is sent or taken from counter 2^64 - 2^13 - 1 on (K allows 2^64 - 2^13 + 64 - 1). Below 2^64 the
 * low word matters only when the high word is at its top. */
export const REJECT_AFTER_MESSAGES_HI = 0xffff_ffff;
export const REJECT_AFTER_MESSAGES_LO = 0xffff_dfff;

/** WP 6.1: least time between two initiations to one peer. */
export const REKEY_TIMEOUT = 5_000;
/** K timers.c: up to a third of a second is added to each retry, so that two peers do not stay in step. */
export const REKEY_TIMEOUT_JITTER_MAX = 333;
/** WP 6.2: the initiator of a session renews it when it sends under a key of this age. */
export const REKEY_AFTER_TIME = 120_000;
/** WP 6.2: a key is never used from this age on. */
export const REJECT_AFTER_TIME = 180_000;
/** WP 6.4: how long one attempt at a handshake goes on before the packets that wait for it are given up. */
export const REKEY_ATTEMPT_TIME = 90_000;
/** WP 6.5: an empty packet answers data after this time without anything sent back. */
export const KEEPALIVE_TIMEOUT = 10_000;
/** K timers.c MAX_TIMER_HANDSHAKES: retries of one attempt, 90 s / 5 s. */
export const HANDSHAKE_RETRIES_MAX: number = REKEY_ATTEMPT_TIME / REKEY_TIMEOUT;
/** K timers.c: keys and handshake state are wiped after three times REJECT_AFTER_TIME without a new session (WP 6.3). */
export const ZERO_KEYS_AFTER_TIME: number = 3 * REJECT_AFTER_TIME;
/** K receive.c keep_key_fresh: the initiator renews a session on *receipt* under a key of this age: 165 s. */
export const REKEY_ON_RECEIVE_AFTER_TIME: number =
  REJECT_AFTER_TIME - KEEPALIVE_TIMEOUT - REKEY_TIMEOUT;

/** K messages.h INITIATIONS_PER_SECOND, G HandshakeInitationRate: initiations of one peer that come faster are a flood. */
export const INITIATION_INTERVAL_MIN: number = 1_000 / 50;
/** K messages.h COOKIE_SECRET_MAX_AGE, WP 5.4.7: the secret behind cookies changes every two minutes. */
export const COOKIE_SECRET_AGE_MAX = 120_000;
/** K cookie.c COOKIE_SECRET_LATENCY: a cookie is used for its secret's age less this. */
export const COOKIE_SECRET_LATENCY = 5_000;

/** WP 5.4.2 to 5.4.6: message types, as the little-endian word that the type and its three reserved zero bytes make. */
export const TYPE_INITIATION = 1;
export const TYPE_RESPONSE = 2;
export const TYPE_COOKIE_REPLY = 3;
export const TYPE_TRANSPORT = 4;

/** WP 5.4.6: payload is padded to a multiple of this, but never past the MTU (K send.c calculate_skb_padding). */
export const PADDING_MULTIPLE = 16;

/** K messages.h HANDSHAKE_DSCP: handshake messages are sent as AF41 with ECN 00. */
export const HANDSHAKE_TOS = 0x88;
