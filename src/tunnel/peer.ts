/**
 * One peer: its keys, sessions, endpoint, timers and counters. State only; what happens to it is decided in
 * `tunnel.ts`, which is its single owner.
 */
import { ENDPOINT_BYTES } from "../bytes/slab.ts";
import type { Suite } from "../crypto/suite.ts";
import { CookieJar } from "../session/cookie.ts";
import { Handshake } from "../session/handshake.ts";
import { labelKey } from "../session/identity.ts";
import type { Keypair } from "../session/keypair.ts";
import { Timers } from "../session/timers.ts";
import type { Unreported } from "./siblings.ts";
import { Staging, type StagingBudget } from "./staging.ts";

const NEVER = Number.NEGATIVE_INFINITY;

export class Peer {
  /** Small integer, unique within the tunnel: what allowed IPs lead to. */
  readonly id: number;
  readonly handshake: Handshake;
  readonly timers: Timers = new Timers();
  readonly staging: Staging;
  /** 48 bytes: where to send. See src/bytes/slab.ts. */
  readonly endpoint: Uint8Array = new Uint8Array(ENDPOINT_BYTES);
  /** Whitepaper 5.4.5 and K noise.c: the sessions before, in use, and answered but not confirmed. */
  previous: Keypair | undefined;
  current: Keypair | undefined;
  next: Keypair | undefined;
  #jar: CookieJar | undefined;
  #mac1Key: Uint8Array | undefined;
  #cookieKey: Uint8Array | undefined;

  txBytes = 0;
  rxBytes = 0;
  /** Wall time of the last completed handshake in milliseconds since 1970; 0: never. */
  lastHandshakeMs = 0;
  /** Monotonic: when an initiation was last sent, for the limit of one per REKEY_TIMEOUT. */
  lastInitiationMs: number = NEVER;
  /** Handshakes completed and initiations sent since the peer was made. */
  handshakes = 0;
  initiations = 0;
  sendErrors = 0;
  /** -errno of the last failed send, or 0. */
  lastSendError = 0;

  /** Which change of routes its source address was last compared with, and until when it is on every send. See route-follower.ts. */
  routesSeen = 0;
  settlingUntilMs: number = NEVER;

  /** Where this peer stands in the tunnel's deadline heap, and for when; maintained by the heap. */
  heapSlot = -1;
  heapKey: number = Number.POSITIVE_INFINITY;

  /** False: another lane does its handshakes and receives for it. See siblings.ts. */
  readonly isHome: boolean;
  /** Session or endpoint have changed since siblings were told. */
  isChanged = false;
  /** Monotonic: when an authentic message last came. */
  lastReceivedMs: number = NEVER;
  unreported: Unreported | undefined;

  /** Runs of the batch at hand that go to this peer: first and last index in the tunnel's run list, -1: none. */
  firstRun = -1;
  lastRun = -1;

  constructor(id: number, publicKey: Uint8Array, budget: StagingBudget, isHome = true) {
    this.id = id;
    this.isHome = isHome;
    this.handshake = new Handshake(publicKey);
    this.staging = new Staging(budget);
  }

  get publicKey(): Uint8Array {
    return this.handshake.remoteStatic;
  }

  /** Made when first needed: most configured peers never speak. */
  get jar(): CookieJar {
    this.#jar ??= new CookieJar();
    return this.#jar;
  }

  mac1Key(suite: Suite): Uint8Array {
    this.#mac1Key ??= labelKey(suite, "mac1", this.publicKey);
    return this.#mac1Key;
  }

  cookieKey(suite: Suite): Uint8Array {
    this.#cookieKey ??= labelKey(suite, "cookie", this.publicKey);
    return this.#cookieKey;
  }
}
