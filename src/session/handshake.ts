/**
 * The Noise_IKpsk2 handshake of WireGuard (whitepaper 5.4.2, 5.4.3), both roles, one state per peer. Steps carry the
 * Noise tokens they stand for. Macs and cookies are `cookie.ts`; indexes, timers and what to do next are the tunnel's.
 *
 * Entropy (the ephemeral secret), time and the timestamp are arguments. Every function checks before it changes state:
 * a message that is refused leaves the handshake as it was.
 */
import { isZero } from "../bytes/equal.ts";
import { copySecret, secretBytes, secretCopy } from "../bytes/secret-bytes.ts";
import { kdf1, kdf2, kdf3 } from "../crypto/kdf.ts";
import { HASH_BYTES, KEY_BYTES, type Suite, TAG_BYTES } from "../crypto/suite.ts";
import { INITIATION_INTERVAL_MIN, TYPE_INITIATION, TYPE_RESPONSE } from "../wire/constants.ts";
import { initiationLayout, responseLayout, TIMESTAMP_BYTES } from "../wire/layout.ts";
import { type Identity, initialChainKey, initialHash } from "./identity.ts";
import { Keypair } from "./keypair.ts";
import { isLater } from "./tai64n.ts";

export const HandshakeState = {
  none: 0,
  initiationCreated: 1,
  initiationConsumed: 2,
  responseCreated: 3,
  responseConsumed: 4,
} as const;
export type HandshakeState = (typeof HandshakeState)[keyof typeof HandshakeState];

const EMPTY = new Uint8Array(0);
const NO_PRESHARED_KEY = new Uint8Array(KEY_BYTES);

/** What one handshake in progress holds: made when it begins, wiped when it ends. */
export class Progress {
  readonly #bytes = secretBytes(2 * HASH_BYTES + 2 * KEY_BYTES);
  readonly #hash: Uint8Array = this.#bytes.subarray(0, 32);
  readonly #chainKey: Uint8Array = this.#bytes.subarray(32, 64);
  readonly #ephemeral: Uint8Array = this.#bytes.subarray(64, 96);
  readonly #remoteEphemeral: Uint8Array = this.#bytes.subarray(96, 128);

  get hash(): Uint8Array {
    return this.#hash;
  }

  get chainKey(): Uint8Array {
    return this.#chainKey;
  }

  /** Our ephemeral secret (as initiator), else zero. */
  get ephemeral(): Uint8Array {
    return this.#ephemeral;
  }

  get remoteEphemeral(): Uint8Array {
    return this.#remoteEphemeral;
  }

  wipe(): void {
    this.#bytes.fill(0);
  }

  take(other: Progress): void {
    copySecret(this.#bytes, other.#bytes);
  }
}

/** An initiation whose sender's static key has been read but that no peer has accepted yet. */
export interface OpenedInitiation {
  readonly progress: Progress;
  /** 32 bytes: who claims to speak. */
  readonly remoteStatic: Uint8Array;
  readonly senderIndex: number;
}

/** The Diffie-Hellman of a response that was done beforehand: tokens e, ee and se, 32 bytes each. */
export interface PreparedResponse {
  readonly ephemeralPublic: Uint8Array;
  readonly ee: Uint8Array;
  readonly se: Uint8Array;
}

export class Handshake {
  state: HandshakeState = HandshakeState.none;
  readonly remoteStatic: Uint8Array;
  /** Made when one is set: most peers have none. */
  #presharedKey: Uint8Array | undefined;
  localIndex = 0;
  remoteIndex = 0;
  #progress: Progress | undefined;
  /** Greatest timestamp consumed from this peer (12 bytes), and when. */
  #lastTimestamp: Uint8Array | undefined;
  #lastConsumedMs = Number.NEGATIVE_INFINITY;
  #staticStatic: Uint8Array | undefined;
  #staticStaticFor: Identity | undefined;

  /** Copies `remoteStatic` (32 bytes). */
  constructor(remoteStatic: Uint8Array) {
    this.remoteStatic = remoteStatic.slice();
  }

  /** 32 bytes, all zero: none. Only to be read. */
  get presharedKey(): Uint8Array {
    return this.#presharedKey ?? NO_PRESHARED_KEY;
  }

  /** Copies `key` (32 bytes; all zero: none). */
  setPresharedKey(key: Uint8Array): void {
    this.#presharedKey?.fill(0);
    this.#presharedKey = isZero(key) ? undefined : secretCopy(key);
  }

  /** Forgets a handshake in progress and wipes its keys; the timestamp and the peer's keys stay. */
  clear(): void {
    this.#progress?.wipe();
    this.#progress = undefined;
    this.state = HandshakeState.none;
    this.localIndex = 0;
    this.remoteIndex = 0;
  }

  /** Wipes all secrets, the preshared key too: the peer goes away. */
  wipe(): void {
    this.clear();
    this.setPresharedKey(NO_PRESHARED_KEY);
    this.forgetIdentity();
  }

  /** Wipes the static-static secret: our private key has changed. */
  forgetIdentity(): void {
    this.#staticStatic?.fill(0);
    this.#staticStatic = undefined;
    this.#staticStaticFor = undefined;
  }

  /**
   * Writes type to timestamp of an initiation (116 of 148 bytes) into `out`; the macs come after. `ephemeral` is 32
   * fresh random bytes (copied), `timestamp` 12 bytes of TAI64N. False: the peer's key is of low order, nothing changed.
   */
  createInitiation(
    suite: Suite,
    identity: Identity,
    out: Uint8Array,
    localIndex: number,
    ephemeral: Uint8Array,
    timestamp: Uint8Array,
  ): boolean {
    const staticStatic = this.#sharedWith(suite, identity);
    if (staticStatic === undefined) return false;
    const progress = new Progress();
    const { hash, chainKey } = progress;
    copySecret(progress.ephemeral, ephemeral);
    initialChainKey(suite, chainKey);
    initialHash(suite, hash, this.remoteStatic);

    // e
    const ephemeralPublic = field(out, initiationLayout.ephemeral, KEY_BYTES);
    suite.publicKey(ephemeralPublic, progress.ephemeral);
    kdf1(suite, chainKey, chainKey, ephemeralPublic);
    suite.hash(hash, hash, ephemeralPublic);

    // es
    const key = secretBytes(KEY_BYTES);
    if (!mixShared(suite, chainKey, key, progress.ephemeral, this.remoteStatic)) {
      progress.wipe();
      return false;
    }

    // s
    const sealedStatic = field(out, initiationLayout.static, KEY_BYTES + TAG_BYTES);
    suite.seal(sealedStatic, key, identity.publicKey, hash);
    suite.hash(hash, hash, sealedStatic);

    // ss
    kdf2(suite, chainKey, key, chainKey, staticStatic);

    // {t}
    const sealedTimestamp = field(out, initiationLayout.timestamp, TIMESTAMP_BYTES + TAG_BYTES);
    suite.seal(sealedTimestamp, key, timestamp, hash);
    suite.hash(hash, hash, sealedTimestamp);
    key.fill(0);

    const view = viewOf(out);
    view.setUint32(initiationLayout.type, TYPE_INITIATION, true);
    view.setUint32(initiationLayout.sender, localIndex, true);
    this.#begin(HandshakeState.initiationCreated, progress);
    this.localIndex = localIndex;
    return true;
  }

  /**
   * Accepts an initiation that {@link openInitiation} opened for this peer: authenticates its timestamp and refuses
   * replays and floods. False: refused, nothing changed.
   */
  consumeInitiation(
    suite: Suite,
    identity: Identity,
    opened: OpenedInitiation,
    message: Uint8Array,
    now: number,
  ): boolean {
    const { progress } = opened;
    const staticStatic = this.#sharedWith(suite, identity);
    if (staticStatic === undefined) return false;

    // ss
    const key = secretBytes(KEY_BYTES);
    kdf2(suite, progress.chainKey, key, progress.chainKey, staticStatic);

    // {t}
    const sealed = field(message, initiationLayout.timestamp, TIMESTAMP_BYTES + TAG_BYTES);
    const timestamp = new Uint8Array(TIMESTAMP_BYTES);
    const authentic = suite.open(timestamp, key, sealed, progress.hash);
    key.fill(0);
    if (!authentic) return false;
    suite.hash(progress.hash, progress.hash, sealed);

    // Whitepaper 5.1: a timestamp not above the greatest seen is a replay; K noise.c: a quick one is a flood.
    if (this.#lastTimestamp !== undefined && !isLater(timestamp, this.#lastTimestamp)) return false;
    if (now - this.#lastConsumedMs < INITIATION_INTERVAL_MIN) return false;

    this.#lastTimestamp = timestamp;
    this.#lastConsumedMs = now;
    this.#begin(HandshakeState.initiationConsumed, progress);
    this.remoteIndex = opened.senderIndex;
    return true;
  }

  /**
   * Writes type to the empty AEAD of a response (60 of 92 bytes) into `out`; the macs come after. `ephemeral`: 32 fresh
   * random bytes, or what was made of them. False: no initiation was consumed, or a key is of low order.
   */
  createResponse(
    suite: Suite,
    out: Uint8Array,
    localIndex: number,
    ephemeral: Uint8Array | PreparedResponse,
  ): boolean {
    const progress = this.#progress;
    if (this.state !== HandshakeState.initiationConsumed || progress === undefined) return false;
    const { hash, chainKey } = progress;

    // e
    const ephemeralPublic = field(out, responseLayout.ephemeral, KEY_BYTES);
    if (ephemeral instanceof Uint8Array) suite.publicKey(ephemeralPublic, ephemeral);
    else ephemeralPublic.set(ephemeral.ephemeralPublic);
    kdf1(suite, chainKey, chainKey, ephemeralPublic);
    suite.hash(hash, hash, ephemeralPublic);

    // ee, se
    const isMixed =
      ephemeral instanceof Uint8Array
        ? mixShared(suite, chainKey, undefined, ephemeral, progress.remoteEphemeral) &&
          mixShared(suite, chainKey, undefined, ephemeral, this.remoteStatic)
        : mixSecret(suite, chainKey, ephemeral.ee) && mixSecret(suite, chainKey, ephemeral.se);
    if (!isMixed) {
      this.clear();
      return false;
    }

    // psk, {}
    const key = secretBytes(KEY_BYTES);
    this.#mixPresharedKey(suite, progress, key);
    const sealed = field(out, responseLayout.empty, TAG_BYTES);
    suite.seal(sealed, key, EMPTY, hash);
    suite.hash(hash, hash, sealed);
    key.fill(0);

    const view = viewOf(out);
    view.setUint32(responseLayout.type, TYPE_RESPONSE, true);
    view.setUint32(responseLayout.sender, localIndex, true);
    view.setUint32(responseLayout.receiver, this.remoteIndex, true);
    this.localIndex = localIndex;
    this.state = HandshakeState.responseCreated;
    return true;
  }

  /** Accepts the response to our initiation. False: not authentic or not awaited; nothing changed. */
  consumeResponse(suite: Suite, identity: Identity, message: Uint8Array): boolean {
    const current = this.#progress;
    if (this.state !== HandshakeState.initiationCreated || current === undefined) return false;
    // On a copy: a forged response must not disturb the handshake that waits for the true one.
    const progress = new Progress();
    progress.take(current);
    const key = secretBytes(KEY_BYTES);
    const { hash, chainKey } = progress;

    // e
    const ephemeral = field(message, responseLayout.ephemeral, KEY_BYTES);
    kdf1(suite, chainKey, chainKey, ephemeral);
    suite.hash(hash, hash, ephemeral);

    // ee, se
    const authentic =
      mixShared(suite, chainKey, undefined, progress.ephemeral, ephemeral) &&
      mixShared(suite, chainKey, undefined, identity.secret, ephemeral) &&
      this.#openEmpty(suite, progress, key, message);
    key.fill(0);
    if (!authentic) {
      progress.wipe();
      return false;
    }
    progress.remoteEphemeral.set(ephemeral);
    this.#begin(HandshakeState.responseConsumed, progress);
    this.remoteIndex = viewOf(message).getUint32(responseLayout.sender, true);
    return true;
  }

  /** Derives the session's keypair (whitepaper 5.4.5) and wipes the handshake; undefined: nothing to derive from. */
  deriveKeypair(suite: Suite, peerId: number, now: number): Keypair | undefined {
    const progress = this.#progress;
    const initiator = this.state === HandshakeState.responseConsumed;
    if (progress === undefined || (!initiator && this.state !== HandshakeState.responseCreated)) {
      return undefined;
    }
    const keypair = new Keypair(peerId, initiator, this.localIndex, this.remoteIndex, now);
    if (initiator) kdf2(suite, keypair.sendKey, keypair.receiveKey, progress.chainKey, EMPTY);
    else kdf2(suite, keypair.receiveKey, keypair.sendKey, progress.chainKey, EMPTY);
    this.clear();
    return keypair;
  }

  #begin(state: HandshakeState, progress: Progress): void {
    this.#progress?.wipe();
    this.#progress = progress;
    this.state = state;
  }

  #mixPresharedKey(suite: Suite, progress: Progress, key: Uint8Array): void {
    const tau = secretBytes(HASH_BYTES);
    kdf3(suite, progress.chainKey, tau, key, progress.chainKey, this.presharedKey);
    suite.hash(progress.hash, progress.hash, tau);
    tau.fill(0);
  }

  /** psk, {} of a response received. */
  #openEmpty(suite: Suite, progress: Progress, key: Uint8Array, message: Uint8Array): boolean {
    this.#mixPresharedKey(suite, progress, key);
    const sealed = field(message, responseLayout.empty, TAG_BYTES);
    if (!suite.open(new Uint8Array(0), key, sealed, progress.hash)) return false;
    suite.hash(progress.hash, progress.hash, sealed);
    return true;
  }

  /** DH(our static, their static), computed once per identity; undefined when it is all zero. */
  #sharedWith(suite: Suite, identity: Identity): Uint8Array | undefined {
    if (this.#staticStatic === undefined || this.#staticStaticFor !== identity) {
      this.forgetIdentity();
      const shared = secretBytes(KEY_BYTES);
      suite.sharedSecret(shared, identity.secret, this.remoteStatic);
      this.#staticStatic = shared;
      this.#staticStaticFor = identity;
    }
    return isZero(this.#staticStatic) ? undefined : this.#staticStatic;
  }
}

/**
 * Opens the static key of an initiation (148 bytes) sent to `identity`: tokens e, es, s. Undefined: not authentic.
 * Changes no state; the caller looks the peer up and calls {@link Handshake.consumeInitiation}.
 */
export function openInitiation(
  suite: Suite,
  identity: Identity,
  message: Uint8Array,
): OpenedInitiation | undefined {
  const progress = new Progress();
  const { hash, chainKey } = progress;
  initialChainKey(suite, chainKey);
  initialHash(suite, hash, identity.publicKey);

  // e
  progress.remoteEphemeral.set(field(message, initiationLayout.ephemeral, KEY_BYTES));
  kdf1(suite, chainKey, chainKey, progress.remoteEphemeral);
  suite.hash(hash, hash, progress.remoteEphemeral);

  // es
  const key = secretBytes(KEY_BYTES);
  if (!mixShared(suite, chainKey, key, identity.secret, progress.remoteEphemeral)) {
    progress.wipe();
    return undefined;
  }

  // s
  const sealed = field(message, initiationLayout.static, KEY_BYTES + TAG_BYTES);
  const remoteStatic = new Uint8Array(KEY_BYTES);
  const authentic = suite.open(remoteStatic, key, sealed, hash);
  key.fill(0);
  if (!authentic) {
    progress.wipe();
    return undefined;
  }
  suite.hash(hash, hash, sealed);
  return {
    progress,
    remoteStatic,
    senderIndex: viewOf(message).getUint32(initiationLayout.sender, true),
  };
}

/** What {@link openInitiation} gave somewhere else, put together again; all are copied. */
export function reopened(
  message: Uint8Array,
  remoteStatic: Uint8Array,
  hash: Uint8Array,
  chainKey: Uint8Array,
): OpenedInitiation {
  const progress = new Progress();
  progress.hash.set(hash);
  copySecret(progress.chainKey, chainKey);
  progress.remoteEphemeral.set(field(message, initiationLayout.ephemeral, KEY_BYTES));
  return {
    progress,
    remoteStatic: remoteStatic.slice(),
    senderIndex: viewOf(message).getUint32(initiationLayout.sender, true),
  };
}

/** KDF1 of the chain key with a shared secret. False: it is all zero. */
function mixSecret(suite: Suite, chainKey: Uint8Array, shared: Uint8Array): boolean {
  if (isZero(shared)) return false;
  kdf1(suite, chainKey, chainKey, shared);
  return true;
}

/** KDF2 (or, without `key`, KDF1) of the chain key with DH(secret, point). False: the shared secret is all zero. */
function mixShared(
  suite: Suite,
  chainKey: Uint8Array,
  key: Uint8Array | undefined,
  secret: Uint8Array,
  point: Uint8Array,
): boolean {
  const shared = secretBytes(KEY_BYTES);
  const nonZero = suite.sharedSecret(shared, secret, point);
  if (nonZero) {
    if (key === undefined) kdf1(suite, chainKey, chainKey, shared);
    else kdf2(suite, chainKey, key, chainKey, shared);
  }
  shared.fill(0);
  return nonZero;
}

function field(message: Uint8Array, offset: number, length: number): Uint8Array {
  return message.subarray(offset, offset + length);
}

function viewOf(message: Uint8Array): DataView {
  return new DataView(message.buffer, message.byteOffset, message.byteLength);
}
