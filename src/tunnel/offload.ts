/**
 * Which initiations are worked off elsewhere: while many wait, they are gathered in blocks and handed to a pool of other threads,
 * so that their Diffie-Hellman does not keep packets waiting. Few are done at once, here: that is quicker.
 */
import { HandshakeBatch } from "../session/handshake-batch.ts";
import type { Identity } from "../session/identity.ts";

/** Takes a block over, as `bytes` of which the first `count` records are used. It comes back by Tunnel.finishInitiations. */
export type SubmitBatch = (bytes: Uint8Array<ArrayBuffer>, count: number) => void;

/** Ours: with fewer waiting, the way to another thread and back (some 0.2 ms) is longer than the work. */
const WAITING_MIN = 8;
/** Ours: blocks on their way at once; with all of them out, the lane works itself. */
const BLOCKS_MAX = 4;

export class Offload {
  readonly #submit: SubmitBatch | undefined;
  #batch: HandshakeBatch | undefined;
  #isOn = false;
  #out = 0;
  /** Initiations handed over so far. */
  total = 0;

  /** `submit` undefined: there is no pool. */
  constructor(submit: SubmitBatch | undefined) {
    this.#submit = submit;
  }

  /** Before a round over the queue, in which `waiting` messages are. */
  begin(waiting: number): void {
    this.#isOn = this.#submit !== undefined && waiting >= WAITING_MIN;
  }

  /** Copies an initiation (148 bytes) and its endpoint (48). False: it is to be worked off here. */
  take(identity: Identity, message: Uint8Array, endpoint: Uint8Array): boolean {
    if (!this.#isOn || this.#out >= BLOCKS_MAX) return false;
    this.#batch ??= new HandshakeBatch(identity);
    this.#batch.add(message, endpoint);
    this.total++;
    if (this.#batch.isFull) this.end();
    return true;
  }

  /** After a round: hands over what was gathered. */
  end(): void {
    if (this.#batch === undefined) return;
    const { bytes, count } = this.#batch;
    this.#batch = undefined;
    this.#out++;
    this.#submit?.(bytes, count);
  }

  /** A block is back. */
  settle(): void {
    this.#out--;
  }
}
