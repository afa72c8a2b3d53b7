/**
 * Work for an idle lane right after its start: pairs of interfaces that talk to each other in memory, so that V8 has compiled the
 * packet path before the first packets come. Without it the first thousands of single packets run in the interpreter: an
 * idle ping's round trip was 0.1 ms (a quarter) longer for its first minute.
 */
import {
  ENDPOINT_BYTES,
  endpointLayout,
  FAMILY_V4,
  HEADROOM_BYTES,
  type Slab,
  slabLayout,
  TAILROOM_BYTES,
} from "../bytes/slab.ts";
import type { Outbox } from "../tunnel/outbox.ts";
import type { TunnelPorts } from "../tunnel/state.ts";
import { Interface } from "./interface.ts";
import { CONTROL_TAG, Lane } from "./lane.ts";
import type { LinkState, SocketPair, TunPort, UdpPort, Waiter } from "./ports.ts";

/**
 * Pairs; each end has port classes of its own. V8 tells up to four classes apart at a call (feedback_max_polymorphic_map_count), and
 * throws compiled code away when another comes; beyond that it compiles for any, and so for the real ports.
 */
const PAIRS = 3;
/** Ours: rounds in all; after so many there is no compiling left to be seen (--trace-opt). */
const ROUNDS = 2_500;
/** Ours: some 0.5 ms, for which a real packet may have to wait. */
const ROUNDS_PER_STEP = 10;
/** Of ten rounds one carries many packets, as TCP does; the others one, as ping does. */
const MANY = 44;
const MTU = 1420;
const PACKET_BYTES = 1420;
const ROUND_MS = 20;
/** EPOLLIN (sys/epoll.h). */
const READABLE = 1;

interface Pipe {
  readonly tun: TunPort & { pending: number };
  readonly udp: UdpPort & { far: Pipe | undefined; waiting: number };
}

/** An inner packet with nothing in it: IPv4 from 10.0.0.0 to itself; every eighth IPv6, to where no peer is. */
function writePacket(bytes: Uint8Array, offset: number, index: number): void {
  bytes.fill(0, offset, offset + PACKET_BYTES + TAILROOM_BYTES);
  if (index % 8 === 7) {
    bytes[offset] = 0x60;
    return;
  }
  bytes[offset] = 0x45;
  bytes[offset + 2] = PACKET_BYTES >>> 8;
  bytes[offset + 3] = PACKET_BYTES & 0xff;
  bytes[offset + 9] = 17;
  bytes[offset + 12] = 10;
  bytes[offset + 16] = 10;
}

function writeEndpoint(record: Uint8Array): void {
  record.fill(0);
  record[endpointLayout.family] = FAMILY_V4;
  record[endpointLayout.port] = 1;
  record[endpointLayout.address] = 127;
}

/**
 * Ports of classes that no other call of this function has given. `firstTag`: of five. `isOther`: with other functions for methods,
 * because V8 looks at those, too.
 */
function pipe(slab: Slab, firstTag: number, isOther: boolean): Pipe {
  class Tun implements TunPort {
    readonly readTag = firstTag;
    readonly linkTag = firstTag + 1;
    readonly offload = 0;
    pending = 0;

    read(): number {
      const count = this.pending;
      this.pending = 0;
      let offset = slabLayout.outbound.offset + HEADROOM_BYTES;
      for (let i = 0; i < count; i++) {
        writePacket(slab.bytes, offset, i);
        slab.innerOffset[i] = offset;
        slab.innerLength[i] = PACKET_BYTES;
        slab.innerRun[i] = i >>> 3;
        offset += PACKET_BYTES + HEADROOM_BYTES + TAILROOM_BYTES;
      }
      return count;
    }
    write(): number {
      return 0;
    }
    queryLink(link: LinkState): boolean {
      link.isUp = true;
      link.mtu = MTU;
      return true;
    }
    name(): string {
      return "";
    }
    close(): void {}
  }

  class Udp implements UdpPort {
    readonly dropped = 0;
    readonly tagV4 = firstTag + 2;
    readonly tagV6 = firstTag + 3;
    readonly routesTag = firstTag + 4;
    readonly segments = true;
    namespaceFd = -1;
    isOpen = true;
    port = 1;
    far: Pipe | undefined;
    /** Datagrams that lie in the slab's `received` list for us. */
    waiting = 0;

    open(): number {
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
    receive(): number {
      const count = this.waiting;
      this.waiting = 0;
      return count;
    }
    /** One message with all datagrams, as large as they are. */
    send(outbox: Outbox): number {
      const { far } = this;
      if (far === undefined) return 0;
      let at = slabLayout.inbound.offset;
      for (let i = 0; i < outbox.datagramCount; i++) {
        const offset = slab.datagramOffset[i]!;
        const length = slab.datagramLength[i]!;
        slab.bytes.copyWithin(at, offset, offset + length);
        slab.receivedOffset[i] = at;
        slab.receivedLength[i] = length;
        slab.receivedMessage[i] = 0;
        at += length;
      }
      const record = slabLayout.messageEndpoint.offset;
      writeEndpoint(slab.bytes.subarray(record, record + ENDPOINT_BYTES));
      slab.messageTos[0] = 0;
      far.udp.waiting = outbox.datagramCount;
      return 0;
    }
    resend(): void {}
    close(): void {
      this.isOpen = false;
    }
  }
  if (!isOther) return { tun: new Tun(), udp: new Udp() };

  class OtherTun extends Tun {
    override read(): number {
      return super.read();
    }
    override write(): number {
      return super.write();
    }
  }
  class OtherUdp extends Udp {
    override receive(): number {
      return super.receive();
    }
    override send(outbox: Outbox): number {
      return super.send(outbox);
    }
  }
  return { tun: new OtherTun(), udp: new OtherUdp() };
}

/** One lane with two interfaces that have each other for a peer. */
class Pair implements Waiter {
  readonly ready: Int32Array = new Int32Array(64);
  readonly events: Int32Array = new Int32Array(64).fill(READABLE);
  now = 1e6;
  wallMs = 1e12;
  /** What is reported next, before anything else: events that are rare in life, too. */
  readonly #events: number[] = [];
  readonly #pipes: readonly [Pipe, Pipe];
  readonly #interfaces: readonly [Interface, Interface];
  readonly #lane: Lane;

  constructor(ports: Omit<TunnelPorts, "sink" | "log">) {
    this.#pipes = [pipe(ports.slab, 1, false), pipe(ports.slab, 6, true)];
    this.#lane = new Lane(this, { drain: () => undefined, gone: () => undefined });
    const make = ({ tun, udp }: Pipe): Interface => new Interface(ports, tun, udp, undefined);
    this.#interfaces = [make(this.#pipes[0]), make(this.#pipes[1])];
    this.#pipes[0].udp.far = this.#pipes[1];
    this.#pipes[1].udp.far = this.#pipes[0];
    for (const { tunnel } of this.#interfaces) {
      const secret = new Uint8Array(32);
      ports.entropy(secret);
      tunnel.setPrivateKey(secret);
    }
    const [near, far] = this.#interfaces;
    join(near, far);
    join(far, near);
    for (const iface of this.#interfaces) {
      iface.followLink(this.#lane.moment);
      this.#lane.add(iface);
    }
  }

  /** One packet one way, in the same moment as the last: no key grows old, no timer ends. */
  carryOne(): void {
    this.#pipes[0].tun.pending = 1;
    for (let turn = 0; turn < 2; turn++) this.#lane.turn();
  }

  /** The turns that carry `count` packets each way. */
  round(count: number): void {
    this.now += ROUND_MS;
    this.wallMs += ROUND_MS;
    if (count > 1) {
      this.#events.push(CONTROL_TAG);
      for (const { tun, udp } of this.#pipes) this.#events.push(tun.linkTag, udp.tagV6);
    }
    while (this.#events.length > 0) this.#lane.turn();
    for (const { tun } of this.#pipes) {
      tun.pending = count;
      // Its packets out, theirs in, and a handshake's messages to and fro when one is due.
      for (let turn = 0; turn < 4; turn++) this.#lane.turn();
    }
  }

  /** The one who has something is ready; one at a time, because both use the same slab. */
  wait(): number {
    const [near, far] = this.#pipes;
    const event = this.#events.pop();
    if (event !== undefined) this.ready[0] = event;
    else if (near.udp.waiting > 0) this.ready[0] = near.udp.tagV4;
    else if (far.udp.waiting > 0) this.ready[0] = far.udp.tagV4;
    else if (near.tun.pending > 0) this.ready[0] = near.tun.readTag;
    else if (far.tun.pending > 0) this.ready[0] = far.tun.readTag;
    else return 0;
    return 1;
  }

  close(): void {
    for (const iface of this.#interfaces) iface.close();
  }

  /** Packets that came through: for tests. */
  get delivered(): number {
    return this.#interfaces.reduce((sum, { stats }) => sum + stats.packetsWritten, 0);
  }
}

function join(iface: Interface, other: Interface): void {
  const { state } = iface.tunnel;
  const peer = state.addPeer(other.tunnel.state.identity!.publicKey);
  if (peer === undefined) return;
  const record = new Uint8Array(ENDPOINT_BYTES);
  writeEndpoint(record);
  state.allowedIps.insert(FAMILY_V4, new Uint8Array(16), 0, 0, peer.id);
  iface.tunnel.setEndpoint(peer, record);
}

export class WarmUp {
  readonly #pairs: Pair[] = [];
  #rounds = 0;

  /** `ports` are the lane's own: its slab must not be in use between steps. */
  constructor(ports: Omit<TunnelPorts, "sink" | "log">) {
    for (let i = 0; i < PAIRS; i++) this.#pairs.push(new Pair(ports));
  }

  /** True: there is more to do. */
  step(): boolean {
    for (let i = 0; i < ROUNDS_PER_STEP; i++) {
      this.#pairs[this.#rounds % PAIRS]!.round(i === 0 ? MANY : 1);
      this.#rounds++;
    }
    if (this.#rounds < ROUNDS) return true;
    for (const pair of this.#pairs.slice(1)) pair.close();
    return false;
  }

  /** After the last step: one packet more, so that what a real one will need is near, not in far memory. */
  glance(): void {
    this.#pairs[0]!.carryOne();
  }

  /** Packets that came through so far. */
  get delivered(): number {
    return this.#pairs.reduce((sum, pair) => sum + pair.delivered, 0);
  }
}
