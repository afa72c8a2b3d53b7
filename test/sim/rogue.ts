/**
 * A peer that breaks the rules: its key is known to the others, and it makes of the protocol's parts what no implementation would
 * send. What each act may change is said with it; whether that holds is for the storm to look at.
 */
import { slabLayout } from "../../src/bytes/slab.ts";
import type { Suite } from "../../src/crypto/suite.ts";
import { CookieJar } from "../../src/session/cookie.ts";
import { Handshake, HandshakeState, openInitiation } from "../../src/session/handshake.ts";
import { Identity, labelKey } from "../../src/session/identity.ts";
import type { Keypair } from "../../src/session/keypair.ts";
import { writeTai64n } from "../../src/session/tai64n.ts";
import { TYPE_INITIATION, TYPE_RESPONSE } from "../../src/wire/constants.ts";
import {
  INITIATION_BYTES,
  RESPONSE_BYTES,
  responseLayout,
  TIMESTAMP_BYTES,
} from "../../src/wire/layout.ts";
import { writeTransportHeader } from "../../src/wire/transport.ts";
import type { Dice } from "./dice.ts";
import { type Host, type HostTools, WALL_EPOCH_MS } from "./host.ts";
import { lowOrderSuite } from "./low-order.ts";
import type { Datagram } from "./node.ts";

/**
 * What a host may make of it: `nothing`: its state stays as it is. `own`: the rogue's may change, nobody else's. `once`: so, and of all
 * the messages at most one is answered.
 */
export type Effect = "nothing" | "own" | "once";

export interface Act {
  readonly what: string;
  readonly messages: readonly Uint8Array[];
  readonly effect: Effect;
}

interface Answer {
  readonly host: Host;
  readonly act: Act;
}

interface Initiation {
  readonly message: Uint8Array;
  readonly epoch: number;
  readonly index: number;
}

/** What there is between the rogue and one key of a host. */
export class Relation {
  readonly handshake: Handshake;
  readonly jar: CookieJar = new CookieJar();
  readonly mac1Key: Uint8Array;
  /** The newest last. */
  readonly sessions: Keypair[] = [];
  readonly initiations: Initiation[] = [];
  /** Transport messages that were sent. */
  readonly sent: Uint8Array[] = [];
  /** Index of the newest initiation that was answered, and in which epoch of the host. */
  answered = 0;
  answeredEpoch = -1;

  constructor(suite: Suite, publicKey: Uint8Array) {
    this.handshake = new Handshake(publicKey);
    this.mac1Key = labelKey(suite, "mac1", publicKey);
  }
}

const SESSIONS_MAX = 4;
const SENT_MAX = 20;

export class Rogue {
  readonly identity: Identity;
  readonly index: number;
  readonly inner: string;
  readonly dice: Dice;
  readonly tools: HostTools;
  readonly #relations = new Map<string, Relation>();
  /** Of messages that answer what it heard. */
  readonly #answers: Answer[] = [];
  #indexes = 1;
  #wallMs = WALL_EPOCH_MS;

  constructor(index: number, inner: string, dice: Dice, tools: HostTools) {
    this.index = index;
    this.inner = inner;
    this.dice = dice;
    this.tools = tools;
    this.identity = new Identity(tools.suite, dice.bytes(32));
  }

  relation(host: Host): Relation {
    const name = Buffer.from(host.publicKey).toString("latin1");
    const known = this.#relations.get(name) ?? new Relation(this.tools.suite, host.publicKey);
    this.#relations.set(name, known);
    return known;
  }

  /** A fresh initiation; `backMs`: with a timestamp of so long ago. */
  initiation(host: Host, now: number, backMs = 0, suite: Suite = this.tools.suite): Uint8Array {
    const { handshake, jar, mac1Key, initiations } = this.relation(host);
    // Each later than the last, by more than a timestamp's unit.
    this.#wallMs = Math.max(this.#wallMs + 20, WALL_EPOCH_MS + now);
    const message = new Uint8Array(INITIATION_BYTES);
    const timestamp = new Uint8Array(TIMESTAMP_BYTES);
    writeTai64n(timestamp, this.#wallMs - backMs);
    const index = this.#indexes++;
    const ephemeral = this.dice.bytes(32);
    handshake.createInitiation(suite, this.identity, message, index, ephemeral, timestamp);
    jar.addMacs(this.tools.suite, message, mac1Key, now);
    if (backMs === 0 && suite === this.tools.suite) {
      initiations.push({ message, epoch: host.epoch, index });
    }
    return message;
  }

  /** A message of a session, with any counter and payload. */
  transport(keypair: Keypair, hi: number, lo: number, payload: Uint8Array): Uint8Array {
    const { slab, cipher } = this.tools;
    const { offset } = slabLayout.composed;
    const length = payload.length + 32;
    writeTransportHeader(slab.view, offset, keypair.remoteIndex, hi, lo);
    slab.bytes.set(payload, offset + 16);
    slab.datagramOffset[0] = offset;
    slab.datagramLength[0] = length;
    cipher.seal(slab, keypair.sendKey, 0, 1);
    return slab.bytes.slice(offset, offset + length);
  }

  /** One in order. */
  speak(relation: Relation, keypair: Keypair, payload: Uint8Array): Uint8Array {
    const message = this.transport(keypair, keypair.sendHi, keypair.sendLo, payload);
    keypair.step();
    if (relation.sent.length >= SENT_MAX) relation.sent.shift();
    relation.sent.push(message);
    return message;
  }

  /** A host sent it something. */
  hear(host: Host, { bytes }: Datagram, now: number): void {
    if (bytes[0] === TYPE_RESPONSE) this.#hearResponse(host, bytes, now);
    else if (bytes[0] === TYPE_INITIATION) this.#hearInitiation(host, bytes, now);
  }

  /** What it has to answer. */
  takeAnswers(): Answer[] {
    return this.#answers.splice(0);
  }

  #hearResponse(host: Host, bytes: Uint8Array, now: number): void {
    const relation = this.relation(host);
    const { handshake, initiations } = relation;
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const index = view.getUint32(responseLayout.receiver, true);
    if (initiations.some((initiation) => initiation.index === index)) {
      relation.answered = Math.max(relation.answered, index);
      relation.answeredEpoch = host.epoch;
    }
    if (handshake.state !== HandshakeState.initiationCreated || handshake.localIndex !== index)
      return;
    if (!handshake.consumeResponse(this.tools.suite, this.identity, bytes)) return;
    this.#derive(relation, now);
  }

  /** Answers late, twice, of low order or not at all, and speaks before it does. */
  #hearInitiation(host: Host, bytes: Uint8Array, now: number): void {
    const relation = this.relation(host);
    const { handshake } = relation;
    const { suite } = this.tools;
    const opened = openInitiation(suite, this.identity, bytes);
    if (opened === undefined) return;
    // Its own clock: the host's may have gone back.
    if (!handshake.consumeInitiation(suite, this.identity, opened, bytes, now)) return;
    const isLow = this.dice.chance(0.2);
    const message = new Uint8Array(RESPONSE_BYTES);
    const index = this.#indexes++;
    const made = isLow ? lowOrderSuite(suite, this.dice) : suite;
    if (!handshake.createResponse(made, message, index, this.dice.bytes(32))) return;
    relation.jar.addMacs(suite, message, relation.mac1Key, now);
    if (isLow) {
      handshake.clear();
      this.#act(host, "answers with a point of low order", [message], "nothing");
      return;
    }
    const keypair = this.#derive(relation, now);
    if (keypair === undefined || this.dice.chance(0.2)) return;
    const early = this.speak(relation, keypair, new Uint8Array(0));
    this.#act(host, "speaks before it answers", [early], "nothing");
    this.#act(host, "answers twice", [message, message], "own");
    this.#act(host, "speaks again", [early, early], "own");
  }

  #derive(relation: Relation, now: number): Keypair | undefined {
    const keypair = relation.handshake.deriveKeypair(this.tools.suite, this.index, now);
    if (keypair === undefined) return undefined;
    relation.sessions.push(keypair);
    if (relation.sessions.length > SESSIONS_MAX) relation.sessions.shift();
    return keypair;
  }

  #act(host: Host, what: string, messages: readonly Uint8Array[], effect: Effect): void {
    this.#answers.push({ host, act: { what, messages, effect } });
  }
}
