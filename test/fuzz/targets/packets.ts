/**
 * Inner packets of any content, from the TUN device and inside authentic transport messages, against a lane with three peers: each
 * goes where a plain reading of the RFCs and a linear list of allowed IPs say, whole and in order, or is counted as what it is.
 */
import { Keypair } from "../../../src/session/keypair.ts";
import { Drop, type DropName } from "../../../src/tunnel/drop.ts";
import type { Peer } from "../../../src/tunnel/peer.ts";
import { LinearAllowedIps } from "../../reference/linear-allowed-ips.ts";
import { recordOf } from "../../sim/node.ts";
import {
  hasRightChecksum,
  isUnreachableFor,
  naiveAddresses,
  naiveDecapsulated,
  naiveEcn,
  naiveLength,
  withoutEcn,
} from "../lane/naive-packet.ts";
import { opened, type Session, sealed } from "../lane/seal.ts";
import { Subject } from "../lane/subject.ts";
import { clean, ours } from "../lane/tools.ts";
import { Script } from "../script.ts";
import { must, type Note, type Target } from "../target.ts";

const STEPS_MAX = 24;
/** K ours: one answer in 20 ms. */
const ANSWER_MS = 20;
/** Addresses are drawn from few, so that prefixes meet them. */
const HOSTS = ["0a000001", "0a000002", "0a0000ff", "c0000201", "7f000001", "e0000001", "00000000"];
const HOSTS6 = ["fd00::1", "fd00::2", "2001:db8::", "ff02::1", "::", "::1"].map((text) => {
  const [head = "", tail = ""] = text.split("::");
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  const front = head === "" ? [] : head.split(":");
  for (const [index, group] of front.entries())
    view.setUint16(index * 2, Number.parseInt(group, 16));
  view.setUint16(14, tail === "" ? 0 : Number.parseInt(tail, 16));
  return bytes;
});
const HOSTS4 = HOSTS.map((hex) => Uint8Array.from(Buffer.from(hex, "hex")));

function packetOf(script: Script): Uint8Array {
  const how = script.below(8);
  if (how === 0) return script.bytes(script.below(100));
  const isV6 = how >= 5;
  const header = isV6 ? 40 : 20;
  const payload = script.bytes(script.below(80));
  const packet = new Uint8Array(header + payload.length);
  const view = new DataView(packet.buffer);
  packet.set(payload, header);
  const tos = script.byte();
  if (isV6) {
    packet[0] = 0x60 | (tos >> 4);
    packet[1] = (tos & 15) << 4;
    view.setUint16(4, payload.length);
    packet[6] = script.byte();
    packet.set(script.pick(HOSTS6), 8);
    packet.set(script.pick(HOSTS6), 24);
  } else {
    packet[0] = 0x45;
    packet[1] = tos;
    view.setUint16(2, packet.length);
    packet[9] = script.byte();
    packet.set(script.pick(HOSTS4), 12);
    packet.set(script.pick(HOSTS4), 16);
  }
  if (script.flag()) packet[script.below(48) % packet.length]! ^= script.byte();
  if (!isV6 && packet.length >= 20) {
    let sum = 0;
    for (let i = 0; i < 20; i += 2) if (i !== 10) sum += view.getUint16(i);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
    view.setUint16(10, ~sum & 0xffff);
  }
  return packet;
}

interface Friend {
  readonly peer: Peer;
  /** The session as the friend has it. */
  readonly session: Session;
}

class Trial {
  readonly #script: Script;
  readonly #note: Note;
  readonly #subject = new Subject(ours, ours.cipher);
  readonly #friends: readonly Friend[];
  readonly #routes = new LinearAllowedIps();
  #answeredMs = Number.NEGATIVE_INFINITY;

  constructor(script: Script, note: Note) {
    this.#script = script;
    this.#note = note;
    this.#friends = [1, 2, 3].map((which) => this.#befriend(which));
    for (let count = script.below(8); count > 0; count--) this.#route();
  }

  run(): void {
    for (let step = 0; step < STEPS_MAX && !this.#script.isOver; step++) {
      const how = this.#script.below(8);
      if (how < 3) this.#fromTun();
      else if (how < 7) this.#fromFriend();
      else {
        this.#subject.waiter.now += this.#script.byte();
        this.#subject.waiter.wallMs += 1;
        this.#subject.turn();
        this.#subject.udp.sent.length = 0;
      }
    }
    this.#subject.iface.close();
  }

  /** A peer with a session that is in use on both sides; the third is nowhere. */
  #befriend(which: number): Friend {
    const { state } = this.#subject;
    const peer = state.addPeer(new Uint8Array(32).fill(which));
    if (peer === undefined) throw new Error("no room for a peer");
    const { now } = this.#subject.waiter;
    const make = (local: number, remote: number, send: number): Keypair => {
      const keypair = new Keypair(peer.id, false, local, remote, now);
      keypair.sendKey.fill(send);
      keypair.receiveKey.fill(17 * which - send);
      return keypair;
    };
    peer.current = make(100 + which, 200 + which, which);
    state.keypairs.set(100 + which, peer.current);
    if (which < 3) peer.endpoint.set(recordOf(`192.0.2.${which}:${which}`));
    return { peer, session: make(200 + which, 100 + which, 16 * which) };
  }

  #route(): void {
    const isV6 = this.#script.flag();
    const bytes = new Uint8Array(16);
    bytes.set(this.#script.pick(isV6 ? HOSTS6 : HOSTS4));
    const cidr = this.#script.below(isV6 ? 129 : 33);
    const { id } = this.#script.pick(this.#friends).peer;
    this.#subject.state.allowedIps.insert(isV6 ? 10 : 2, bytes, 0, cidr, id);
    this.#routes.insert(isV6 ? 10 : 2, bytes, cidr, id);
  }

  #drops(name: DropName): number {
    return this.#subject.state.drops[Drop[name]]!;
  }

  #counted(): number {
    return this.#subject.state.drops.reduce((sum, count) => sum + count, 0);
  }

  #fromTun(): void {
    const runs = Array.from({ length: 1 + this.#script.below(3) }, () =>
      Array.from({ length: 1 + this.#script.below(3) }, () => packetOf(this.#script)).filter(
        ({ length }) => length > 0,
      ),
    ).filter(({ length }) => length > 0);
    const expected = new Map<number, { readonly packet: Uint8Array; readonly tos: number }[]>();
    const lost = { noRoute: 0, badOutgoing: 0, noEndpoint: 0 };
    const unreachable: Uint8Array[] = [];
    for (const run of runs) {
      const first = run[0]!;
      const addresses = naiveAddresses(first);
      const id =
        addresses === undefined ? -1 : this.#routes.lookup(addresses.family, addresses.destination);
      const version = first[0]! >> 4;
      if (id >= 0 && id !== this.#friends[2]!.peer.id) {
        const list = expected.get(id) ?? [];
        expected.set(id, list);
        for (const packet of run) list.push({ packet, tos: naiveEcn(Uint8Array.of(...first, 0)) });
        continue;
      }
      if (id >= 0) lost.noEndpoint += run.length;
      else if (version === 4 || version === 6) lost.noRoute += run.length;
      else lost.badOutgoing += run.length;
      unreachable.push(first);
    }
    const before = { noRoute: 0, badOutgoing: 0, noEndpoint: 0 };
    for (const name of ["noRoute", "badOutgoing", "noEndpoint"] as const) {
      before[name] = this.#drops(name);
    }
    const counted = this.#counted();
    this.#subject.tun.give(...runs);
    this.#subject.turn();
    let total = 0;
    for (const name of ["noRoute", "badOutgoing", "noEndpoint"] as const) {
      must(this.#drops(name) - before[name] === lost[name], `${name} is counted`);
      if (lost[name] > 0) this.#note(name);
      total += lost[name];
    }
    must(this.#counted() - counted === total, "and nothing else is");
    this.#checkSent(expected);
    this.#checkAnswers(unreachable);
  }

  #checkSent(
    expected: ReadonlyMap<number, readonly { readonly packet: Uint8Array; readonly tos: number }[]>,
  ): void {
    const sent = this.#subject.udp.sent.splice(0);
    const { mtu } = this.#subject.tun;
    for (const { peer, session } of this.#friends) {
      const got = sent.filter((one) => one.peer === peer);
      const wanted = expected.get(peer.id) ?? [];
      must(got.length === wanted.length, "every packet of a run goes to the peer of its first");
      wanted.forEach(({ packet, tos }, index) => {
        const message = got[index]!;
        must(message.tos === tos, "outside, ECN is all that shows");
        const plain = opened(session.receiveKey, message.bytes);
        must(plain !== undefined, "the peer can open it");
        const padded = Math.max(packet.length, Math.min((packet.length + 15) & ~15, mtu));
        must(plain.length === padded, "it is padded");
        must(
          plain.every((byte, at) => byte === (packet[at] ?? 0)),
          "it is whole, and its padding zero",
        );
      });
    }
    this.#note(`sent ${sent.length}`);
  }

  #checkAnswers(unreachable: readonly Uint8Array[]): void {
    const answers = this.#subject.tun.written.splice(0);
    const { now } = this.#subject.waiter;
    must(answers.length <= 1, "one answer at a time");
    if (answers.length === 0) return;
    must(now - this.#answeredMs >= ANSWER_MS, "answers are rare");
    this.#answeredMs = now;
    must(
      unreachable.some((packet) => isUnreachableFor(answers[0]!, packet)),
      "an answer is about a packet that went nowhere",
    );
    this.#note(`answer ${answers[0]![0]! >> 4}`);
  }

  /** What becomes of a plaintext that friend `id` sent. */
  #verdict(plain: Uint8Array, tos: number, id: number): DropName | Uint8Array {
    const length = naiveLength(plain);
    if (length === undefined) return "badInner";
    const { family, source } = naiveAddresses(plain)!;
    if (this.#routes.lookup(family, source) !== id) return "wrongSource";
    const ecn = naiveDecapsulated(tos & 3, naiveEcn(plain));
    if (ecn === undefined) return "badEcn";
    const packet = plain.slice(0, length);
    if (family === 2) packet[1] = (packet[1]! & 0xfc) | ecn;
    else packet[1] = (packet[1]! & 0xcf) | (ecn << 4);
    return packet;
  }

  #fromFriend(): void {
    const tos = this.#script.byte();
    const { peer, session } = this.#script.pick(this.#friends);
    const plains = Array.from({ length: 1 + this.#script.below(3) }, () => packetOf(this.#script));
    const verdicts = plains.map((plain) =>
      plain.length === 0 ? undefined : this.#verdict(plain, tos, peer.id),
    );
    const counted = this.#counted();
    const before = this.#subject.state.drops.slice();
    const parts = plains.map((plain) => sealed(session, plain));
    this.#subject.udp.put({ parts, from: recordOf("192.0.2.77:7"), tos });
    this.#subject.turn();
    const written = this.#subject.tun.written.splice(0);
    let drops = 0;
    verdicts.forEach((verdict, index) => {
      if (verdict === undefined) return;
      if (typeof verdict === "string") {
        drops++;
        before[Drop[verdict]]!++;
        this.#note(verdict);
        return;
      }
      const got = written.shift();
      must(got !== undefined && got.length === verdict.length, "a good packet comes out, unpadded");
      const plain = plains[index]!;
      must(naiveEcn(got) === naiveEcn(verdict), "with the ECN of RFC 6040");
      must(
        Buffer.compare(withoutEcn(got), withoutEcn(verdict)) === 0,
        "and otherwise as it was sent",
      );
      if (got[0] === 0x45 && hasRightChecksum(plain))
        must(hasRightChecksum(got), "and its checksum");
      this.#note(`delivered ${got[0]! >> 4} ${naiveEcn(got)}`);
    });
    must(written.length === 0, "nothing else comes out");
    must(this.#counted() - counted === drops, "every drop is counted once");
    must(
      before.every((count, reason) => count === this.#subject.state.drops[reason]),
      "as what it is",
    );
    // Where it now is, is known.
    this.#subject.udp.sent.length = 0;
    peer.endpoint.set(recordOf(`192.0.2.${peer.id + 1}:${peer.id + 1}`));
    if (peer === this.#friends[2]!.peer) peer.endpoint.fill(0);
  }
}

export const packetsTarget: Target = {
  name: "packets",
  sources: /\/src\/(tunnel\/(inbound|outbound|outbox)|route|lane\/interface|wire|session\/replay)/,
  batch: 32,
  maxBytes: 700,
  dictionary: [],
  seeds: [
    Uint8Array.of(3, 0, 0, 8, 0, 1, 0, 8, 1, 0, 0, 24, 2, 3, 0, 0, 1, 4, 9, 9, 9, 9, 2, 17, 0, 1),
    Uint8Array.of(
      2,
      1,
      0,
      64,
      0,
      0,
      3,
      8,
      1,
      0,
      0,
      0,
      0,
      6,
      8,
      1,
      2,
      3,
      4,
      5,
      6,
      7,
      8,
      0,
      58,
      1,
      0,
    ),
  ],
  run: (input, note) => {
    clean();
    new Trial(new Script(input), note).run();
  },
};
