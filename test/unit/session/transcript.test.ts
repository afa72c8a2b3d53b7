/**
 * The handshakes of `vectors/wireguard-handshake.json`, recorded from another implementation, replayed byte for byte through
 * our own handshake and cookie code in both roles; and what that code refuses.
 */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { formatHex } from "../../../src/bytes/hex.ts";
import { ENDPOINT_BYTES, endpointLayout, FAMILY_V4, FAMILY_V6 } from "../../../src/bytes/slab.ts";
import { nobleSuite } from "../../../src/crypto/noble.ts";
import { opensslSuite } from "../../../src/crypto/openssl.ts";
import type { Suite } from "../../../src/crypto/suite.ts";
import { loadNative } from "../../../src/io/load-native.ts";
import { nativeSuite } from "../../../src/io/native-suite.ts";
import { CookieChecker, CookieJar } from "../../../src/session/cookie.ts";
import { Handshake, HandshakeState, openInitiation } from "../../../src/session/handshake.ts";
import { Identity, labelKey } from "../../../src/session/identity.ts";
import type { Keypair } from "../../../src/session/keypair.ts";
import {
  COOKIE_REPLY_BYTES,
  INITIATION_BYTES,
  initiationLayout,
  RESPONSE_BYTES,
  responseLayout,
} from "../../../src/wire/layout.ts";

interface Side {
  readonly message: string;
}

interface Cookie {
  readonly to: "initiator" | "responder";
  readonly secret: string;
  readonly address: string;
  readonly port: number;
  readonly nonce: string;
  readonly reply: string;
  readonly messageWithMac2: string;
}

interface Transcript {
  readonly name: string;
  readonly initiatorStaticPrivate: string;
  readonly initiatorStaticPublic: string;
  readonly responderStaticPrivate: string;
  readonly responderStaticPublic: string;
  readonly presharedKey: string;
  readonly initiatorEphemeralPrivate: string;
  readonly responderEphemeralPrivate: string;
  readonly initiatorIndex: number;
  readonly responderIndex: number;
  readonly timestamp: string;
  readonly initiation: Side;
  readonly response: Side;
  readonly initiatorSendKey: string;
  readonly responderSendKey: string;
  readonly cookies: readonly Cookie[];
}

const file = new URL("../../../vectors/wireguard-handshake.json", import.meta.url);
const { cases } = JSON.parse(readFileSync(file, "utf8")) as { cases: readonly Transcript[] };

const NOW = 1_000_000;
/** A point of order 8 (RFC 7748 6.1; cr.yp.to/ecdh.html): every secret times it is zero. */
const LOW_ORDER = bytes("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800");

function bytes(hex: string): Uint8Array {
  const out = Uint8Array.from(Buffer.from(hex, "hex"));
  if (2 * out.length !== hex.length) throw new Error(`not hexadecimal: ${hex}`);
  return out;
}

class Replay {
  readonly suite: Suite;
  readonly transcript: Transcript;
  readonly initiator: Identity;
  readonly responder: Identity;
  /** The initiator's state of the responder, and the other way round. */
  readonly toResponder: Handshake;
  readonly toInitiator: Handshake;

  constructor(suite: Suite, transcript: Transcript) {
    this.suite = suite;
    this.transcript = transcript;
    this.initiator = new Identity(suite, bytes(transcript.initiatorStaticPrivate));
    this.responder = new Identity(suite, bytes(transcript.responderStaticPrivate));
    this.toResponder = new Handshake(bytes(transcript.responderStaticPublic));
    this.toInitiator = new Handshake(bytes(transcript.initiatorStaticPublic));
    for (const handshake of [this.toResponder, this.toInitiator]) {
      handshake.setPresharedKey(bytes(transcript.presharedKey));
    }
  }

  initiate(): Uint8Array {
    const { suite, transcript } = this;
    const message = new Uint8Array(INITIATION_BYTES);
    const created = this.toResponder.createInitiation(
      suite,
      this.initiator,
      message,
      transcript.initiatorIndex,
      bytes(transcript.initiatorEphemeralPrivate),
      bytes(transcript.timestamp),
    );
    expect(created).toBe(true);
    new CookieJar().addMacs(suite, message, labelKey(suite, "mac1", this.responder.publicKey), NOW);
    return message;
  }

  /** The responder takes an initiation; false: refused at any step. */
  accept(message: Uint8Array, now = NOW): boolean {
    const opened = openInitiation(this.suite, this.responder, message);
    if (opened === undefined) return false;
    expect(formatHex(opened.remoteStatic)).toBe(this.transcript.initiatorStaticPublic);
    return this.toInitiator.consumeInitiation(this.suite, this.responder, opened, message, now);
  }

  respond(): Uint8Array {
    const { suite, transcript } = this;
    const message = new Uint8Array(RESPONSE_BYTES);
    const created = this.toInitiator.createResponse(
      suite,
      message,
      transcript.responderIndex,
      bytes(transcript.responderEphemeralPrivate),
    );
    expect(created).toBe(true);
    new CookieJar().addMacs(suite, message, labelKey(suite, "mac1", this.initiator.publicKey), NOW);
    return message;
  }

  conclude(message: Uint8Array): boolean {
    return this.toResponder.consumeResponse(this.suite, this.initiator, message);
  }

  keypairs(): readonly [Keypair, Keypair] {
    const initiators = this.toResponder.deriveKeypair(this.suite, 1, NOW);
    const responders = this.toInitiator.deriveKeypair(this.suite, 2, NOW);
    if (initiators === undefined || responders === undefined) throw new Error("no keypair");
    return [initiators, responders];
  }
}

function flipped(message: Uint8Array, at: number): Uint8Array {
  const copy = message.slice();
  copy[at]! ^= 0x40;
  return copy;
}

function endpointRecord(cookie: Cookie): Uint8Array {
  const record = new Uint8Array(ENDPOINT_BYTES);
  const view = new DataView(record.buffer);
  const address = bytes(cookie.address);
  view.setUint16(endpointLayout.family, address.length === 4 ? FAMILY_V4 : FAMILY_V6, true);
  view.setUint16(endpointLayout.port, cookie.port, true);
  record.set(address, endpointLayout.address);
  return record;
}

describe.each([nobleSuite, opensslSuite, nativeSuite(loadNative())])(
  "$name suite (%#)",
  (suite) => {
    describe.each(cases)("$name", (transcript) => {
      it("makes both messages and both keys of the transcript", () => {
        const replay = new Replay(suite, transcript);
        const initiation = replay.initiate();
        expect(formatHex(initiation)).toBe(transcript.initiation.message);
        expect(replay.accept(initiation)).toBe(true);
        const response = replay.respond();
        expect(formatHex(response)).toBe(transcript.response.message);
        expect(replay.conclude(response)).toBe(true);
        const [initiators, responders] = replay.keypairs();
        expect(formatHex(initiators.sendKey)).toBe(transcript.initiatorSendKey);
        expect(formatHex(initiators.receiveKey)).toBe(transcript.responderSendKey);
        expect(formatHex(responders.sendKey)).toBe(transcript.responderSendKey);
        expect(formatHex(responders.receiveKey)).toBe(transcript.initiatorSendKey);
        expect([initiators.initiator, responders.initiator]).toEqual([true, false]);
        expect([initiators.remoteIndex, responders.remoteIndex]).toEqual([
          transcript.responderIndex,
          transcript.initiatorIndex,
        ]);
        // Handshake keys are gone, the peers' keys are not.
        expect(replay.toResponder.state).toBe(HandshakeState.none);
        expect(replay.toResponder.deriveKeypair(suite, 1, NOW)).toBeUndefined();
        expect(formatHex(replay.toResponder.presharedKey)).toBe(transcript.presharedKey);
      });

      it("knows the macs, and no others", () => {
        const replay = new Replay(suite, transcript);
        const checker = new CookieChecker(suite);
        const initiation = bytes(transcript.initiation.message);
        const response = bytes(transcript.response.message);
        expect(checker.hasMac1(replay.responder, initiation)).toBe(true);
        expect(checker.hasMac1(replay.initiator, response)).toBe(true);
        expect(checker.hasMac1(replay.initiator, initiation)).toBe(false);
        for (let at = 0; at < initiationLayout.mac2; at++) {
          expect(checker.hasMac1(replay.responder, flipped(initiation, at)), `byte ${at}`).toBe(
            false,
          );
        }
      });

      it.each(transcript.cookies)("gives the cookie to the $to, who uses it", (cookie) => {
        const replay = new Replay(suite, transcript);
        const toInitiator = cookie.to === "initiator";
        const identity = toInitiator ? replay.responder : replay.initiator;
        const message = bytes(
          toInitiator ? transcript.initiation.message : transcript.response.message,
        );
        const index = toInitiator ? transcript.initiatorIndex : transcript.responderIndex;
        const record = endpointRecord(cookie);
        const checker = new CookieChecker(suite);
        const entropies = [bytes(cookie.secret), bytes(cookie.nonce)];
        const reply = new Uint8Array(COOKIE_REPLY_BYTES);
        checker.reply(reply, identity, message, index, record, NOW, (out) => {
          out.set(entropies.shift()!);
        });
        expect(entropies).toEqual([]);
        expect(formatHex(reply)).toBe(cookie.reply);

        const jar = new CookieJar();
        const mac1Key = labelKey(suite, "mac1", identity.publicKey);
        const cookieKey = labelKey(suite, "cookie", identity.publicKey);
        expect(jar.consumeReply(suite, reply, cookieKey, NOW)).toBe(false);
        jar.addMacs(suite, message, mac1Key, NOW);
        expect(jar.consumeReply(suite, flipped(reply, 40), cookieKey, NOW)).toBe(false);
        expect(jar.hasCookie(NOW)).toBe(false);
        expect(jar.consumeReply(suite, reply, cookieKey, NOW)).toBe(true);
        expect(jar.consumeReply(suite, reply, cookieKey, NOW), "one answer to one question").toBe(
          false,
        );
        jar.addMacs(suite, message, mac1Key, NOW + 1);
        expect(formatHex(message)).toBe(cookie.messageWithMac2);

        expect(checker.hasMac2(message, record, NOW + 2)).toBe(true);
        expect(checker.hasMac2(flipped(message, 20), record, NOW + 2)).toBe(false);
        const elsewhere = flipped(record, endpointLayout.port);
        expect(checker.hasMac2(message, elsewhere, NOW + 2)).toBe(false);
        // K cookie.c: the secret lives for 120 s, and a cookie is used until 5 s before that.
        expect(checker.hasMac2(message, record, NOW + 120_001)).toBe(false);
        jar.addMacs(suite, message, mac1Key, NOW + 114_999);
        expect(message.subarray(-16).some((byte) => byte !== 0)).toBe(true);
        jar.addMacs(suite, message, mac1Key, NOW + 115_000);
        expect(message.subarray(-16).some((byte) => byte !== 0)).toBe(false);
      });
    });

    const transcript = cases[0]!;

    it("refuses an initiation with any one bit changed, and then takes the true one", () => {
      const replay = new Replay(suite, transcript);
      const initiation = bytes(transcript.initiation.message);
      for (let at = initiationLayout.ephemeral; at < initiationLayout.mac1; at += 3) {
        expect(replay.accept(flipped(initiation, at)), `byte ${at}`).toBe(false);
      }
      expect(replay.accept(initiation)).toBe(true);
    });

    it("refuses a response with any one bit changed, and then takes the true one", () => {
      const replay = new Replay(suite, transcript);
      replay.initiate();
      const response = bytes(transcript.response.message);
      for (let at = responseLayout.ephemeral; at < responseLayout.mac1; at += 3) {
        expect(replay.conclude(flipped(response, at)), `byte ${at}`).toBe(false);
      }
      expect(replay.conclude(response)).toBe(true);
      expect(replay.conclude(response), "a second time").toBe(false);
    });

    it("refuses a wrong preshared key", () => {
      const replay = new Replay(suite, transcript);
      replay.toInitiator.presharedKey[31]! ^= 1;
      expect(replay.accept(replay.initiate())).toBe(true);
      expect(replay.conclude(replay.respond())).toBe(false);
    });

    it("refuses an initiation for somebody else", () => {
      const replay = new Replay(suite, transcript);
      expect(openInitiation(suite, replay.initiator, replay.initiate())).toBeUndefined();
    });

    it("refuses a timestamp that is not later than the last, and two within 20 ms", () => {
      const replay = new Replay(suite, transcript);
      const initiation = replay.initiate();
      expect(replay.accept(initiation)).toBe(true);
      expect(replay.accept(initiation, NOW + 10_000)).toBe(false);
      const later = bytes(transcript.timestamp);
      later[11]! ^= 0xff;
      if (later[11]! < bytes(transcript.timestamp)[11]!) later[4]!++;
      const second = new Uint8Array(INITIATION_BYTES);
      replay.toResponder.createInitiation(
        suite,
        replay.initiator,
        second,
        7,
        bytes(transcript.initiatorEphemeralPrivate),
        later,
      );
      expect(replay.accept(second, NOW + 19)).toBe(false);
      expect(replay.accept(second, NOW + 20)).toBe(true);
    });

    it("refuses points of low order wherever one could come from", () => {
      const replay = new Replay(suite, transcript);
      const toLow = new Handshake(LOW_ORDER);
      const out = new Uint8Array(INITIATION_BYTES);
      const secret = bytes(transcript.initiatorEphemeralPrivate);
      const stamp = bytes(transcript.timestamp);
      expect(toLow.createInitiation(suite, replay.initiator, out, 1, secret, stamp)).toBe(false);
      expect(toLow.state).toBe(HandshakeState.none);
      expect(out.every((byte) => byte === 0)).toBe(true);

      const initiation = replay.initiate();
      initiation.set(LOW_ORDER, initiationLayout.ephemeral);
      expect(openInitiation(suite, replay.responder, initiation)).toBeUndefined();

      // As the other side's static key, whose secret nobody needs to know.
      const low = new Identity(suite, bytes(transcript.initiatorStaticPrivate));
      low.publicKey.set(LOW_ORDER);
      const fromLow = new Uint8Array(INITIATION_BYTES);
      const byLow = new Handshake(replay.responder.publicKey);
      expect(byLow.createInitiation(suite, low, fromLow, 1, secret, stamp)).toBe(true);
      const opened = openInitiation(suite, replay.responder, fromLow)!;
      expect(formatHex(opened.remoteStatic)).toBe(formatHex(LOW_ORDER));
      const ofLow = new Handshake(LOW_ORDER);
      expect(ofLow.consumeInitiation(suite, replay.responder, opened, fromLow, NOW)).toBe(false);
      expect(ofLow.state).toBe(HandshakeState.none);

      const response = bytes(transcript.response.message);
      response.set(LOW_ORDER, responseLayout.ephemeral);
      expect(replay.conclude(response)).toBe(false);
      expect(replay.conclude(bytes(transcript.response.message))).toBe(true);
    });

    it("makes a response only to an initiation, and none of a secret that is zero", () => {
      const replay = new Replay(suite, transcript);
      const out = new Uint8Array(RESPONSE_BYTES);
      const ephemeral = bytes(transcript.responderEphemeralPrivate);
      expect(replay.toInitiator.createResponse(suite, out, 1, ephemeral)).toBe(false);
      expect(replay.accept(replay.initiate())).toBe(true);
      // Done beforehand, by whoever was handed the work.
      const zero = new Uint8Array(32);
      const prepared = { ephemeralPublic: LOW_ORDER, ee: zero, se: LOW_ORDER };
      expect(replay.toInitiator.createResponse(suite, out, 1, prepared)).toBe(false);
      expect(replay.toInitiator.state).toBe(HandshakeState.none);
      expect(replay.toInitiator.deriveKeypair(suite, 1, NOW)).toBeUndefined();
    });
  },
);
