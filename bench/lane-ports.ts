/**
 * Ports of an interface that end in memory: TUN reads and UDP receives give the same packets again and again, writes and
 * sends are counted. Two UDP ports can be linked for as long as a handshake takes. No system calls, nothing allocated per
 * packet once the flow runs.
 */
import {
  ENDPOINT_BYTES,
  endpointLayout,
  FAMILY_V4,
  MESSAGE_STRIDE,
  type Slab,
  slabLayout,
} from "../src/bytes/slab.ts";
import type { TransportCipher } from "../src/crypto/suite.ts";
import type { LinkState, SocketPair, TunPort, UdpPort, Waiter } from "../src/lane/ports.ts";
import type { Outbox } from "../src/tunnel/outbox.ts";
import { TYPE_TRANSPORT } from "../src/wire/constants.ts";
import { TRANSPORT_OVERHEAD_BYTES, transportLayout } from "../src/wire/layout.ts";

/** Packets of one read or receive: what one of 64 KiB with segmentation brings, and a bit. */
export const BATCH = 64;
/** A full packet at the usual MTU. */
export const PACKET_BYTES = 1420;
const DATAGRAM_BYTES = PACKET_BYTES + TRANSPORT_OVERHEAD_BYTES;
/** As many as fit into one message of 64 KiB, rounded down to a power of two. */
const MESSAGE_DATAGRAMS = 32;
/** From one packet read from TUN to the next: room for header, tag and padding between them. */
const INNER_STRIDE = PACKET_BYTES + 48;

/** Above those that the packets of the handshake have used. */
const FIRST_COUNTER = 1_000;

/** Seals and opens by doing nothing, every packet is authentic: what is left is the lane's own work. */
export const nullCipher: TransportCipher = {
  seal: () => undefined,
  open: (slab, _key, first, count) => {
    for (let i = first; i < first + count; i++) {
      slab.opened[i] = slab.receivedLength[i]! - TRANSPORT_OVERHEAD_BYTES;
    }
  },
  forget: () => undefined,
};

/** The record of 192.0.2.`host`, port 51820. */
export function recordOf(host: number): Uint8Array {
  const record = new Uint8Array(ENDPOINT_BYTES);
  const view = new DataView(record.buffer);
  view.setUint16(endpointLayout.family, FAMILY_V4, true);
  view.setUint16(endpointLayout.port, 51_820, true);
  record.set([192, 0, 2, host], endpointLayout.address);
  return record;
}

/** An IPv4 packet from 10.0.0.1 to 10.0.0.2. */
function makePacket(): Uint8Array {
  const packet = new Uint8Array(PACKET_BYTES);
  packet[0] = 0x45;
  new DataView(packet.buffer).setUint16(2, PACKET_BYTES, false);
  packet.set([10, 0, 0, 1, 10, 0, 0, 2], 12);
  return packet;
}

export class MemoryTun implements TunPort {
  readonly readTag = 1;
  readonly linkTag = 2;
  readonly offload = 0;
  written = 0;
  readonly #slab: Slab;

  constructor(slab: Slab) {
    this.#slab = slab;
    const packet = makePacket();
    for (let i = 0; i < BATCH; i++) slab.bytes.set(packet, innerAt(i));
  }

  read(): number {
    const slab = this.#slab;
    for (let i = 0; i < BATCH; i++) {
      slab.innerOffset[i] = innerAt(i);
      slab.innerLength[i] = PACKET_BYTES;
      slab.innerRun[i] = 0;
    }
    return BATCH;
  }

  write(outbox: Outbox): number {
    this.written += outbox.plainCount;
    return 0;
  }

  queryLink(link: LinkState): boolean {
    link.isUp = true;
    link.mtu = PACKET_BYTES;
    return true;
  }

  name(): string {
    return "memory";
  }

  close(): void {}
}

function innerAt(index: number): number {
  return slabLayout.outbound.offset + 16 + index * INNER_STRIDE;
}

export class MemoryUdp implements UdpPort {
  readonly dropped = 0;
  readonly tagV4 = 3;
  readonly tagV6 = 4;
  readonly routesTag = 5;
  readonly segments = true;
  namespaceFd = -1;
  isOpen = false;
  port = 0;
  sent = 0;
  /** Where datagrams go while a session is made; undefined: nowhere. */
  far: MemoryUdp | undefined;
  readonly #slab: Slab;
  readonly #inbox: Uint8Array[] = [];
  readonly #source: Uint8Array;
  /** Receiver index of the last transport message that was taken. */
  #session = 0;
  #counter = 0;
  #isFlowing = false;

  /** `source` is the record that what comes in comes from. */
  constructor(slab: Slab, source: Uint8Array) {
    this.#slab = slab;
    this.#source = source;
  }

  open(port: number): number {
    this.isOpen = true;
    this.port = port;
    return 0;
  }

  drainRoutes(): void {}

  isBoundRightly(): boolean {
    return true;
  }

  shed(): number {
    return 0;
  }

  handOut(): readonly SocketPair[] {
    return [];
  }

  adopt(): void {}

  setMark(): number {
    return 0;
  }

  /** What the far end sent, one datagram at a time; once that is all taken, the flow. */
  receive(isV6: boolean): number {
    if (isV6) return 0;
    const datagram = this.#inbox.shift();
    if (datagram === undefined) return this.#isFlowing ? this.#flow() : 0;
    this.#place(0, datagram);
    if (datagram[0] === TYPE_TRANSPORT) {
      this.#session = new DataView(datagram.buffer).getUint32(transportLayout.receiver, true);
    }
    return 1;
  }

  send(outbox: Outbox): number {
    this.sent += outbox.datagramCount;
    if (this.far === undefined) return 0;
    const { bytes, datagramOffset, datagramLength } = this.#slab;
    for (let i = 0; i < outbox.datagramCount; i++) {
      const offset = datagramOffset[i]!;
      this.far.#inbox.push(bytes.slice(offset, offset + datagramLength[i]!));
    }
    return 0;
  }

  resend(): void {}

  close(): void {
    this.isOpen = false;
  }

  get hasMail(): boolean {
    return this.#inbox.length > 0;
  }

  /** From now on, a full batch of packets waits in the session of the last transport message, always with fresh counters. */
  startFlow(): void {
    const datagram = new Uint8Array(DATAGRAM_BYTES);
    const view = new DataView(datagram.buffer);
    view.setUint32(transportLayout.type, TYPE_TRANSPORT, true);
    view.setUint32(transportLayout.receiver, this.#session, true);
    datagram.set(makePacket(), transportLayout.payload);
    for (let i = 0; i < BATCH; i++) this.#place(i, datagram);
    this.#counter = FIRST_COUNTER;
    this.#isFlowing = true;
  }

  #flow(): number {
    const { view } = this.#slab;
    for (let i = 0; i < BATCH; i++) {
      const at = datagramAt(i);
      view.setUint32(at + transportLayout.counter, this.#counter++, true);
      this.#list(i, at, DATAGRAM_BYTES);
    }
    return BATCH;
  }

  #place(index: number, datagram: Uint8Array): void {
    const at = datagramAt(index);
    const slab = this.#slab;
    slab.bytes.set(datagram, at);
    const message = messageOf(index);
    slab.bytes.set(this.#source, slabLayout.messageEndpoint.offset + message * ENDPOINT_BYTES);
    slab.messageTos[message] = 0;
    this.#list(index, at, datagram.length);
  }

  #list(index: number, at: number, length: number): void {
    const slab = this.#slab;
    slab.receivedOffset[index] = at;
    slab.receivedLength[index] = length;
    slab.receivedMessage[index] = messageOf(index);
  }
}

function messageOf(index: number): number {
  return Math.floor(index / MESSAGE_DATAGRAMS);
}

function datagramAt(index: number): number {
  const within = (index % MESSAGE_DATAGRAMS) * DATAGRAM_BYTES;
  return slabLayout.inbound.offset + messageOf(index) * MESSAGE_STRIDE + within;
}

/** One descriptor is always ready, and time stands still. */
export class ReadyWaiter implements Waiter {
  readonly ready: Int32Array;
  readonly events: Int32Array = Int32Array.of(1);
  readonly now = 1_000;
  readonly wallMs = 1_790_000_000_000;

  constructor(tag: number) {
    this.ready = Int32Array.of(tag);
  }

  wait(): number {
    return 1;
  }
}
