/**
 * Two interfaces wired back to back through fake ports: what one sends, the other receives. TUN reads give packets made
 * beforehand; TUN writes are counted. The cipher moves no bytes, so that a test sees the lane and nothing else.
 */
import {
  ENDPOINT_BYTES,
  MESSAGE_STRIDE,
  MESSAGES_MAX,
  Slab,
  slabLayout,
} from "../../../src/bytes/slab.ts";
import { opensslSuite } from "../../../src/crypto/openssl.ts";
import type { TransportCipher } from "../../../src/crypto/suite.ts";
import { Interface } from "../../../src/lane/interface.ts";
import type { LinkState, SocketPair, TunPort, UdpPort } from "../../../src/lane/ports.ts";
import type { Outbox } from "../../../src/tunnel/outbox.ts";
import { recordOf, seededBytes } from "../../sim/node.ts";
import { AF_INET } from "../../sim/packets.ts";

const BATCH = 64;
const PACKET_BYTES = 1420;

/** Seals and opens by doing nothing: every packet is authentic. */
const nullCipher: TransportCipher = {
  seal: () => undefined,
  open: (slab, _key, first, count) => {
    for (let i = first; i < first + count; i++) slab.opened[i] = slab.receivedLength[i]! - 32;
  },
  forget: () => undefined,
};

export class FakeTun implements TunPort {
  readonly readTag = 1;
  readonly linkTag = 2;
  readonly offload = 0;
  written = 0;
  readonly #slab: Slab;
  readonly #packet: Uint8Array;
  pending = 0;

  constructor(slab: Slab, packet: Uint8Array) {
    this.#slab = slab;
    this.#packet = packet;
  }

  read(): number {
    if (this.pending === 0) return 0;
    const count = Math.min(BATCH, this.pending);
    this.pending -= count;
    let offset = slabLayout.outbound.offset + 16;
    for (let i = 0; i < count; i++) {
      this.#slab.bytes.set(this.#packet, offset);
      this.#slab.innerOffset[i] = offset;
      this.#slab.innerLength[i] = this.#packet.length;
      this.#slab.innerRun[i] = 0;
      offset += this.#packet.length + 48;
    }
    return count;
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
    return "fake";
  }

  close(): void {}
}

export class FakeUdp implements UdpPort {
  readonly dropped = 0;
  readonly tagV4 = 3;
  readonly tagV6 = 4;
  readonly routesTag = 5;
  readonly segments = true;
  namespaceFd = -1;
  isOpen = false;
  port = 0;
  far: FakeUdp | undefined;
  #waiting = 0;
  readonly #slab: Slab;
  readonly #record: Uint8Array;

  constructor(slab: Slab, farAddress: string) {
    this.#slab = slab;
    this.#record = recordOf(farAddress);
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

  shed(_source: Uint8Array, _isOn: boolean): number {
    return 0;
  }

  handOut(): readonly SocketPair[] {
    return [];
  }

  adopt(): void {}

  setMark(): number {
    return 0;
  }

  receive(isV6: boolean): number {
    const count = this.#waiting;
    if (isV6 || count === 0) return 0;
    this.#waiting = 0;
    return count;
  }

  /** `count` copies of a datagram have arrived, each a message of its own. */
  put(datagram: Uint8Array, count: number, record: Uint8Array): void {
    const slab = this.#slab;
    for (let i = 0; i < count; i++) {
      const at = slabLayout.inbound.offset + i * MESSAGE_STRIDE;
      slab.bytes.set(datagram, at);
      slab.receivedOffset[i] = at;
      slab.receivedLength[i] = datagram.length;
      slab.receivedMessage[i] = i;
      slab.bytes.set(record, slabLayout.messageEndpoint.offset + i * ENDPOINT_BYTES);
    }
    this.#waiting = count;
  }

  /** Puts datagrams where the far end's receive will list them, one message a group. */
  send(outbox: Outbox): number {
    const { far } = this;
    if (far === undefined) return 0;
    for (let group = 0; group < outbox.groupCount; group++) {
      if (group >= MESSAGES_MAX) throw new Error("the fake carries 16 groups at a time");
      far.#take(this.#slab, group);
    }
    return 0;
  }

  resend(): void {}

  close(): void {
    this.isOpen = false;
  }

  #take(from: Slab, group: number): void {
    const slab = this.#slab;
    let at = slabLayout.inbound.offset + group * MESSAGE_STRIDE;
    const start = from.groupStart[group]!;
    const end = start + from.groupCount[group]!;
    for (let i = start; i < end; i++) {
      const offset = from.datagramOffset[i]!;
      const length = from.datagramLength[i]!;
      for (let byte = 0; byte < length; byte += 4) {
        slab.view.setUint32(at + byte, from.view.getUint32(offset + byte, true), true);
      }
      slab.receivedOffset[this.#waiting] = at;
      slab.receivedLength[this.#waiting] = length;
      slab.receivedMessage[this.#waiting] = group;
      this.#waiting++;
      at += length;
    }
    const record = slabLayout.messageEndpoint.offset + group * ENDPOINT_BYTES;
    for (let i = 0; i < ENDPOINT_BYTES; i++) slab.bytes[record + i] = this.#record[i]!;
    slab.messageTos[group] = 0;
  }
}

export interface FakeLane {
  readonly near: Interface;
  readonly far: Interface;
  readonly tun: FakeTun;
  readonly farTun: FakeTun;
}

const ADDRESSES = ["192.0.2.1:1", "192.0.2.2:2"] as const;

/** Two interfaces with a session between them, ready to carry packets from `tun` to `farTun`. */
export function fakeLane(packet: Uint8Array): FakeLane {
  const slabs = [new Slab(), new Slab()] as const;
  const tuns = [new FakeTun(slabs[0], packet), new FakeTun(slabs[1], packet)] as const;
  const udps = [new FakeUdp(slabs[0], ADDRESSES[1]), new FakeUdp(slabs[1], ADDRESSES[0])] as const;
  udps[0].far = udps[1];
  udps[1].far = udps[0];
  const make = (which: 0 | 1): Interface =>
    new Interface(
      {
        suite: opensslSuite,
        cipher: nullCipher,
        slab: slabs[which],
        entropy: seededBytes(which + 1),
        stagingBudget: { bytes: 0 },
      },
      tuns[which],
      udps[which],
      undefined,
    );
  const near = make(0);
  const far = make(1);
  const secrets = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)] as const;
  near.tunnel.setPrivateKey(secrets[0]);
  far.tunnel.setPrivateKey(secrets[1]);
  join(near, far, ADDRESSES[1]);
  join(far, near, ADDRESSES[0]);
  const moment = { now: 1_000, wallMs: 1_790_000_000_000 };
  near.followLink(moment);
  far.followLink(moment);
  return { near, far, tun: tuns[0], farTun: tuns[1] };
}

function join(iface: Interface, other: Interface, address: string): void {
  const { state } = iface.tunnel;
  const peer = state.addPeer(other.tunnel.state.identity!.publicKey);
  if (peer === undefined) throw new Error("no room for a peer");
  state.allowedIps.insert(AF_INET, new Uint8Array(16), 0, 0, peer.id);
  iface.tunnel.setEndpoint(peer, recordOf(address));
}
