/**
 * What a tunnel wants sent: datagrams in groups (one endpoint, one TOS, equal lengths but for a shorter last: what one
 * segmented send can carry) and plain packets for the TUN device. Lists live in the slab; when one is full, the sink is
 * asked to send, so that a tunnel never has to stop half-way.
 */
import {
  COMPOSED_BYTES,
  DATAGRAMS_MAX,
  ENDPOINT_BYTES,
  GROUPS_MAX,
  PLAIN_MAX,
  type Slab,
  slabLayout,
} from "../bytes/slab.ts";
import { copyEndpoint } from "./endpoint.ts";
import type { Peer } from "./peer.ts";

/** UDP_SEGMENT's limits: UDP_MAX_SEGMENTS 64 (include/linux/udp.h before 6.9; 128 since), and one IP packet's payload. */
const GROUP_DATAGRAMS_MAX = 64;
const GROUP_BYTES_MAX = 65_000;

const COMPOSED_START = slabLayout.composed.offset;
const COMPOSED_END = COMPOSED_START + COMPOSED_BYTES;
const ENDPOINTS_START = slabLayout.groupEndpoint.offset;

export interface OutboxSink {
  /** Sends all groups in the outbox. */
  sendDatagrams(outbox: Outbox): void;
  /** Writes all plain packets in the outbox to the TUN device. */
  writePlain(outbox: Outbox): void;
}

export class Outbox {
  readonly slab: Slab;
  datagramCount = 0;
  groupCount = 0;
  plainCount = 0;
  /** Whose group it is, undefined for answers to nobody in particular (cookie replies). */
  readonly groupPeer: (Peer | undefined)[] = new Array<Peer | undefined>(GROUPS_MAX).fill(
    undefined,
  );
  readonly #sink: OutboxSink;
  #composedEnd = COMPOSED_START;
  #open = false;
  #groupSegment = 0;
  #groupBytes = 0;

  constructor(slab: Slab, sink: OutboxSink) {
    this.slab = slab;
    this.#sink = sink;
  }

  /** True if another datagram, with `composed` bytes of our own making (0: none), fits without a flush. */
  hasRoom(composed: number): boolean {
    return (
      this.datagramCount < DATAGRAMS_MAX &&
      this.groupCount < GROUPS_MAX &&
      this.#composedEnd + composed + 15 <= COMPOSED_END
    );
  }

  /** Takes room for bytes of our own making, valid until the next flush. The caller has made sure of {@link hasRoom}. */
  compose(length: number): number {
    const offset = this.#composedEnd;
    this.#composedEnd += (length + 15) & ~15;
    return offset;
  }

  /** Appends a datagram to the group that is open, or begins one. The caller has made sure of {@link hasRoom}. */
  append(
    peer: Peer | undefined,
    endpoint: Uint8Array,
    tos: number,
    offset: number,
    length: number,
  ): void {
    const index = this.datagramCount++;
    this.slab.datagramOffset[index] = offset;
    this.slab.datagramLength[index] = length;
    const group = this.groupCount - 1;
    if (
      this.#open &&
      this.groupPeer[group] === peer &&
      this.slab.groupTos[group] === tos &&
      length <= this.#groupSegment &&
      this.slab.groupCount[group]! < GROUP_DATAGRAMS_MAX &&
      this.#groupBytes + length <= GROUP_BYTES_MAX
    ) {
      this.slab.groupCount[group]!++;
      this.#groupBytes += length;
      // A shorter datagram ends the group: only the last may be short.
      if (length < this.#groupSegment) this.#open = false;
      return;
    }
    this.#begin(peer, endpoint, tos, index, length);
  }

  /** Ends the open group: what follows goes elsewhere. */
  endGroup(): void {
    this.#open = false;
  }

  appendPlain(offset: number, length: number): void {
    if (this.plainCount === PLAIN_MAX) this.flushPlain();
    this.slab.plainOffset[this.plainCount] = offset;
    this.slab.plainLength[this.plainCount] = length;
    this.plainCount++;
  }

  flushDatagrams(): void {
    if (this.groupCount > 0) this.#sink.sendDatagrams(this);
    this.datagramCount = 0;
    this.groupCount = 0;
    this.#composedEnd = COMPOSED_START;
    this.#open = false;
  }

  flushPlain(): void {
    if (this.plainCount > 0) this.#sink.writePlain(this);
    this.plainCount = 0;
  }

  #begin(
    peer: Peer | undefined,
    endpoint: Uint8Array,
    tos: number,
    index: number,
    length: number,
  ): void {
    const group = this.groupCount++;
    this.groupPeer[group] = peer;
    this.slab.groupStart[group] = index;
    this.slab.groupCount[group] = 1;
    this.slab.groupTos[group] = tos;
    this.slab.groupStatus[group] = 0;
    copyEndpoint(this.slab.bytes, ENDPOINTS_START + group * ENDPOINT_BYTES, endpoint, 0);
    this.#groupSegment = length;
    this.#groupBytes = length;
    this.#open = peer !== undefined;
  }
}
