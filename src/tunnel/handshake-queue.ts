/**
 * Handshake messages that wait for their turn: a ring of fixed entries, each a message and the endpoint record it came
 * from. Bounded: when full, new messages are refused (K receive.c does so at 4096, G at 1024).
 */
import { ENDPOINT_BYTES } from "../bytes/slab.ts";
import { INITIATION_BYTES } from "../wire/layout.ts";

/** G queueconstants_default.go QueueHandshakeSize. */
export const HANDSHAKE_QUEUE_MAX = 1024;
/**
 * Ours: the last quarter is kept for messages that a flood from forged addresses can't contain: see {@link HandshakeQueue.push}.
 */
export const PLAIN_MAX: number = (HANDSHAKE_QUEUE_MAX / 4) * 3;
/** K receive.c: load begins when an eighth of the queue is used. */
export const UNDER_LOAD_COUNT: number = HANDSHAKE_QUEUE_MAX / 8;
/** K receive.c: and lasts a second after the last such moment. */
export const UNDER_LOAD_LINGER_MS = 1_000;

const ENTRY_BYTES = INITIATION_BYTES + ENDPOINT_BYTES;

/** Over all queues of a lane. */
export interface Backlog {
  waiting: number;
}

export class HandshakeQueue {
  readonly #backlog: Backlog;
  /** Made at the first message: most interfaces of a large engine never see a queue. */
  #ring: Uint8Array | undefined;
  readonly #lengths = new Uint8Array(HANDSHAKE_QUEUE_MAX);
  #head = 0;
  #count = 0;
  #lastLoadMs = Number.NEGATIVE_INFINITY;

  constructor(backlog: Backlog) {
    this.#backlog = backlog;
  }

  get count(): number {
    return this.#count;
  }

  /**
   * Copies a message (at most 148 bytes) and its endpoint record in. False: full. `isPreferred`: it bears a mac2, or
   * answers a message of ours.
   */
  push(
    bytes: Uint8Array,
    offset: number,
    length: number,
    endpoints: Uint8Array,
    endpointOffset: number,
    isPreferred: boolean,
  ): boolean {
    if (this.#count >= (isPreferred ? HANDSHAKE_QUEUE_MAX : PLAIN_MAX)) return false;
    this.#ring ??= new Uint8Array(HANDSHAKE_QUEUE_MAX * ENTRY_BYTES);
    const slot = (this.#head + this.#count) % HANDSHAKE_QUEUE_MAX;
    const at = slot * ENTRY_BYTES;
    for (let i = 0; i < length; i++) this.#ring[at + i] = bytes[offset + i]!;
    for (let i = 0; i < ENDPOINT_BYTES; i++) {
      this.#ring[at + INITIATION_BYTES + i] = endpoints[endpointOffset + i]!;
    }
    this.#lengths[slot] = length;
    this.#count++;
    this.#backlog.waiting++;
    return true;
  }

  /** Views of the oldest message and its endpoint, valid until the next push; takes it out. Undefined: empty. */
  take(): { readonly message: Uint8Array; readonly endpoint: Uint8Array } | undefined {
    if (this.#count === 0 || this.#ring === undefined) return undefined;
    const slot = this.#head;
    const at = slot * ENTRY_BYTES;
    this.#head = (this.#head + 1) % HANDSHAKE_QUEUE_MAX;
    this.#count--;
    this.#backlog.waiting--;
    return {
      message: this.#ring.subarray(at, at + this.#lengths[slot]!),
      endpoint: this.#ring.subarray(at + INITIATION_BYTES, at + ENTRY_BYTES),
    };
  }

  /** True while, or within a second after, the queue is an eighth full. Ask before each {@link take}. */
  isUnderLoad(now: number): boolean {
    if (this.#count >= UNDER_LOAD_COUNT) {
      this.#lastLoadMs = now;
      return true;
    }
    return now - this.#lastLoadMs < UNDER_LOAD_LINGER_MS;
  }

  clear(): void {
    this.#backlog.waiting -= this.#count;
    this.#head = 0;
    this.#count = 0;
  }
}
