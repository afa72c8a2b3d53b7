/**
 * A host of a storm: a tunnel over one lane or several, its clocks, its link, and what was set: kept apart from the tunnel's own
 * tables, to compare with. It decides nothing.
 */
import type { Slab } from "../../src/bytes/slab.ts";
import type { Suite, TransportCipher } from "../../src/crypto/suite.ts";
import type { Link } from "./network.ts";
import { type Datagram, recordOf, type SimClock, type SimNode } from "./node.ts";
import { AF_INET } from "./packets.ts";
import { SpreadNode, secretOf } from "./spread.ts";

/** 2026-09-21, where all wall clocks begin. */
export const WALL_EPOCH_MS = 1_790_000_000_000;
/** Datagrams that wait in the socket of a stopped process. */
const SOCKET_MAX = 64;

/** Shared by all hosts of a thread: a slab is a place of work, empty between calls. */
export interface HostTools {
  readonly suite: Suite;
  readonly cipher: TransportCipher;
  readonly slab: Slab;
}

/** Of another host, what one is told. */
export interface PeerSetting {
  readonly index: number;
  readonly publicKey: Uint8Array;
  readonly inner: string;
  /** 32 bytes; all zero: none. */
  readonly presharedKey: Uint8Array;
  /** Undefined: it is not known, or of no use behind a NAT. */
  readonly endpoint: string | undefined;
}

export class Host {
  readonly index: number;
  readonly inner: string;
  readonly link: Link;
  secret: Uint8Array;
  readonly clock: SimClock = { now: 0, wallMs: 0 };
  /** The wall clock is off by this; and by how much at most so far: only above it are initiations sure to be believed. */
  skewMs = 0;
  skewMaxMs = 0;
  /** Storm time: stopped or suspended until then; 0: it runs. */
  asleepUntilMs = 0;
  /** Suspended: what comes is lost. Stopped: it waits in the socket. */
  isSuspended = false;
  /** Storm time: since when the private key is in use. */
  keyedMs = 0;
  /** Storm time: until when notes between lanes are held up; 0: they are not. */
  notesUntilMs = 0;
  /** Counts what makes it forget timestamps of peers: a restart, a peer that is new. */
  epoch = 0;
  /** Allowed IPs as they were set: inner address to index of a host. */
  readonly owners: Map<string, number> = new Map<string, number>();
  /** Public keys of peers as they were set, by index of a host. */
  readonly peers: Map<number, Uint8Array> = new Map<number, Uint8Array>();
  node: SpreadNode;
  readonly #tools: HostTools;
  #aheadMs: number;
  #socket: Datagram[] = [];

  /** `aheadMs`: how far the monotonic clock is ahead of the storm's. */
  constructor(
    options: {
      readonly index: number;
      readonly inner: string;
      readonly link: Link;
      readonly secret: Uint8Array;
      readonly lanes: number;
      readonly seed: number;
      readonly aheadMs: number;
    },
    tools: HostTools,
    now: number,
  ) {
    this.index = options.index;
    this.inner = options.inner;
    this.link = options.link;
    this.secret = options.secret;
    this.#tools = tools;
    this.#aheadMs = options.aheadMs;
    this.keyedMs = now;
    this.setTime(now);
    this.node = this.#makeNode(options.lanes, options.seed);
  }

  get publicKey(): Uint8Array {
    return this.node.lanes[0]!.tunnel.state.identity!.publicKey;
  }

  get isAsleep(): boolean {
    return this.asleepUntilMs > 0;
  }

  /** How many lanes serve it. */
  get lanes(): readonly SimNode[] {
    return this.node.lanes;
  }

  /** Storm time goes on. */
  setTime(now: number): void {
    this.clock.now = now + this.#aheadMs;
    this.clock.wallMs = WALL_EPOCH_MS + now + this.skewMs;
  }

  /** In storm time: when it has something to do. */
  nextMs(): number {
    if (this.isAsleep) return this.asleepUntilMs;
    let next = this.notesUntilMs > 0 ? this.notesUntilMs : Number.POSITIVE_INFINITY;
    for (const { tunnel } of this.lanes) {
      next = Math.min(next, tunnel.nextDeadline() - this.#aheadMs);
    }
    return next;
  }

  /** A moment of this host's monotonic clock in storm time. */
  stormTime(monotonicMs: number): number {
    return monotonicMs - this.#aheadMs;
  }

  /** All that is due. */
  work(now: number): void {
    if (this.isAsleep) {
      if (this.asleepUntilMs > now) return;
      this.asleepUntilMs = 0;
      for (const datagram of this.#socket.splice(0)) this.#steer(datagram);
    }
    for (const lane of this.lanes) lane.settle();
    if (this.notesUntilMs > now) return;
    this.notesUntilMs = 0;
    this.node.settle();
  }

  /** A datagram comes to its socket. */
  receive(datagram: Datagram): void {
    if (!this.isAsleep) this.#steer(datagram);
    else if (!this.isSuspended && this.#socket.length < SOCKET_MAX) this.#socket.push(datagram);
  }

  /** Datagrams come faster than they are worked off; at most 16. */
  flood(datagrams: readonly Datagram[]): void {
    for (const datagram of datagrams) this.lanes[this.node.steer(datagram)]!.arrive(datagram);
  }

  /** Packets come from its applications, by the TUN queue of one lane. */
  send(lane: number, packets: readonly Uint8Array[]): void {
    this.lanes[lane % this.lanes.length]!.send(...packets);
  }

  addPeer({ index, publicKey, inner, presharedKey, endpoint }: PeerSetting): void {
    for (const lane of this.lanes) {
      lane.addPeer(publicKey, `${inner}/32`, endpoint).handshake.setPresharedKey(presharedKey);
    }
    this.peers.set(index, publicKey.slice());
    this.owners.set(inner, index);
    this.epoch++;
  }

  removePeer(index: number): void {
    const publicKey = this.peers.get(index);
    if (publicKey === undefined) return;
    for (const { tunnel } of this.lanes) {
      const peer = tunnel.state.peerByKey(publicKey);
      if (peer !== undefined) tunnel.removePeer(peer);
    }
    this.peers.delete(index);
    for (const [inner, owner] of this.owners) if (owner === index) this.owners.delete(inner);
  }

  setPresharedKey(index: number, presharedKey: Uint8Array): void {
    this.#ofPeer(index, ({ tunnel }, publicKey) => {
      tunnel.state.peerByKey(publicKey)?.handshake.setPresharedKey(presharedKey);
    });
  }

  setEndpoint(index: number, endpoint: string): void {
    this.#ofPeer(index, ({ tunnel }, publicKey) => {
      const peer = tunnel.state.peerByKey(publicKey);
      if (peer !== undefined) tunnel.setEndpoint(peer, recordOf(endpoint));
    });
  }

  /** Seconds; 0: off. */
  setKeepalive(index: number, seconds: number): void {
    this.#ofPeer(index, ({ tunnel }, publicKey) => {
      const peer = tunnel.state.peerByKey(publicKey);
      if (peer === undefined) return;
      peer.timers.persistentIntervalMs = seconds * 1_000;
      tunnel.startPeer(peer, seconds > 0, this.clock);
    });
  }

  /** An inner address is from now on that of another peer, which must be known. */
  moveAddress(inner: string, index: number): void {
    const bytes = new Uint8Array(16);
    bytes.set(inner.split(".").map(Number));
    this.#ofPeer(index, ({ tunnel }, publicKey) => {
      const { allowedIps } = tunnel.state;
      allowedIps.insert(AF_INET, bytes, 0, 32, tunnel.state.peerByKey(publicKey)!.id);
    });
    this.owners.set(inner, index);
  }

  setPrivateKey(secret: Uint8Array, now: number): void {
    this.secret = secret;
    this.keyedMs = now;
    for (const { tunnel } of this.lanes) tunnel.setPrivateKey(secret);
  }

  down(): void {
    for (const { tunnel } of this.lanes) tunnel.down();
  }

  up(): void {
    for (const { tunnel } of this.lanes) tunnel.up(this.clock);
  }

  /** Ends, in order, and begins anew: nothing is known of anybody. */
  restart(lanes: number, seed: number, aheadMs: number, now: number): void {
    this.close();
    this.peers.clear();
    this.owners.clear();
    this.asleepUntilMs = 0;
    this.notesUntilMs = 0;
    this.#socket = [];
    this.#aheadMs = aheadMs;
    this.setTime(now);
    this.node = this.#makeNode(lanes, seed);
  }

  close(): void {
    for (const { tunnel } of this.lanes) tunnel.close();
    // What was on its way is thrown away: discard in src/io/lane-host.ts.
    for (const { note } of this.node.notes.splice(0)) secretOf(note).fill(0);
  }

  takeOutgoing(): Datagram[] {
    return this.node.take();
  }

  takeDelivered(): Uint8Array[] {
    return this.node.takeDelivered();
  }

  #steer(datagram: Datagram): void {
    this.lanes[this.node.steer(datagram)]!.receive(datagram);
  }

  #ofPeer(index: number, work: (lane: SimNode, publicKey: Uint8Array) => void): void {
    const publicKey = this.peers.get(index);
    if (publicKey === undefined) return;
    for (const lane of this.lanes) work(lane, publicKey);
  }

  #makeNode(count: number, seed: number): SpreadNode {
    return new SpreadNode({
      ...this.#tools,
      count,
      secret: this.secret,
      address: this.link.address,
      clock: this.clock,
      seed,
    });
  }
}
