/**
 * Initiations whose Diffie-Hellman is done elsewhere: one block of memory that goes from a lane to a pool and comes back, with
 * room for the answers. All four of a responder are done there (es, and for the response e, ee, se); what needs the peer's state,
 * the preshared key and the static-static secret stays on the lane.
 *
 *   header   our secret key 32 | our public key 32
 *   records  message 148 | endpoint 48 | is opened u32 | remote static 32 | hash 32 | chain key 32 | e 32 | ee 32 | se 32
 *
 * Whoever has the block owns it; it holds secrets, and the lane wipes it in the end.
 */
import { isZero } from "../bytes/equal.ts";
import { copySecret, secretBytes } from "../bytes/secret-bytes.ts";
import { ENDPOINT_BYTES } from "../bytes/slab.ts";
import { KEY_BYTES, type Suite } from "../crypto/suite.ts";
import { INITIATION_BYTES } from "../wire/layout.ts";
import type { Entropy } from "./cookie.ts";
import {
  type OpenedInitiation,
  openInitiation,
  type PreparedResponse,
  reopened,
} from "./handshake.ts";
import { Identity } from "./identity.ts";

/** Ours: initiations of one block; some 3 ms of work. */
export const BATCH_MAX = 32;

const HEADER_BYTES = 2 * KEY_BYTES;
const ENDPOINT_AT = INITIATION_BYTES;
const OPENED_AT = ENDPOINT_AT + ENDPOINT_BYTES;
const REMOTE_AT = OPENED_AT + 4;
const HASH_AT = REMOTE_AT + KEY_BYTES;
const CHAIN_AT = HASH_AT + KEY_BYTES;
const E_AT = CHAIN_AT + KEY_BYTES;
const EE_AT = E_AT + KEY_BYTES;
const SE_AT = EE_AT + KEY_BYTES;
const RECORD_BYTES = SE_AT + KEY_BYTES;

/** One answer of a block; views into it. */
export interface Solved {
  readonly message: Uint8Array;
  /** 48 bytes: where it came from. */
  readonly endpoint: Uint8Array;
  readonly opened: OpenedInitiation;
  readonly response: PreparedResponse;
}

export class HandshakeBatch {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  #count: number;

  /** An empty block for `identity` with `room`, or the view of one that came back with `count` records. */
  constructor(from: Identity | Uint8Array<ArrayBuffer>, count = 0, room: number = BATCH_MAX) {
    this.#count = count;
    if (from instanceof Uint8Array) {
      this.#bytes = from;
      return;
    }
    this.#bytes = secretBytes(HEADER_BYTES + room * RECORD_BYTES);
    copySecret(this.#bytes, from.secret);
    this.#bytes.set(from.publicKey, KEY_BYTES);
  }

  /** The whole block, to be moved to another thread. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes;
  }

  get count(): number {
    return this.#count;
  }

  get isFull(): boolean {
    return HEADER_BYTES + this.#count * RECORD_BYTES === this.#bytes.length;
  }

  /** Our public key when the block was made. */
  get publicKey(): Uint8Array {
    return this.#bytes.subarray(KEY_BYTES, HEADER_BYTES);
  }

  /** Copies an initiation and its endpoint record in; the block must not be full. */
  add(message: Uint8Array, endpoint: Uint8Array): void {
    const at = HEADER_BYTES + this.#count++ * RECORD_BYTES;
    this.#bytes.set(message, at);
    this.#bytes.set(endpoint, at + ENDPOINT_AT);
  }

  /** Does the work for every record. */
  solve(suite: Suite, entropy: Entropy): void {
    const identity = new Identity(suite, this.#bytes.subarray(0, KEY_BYTES));
    const ephemeral = secretBytes(KEY_BYTES);
    for (let index = 0; index < this.#count; index++) {
      const part = this.#parts(index);
      const opened = openInitiation(suite, identity, part(0, INITIATION_BYTES));
      if (opened === undefined) continue;
      entropy(ephemeral);
      suite.publicKey(part(E_AT), ephemeral);
      suite.sharedSecret(part(EE_AT), ephemeral, opened.progress.remoteEphemeral);
      suite.sharedSecret(part(SE_AT), ephemeral, opened.remoteStatic);
      part(REMOTE_AT).set(opened.remoteStatic);
      part(HASH_AT).set(opened.progress.hash);
      copySecret(part(CHAIN_AT), opened.progress.chainKey);
      part(OPENED_AT)[0] = 1;
      opened.progress.wipe();
    }
    ephemeral.fill(0);
    identity.wipe();
    this.#bytes.fill(0, 0, KEY_BYTES);
  }

  /** The answer to record `index`, or undefined: it is not authentic. */
  solved(index: number): Solved | undefined {
    const part = this.#parts(index);
    if (isZero(part(OPENED_AT, 4))) return undefined;
    const message = part(0, INITIATION_BYTES);
    return {
      message,
      endpoint: part(ENDPOINT_AT, ENDPOINT_BYTES),
      opened: reopened(message, part(REMOTE_AT), part(HASH_AT), part(CHAIN_AT)),
      response: { ephemeralPublic: part(E_AT), ee: part(EE_AT), se: part(SE_AT) },
    };
  }

  /** A block of its own for the solved record `index`, without our secret. */
  pick(index: number, identity: Identity): HandshakeBatch {
    const single = new HandshakeBatch(identity, 0, 1);
    single.#bytes.fill(0, 0, KEY_BYTES);
    const start = HEADER_BYTES + index * RECORD_BYTES;
    const record = this.#bytes.subarray(start, start + RECORD_BYTES);
    copySecret(single.#bytes.subarray(HEADER_BYTES), record);
    single.#count = 1;
    return single;
  }

  wipe(): void {
    this.#bytes.fill(0);
  }

  #parts(index: number): (at: number, length?: number) => Uint8Array {
    const start = HEADER_BYTES + index * RECORD_BYTES;
    return (at, length = KEY_BYTES) => this.#bytes.subarray(start + at, start + at + length);
  }
}
