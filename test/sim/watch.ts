/**
 * The eyes of a storm: what is sealed, what leaves, what comes out and what is held, each against its invariant. Knows no tunnel from
 * inside but the keys that it holds, and compares with what the storm has done, not with what the tunnel says.
 */
import { isZero } from "../../src/bytes/equal.ts";
import type { TransportCipher } from "../../src/crypto/suite.ts";
import type { Keypair } from "../../src/session/keypair.ts";
import { ReplayWindow } from "../../src/session/replay-window.ts";
import { HANDSHAKE_QUEUE_MAX } from "../../src/tunnel/handshake-queue.ts";
import { STAGED_MAX } from "../../src/tunnel/staging.ts";
import { REJECT_AFTER_TIME, TYPE_TRANSPORT } from "../../src/wire/constants.ts";
import { stateOf } from "./fingerprint.ts";
import type { Host } from "./host.ts";
import { must } from "./invariants.ts";
import type { Datagram } from "./node.ts";
import { headerChecksum, ipv4Header } from "./packets.ts";
import { secretOf } from "./spread.ts";

/** Fills inner packets, so that one that shows anywhere is seen. */
const PATTERN = Buffer.from("in the clear! ");
/** Where the number of an inner packet stands; the pattern follows. */
const MARK_AT = 20;
const PATTERN_AT = MARK_AT + 4;
/** An inner packet has the whole pattern in it. */
export const INNER_MIN: number = PATTERN_AT + 2 * PATTERN.length;
const ICMP = 1;
/** Sizes of initiation, response and cookie reply by type; of transport: the least. */
const SIZES = [0, 148, 92, 64, 32];
const PADDING = 16;
/** Of a tunnel: nothing that leaves is larger. */
const MTU = 1420;

interface Sent {
  readonly bytes: Uint8Array;
  /** Who seals it. */
  readonly sender: number;
  /** Whose peer the sender's allowed IPs lead to. */
  readonly routedTo: number | undefined;
}

let windowsMoved = 0;
const accept = ReplayWindow.prototype.accept;
ReplayWindow.prototype.accept = function (this: ReplayWindow, hi: number, lo: number): boolean {
  const isNew = accept.call(this, hi, lo);
  if (isNew) windowsMoved++;
  return isNew;
};

export class Watch {
  delivered = 0;
  /** Counters that were sealed, by key. */
  readonly #sealed = new Map<string, Set<string>>();
  /** Tags of what was sealed and has not left. */
  readonly #tags = new Set<string>();
  readonly #sent: Sent[] = [];
  readonly #arrived = new Set<number>();
  #held: Keypair[] = [];

  /** A cipher for one host: what it is asked to seal is looked at. */
  cipherFor(cipher: TransportCipher, host: () => Host): TransportCipher {
    return {
      seal: (slab, key, first, count) => {
        this.#checkKey(host(), key);
        const name = textOf(key, 0, key.length);
        const used = this.#sealed.get(name) ?? new Set();
        this.#sealed.set(name, used);
        cipher.seal(slab, key, first, count);
        for (let i = first; i < first + count; i++) {
          const offset = slab.datagramOffset[i]!;
          const counter = textOf(slab.bytes, offset + 8, 8);
          must(
            !used.has(counter),
            "nonce",
            () => `counter ${i} of host ${host().index} was used before`,
          );
          used.add(counter);
          this.#tags.add(textOf(slab.bytes, offset + slab.datagramLength[i]! - 16, 16));
        }
      },
      open: (slab, key, first, count) => cipher.open(slab, key, first, count),
      forget: () => cipher.forget(),
    };
  }

  /** An inner packet that `sender` will seal, from `source` to `destination`, and that goes to `routedTo`. */
  packet(
    sender: number,
    source: string,
    destination: string,
    length: number,
    routedTo: number | undefined,
  ): { readonly bytes: Uint8Array; readonly mark: number } {
    const mark = this.#sent.length;
    const bytes = new Uint8Array(Math.max(length, INNER_MIN));
    bytes.set(ipv4Header(source, destination, bytes.length));
    new DataView(bytes.buffer).setUint32(MARK_AT, mark);
    Buffer.from(bytes.buffer).fill(PATTERN, PATTERN_AT);
    this.#sent.push({ bytes: bytes.slice(), sender, routedTo });
    return { bytes, mark };
  }

  hasArrived(mark: number): boolean {
    return this.#arrived.has(mark);
  }

  /** A datagram leaves a host. */
  leaves({ bytes }: Datagram): void {
    const type = bytes[0]!;
    const least = SIZES[type] ?? 0;
    const isMessage = least > 0 && bytes[1] === 0 && bytes[2] === 0 && bytes[3] === 0;
    must(isMessage, "messages", () => `one begins with ${bytes.subarray(0, 4)}`);
    const payload = bytes.length - least;
    const isRight =
      type === TYPE_TRANSPORT
        ? payload >= 0 && (payload % PADDING === 0 || payload === MTU) && payload <= MTU
        : payload === 0;
    must(isRight, "messages", () => `one of type ${type} has ${bytes.length} bytes`);
    if (type === TYPE_TRANSPORT) {
      const isSealed = this.#tags.delete(textOf(bytes, bytes.length - 16, 16));
      must(isSealed, "sealed", () => "one leaves with another tag, or again");
    }
    must(
      !Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes(PATTERN),
      "plaintext",
      () => `one of type ${type} shows one`,
    );
  }

  /** A packet comes out of the tunnel of a host. */
  arrives(host: Host, packet: Uint8Array): void {
    // An answer of our own: there is no way to that peer.
    if (packet[9] === ICMP && packet[0] === 0x45 && isOwn(packet)) return;
    const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
    const mark = packet.length >= INNER_MIN ? view.getUint32(MARK_AT) : -1;
    const sent = this.#sent[mark];
    must(
      sent !== undefined,
      "intact",
      () => `host ${host.index} gets ${packet.length} bytes of nobody`,
    );
    must(Buffer.compare(packet, sent.bytes) === 0, "intact", () => `packet ${mark} has changed`);
    must(
      !this.#arrived.has(mark),
      "once",
      () => `packet ${mark} comes again to host ${host.index}`,
    );
    must(sent.routedTo === host.index, "place", () => `packet ${mark} comes to host ${host.index}`);
    const source = packet.subarray(12, 16).join(".");
    must(
      host.owners.get(source) === sent.sender,
      "source",
      () => `host ${host.index} takes ${source} from ${sent.sender}`,
    );
    this.#arrived.add(mark);
    this.delivered++;
  }

  /** At every step. */
  check(hosts: readonly Host[]): void {
    for (const host of hosts) {
      this.checkTables(host);
      for (const note of host.node.taken.splice(0)) {
        must(
          isZero(secretOf(note)),
          "wiped",
          () => `a note about a peer's ${note.kind} has secrets`,
        );
      }
    }
    const before = this.#held;
    this.#held = hosts.flatMap(keypairsOf);
    for (const keypair of before) {
      if (this.#held.includes(keypair)) continue;
      must(isWiped(keypair), "wiped", () => "a session ended with its keys");
    }
  }

  checkTables({ index, lanes }: Host): void {
    for (const { tunnel } of lanes) {
      const { state } = tunnel;
      const waiting = state.queue.count;
      must(waiting <= HANDSHAKE_QUEUE_MAX, "queue", () => `${waiting} wait at host ${index}`);
      const { count } = state.keypairs;
      must(count <= 3 * state.peerCount, "tables", () => `host ${index} has ${count} keypairs`);
      const handshakes = state.handshakes.count;
      must(
        handshakes <= state.peerCount,
        "tables",
        () => `host ${index} has ${handshakes} handshakes`,
      );
      for (const { staging } of state.allPeers()) {
        must(
          staging.count <= STAGED_MAX,
          "staging",
          () => `${staging.count} wait at host ${index}`,
        );
      }
    }
  }

  /** Every secret that was ever made, but for those that live on: keys of hosts and peers, and of cookies. */
  checkSecrets(secrets: readonly Uint8Array[], hosts: readonly Host[]): void {
    const held = new Set<ArrayBufferLike>(hosts.flatMap(keypairsOf).map(bufferOf));
    for (const secret of secrets) {
      // A keypair's; handshakes in progress are wiped with the last of them, which `silent` looks at.
      if (secret.length !== KEYPAIR_BYTES || held.has(secret.buffer)) continue;
      must(isZero(secret), "wiped", () => "a keypair that nobody holds has its keys");
    }
  }

  #checkKey(host: Host, key: Uint8Array): void {
    for (const { tunnel } of host.lanes) {
      for (const { current } of tunnel.state.allPeers()) {
        if (current?.sendKey !== key) continue;
        const age = host.clock.now - current.createdMs;
        must(age < REJECT_AFTER_TIME, "session", () => `host ${host.index} seals after ${age} ms`);
        const isOfOldKey = host.stormTime(current.createdMs) < host.keyedMs;
        must(
          !isOfOldKey,
          "session",
          () => `host ${host.index} seals under a session of its old key`,
        );
        must(!isZero(key), "session", () => `host ${host.index} seals under a key that was wiped`);
        return;
      }
    }
    must(false, "session", () => `host ${host.index} seals under another key`);
  }
}

const KEYPAIR_BYTES = 64;

/** All that must stay as it is when something comes that is not authentic; also which replay windows have moved. */
export function fingerprint(host: Host, without?: Uint8Array): string {
  const moved = without === undefined ? windowsMoved : 0;
  return [moved, ...host.lanes.map((lane) => stateOf(lane, without))].join("\n");
}

export function keypairsOf(host: Host): Keypair[] {
  const keypairs: Keypair[] = [];
  for (const { tunnel } of host.lanes) {
    for (const { previous, current, next } of tunnel.state.allPeers()) {
      if (previous !== undefined) keypairs.push(previous);
      if (current !== undefined) keypairs.push(current);
      if (next !== undefined) keypairs.push(next);
    }
  }
  return keypairs;
}

export function isWiped({ sendKey, receiveKey, usable }: Keypair): boolean {
  return !usable && isZero(sendKey) && isZero(receiveKey);
}

function bufferOf({ sendKey }: Keypair): ArrayBufferLike {
  return sendKey.buffer;
}

/** An ICMP message that a tunnel makes has a right checksum; none of ours is ICMP. */
function isOwn(packet: Uint8Array): boolean {
  return ((packet[10]! << 8) | packet[11]!) === headerChecksum(packet.slice(0, 20));
}

/** Bytes as a flat string, to be a key of a set. */
function textOf(bytes: Uint8Array, at: number, length: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + at, length).toString("latin1");
}
