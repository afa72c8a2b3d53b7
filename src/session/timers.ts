/**
 * The timers of one peer as deadlines (whitepaper 6; K timers.c), on the monotonic clock. Methods are named for what
 * happened, as in the kernel; what is to be done when a deadline passes is the tunnel's.
 *
 *   retransmit   an initiation was sent and no response came
 *   keepalive    data came and nothing was sent back
 *   renew        data was sent and nothing came back: begin a new handshake
 *   zeroKeys     no new session for so long that all keys must go
 *   persistent   the configured interval passed without any authentic packet
 *   report       another lane is to be told what was sent for it: see src/tunnel/siblings.ts
 */
import { KEEPALIVE_TIMEOUT, REKEY_TIMEOUT, ZERO_KEYS_AFTER_TIME } from "../wire/constants.ts";

/** A deadline that is not armed. */
export const OFF: number = Number.POSITIVE_INFINITY;

export class Timers {
  retransmitMs: number = OFF;
  keepaliveMs: number = OFF;
  renewMs: number = OFF;
  zeroKeysMs: number = OFF;
  persistentMs: number = OFF;
  reportMs: number = OFF;
  /** Data came while the keepalive was armed: send another after it. */
  anotherKeepalive = false;
  /** Initiations sent for the need at hand; more than HANDSHAKE_RETRIES_MAX ends the attempt. */
  attempts = 0;
  /** Milliseconds; 0: off. */
  persistentIntervalMs = 0;

  /** The earliest deadline, or {@link OFF}. */
  next(): number {
    return Math.min(
      this.retransmitMs,
      this.keepaliveMs,
      this.renewMs,
      this.zeroKeysMs,
      this.persistentMs,
      this.reportMs,
    );
  }

  /** Data was sent; `jitter` is 0 to REKEY_TIMEOUT_JITTER_MAX milliseconds. */
  dataSent(now: number, jitter: number): void {
    if (this.renewMs === OFF) this.renewMs = now + KEEPALIVE_TIMEOUT + REKEY_TIMEOUT + jitter;
  }

  dataReceived(now: number): void {
    if (this.keepaliveMs === OFF) this.keepaliveMs = now + KEEPALIVE_TIMEOUT;
    else this.anotherKeepalive = true;
  }

  /** Any authentic packet was sent: data, keepalive or handshake. */
  authenticatedSent(): void {
    this.keepaliveMs = OFF;
  }

  /** Any authentic packet was received. */
  authenticatedReceived(): void {
    this.renewMs = OFF;
  }

  /** Before any authentic packet is sent and after one is received. */
  authenticatedTraversed(now: number): void {
    if (this.persistentIntervalMs > 0) this.persistentMs = now + this.persistentIntervalMs;
  }

  /**
   * Packets were sent by another lane: the last at `lastSentMs`; with data the first at `firstDataMs`, the last at `lastDataMs`
   * (-Infinity: none). It is told late, and what came since then must not be undone.
   */
  sentElsewhere(
    firstDataMs: number,
    lastDataMs: number,
    lastSentMs: number,
    lastReceivedMs: number,
    jitter: number,
  ): void {
    if (this.persistentIntervalMs > 0) {
      this.persistentMs = Math.max(
        this.persistentMs === OFF ? 0 : this.persistentMs,
        lastSentMs + this.persistentIntervalMs,
      );
    }
    if (this.keepaliveMs !== OFF && lastSentMs > this.keepaliveMs - KEEPALIVE_TIMEOUT) {
      this.keepaliveMs = OFF;
    }
    if (this.renewMs !== OFF || lastDataMs <= lastReceivedMs) return;
    this.dataSent(firstDataMs > lastReceivedMs ? firstDataMs : lastDataMs, jitter);
  }

  initiated(now: number, jitter: number): void {
    this.retransmitMs = now + REKEY_TIMEOUT + jitter;
  }

  /** A session was confirmed: the response came, or the first packet under the key that we answered with. */
  handshakeComplete(): void {
    this.retransmitMs = OFF;
    this.attempts = 0;
  }

  sessionDerived(now: number): void {
    this.zeroKeysMs = now + ZERO_KEYS_AFTER_TIME;
  }

  stop(): void {
    this.retransmitMs = OFF;
    this.keepaliveMs = OFF;
    this.renewMs = OFF;
    this.zeroKeysMs = OFF;
    this.persistentMs = OFF;
    this.reportMs = OFF;
    this.anotherKeepalive = false;
    this.attempts = 0;
  }
}
