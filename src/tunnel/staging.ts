/**
 * Packets of one peer that wait for a session (whitepaper 6.4; K queueing.h: at most 128, the oldest goes first), as
 * copies outside the slab. All peers of a lane share one budget of bytes, so that memory is bounded whatever the number
 * of peers.
 */

/** K messages.h MAX_STAGED_PACKETS. */
export const STAGED_MAX = 128;
/** Ours: bytes of waiting packets over all peers that share a budget; room for 92 full peers of 1,420-byte packets. */
export const STAGED_BYTES_MAX: number = 16 * 1024 * 1024;

/** Bytes in use, shared by the peers of a lane. */
export interface StagingBudget {
  bytes: number;
}

export class Staging {
  readonly #budget: StagingBudget;
  #packets: Uint8Array[] = [];

  constructor(budget: StagingBudget) {
    this.#budget = budget;
  }

  get count(): number {
    return this.#packets.length;
  }

  /** Copies a packet in. Returns packets pushed out (0 or 1), or -1: no memory, the packet was not taken. */
  push(bytes: Uint8Array, offset: number, length: number): number {
    let pushedOut = 0;
    if (this.#packets.length >= STAGED_MAX) {
      this.#budget.bytes -= this.#packets.shift()!.length;
      pushedOut = 1;
    }
    if (this.#budget.bytes + length > STAGED_BYTES_MAX) return -1;
    this.#budget.bytes += length;
    this.#packets.push(bytes.slice(offset, offset + length));
    return pushedOut;
  }

  /** Takes all packets out, oldest first. */
  takeAll(): readonly Uint8Array[] {
    const packets = this.#packets;
    this.#packets = [];
    for (const packet of packets) this.#budget.bytes -= packet.length;
    return packets;
  }

  /** Drops all packets; returns how many there were. */
  clear(): number {
    return this.takeAll().length;
  }
}
