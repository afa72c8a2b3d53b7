/**
 * The two transport keys of one session and its counters (whitepaper 5.4.5, 5.4.6). Pure state: sealing and opening
 * go through TransportCipher.
 */
import { secretBytes } from "../bytes/secret-bytes.ts";
import { KEY_BYTES } from "../crypto/suite.ts";
import {
  REJECT_AFTER_MESSAGES_HI,
  REJECT_AFTER_MESSAGES_LO,
  REJECT_AFTER_TIME,
  REKEY_AFTER_MESSAGES_HI,
} from "../wire/constants.ts";
import { ReplayWindow } from "./replay-window.ts";

/**
 * Ours: packets under one session that several lanes send by, and when it is renewed. Their counter is a 32-bit word; half of it is
 * never used, so that no number of lanes that see the limit too late can make it wrap. A session lasts 180 s: 12 million a second.
 */
export const SHARED_REJECT_AFTER = 0x8000_0000;
export const SHARED_REKEY_AFTER = 0x4000_0000;

export class Keypair {
  readonly #keys = secretBytes(2 * KEY_BYTES);
  readonly #sendKey: Uint8Array = this.#keys.subarray(0, KEY_BYTES);
  readonly #receiveKey: Uint8Array = this.#keys.subarray(KEY_BYTES);
  readonly replay: ReplayWindow = new ReplayWindow();
  readonly localIndex: number;
  readonly remoteIndex: number;
  /** True if this side sent the initiation: only then does it renew the session by age. */
  readonly initiator: boolean;
  /** Monotonic milliseconds. */
  readonly createdMs: number;
  /** Whose keys these are: the tunnel's small integer for the peer. */
  readonly peerId: number;
  /** The next counter to send, as two words. Only ever grows. */
  sendHi = 0;
  sendLo = 0;
  /** One word of shared memory, from which the lanes that send under this session lease counters; undefined: one lane does. */
  #leases: Int32Array<SharedArrayBuffer> | undefined;
  /** False once wiped: nothing may be sealed or opened any more. */
  usable = true;
  /** False once our own key has changed: what the other side still sends may be opened, nothing more be sealed. */
  sendable = true;
  /** Renewal on receipt is asked for once per session. */
  renewalAsked = false;

  constructor(
    peerId: number,
    initiator: boolean,
    localIndex: number,
    remoteIndex: number,
    now: number,
  ) {
    this.peerId = peerId;
    this.initiator = initiator;
    this.localIndex = localIndex;
    this.remoteIndex = remoteIndex;
    this.createdMs = now;
  }

  /** 32 bytes, zero once wiped. */
  get sendKey(): Uint8Array {
    return this.#sendKey;
  }

  /** 32 bytes, zero once wiped. */
  get receiveKey(): Uint8Array {
    return this.#receiveKey;
  }

  /** True if a packet may be sealed under this key now. */
  maySend(now: number): boolean {
    return (
      this.usable &&
      this.sendable &&
      now - this.createdMs < REJECT_AFTER_TIME &&
      !isRejectedCounter(this.sendHi, this.sendLo)
    );
  }

  /** True if packets may be opened under this key now. */
  mayReceive(now: number): boolean {
    return this.usable && now - this.createdMs < REJECT_AFTER_TIME;
  }

  /** Lets other lanes send under these keys too: gives the memory that they lease counters from. Before anything was sent. */
  share(leases: Int32Array<SharedArrayBuffer>): void {
    this.#leases = leases;
  }

  get leases(): Int32Array<SharedArrayBuffer> | undefined {
    return this.#leases;
  }

  /**
   * Makes sure of `count` counters in a row, from `sendHi`, `sendLo` on: to be called before a batch. False: they are used up.
   * What was leased before and not used is lost.
   */
  reserve(count: number): boolean {
    if (this.#leases === undefined) return true;
    if (this.leased + count > SHARED_REJECT_AFTER) return false;
    const first = Atomics.add(this.#leases, 0, count) >>> 0;
    if (first + count > SHARED_REJECT_AFTER) return false;
    this.sendLo = first;
    return true;
  }

  /** Counters leased so far, by all lanes. */
  get leased(): number {
    return this.#leases === undefined ? 0 : Atomics.load(this.#leases, 0) >>> 0;
  }

  /** Moves the send counter on by one; call after the current value has been written into a header. */
  step(): void {
    this.sendLo = (this.sendLo + 1) >>> 0;
    if (this.sendLo === 0) this.sendHi = (this.sendHi + 1) >>> 0;
  }

  /** True if so much was sent that the session should be renewed. */
  get isCounterHigh(): boolean {
    return (
      (this.#leases !== undefined && this.leased > SHARED_REKEY_AFTER) ||
      (this.sendHi >= REKEY_AFTER_MESSAGES_HI &&
        (this.sendHi > REKEY_AFTER_MESSAGES_HI || this.sendLo > 0))
    );
  }

  /** Wipes both keys. */
  wipe(): void {
    this.usable = false;
    this.#keys.fill(0);
  }
}

/** True for counters that neither side may use: REJECT_AFTER_MESSAGES and above. */
export function isRejectedCounter(hi: number, lo: number): boolean {
  return hi === REJECT_AFTER_MESSAGES_HI && lo >= REJECT_AFTER_MESSAGES_LO;
}
