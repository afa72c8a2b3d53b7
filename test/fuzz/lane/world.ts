/**
 * A lane among its peers: two that it knows, one that it does not, and a network whose every datagram the script decides on. What must
 * always hold is checked as it happens; see also `checks.ts`.
 */
import { ENDPOINT_BYTES } from "../../../src/bytes/slab.ts";
import type { TransportCipher } from "../../../src/crypto/suite.ts";
import { Drop, type DropName } from "../../../src/tunnel/drop.ts";
import { TYPE_TRANSPORT } from "../../../src/wire/constants.ts";
import { stateOf } from "../../sim/fingerprint.ts";
import { type Datagram, recordOf, SimNode } from "../../sim/node.ts";
import { must, type Note } from "../target.ts";
import { isUnreachableFor, naiveAddresses, naiveLength, withoutEcn } from "./naive-packet.ts";
import type { Sent } from "./ports.ts";
import { Subject } from "./subject.ts";
import { ours, theirs } from "./tools.ts";

export const SUBJECT_ADDRESS = "192.0.2.1:40000";
const ADDRESSES = ["192.0.2.2:2000", "192.0.2.3:3000", "192.0.2.4:4000"];
/** Inner IPv4 address of each: 10.0.0.(2 + index). */
export const INNER = ["10.0.0.2", "10.0.0.3", "10.0.0.4"] as const;
const SEEN_MAX = 64;

/** Which drops a received datagram may end in. */
const INBOUND: readonly DropName[] = [
  "badType",
  "badSize",
  "noIdentity",
  "badMac1",
  "badHandshake",
  "handshakeQueueFull",
  "rateLimited",
  "cookieDemanded",
  "badCookieReply",
  "unknownIndex",
  "expiredKey",
  "counterExhausted",
  "badTag",
  "replay",
  "badInner",
  "wrongSource",
  "badEcn",
  "interfaceDown",
];

export interface Friend {
  readonly index: number;
  node: SimNode;
  address: string;
  readonly secret: Uint8Array;
  readonly inner: string;
}

/** A datagram on its way to the subject. */
export interface Flying {
  readonly bytes: Uint8Array;
  readonly from: string;
  readonly tos: number;
}

const nameOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");

export class World {
  readonly note: Note;
  readonly subject: Subject;
  readonly friends: Friend[] = [];
  readonly toSubject: Flying[] = [];
  readonly toFriends: { readonly datagram: Datagram; readonly friend: Friend }[] = [];
  /** What the subject may have received already: for repetition and change. */
  readonly seen: Flying[] = [];
  /** Messages that peers made, word for word: only these may be taken for authentic. */
  readonly #authentic = new Set<string>();
  /** Inner packets sealed by peers: who, and how often they may still come out. */
  readonly #sealed = new Map<string, { readonly friend: Friend; count: number }>();
  readonly #counters = new Map<string, Set<string>>();
  readonly #fromTun: Uint8Array[] = [];
  #seed = 20;

  constructor(note: Note) {
    this.note = note;
    this.subject = new Subject(ours, this.#watched(ours.cipher));
    const secret = new Uint8Array(32).fill(0x40);
    this.subject.configure(`set=1\nprivate_key=${"40".repeat(32)}\n\n`);
    ADDRESSES.forEach((address, index) => {
      const friend = { index, address, secret: secret.map((byte) => byte + 8 * (index + 1)) };
      const inner = INNER[index]!;
      this.friends.push({ ...friend, inner, node: this.#nodeFor(friend.secret, address) });
    });
    for (const friend of this.friends) this.#introduce(friend);
    // The last one is a stranger.
    for (const { node, inner, address } of this.friends.slice(0, 2)) {
      const key = Buffer.from(node.publicKey).toString("hex");
      const text = `set=1\npublic_key=${key}\nallowed_ip=${inner}/32\nendpoint=${address}\n\n`;
      must(this.subject.configure(text) === "errno=0\n\n", "the settings are good");
    }
    this.subject.turn();
  }

  get publicKey(): Uint8Array {
    const key = new Uint8Array(32);
    ours.suite.publicKey(key, new Uint8Array(32).fill(0x40));
    return key;
  }

  /** A peer loses everything but its key. */
  restart(friend: Friend): void {
    friend.node.tunnel.close();
    friend.node = this.#nodeFor(friend.secret, friend.address);
    this.#introduce(friend);
  }

  /** A friend's inner packet went into its tunnel: it may come out once. */
  expect(friend: Friend, packet: Uint8Array): void {
    const length = naiveLength(packet);
    if (length === undefined) return;
    const name = nameOf(withoutEcn(packet.subarray(0, length)));
    const known = this.#sealed.get(name);
    if (known === undefined) this.#sealed.set(name, { friend, count: 1 });
    else known.count++;
  }

  /** What friends want sent goes on its way. */
  collect(): void {
    for (const friend of this.friends) {
      for (const { bytes, to, from, tos } of friend.node.outgoing.splice(0)) {
        if (to === SUBJECT_ADDRESS) this.launch({ bytes, from, tos }, true);
      }
    }
  }

  launch(flying: Flying, isAuthentic: boolean): void {
    if (isAuthentic) this.#authentic.add(nameOf(flying.bytes));
    if (this.toSubject.length < SEEN_MAX) this.toSubject.push(flying);
    this.seen.push(flying);
    if (this.seen.length > SEEN_MAX) this.seen.shift();
  }

  /** The applications beside the subject send packets, in runs. */
  sendFromSubject(...runs: readonly (readonly Uint8Array[])[]): void {
    this.#fromTun.push(...runs.flat());
    this.subject.tun.give(...runs);
    this.turn();
    this.#fromTun.length = 0;
  }

  /** Datagrams arrive as messages of one receive, and everything that follows from it is done. */
  receive(messages: readonly (readonly Flying[])[]): void {
    const { state } = this.subject;
    // Nobody hears what comes to a closed socket.
    const all = this.subject.udp.isOpen ? messages.flat() : [];
    const before = this.#inboundDrops();
    const waiting = state.queue.count;
    const written = this.#settled;
    for (const parts of messages) {
      if (parts.length === 0) continue;
      const { from, tos } = parts[0]!;
      this.subject.udp.put({ parts: parts.map(({ bytes }) => bytes), from: recordOf(from), tos });
    }
    this.turn();
    const drops = this.#inboundDrops() - before;
    const silent = all.length - drops - (this.#settled - written) + waiting - state.queue.count;
    const genuine = all.filter(({ bytes }) => this.#authentic.has(nameOf(bytes))).length;
    // A datagram is delivered, counted as a drop, or was an authentic handshake or keepalive: nothing vanishes.
    must(silent >= 0, "no datagram is counted twice");
    must(silent <= genuine, "what is not authentic is counted as dropped");
  }

  /** A datagram that no peer made: counted once, and nothing changes that only authentic ones may change. */
  receiveForged(flying: Flying): void {
    const before = stateOf(this.subject);
    const drops = this.#inboundDrops();
    this.receive([[flying]]);
    const heard = this.subject.udp.isOpen ? 1 : 0;
    must(this.#inboundDrops() === drops + heard, "a forgery is counted once");
    must(stateOf(this.subject) === before, "a forgery changes nothing");
  }

  isAuthentic(bytes: Uint8Array): boolean {
    return this.#authentic.has(nameOf(bytes));
  }

  /** All ready, until the lane rests; then what came out is looked at. */
  turn(): void {
    this.subject.turn();
    this.#collectWritten();
    for (const sent of this.subject.udp.sent.splice(0)) this.#dispatch(sent);
  }

  /** Time goes on for everybody. */
  pass(ms: number, wallMs: number): void {
    const { waiter } = this.subject;
    waiter.now += ms;
    waiter.wallMs = Math.max(0, waiter.wallMs + wallMs);
    this.turn();
    for (const { node } of this.friends) node.settle();
    this.collect();
  }

  #settled = 0;

  #inboundDrops(): number {
    const { drops } = this.subject.state;
    return INBOUND.reduce((sum, name) => sum + drops[Drop[name]]!, 0);
  }

  #nodeFor(secret: Uint8Array, address: string): SimNode {
    const seed = this.#seed++;
    // The subject's clock is everybody's.
    return new SimNode({ ...theirs, secret, address, clock: this.subject.waiter, seed });
  }

  #introduce({ node, index }: Friend): void {
    node.addPeer(this.publicKey, "10.0.0.1/32", index === 1 ? undefined : SUBJECT_ADDRESS);
  }

  #collectWritten(): void {
    const { allowedIps, peers } = this.subject.state;
    for (const packet of this.subject.tun.written.splice(0)) {
      const known = this.#sealed.get(nameOf(withoutEcn(packet)));
      if (known === undefined || known.count === 0) {
        must(
          this.#fromTun.some((sent) => isUnreachableFor(packet, sent)),
          "only what a peer sealed comes out, once, or an answer to a packet from inside",
        );
        this.note("answer");
        continue;
      }
      known.count--;
      this.#settled++;
      const { family, source } = naiveAddresses(packet)!;
      const owner =
        family === 2 ? allowedIps.lookup4At(source, 0) : allowedIps.lookup6At(source, 0);
      must(
        nameOf(peers[owner]?.publicKey ?? source) === nameOf(known.friend.node.publicKey),
        "a packet comes from a source that is its peer's",
      );
    }
  }

  #dispatch({ bytes, to, tos, peer }: Sent): void {
    const type = bytes[0]!;
    const sizes = [0, 148, 92, 64];
    must(
      bytes[1] === 0 &&
        (type === TYPE_TRANSPORT ? bytes.length % 16 < 16 : bytes.length === sizes[type]),
      "only WireGuard's messages leave",
    );
    must(to.length === ENDPOINT_BYTES && (to[0] === 2 || to[0] === 10), "they go somewhere");
    must((peer === undefined) === (type === 3), "only a cookie reply goes to nobody known");
    this.note(`left ${type}`);
    const view = new DataView(to.buffer, to.byteOffset);
    const address = `${to.subarray(8, 12).join(".")}:${view.getUint16(2, true)}`;
    const friend = this.friends.find((one) => one.address === address);
    if (friend === undefined || to[0] !== 2 || this.toFriends.length >= SEEN_MAX) return;
    this.toFriends.push({ datagram: { bytes, from: SUBJECT_ADDRESS, to: address, tos }, friend });
  }

  /** The cipher, with an eye on what is sealed: no counter twice under a key. */
  #watched(cipher: TransportCipher): TransportCipher {
    return {
      seal: (slab, key, first, count) => {
        const used = this.#counters.get(nameOf(key)) ?? new Set();
        this.#counters.set(nameOf(key), used);
        must(
          key.some((byte) => byte !== 0),
          "no key that was wiped is used",
        );
        for (let i = first; i < first + count; i++) {
          const offset = slab.datagramOffset[i]!;
          const counter = nameOf(slab.bytes.subarray(offset + 8, offset + 16));
          must(
            slab.bytes[offset] === TYPE_TRANSPORT && !used.has(counter),
            "a counter is used once",
          );
          used.add(counter);
        }
        cipher.seal(slab, key, first, count);
      },
      open: (slab, key, first, count) => cipher.open(slab, key, first, count),
      forget: () => cipher.forget(),
    };
  }
}
