/**
 * The state of one tunnel (one WireGuard interface): identity, peers, indexes, routes, counters. Owned by the tunnel and
 * touched by the modules beside this one only. Time is an argument everywhere; entropy is a function handed in.
 */
import { DeadlineHeap } from "../bytes/deadline-heap.ts";
import { INNER_MAX, type Slab } from "../bytes/slab.ts";
import type { Suite, TransportCipher } from "../crypto/suite.ts";
import { AllowedIps } from "../route/allowed-ips.ts";
import { CookieChecker, type Entropy } from "../session/cookie.ts";
import { FloodWatch } from "../session/flood-watch.ts";
import type { Identity } from "../session/identity.ts";
import type { Keypair } from "../session/keypair.ts";
import { RateLimit } from "../session/rate-limit.ts";
import { REKEY_TIMEOUT_JITTER_MAX } from "../wire/constants.ts";
import { dropCounters } from "./drop.ts";
import { HandshakeQueue } from "./handshake-queue.ts";
import { IndexTable } from "./index-table.ts";
import { InitiationPace } from "./initiation-pace.ts";
import { Offload, type SubmitBatch } from "./offload.ts";
import { Outbox, type OutboxSink } from "./outbox.ts";
import { Peer } from "./peer.ts";
import { homeOf, laneOfIndex, type Siblings } from "./siblings.ts";
import type { StagingBudget } from "./staging.ts";

/** One reading of both clocks, made once per turn. */
export interface Moment {
  /** Monotonic milliseconds, going on while the machine sleeps. */
  readonly now: number;
  /** Milliseconds since 1970. */
  readonly wallMs: number;
}

/** Tells what happens at handshake rate; never called per packet. `peer` is undefined for unknown senders. */
export type TunnelLog = (peer: Peer | undefined, text: string) => void;

/** What a tunnel needs from outside. */
export interface TunnelPorts {
  readonly suite: Suite;
  readonly cipher: TransportCipher;
  readonly slab: Slab;
  readonly sink: OutboxSink;
  readonly entropy: Entropy;
  /** Shared by all tunnels of a lane. */
  readonly stagingBudget: StagingBudget;
  /** Shared likewise; undefined: this tunnel is alone. */
  readonly pace?: InitiationPace | undefined;
  /** Hands initiations to other threads; undefined: there are none. */
  readonly submit?: SubmitBatch | undefined;
  /** Undefined: one lane serves this tunnel. */
  readonly siblings?: Siblings | undefined;
  /** Undefined: nobody listens. */
  readonly log?: TunnelLog | undefined;
}

/** K messages.h MAX_PEERS_PER_DEVICE. */
export const PEERS_MAX: number = 1 << 20;

/**
 * Ours: handshake messages of one source that are looked at under load before it has a cookie; an honest one sends one in 5 s. More
 * cost the lane time that a transfer needs: 30,000 a second took a sixth of its throughput.
 */
const UNPROVEN_PER_SECOND = 100;
const UNPROVEN_BURST = 20;

export class TunnelState {
  readonly suite: Suite;
  readonly cipher: TransportCipher;
  readonly slab: Slab;
  readonly outbox: Outbox;
  readonly entropy: Entropy;
  readonly log: TunnelLog | undefined;
  readonly drops: Float64Array = dropCounters();
  readonly allowedIps: AllowedIps = new AllowedIps();
  readonly keypairs: IndexTable<Keypair> = new IndexTable<Keypair>();
  readonly handshakes: IndexTable<Peer> = new IndexTable<Peer>();
  readonly deadlines: DeadlineHeap<Peer> = new DeadlineHeap<Peer>();
  /** Peers whose initiation had to wait, first come first, and (monotonic) until when: see initiating.ts. */
  readonly deferred: Set<Peer> = new Set<Peer>();
  deferredMs: number = Number.POSITIVE_INFINITY;
  readonly pace: InitiationPace;
  readonly queue: HandshakeQueue;
  readonly checker: CookieChecker;
  readonly offload: Offload;
  readonly siblings: Siblings | undefined;
  /** Peers of which siblings are to be told. */
  readonly changed: Peer[] = [];
  /** Of messages whose mac2 proved their source. */
  readonly rateLimit: RateLimit = new RateLimit();
  /** Of those that prove nothing: see handshaking.ts. */
  readonly unprovenLimit: RateLimit = new RateLimit(UNPROVEN_PER_SECOND, UNPROVEN_BURST);
  readonly flood: FloodWatch = new FloodWatch();
  identity: Identity | undefined;
  /** Of the TUN interface. */
  mtu = 1420;
  /** Packets flow only while the interface is up. */
  isUp = false;
  /** By id; holes where peers were removed. */
  readonly peers: (Peer | undefined)[] = [];

  /** Runs of the batch at hand, linked by peer: see outbound.ts. */
  readonly runFirst: Int32Array = new Int32Array(INNER_MAX);
  readonly runEnd: Int32Array = new Int32Array(INNER_MAX);
  readonly runNext: Int32Array = new Int32Array(INNER_MAX);
  readonly touched: Peer[] = [];
  /** Monotonic: when an ICMP unreachable may be sent again. */
  unreachableFromMs = 0;

  readonly #byKey = new Map<string, Peer>();
  readonly #freeIds: number[] = [];
  readonly #budget: StagingBudget;
  readonly #random = new Uint8Array(4);

  constructor(ports: TunnelPorts) {
    this.suite = ports.suite;
    this.cipher = ports.cipher;
    this.slab = ports.slab;
    this.outbox = new Outbox(ports.slab, ports.sink);
    this.entropy = ports.entropy;
    this.log = ports.log;
    this.#budget = ports.stagingBudget;
    this.checker = new CookieChecker(ports.suite);
    this.offload = new Offload(ports.submit);
    this.siblings = ports.siblings;
    this.pace = ports.pace ?? new InitiationPace();
    this.queue = new HandshakeQueue(this.pace);
  }

  get peerCount(): number {
    return this.#byKey.size;
  }

  /** The peer with this public key (32 bytes). */
  peerByKey(publicKey: Uint8Array): Peer | undefined {
    return this.#byKey.get(nameOf(publicKey));
  }

  /** In the order in which they were added. */
  allPeers(): IterableIterator<Peer> {
    return this.#byKey.values();
  }

  /** Makes a peer; the key must be new. Undefined: the limit is reached. */
  addPeer(publicKey: Uint8Array): Peer | undefined {
    if (this.#byKey.size >= PEERS_MAX) return undefined;
    const id = this.#freeIds.pop() ?? this.peers.length;
    const { siblings } = this;
    const isHome = siblings === undefined || homeOf(publicKey, siblings.count) === siblings.lane;
    const peer = new Peer(id, publicKey, this.#budget, isHome);
    this.peers[id] = peer;
    this.#byKey.set(nameOf(publicKey), peer);
    return peer;
  }

  /** Takes a peer out of every table. Its sessions must have been cleared. */
  forgetPeer(peer: Peer): void {
    this.allowedIps.removeByPeer(peer.id);
    this.deadlines.remove(peer);
    this.deferred.delete(peer);
    this.#byKey.delete(nameOf(peer.publicKey));
    this.peers[peer.id] = undefined;
    this.#freeIds.push(peer.id);
  }

  drop(reason: number, count: number): void {
    this.drops[reason]! += count;
  }

  /** 32 random bits. */
  random(): number {
    this.entropy(this.#random);
    const r = this.#random;
    return (r[0]! | (r[1]! << 8) | (r[2]! << 16) | (r[3]! << 24)) >>> 0;
  }

  /** 0 to REKEY_TIMEOUT_JITTER_MAX milliseconds. */
  jitter(): number {
    return this.random() % (REKEY_TIMEOUT_JITTER_MAX + 1);
  }

  /** A receiver index that is in use nowhere in this tunnel, and leads to this lane. */
  freshIndex(): number {
    const { siblings } = this;
    for (;;) {
      const index = this.random();
      if (siblings !== undefined && laneOfIndex(index, siblings.count) !== siblings.lane) continue;
      if (this.keypairs.get(index) === undefined && this.handshakes.get(index) === undefined) {
        return index;
      }
    }
  }

  /** Session in use or endpoint of a peer are others now. */
  noteChange(peer: Peer): void {
    if (this.siblings === undefined || !peer.isHome || peer.isChanged) return;
    peer.isChanged = true;
    this.changed.push(peer);
  }

  /** Sees to it that the peer's earliest deadline is noticed. Cheap when nothing became earlier. */
  schedule(peer: Peer): void {
    this.deadlines.wakeBy(peer, peer.timers.next());
  }
}

/** A key as a flat string, one character a byte: a tenth of the memory of hexadecimal digits put together one by one. */
function nameOf(publicKey: Uint8Array): string {
  return String.fromCharCode(...publicKey);
}
