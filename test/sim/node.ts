/**
 * A tunnel on a simulated network: its datagrams are queued for the test to deliver, drop, copy or change; its plain packets
 * are collected. Time is the test's, entropy is seeded.
 */
import { ENDPOINT_BYTES, endpointLayout, Slab, slabLayout } from "../../src/bytes/slab.ts";
import { nobleCipher } from "../../src/crypto/noble-cipher.ts";
import { opensslSuite } from "../../src/crypto/openssl.ts";
import type { Suite, TransportCipher } from "../../src/crypto/suite.ts";
import type { InitiationPace } from "../../src/tunnel/initiation-pace.ts";
import type { SubmitBatch } from "../../src/tunnel/offload.ts";
import type { Outbox } from "../../src/tunnel/outbox.ts";
import type { Peer } from "../../src/tunnel/peer.ts";
import type { Siblings } from "../../src/tunnel/siblings.ts";
import type { StagingBudget } from "../../src/tunnel/staging.ts";
import { Tunnel } from "../../src/tunnel/tunnel.ts";
import { AF_INET } from "./packets.ts";

export interface Datagram {
  readonly bytes: Uint8Array;
  readonly from: string;
  readonly to: string;
  readonly tos: number;
}

export interface SimClock {
  now: number;
  wallMs: number;
}

/** mulberry32: small, seeded, good enough for tests. */
export function seededBytes(seed: number): (out: Uint8Array) => void {
  let state = seed >>> 0;
  return (out) => {
    for (let i = 0; i < out.length; i++) {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      out[i] = (t ^ (t >>> 14)) & 0xff;
    }
  };
}

const RECORDS_MAX = 1_000;
const records = new Map<string, Uint8Array>();

/** An endpoint record for "a.b.c.d:port"; only to be read. */
export function recordOf(address: string): Uint8Array {
  const known = records.get(address);
  if (known !== undefined) return known;
  const [host, port] = address.split(":");
  const record = new Uint8Array(ENDPOINT_BYTES);
  const view = new DataView(record.buffer);
  view.setUint16(endpointLayout.family, AF_INET, true);
  view.setUint16(endpointLayout.port, Number(port), true);
  record.set((host ?? "").split(".").map(Number), endpointLayout.address);
  if (records.size >= RECORDS_MAX) records.clear();
  records.set(address, record);
  return record;
}

function addressOf(bytes: Uint8Array, offset: number): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const host = bytes.subarray(offset + endpointLayout.address, offset + endpointLayout.address + 4);
  return `${host.join(".")}:${view.getUint16(offset + endpointLayout.port, true)}`;
}

export class SimNode {
  readonly slab: Slab;
  readonly tunnel: Tunnel;
  readonly publicKey: Uint8Array = new Uint8Array(32);
  readonly outgoing: Datagram[] = [];
  readonly delivered: Uint8Array[] = [];
  address: string;
  readonly #clock: SimClock;

  constructor(options: {
    readonly secret: Uint8Array;
    readonly address: string;
    readonly clock: SimClock;
    readonly seed: number;
    readonly suite?: Suite;
    readonly submit?: SubmitBatch;
    readonly siblings?: Siblings | undefined;
    /** Shared with other nodes of the same thread: nothing stays in it between calls. */
    readonly slab?: Slab;
    readonly cipher?: TransportCipher;
    readonly stagingBudget?: StagingBudget;
    /** In place of what the seed gives. */
    readonly entropy?: (out: Uint8Array) => void;
    /** Shared with other nodes of the same lane. */
    readonly pace?: InitiationPace;
  }) {
    this.slab = options.slab ?? new Slab();
    const suite = options.suite ?? opensslSuite;
    this.address = options.address;
    this.#clock = options.clock;
    this.tunnel = new Tunnel({
      suite,
      cipher: options.cipher ?? nobleCipher,
      slab: this.slab,
      sink: this,
      entropy: options.entropy ?? seededBytes(options.seed),
      stagingBudget: options.stagingBudget ?? { bytes: 0 },
      submit: options.submit,
      siblings: options.siblings,
      pace: options.pace,
    });
    this.tunnel.setPrivateKey(options.secret);
    suite.publicKey(this.publicKey, options.secret);
    this.tunnel.up(options.clock);
  }

  /** Adds a peer with one IPv4 prefix "a.b.c.d/n". */
  addPeer(publicKey: Uint8Array, prefix: string, endpoint?: string): Peer {
    const peer = this.tunnel.state.addPeer(publicKey);
    if (peer === undefined) throw new Error("no room for a peer");
    const [address, cidr] = prefix.split("/");
    const bytes = new Uint8Array(16);
    bytes.set((address ?? "").split(".").map(Number));
    this.tunnel.state.allowedIps.insert(AF_INET, bytes, 0, Number(cidr), peer.id);
    if (endpoint !== undefined) this.tunnel.setEndpoint(peer, recordOf(endpoint));
    return peer;
  }

  /** The application sends packets, as one TUN read. */
  send(...packets: readonly Uint8Array[]): void {
    let offset = slabLayout.outbound.offset + 16;
    packets.forEach((packet, index) => {
      this.slab.bytes.set(packet, offset);
      this.slab.bytes.fill(0, offset + packet.length, offset + packet.length + 32);
      this.slab.innerOffset[index] = offset;
      this.slab.innerLength[index] = packet.length;
      this.slab.innerRun[index] = index;
      offset += ((packet.length + 15) & ~15) + 32;
    });
    this.tunnel.send(packets.length, this.#clock);
    this.#flush();
  }

  /** Datagrams arrive, as one receive, and are worked off; each is a message of its own. */
  receive(...datagrams: readonly Datagram[]): void {
    this.arrive(...datagrams);
    this.settle();
  }

  /** Datagrams arrive, at most 16; handshake messages are only queued. */
  arrive(...datagrams: readonly Datagram[]): void {
    datagrams.forEach((datagram, index) => {
      const offset = slabLayout.inbound.offset + index * 65_536;
      this.slab.bytes.set(datagram.bytes, offset);
      this.slab.receivedOffset[index] = offset;
      this.slab.receivedLength[index] = datagram.bytes.length;
      this.slab.receivedMessage[index] = index;
      this.slab.messageTos[index] = datagram.tos;
      const at = slabLayout.messageEndpoint.offset + index * ENDPOINT_BYTES;
      this.slab.bytes.set(recordOf(datagram.from), at);
    });
    this.tunnel.receive(datagrams.length, this.#clock);
  }

  /** Deadlines that are due, and all queued handshakes, `budget` at a time. */
  settle(budget = 8): void {
    this.tunnel.handleDeadline(this.#clock);
    while (this.tunnel.handleHandshakes(budget, this.#clock)) this.#flush();
    this.#flush();
  }

  sendDatagrams(outbox: Outbox): void {
    for (let group = 0; group < outbox.groupCount; group++) {
      const to = addressOf(
        this.slab.bytes,
        slabLayout.groupEndpoint.offset + group * ENDPOINT_BYTES,
      );
      const start = this.slab.groupStart[group]!;
      for (let i = start; i < start + this.slab.groupCount[group]!; i++) {
        const offset = this.slab.datagramOffset[i]!;
        this.outgoing.push({
          bytes: this.slab.bytes.slice(offset, offset + this.slab.datagramLength[i]!),
          from: this.address,
          to,
          tos: this.slab.groupTos[group]!,
        });
      }
    }
  }

  writePlain(outbox: Outbox): void {
    for (let i = 0; i < outbox.plainCount; i++) {
      const offset = this.slab.plainOffset[i]!;
      this.delivered.push(this.slab.bytes.slice(offset, offset + this.slab.plainLength[i]!));
    }
  }

  #flush(): void {
    this.tunnel.publish();
    this.tunnel.outbox.flushPlain();
    this.tunnel.outbox.flushDatagrams();
  }
}
