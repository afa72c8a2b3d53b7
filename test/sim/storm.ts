/**
 * A storm: a few tunnels that know each other on a virtual network in virtual time, everything drawn from one seed. Datagrams are
 * lost, doubled, delayed, reordered, cut, replayed and forged; NATs rebind, clocks jump, nodes restart and are set down. What must
 * always hold is checked at every step; when the storm is over, what must then come back is.
 */
import type { Slab } from "../../src/bytes/slab.ts";
import type { Suite, TransportCipher } from "../../src/crypto/suite.ts";
import { HANDSHAKE_QUEUE_MAX } from "../../src/tunnel/handshake-queue.ts";
import { STAGED_MAX } from "../../src/tunnel/staging.ts";
import {
  REKEY_ATTEMPT_TIME,
  TYPE_TRANSPORT,
  ZERO_KEYS_AFTER_TIME,
} from "../../src/wire/constants.ts";
import { Dice } from "./dice.ts";
import { stateOf } from "./fingerprint.ts";
import { type Datagram, recordOf, type SimClock, SimNode } from "./node.ts";
import { ipv4Packet } from "./packets.ts";

const STORM_MS = 30_000;
const STEP_MS = 250;
const NODES_MAX = 3;
const PACKET_BYTES = 84;
const ICMP = 1;
/** And as much again at most: nobody stays in step with another. */
const LATENCY_MS = 10;
/** Where the number of an inner packet stands. */
const MARK_AT = 40;
/** Virtual: how often a pair tries to speak after the storm. */
const RETRY_MS = 1_000;

/** What must hold and does not. */
export class Broken extends Error {}

function must(isTrue: boolean, what: string): asserts isTrue {
  if (!isTrue) throw new Broken(what);
}

/** Shared by all storms of a thread: a slab is a place of work, empty between calls. */
export interface StormTools {
  readonly suite: Suite;
  readonly cipher: TransportCipher;
  readonly slab: Slab;
}

interface Host {
  node: SimNode;
  readonly secret: Uint8Array;
  readonly inner: string;
  readonly index: number;
  /** Its wall clock is off by this. */
  skewMs: number;
  readonly clock: SimClock;
}

interface Flying {
  readonly datagram: Datagram;
  readonly atMs: number;
}

interface Weather {
  readonly loss: number;
  readonly doubled: number;
  readonly delayMs: number;
  readonly forged: number;
  readonly cut: number;
  readonly trouble: number;
}

export class Storm {
  readonly seed: number;
  /** What happened, for who has to find out why. */
  readonly story: string[] = [];
  delivered = 0;
  handshakes = 0;
  readonly #dice: Dice;
  readonly #tools: StormTools;
  readonly #hosts: Host[] = [];
  readonly #flying: Flying[] = [];
  /** Datagrams that were seen, for replays and forgeries. */
  readonly #seen: Datagram[] = [];
  readonly #weather: Weather;
  /** Counters that were sealed, by key. */
  readonly #sealed = new Map<string, Set<string>>();
  readonly #arrived = new Set<string>();
  /** Packets that say that they are from somebody else. */
  readonly #lies = new Set<string>();
  #now = 1_000_000;
  #mark = 0;

  constructor(seed: number, tools: StormTools) {
    this.seed = seed;
    this.#dice = new Dice(seed);
    this.#tools = { ...tools, cipher: this.#watched(tools.cipher) };
    const dice = this.#dice;
    this.#weather = {
      loss: dice.pick([0, 0.05, 0.3, 0.7]),
      doubled: dice.pick([0, 0.1, 0.5]),
      delayMs: dice.pick([0, 50, 600, 3_000]),
      forged: dice.pick([0, 0.05, 0.3]),
      cut: dice.pick([0, 0, 0.1]),
      trouble: dice.pick([0, 0.01, 0.04]),
    };
    const count = 2 + dice.below(NODES_MAX - 1);
    for (let index = 0; index < count; index++) {
      const clock = { now: this.#now, wallMs: 0 };
      const secret = dice.bytes(32);
      const host = { secret, inner: `10.0.0.${index + 1}`, index, skewMs: 0, clock };
      this.#hosts.push({ ...host, node: this.#makeNode(host, `192.0.2.${index + 1}:1000`) });
    }
    for (const host of this.#hosts) this.#introduce(host);
  }

  /** The storm, and the calm after it. Throws {@link Broken}. */
  run(): void {
    const end = this.#now + STORM_MS;
    while (this.#now < end) {
      this.#tick(STEP_MS * this.#dice.next());
      this.#talk();
      if (this.#dice.chance(this.#weather.trouble)) this.#trouble();
      this.#check();
    }
    this.#calm();
    this.#converse();
    this.#fallSilent();
  }

  #makeNode(host: Omit<Host, "node">, address: string): SimNode {
    return new SimNode({
      ...this.#tools,
      secret: host.secret,
      address,
      clock: host.clock,
      seed: this.#dice.below(2 ** 31),
    });
  }

  /** Makes all others its peers; not all know where they are. */
  #introduce(host: Host): void {
    for (const other of this.#hosts) {
      if (other === host) continue;
      // One of a pair always knows the other, or they could never meet.
      const knows = host.index < other.index || this.#dice.chance(0.5);
      host.node.addPeer(
        other.node.publicKey,
        `${other.inner}/32`,
        knows ? other.node.address : undefined,
      );
    }
  }

  /** Time goes on, from one thing that happens to the next. */
  #tick(ms: number): void {
    const end = this.#now + Math.ceil(ms);
    while (this.#now < end) {
      const next = Math.min(
        end,
        ...this.#hosts.map(({ node }) => node.tunnel.nextDeadline()),
        ...this.#flying.map(({ atMs }) => atMs),
      );
      this.#now = Math.max(next, this.#now);
      for (const host of this.#hosts) {
        host.clock.now = this.#now;
        host.clock.wallMs = 1_790_000_000_000 + this.#now + host.skewMs;
        if (host.node.tunnel.nextDeadline() <= this.#now) host.node.settle();
      }
      this.#launch();
      for (let index = 0; index < this.#flying.length; ) {
        if (this.#flying[index]!.atMs > this.#now) index++;
        else this.#land(this.#flying.splice(index, 1)[0]!.datagram);
      }
    }
  }

  /** What nodes want sent meets the weather. */
  #launch(): void {
    const { loss, doubled, delayMs, forged, cut } = this.#weather;
    for (const { node } of this.#hosts) {
      for (const datagram of node.outgoing.splice(0)) {
        must([1, 2, 3, 4].includes(datagram.bytes[0]!), "only WireGuard's messages leave");
        if (this.#seen.length < 200) this.#seen.push(datagram);
        else this.#seen[this.#dice.below(200)] = datagram;
        if (this.#dice.chance(forged)) this.#forge();
        if (this.#dice.chance(loss)) continue;
        const copies = this.#dice.chance(doubled) ? 2 : 1;
        for (let copy = 0; copy < copies; copy++) {
          const sent = this.#dice.chance(cut)
            ? {
                ...datagram,
                bytes: datagram.bytes.slice(0, this.#dice.below(datagram.bytes.length)),
              }
            : datagram;
          this.#flying.push({
            datagram: sent,
            atMs: this.#now + LATENCY_MS * (1 + this.#dice.next()) + this.#dice.next() * delayMs,
          });
        }
      }
    }
  }

  #land(datagram: Datagram): void {
    const host = this.#hosts.find(({ node }) => node.address === datagram.to);
    if (host === undefined) return;
    host.node.receive(datagram);
    this.#collect(host);
    this.#launch();
  }

  /** Inner packets that came out: each once, at whom it was meant for, from whom it says. */
  #collect(host: Host): void {
    for (const packet of host.node.delivered.splice(0)) {
      // An answer of our own: there is no way to that peer yet.
      if (packet[9] === ICMP) continue;
      must(packet.length === PACKET_BYTES, "a packet comes out as it went in");
      const view = new DataView(packet.buffer, packet.byteOffset);
      const name = `${view.getUint32(MARK_AT)}`;
      must(!this.#arrived.has(name), `packet ${name} is delivered once`);
      must(!this.#lies.has(name), "nobody sends from an address that isn't allowed to be theirs");
      must(packet[19] === host.index + 1, "a packet comes out where it was sent to");
      this.#arrived.add(name);
      this.delivered++;
    }
  }

  #packet(from: Host, to: Host): { readonly bytes: Uint8Array; readonly mark: number } {
    const bytes = ipv4Packet(from.inner, to.inner, PACKET_BYTES);
    const mark = ++this.#mark;
    new DataView(bytes.buffer).setUint32(MARK_AT, mark);
    return { bytes, mark };
  }

  /** A packet, which may lie about its sender. */
  #spoken(from: Host, to: Host): Uint8Array {
    const other = this.#dice.pick(this.#hosts);
    if (other === from || this.#dice.chance(0.8)) return this.#packet(from, to).bytes;
    const { bytes, mark } = this.#packet(other, to);
    this.#lies.add(`${mark}`);
    return bytes;
  }

  /** Somebody speaks to somebody. */
  #talk(): void {
    if (!this.#dice.chance(0.6)) return;
    const from = this.#dice.pick(this.#hosts);
    const to = this.#dice.pick(this.#hosts);
    if (from === to) return;
    const count = 1 + this.#dice.below(3);
    from.node.send(...Array.from({ length: count }, () => this.#spoken(from, to)));
    this.#launch();
  }

  /** A forged or repeated datagram: whatever it is, it changes nothing that only an authentic one may. */
  #forge(): void {
    const base = this.#seen.length > 0 ? this.#dice.pick(this.#seen) : undefined;
    const bytes =
      base === undefined || this.#dice.chance(0.2)
        ? this.#dice.bytes(this.#dice.below(200))
        : base.bytes.slice();
    const target = this.#dice.pick(this.#hosts);
    if (bytes.length > 16) {
      const at = this.#dice.below(bytes.length);
      bytes[at]! ^= 1 + this.#dice.below(255);
      // Only what is not covered by a tag may be changed without a trace: mac2, if there is no load.
      if (bytes[0] === 1 && at >= 132) return;
      if (bytes[0] === 2 && at >= 76) return;
    }
    const before = stateOf(target.node);
    target.node.receive({ bytes, from: "203.0.113.9:9", to: target.node.address, tos: 0 });
    this.#collect(target);
    must(stateOf(target.node) === before, "what is not authentic changes nothing");
  }

  #trouble(): void {
    const host = this.#dice.pick(this.#hosts);
    const { tunnel } = host.node;
    switch (this.#dice.below(6)) {
      case 0:
        this.#tell(`node ${host.index} restarts`);
        tunnel.close();
        host.node = this.#makeNode(host, host.node.address);
        this.#introduce(host);
        break;
      case 1:
        this.#tell(`node ${host.index} is rebound`);
        host.node.address = `198.51.100.${1 + this.#dice.below(250)}:${1 + this.#dice.below(60_000)}`;
        break;
      case 2:
        // Forward only: who sets it back is refused as a replay, which SECURITY.md says.
        host.skewMs += this.#dice.below(3_600_000);
        this.#tell(`node ${host.index}: the clock jumps to +${host.skewMs} ms`);
        break;
      case 3:
        this.#tell(`node ${host.index} is set down and up`);
        tunnel.down();
        tunnel.up(host.clock);
        break;
      case 4: {
        const peer = this.#dice.pick([...tunnel.state.allPeers()]);
        this.#tell(`node ${host.index} gets a keepalive`);
        peer.timers.persistentIntervalMs = 1_000 * (1 + this.#dice.below(30));
        tunnel.startPeer(peer, true, host.clock);
        break;
      }
      case 5:
        this.#tell("time passes");
        this.#tick(this.#dice.below(200_000));
        break;
    }
    // Nothing may stay in the slab, which all share.
    host.node.settle();
    this.#launch();
  }

  /** The storm is over: what flies arrives or not, and everybody is told where the others are. */
  #calm(): void {
    this.#tell("calm");
    this.#flying.length = 0;
    Object.assign(this.#weather, {
      loss: 0,
      doubled: 0,
      delayMs: 0,
      forged: 0,
      cut: 0,
      trouble: 0,
    });
    for (const { node } of this.#hosts) {
      node.outgoing.length = 0;
      for (const other of this.#hosts) {
        const peer = node.tunnel.state.peerByKey(other.node.publicKey);
        if (peer !== undefined) node.tunnel.setEndpoint(peer, recordOf(other.node.address));
      }
    }
  }

  /** Every pair speaks again, both ways, within REKEY_ATTEMPT_TIME. */
  #converse(): void {
    for (const from of this.#hosts) {
      for (const to of this.#hosts) {
        if (from === to) continue;
        const end = this.#now + REKEY_ATTEMPT_TIME;
        for (;;) {
          const { bytes, mark } = this.#packet(from, to);
          from.node.send(bytes);
          this.#launch();
          for (let step = 0; step < 4; step++) this.#tick(RETRY_MS / 4);
          this.#check();
          if (this.#arrived.has(`${mark}`)) break;
          must(
            this.#now < end,
            `${from.index} speaks to ${to.index} within ${REKEY_ATTEMPT_TIME} ms`,
          );
        }
      }
    }
    for (const { node } of this.#hosts) {
      for (const peer of node.tunnel.state.allPeers()) this.handshakes += peer.handshakes;
    }
  }

  /** Nobody says anything any more: keys are wiped in time. */
  #fallSilent(): void {
    for (const { node } of this.#hosts) {
      for (const peer of node.tunnel.state.allPeers()) {
        peer.timers.persistentIntervalMs = 0;
        node.tunnel.startPeer(peer, false, { now: this.#now, wallMs: 0 });
      }
      node.settle();
    }
    const held = this.#hosts.flatMap(({ node }) =>
      [...node.tunnel.state.allPeers()].flatMap(({ previous, current, next }) =>
        [previous, current, next].filter((keypair) => keypair !== undefined),
      ),
    );
    must(held.length > 0, "there were sessions");
    // The last keepalives and handshakes run out first.
    for (let passed = 0; passed < 2 * ZERO_KEYS_AFTER_TIME; passed += 5_000) this.#tick(5_000);
    for (const keypair of held) {
      must(
        !keypair.usable && keypair.sendKey.every((byte) => byte === 0),
        "keys are wiped when they are old",
      );
    }
    for (const { node } of this.#hosts) {
      must(node.tunnel.state.keypairs.count === 0, "no session is left");
      must(node.tunnel.nextDeadline() === Number.POSITIVE_INFINITY, "nothing is waited for");
      node.tunnel.close();
    }
  }

  #check(): void {
    for (const { node } of this.#hosts) {
      const { state } = node.tunnel;
      must(state.queue.count <= HANDSHAKE_QUEUE_MAX, "the handshake queue is bounded");
      must(state.keypairs.count <= 3 * state.peerCount, "three keypairs a peer");
      must(state.handshakes.count <= state.peerCount, "one handshake a peer");
      for (const peer of state.allPeers()) {
        must(peer.staging.count <= STAGED_MAX, "waiting packets are bounded");
      }
    }
  }

  /** The cipher, with an eye on what is sealed: no counter twice under a key. */
  #watched(cipher: TransportCipher): TransportCipher {
    return {
      seal: (slab, key, first, count) => {
        const name = String.fromCharCode(...key);
        const used = this.#sealed.get(name) ?? new Set();
        this.#sealed.set(name, used);
        for (let i = first; i < first + count; i++) {
          const offset = slab.datagramOffset[i]!;
          must(slab.bytes[offset] === TYPE_TRANSPORT, "only transport is sealed");
          const counter = String.fromCharCode(...slab.bytes.subarray(offset + 8, offset + 16));
          must(!used.has(counter), "a counter is used once under a key");
          used.add(counter);
        }
        cipher.seal(slab, key, first, count);
      },
      open: (slab, key, first, count) => cipher.open(slab, key, first, count),
      forget: () => cipher.forget(),
    };
  }

  #tell(text: string): void {
    this.story.push(`${this.#now}: ${text}`);
  }
}

/** Storms for seeds from `first` on; throws with the seed, its story and the command that repeats it. */
export function runStorms(
  first: number,
  count: number,
  tools: StormTools,
): { readonly delivered: number; readonly handshakes: number } {
  let delivered = 0;
  let handshakes = 0;
  for (let seed = first; seed < first + count; seed++) {
    const storm = new Storm(seed, tools);
    try {
      storm.run();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const story = storm.story.map((line) => `  ${line}`).join("\n");
      throw new Error(
        `seed ${seed}: ${reason}\n${story}\nRepeat it with: npm run storm -- --seed ${seed}`,
        { cause: error },
      );
    }
    delivered += storm.delivered;
    handshakes += storm.handshakes;
  }
  return { delivered, handshakes };
}
