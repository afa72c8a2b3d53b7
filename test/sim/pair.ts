/** Two tunnels that know each other, and a network between them that the test controls. */

import type { Peer } from "../../src/tunnel/peer.ts";
import { type Datagram, type SimClock, SimNode } from "./node.ts";
import { ipv4Packet } from "./packets.ts";

export const A_INNER = "10.0.0.1";
export const B_INNER = "10.0.0.2";

/** The clock of one host: its wall clock may be off. */
class HostClock implements SimClock {
  skewMs = 0;
  readonly #base: SimClock;

  constructor(base: SimClock) {
    this.#base = base;
  }

  get now(): number {
    return this.#base.now;
  }

  get wallMs(): number {
    return this.#base.wallMs + this.skewMs;
  }
}

export class Pair {
  readonly clock: SimClock = { now: 1_000_000, wallMs: 1_790_000_000_000 };
  readonly clockA: HostClock = new HostClock(this.clock);
  readonly clockB: HostClock = new HostClock(this.clock);
  a: SimNode;
  b: SimNode;
  /** How a sees b, and b sees a. */
  peerB: Peer;
  peerA: Peer;
  readonly #seed: number;
  #restarts = 0;

  constructor(options: { readonly psk?: Uint8Array; readonly seed?: number } = {}) {
    this.#seed = options.seed ?? 1;
    this.a = this.#makeA();
    this.b = this.#makeB();
    this.peerB = this.a.addPeer(this.b.publicKey, `${B_INNER}/32`, this.b.address);
    this.peerA = this.b.addPeer(this.a.publicKey, `${A_INNER}/32`);
    if (options.psk !== undefined) {
      this.peerA.handshake.setPresharedKey(options.psk);
      this.peerB.handshake.setPresharedKey(options.psk);
    }
  }

  #makeA(): SimNode {
    return new SimNode({
      secret: new Uint8Array(32).fill(0x11),
      address: "192.0.2.1:1000",
      clock: this.clockA,
      seed: this.#seed + 2 * this.#restarts,
    });
  }

  #makeB(): SimNode {
    return new SimNode({
      secret: new Uint8Array(32).fill(0x22),
      address: "192.0.2.2:2000",
      clock: this.clockB,
      seed: this.#seed + 2 * this.#restarts + 1,
    });
  }

  /** a ends without a word and starts again with its settings. */
  restartA(): void {
    this.#restarts++;
    this.a.tunnel.close();
    this.a = this.#makeA();
    this.peerB = this.a.addPeer(this.b.publicKey, `${B_INNER}/32`, this.b.address);
  }

  /** b likewise: where a is, it does not know. */
  restartB(): void {
    this.#restarts++;
    this.b.tunnel.close();
    this.b = this.#makeB();
    this.peerA = this.b.addPeer(this.a.publicKey, `${A_INNER}/32`);
  }

  /** Takes what a node wants sent. */
  static take(node: SimNode): Datagram[] {
    return node.outgoing.splice(0);
  }

  /** Delivers until nothing is in flight. `filter` false: the datagram is lost. */
  exchange(filter: (datagram: Datagram) => boolean = () => true): void {
    for (let round = 0; round < 100; round++) {
      const fromA = Pair.take(this.a);
      const fromB = Pair.take(this.b);
      if (fromA.length === 0 && fromB.length === 0) return;
      for (const datagram of fromA) {
        if (datagram.to === this.b.address && filter(datagram)) this.b.receive(datagram);
      }
      for (const datagram of fromB) {
        if (datagram.to === this.a.address && filter(datagram)) this.a.receive(datagram);
      }
    }
    throw new Error("the exchange does not end");
  }

  /** Moves both clocks on and lets deadlines pass, in steps of at most `stepMs`. */
  advance(ms: number, filter?: (datagram: Datagram) => boolean, stepMs = 100): void {
    const end = this.clock.now + ms;
    while (this.clock.now < end) {
      const step = Math.min(stepMs, end - this.clock.now);
      this.clock.now += step;
      this.clock.wallMs += step;
      this.a.settle();
      this.b.settle();
      this.exchange(filter);
    }
  }

  aToB(mark = 0, length = 100): Uint8Array {
    return ipv4Packet(A_INNER, B_INNER, length, mark);
  }

  bToA(mark = 0, length = 100): Uint8Array {
    return ipv4Packet(B_INNER, A_INNER, length, mark);
  }

  /** A first packet from a to b, with the handshake that it needs. */
  connect(): void {
    this.a.send(this.aToB());
    this.exchange();
  }
}
