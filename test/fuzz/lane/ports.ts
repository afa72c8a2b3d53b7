/**
 * Ports that the fuzzer holds in its hands: what arrives is queued, what leaves is collected, and everything that the kernel may
 * refuse can be refused. They check what native code would: that lists lie in their regions and groups can be sent as one.
 */
import {
  ENDPOINT_BYTES,
  HEADROOM_BYTES,
  INNER_MAX,
  MESSAGE_STRIDE,
  MESSAGES_MAX,
  OUTBOUND_BYTES,
  RECEIVED_MAX,
  type Slab,
  slabLayout,
  TAILROOM_BYTES,
} from "../../../src/bytes/slab.ts";
import type { LinkState, SocketPair, TunPort, UdpPort } from "../../../src/lane/ports.ts";
import type { Outbox } from "../../../src/tunnel/outbox.ts";
import type { Peer } from "../../../src/tunnel/peer.ts";
import { must } from "../target.ts";

const EADDRINUSE = -98;
const ENETUNREACH = -101;
/** UDP_MAX_SEGMENTS of old kernels, and one IP packet's payload. */
const SEGMENTS_MAX = 64;
const PAYLOAD_MAX = 65_507;

/** A datagram that is somewhere between two ends. */
export interface Sent {
  readonly bytes: Uint8Array;
  /** 48 bytes: where it goes. */
  readonly to: Uint8Array;
  readonly tos: number;
  /** Whose it is; undefined: an answer to nobody in particular. */
  readonly peer: Peer | undefined;
}

/** One received message: datagrams of one sender, merged by UDP_GRO or single. */
export interface Message {
  readonly parts: readonly Uint8Array[];
  readonly from: Uint8Array;
  readonly tos: number;
}

function inData(slab: Slab, offset: number, length: number): boolean {
  return offset >= slabLayout.inbound.offset && offset + length <= slab.bytes.length - 16;
}

export class FuzzTun implements TunPort {
  readonly readTag = 1;
  readonly linkTag = 2;
  readonly offload = 0;
  readonly written: Uint8Array[] = [];
  isUp = true;
  mtu = 1420;
  exists = true;
  /** Packets of the next write that the kernel refuses. */
  refuses = 0;
  readonly #slab: Slab;
  #runs: (readonly Uint8Array[])[] = [];

  constructor(slab: Slab) {
    this.#slab = slab;
  }

  /** The applications send: one run is what one super-packet was cut into. */
  give(...runs: readonly (readonly Uint8Array[])[]): void {
    this.#runs.push(...runs);
  }

  get hasMore(): boolean {
    return this.#runs.length > 0;
  }

  /** As native/tun.c: within half of the region, each packet padded with zeros and with room for header and tag. */
  read(_mtu: number): number {
    if (!this.exists) return -77;
    const { bytes, innerOffset, innerLength, innerRun } = this.#slab;
    const { offset: start } = slabLayout.outbound;
    let at = start;
    let count = 0;
    let run = 0;
    while (this.#runs.length > 0 && at < start + OUTBOUND_BYTES / 2) {
      const packets = this.#runs[0]!;
      if (count + packets.length > INNER_MAX) break;
      this.#runs.shift();
      for (const packet of packets) {
        const padded = (packet.length + 15) & ~15;
        bytes.set(packet, at + HEADROOM_BYTES);
        bytes.fill(0, at + HEADROOM_BYTES + packet.length, at + HEADROOM_BYTES + padded);
        innerOffset[count] = at + HEADROOM_BYTES;
        innerLength[count] = packet.length;
        innerRun[count++] = run;
        at += HEADROOM_BYTES + padded + TAILROOM_BYTES;
      }
      run++;
    }
    return count;
  }

  write(outbox: Outbox): number {
    const { bytes, plainOffset, plainLength } = this.#slab;
    must(outbox.plainCount > 0, "no empty write");
    for (let i = 0; i < outbox.plainCount; i++) {
      const offset = plainOffset[i]!;
      const length = plainLength[i]!;
      must(length >= 20 && inData(this.#slab, offset, length), "a plain packet lies in the slab");
      this.written.push(bytes.slice(offset, offset + length));
    }
    const refused = Math.min(this.refuses, outbox.plainCount);
    this.refuses = 0;
    return refused;
  }

  queryLink(link: LinkState): boolean {
    link.isUp = this.isUp;
    link.mtu = this.mtu;
    return this.exists;
  }

  name(): string {
    return "fuzz0";
  }

  close(): void {}
}

export class FuzzUdp implements UdpPort {
  readonly dropped = 0;
  readonly tagV4 = 3;
  readonly tagV6 = 4;
  readonly routesTag = 5;
  readonly segments = true;
  namespaceFd = -1;
  isOpen = false;
  port = 0;
  readonly sent: Sent[] = [];
  /** Groups of the next sends that fail, also when they are tried again. */
  failures = 0;
  /** What the kernel answers when it is asked to shed. */
  shedStatus = 0;
  isShedding = false;
  readonly #slab: Slab;
  readonly #messages: { readonly v4: Message[]; readonly v6: Message[] } = { v4: [], v6: [] };

  constructor(slab: Slab) {
    this.#slab = slab;
  }

  drainRoutes(): void {}

  isBoundRightly(): boolean {
    return true;
  }

  /** Datagrams arrive. */
  put(message: Message): void {
    if (!this.isOpen) return;
    (message.from[0] === 10 ? this.#messages.v6 : this.#messages.v4).push(message);
  }

  get hasMore(): boolean {
    return this.isOpen && this.#messages.v4.length + this.#messages.v6.length > 0;
  }

  open(port: number): number {
    if (port === 1) return EADDRINUSE;
    this.isOpen = true;
    this.port = port === 0 ? 40_000 : port;
    return 0;
  }

  shed(_source: Uint8Array, isOn: boolean): number {
    must(this.isOpen, "only an open socket sheds");
    if (this.shedStatus === 0) this.isShedding = isOn;
    return this.shedStatus;
  }

  handOut(): readonly SocketPair[] {
    return [];
  }

  adopt(): void {}

  setMark(): number {
    return 0;
  }

  receive(isV6: boolean): number {
    const { bytes, receivedOffset, receivedLength, receivedMessage, messageTos } = this.#slab;
    const messages = (isV6 ? this.#messages.v6 : this.#messages.v4).splice(0, MESSAGES_MAX);
    let count = 0;
    messages.forEach(({ parts, from, tos }, index) => {
      let at = slabLayout.inbound.offset + index * MESSAGE_STRIDE;
      for (const part of parts) {
        if (count === RECEIVED_MAX) break;
        bytes.set(part, at);
        receivedOffset[count] = at;
        receivedLength[count] = part.length;
        receivedMessage[count++] = index;
        at += part.length;
      }
      bytes.set(from, slabLayout.messageEndpoint.offset + index * ENDPOINT_BYTES);
      messageTos[index] = tos;
    });
    return count;
  }

  send(outbox: Outbox): number {
    const slab = this.#slab;
    must(this.isOpen, "nothing is sent over a closed socket");
    let failed = 0;
    let next = 0;
    for (let group = 0; group < outbox.groupCount; group++) {
      const start = slab.groupStart[group]!;
      const count = slab.groupCount[group]!;
      must(start === next && count >= 1, "groups follow one another");
      next = start + count;
      must(count <= SEGMENTS_MAX, "the kernel takes so many segments");
      if (this.failures > 0) {
        this.failures--;
        slab.groupStatus[group] = ENETUNREACH;
        failed++;
        continue;
      }
      this.#collect(outbox, group, start, next);
    }
    must(next === outbox.datagramCount, "every datagram is in a group");
    return failed;
  }

  resend(group: number): void {
    if (this.failures > 0) this.failures--;
    else this.#slab.groupStatus[group] = 0;
  }

  close(): void {
    this.isOpen = false;
    this.port = 0;
    this.isShedding = false;
    this.#messages.v4.length = 0;
    this.#messages.v6.length = 0;
  }

  #collect(outbox: Outbox, group: number, start: number, end: number): void {
    const slab = this.#slab;
    const at = slabLayout.groupEndpoint.offset + group * ENDPOINT_BYTES;
    const to = slab.bytes.slice(at, at + ENDPOINT_BYTES);
    const tos = slab.groupTos[group]!;
    const segment = slab.datagramLength[start]!;
    let total = 0;
    for (let i = start; i < end; i++) {
      const offset = slab.datagramOffset[i]!;
      const length = slab.datagramLength[i]!;
      must(inData(slab, offset, length), "a datagram lies in the slab");
      must(i + 1 === end ? length <= segment : length === segment, "only the last may be short");
      total += length;
      const bytes = slab.bytes.slice(offset, offset + length);
      this.sent.push({ bytes, to, tos, peer: outbox.groupPeer[group] });
    }
    must(total <= PAYLOAD_MAX, "a group fits one IP packet");
  }
}
