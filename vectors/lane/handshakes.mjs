/**
 * The sets of handshakes, and those of primitives that can be seen through a lane: it makes the recorded messages byte for byte in both
 * roles, takes the other side's, answers with the recorded cookies, and opens what was sealed elsewhere.
 */
import { readFileSync } from "node:fs";
import { bytes, expect, header, hex, le32, mac1For } from "../bytes.mjs";
import { LaneDriver, prescribed } from "./driver.mjs";

export const INITIATOR = "192.0.2.1:51820";
export const RESPONDER = "198.51.100.2:4500";
const NO_MAC2 = "00".repeat(16);
const NO_JITTER = new Uint8Array(4);
/** Whitepaper 6.1, REKEY_TIMEOUT. */
const REPEAT_MS = 5_000;
/** Any time after that. */
const KEEPALIVE_MS = 7_000;
/** Whitepaper 6.1, REJECT_AFTER_MESSAGES: 2^64 - 2^13 - 1. */
const COUNTER_LIMIT = 0xffff_ffff_ffff_dfffn;
const OUR_INDEX = 0x0102_0304;

/** name of the set -> its check of parts { suite, cipher, slab, code } */
export const handshakeChecks = {
  "wireguard-handshake"(parts, c) {
    const recorded = new RecordedHandshake(parts, c, c.timestamp);
    const initiator = recorded.initiator();
    const transport = (from) => c.transport.filter((packet) => packet.from === from);
    expect(initiator.nextSent()?.message, transport("initiator")[0].message, "first packet");
    takeTransport(initiator, RESPONDER, transport("responder"));
    const responder = recorded.responder();
    takeTransport(responder, INITIATOR, transport("initiator"));
    responder.advance(KEEPALIVE_MS);
    expect(responder.nextSent()?.message, transport("responder")[0].message, "first answer");
    for (const cookie of c.cookies) {
      if (cookie.to === "initiator") {
        giveCookie(recorded.bare("responder", cookie), c.initiation.message, cookie);
        takeCookie(recorded.bare("initiator", undefined, true), cookie);
      } else {
        const waiting = recorded.bare("initiator", cookie);
        waiting.nextSent();
        giveCookie(waiting, c.response.message, cookie);
      }
    }
    return true;
  },

  "noise-ikpsk2"(parts, c) {
    const index = (number) => hex(le32(number));
    const [ours, theirs] = [0x1a2b_3c4d, 0x5e6f_7081];
    const withMacs = (message, receiver) => message + mac1For(receiver, message) + NO_MAC2;
    const first = `01000000${index(ours)}${c.message1}`;
    const second = `02000000${index(theirs)}${index(ours)}${c.message2}`;
    const whole = {
      ...c,
      initiatorIndex: ours,
      responderIndex: theirs,
      initiation: { message: withMacs(first, c.responderStaticPublic) },
      response: { message: withMacs(second, c.initiatorStaticPublic) },
    };
    const handshake = new RecordedHandshake(parts, whole, c.payload1);
    const packets = (from, receiver) =>
      c.transport
        .filter((packet) => packet.from === from)
        .map(({ counter, plaintext, sealed }) => {
          const words = [counter % 2 ** 32, Math.floor(counter / 2 ** 32)].map(index);
          return { plaintext, message: header(receiver, words.join("")) + sealed };
        });
    takeTransport(handshake.initiator(), RESPONDER, packets("responder", ours));
    takeTransport(handshake.responder(), INITIATOR, packets("initiator", theirs));
    return true;
  },

  /** A lane's private key is the secret: it takes initiations whose mac1 is for the public key, and no others. */
  x25519(parts, { iterations, secret, point, shared }) {
    // A private key of zeros is none.
    if (iterations !== 0 || point !== `09${"00".repeat(31)}` || /^0*$/.test(secret)) return false;
    const driver = new LaneDriver(parts, { entropy: prescribed() });
    driver.set(`private_key=${secret}`);
    driver.up();
    const message = `01${"00".repeat(115)}`;
    driver.receive(INITIATOR, bytes(message + mac1For(shared, message) + NO_MAC2));
    expect(JSON.stringify(driver.drops()), '{"badHandshake":1}', "mac1 for the public key");
    driver.close();
    return true;
  },

  /** Neither an initiation to such a peer, nor an answer to an initiation with such an ephemeral key. */
  "low-order"(parts, { secret, point }) {
    const driver = new LaneDriver(parts, {
      entropy: prescribed("11".repeat(32), "01020304"),
    });
    const ours = driverPublic(parts, secret);
    driver.set(`private_key=${secret}`);
    driver.set(`public_key=${point}`, `endpoint=${RESPONDER}`, "persistent_keepalive_interval=1");
    driver.up();
    const message = `01000000${"07".repeat(4)}${point}${"00".repeat(76)}`;
    driver.receive(INITIATOR, bytes(message + mac1For(ours, message) + NO_MAC2));
    expect(driver.sent.length, 0, "datagrams sent");
    expect(JSON.stringify(driver.drops()), '{"badHandshake":1}', "the initiation is refused");
    driver.close();
    return true;
  },

  /** Under a session with this key, the lane opens the message in place; what is inside is no IP packet, and goes no further. */
  chacha20poly1305(parts, { key, nonce, ad, plaintext, sealed }) {
    if (ad !== "" || !nonce.startsWith("00000000")) return false;
    const { code, slab } = parts;
    const counter = nonce.slice(8);
    const isExhausted = Buffer.from(counter, "hex").readBigUInt64LE() >= COUNTER_LIMIT;
    const driver = new LaneDriver(parts, { entropy: prescribed() });
    driver.set(`private_key=${"41".repeat(32)}`, `public_key=${"09".padEnd(64, "0")}`);
    driver.up();
    const { state } = driver.iface.tunnel;
    const [peer] = state.allPeers();
    const { moment } = driver.lane;
    const keypair = new code.Keypair(peer.id, true, OUR_INDEX, 7, moment.now);
    keypair.receiveKey.set(bytes(key));
    code.installKeypair(state, peer, keypair, moment);
    const datagram = bytes(header(OUR_INDEX, counter) + sealed);
    for (const at of [8, 16, datagram.length - 1]) {
      const forged = datagram.slice();
      forged[at] ^= 1;
      driver.receive(RESPONDER, forged);
    }
    expect(JSON.stringify(driver.drops()), '{"badTag":3}', "forgeries");
    driver.receive(RESPONDER, datagram);
    const { badTag, counterExhausted = 0 } = driver.drops();
    expect(badTag, 3, "authentic");
    expect(counterExhausted, isExhausted ? 1 : 0, "beyond the last counter");
    expect(peer.rxBytes, isExhausted ? 0 : datagram.length, "bytes received");
    const at = code.slabLayout.inbound.offset + 16;
    expect(hex(slab.bytes.slice(at, at + datagram.length - 32)), plaintext, "opened in place");
    driver.close();
    return true;
  },
};

/** The session of wireguard-handshake.json's first case, for sets that need one: see {@link RecordedHandshake}. */
export function recordedSession(parts) {
  recordedCase ??= JSON.parse(
    readFileSync(new URL("../wireguard-handshake.json", import.meta.url), "utf8"),
  ).cases[0];
  return {
    c: recordedCase,
    handshake: new RecordedHandshake(parts, recordedCase, recordedCase.timestamp),
  };
}

let recordedCase;

/** Two ends of one recorded handshake, each played by a lane against the other's messages. */
class RecordedHandshake {
  #parts;
  #c;
  #wallMs;

  constructor(parts, c, timestamp) {
    this.#parts = parts;
    this.#c = c;
    // TAI64N is in steps of 2^24 ns; the middle of a millisecond within the step gives it again.
    const tai = Buffer.from(timestamp, "hex");
    this.#wallMs =
      Number(tai.readBigUInt64BE() - 0x4000_0000_0000_000an) * 1_000 +
      tai.readUInt32BE(8) / 1e6 +
      1;
  }

  /** A lane that initiated, took the response and sent its first packet, a keepalive. `settings`: more lines. */
  initiator(...settings) {
    const driver = this.bare("initiator", undefined, false, settings);
    expect(driver.nextSent()?.message, this.#c.initiation.message, "initiation");
    driver.receive(RESPONDER, bytes(this.#c.response.message));
    return driver;
  }

  /** A lane that took the initiation and answered. It may speak after the first packet. */
  responder(...settings) {
    const driver = this.bare("responder", undefined, false, settings);
    driver.receive(INITIATOR, bytes(this.#c.initiation.message));
    expect(driver.nextSent()?.message, this.#c.response.message, "response");
    return driver;
  }

  /**
   * A lane before the handshake; the initiator has sent its initiation. With a cookie it is under load, and draws what that cookie
   * was made of. `twice`: it will make the same initiation again; its wall clock stands still.
   */
  bare(role, cookie, twice = false, settings = []) {
    const c = this.#c;
    const isInitiator = role === "initiator";
    const made = isInitiator
      ? [c.initiatorEphemeralPrivate, le32(c.initiatorIndex), NO_JITTER]
      : [c.responderEphemeralPrivate, le32(c.responderIndex)];
    const forCookie = cookie === undefined ? [] : [cookie.secret, cookie.nonce];
    const driver = new LaneDriver(this.#parts, {
      wallMs: () => this.#wallMs,
      entropy: prescribed(
        ...(isInitiator ? [...made, ...forCookie] : [...forCookie, ...made]),
        ...(twice ? made : []),
      ),
    });
    driver.set(
      `private_key=${isInitiator ? c.initiatorStaticPrivate : c.responderStaticPrivate}`,
      `public_key=${isInitiator ? c.responderStaticPublic : c.initiatorStaticPublic}`,
      `preshared_key=${c.presharedKey}`,
      ...(isInitiator ? [`endpoint=${RESPONDER}`] : []),
      `persistent_keepalive_interval=${KEEPALIVE_MS / 1_000}`,
      ...settings,
    );
    driver.up();
    driver.isUnderLoad = cookie !== undefined;
    return driver;
  }
}

/** All are authentic; those that are not empty hold no IP packet. */
function takeTransport(driver, from, packets) {
  driver.receive(from, ...packets.map(({ message }) => bytes(message)));
  const withData = packets.filter(({ plaintext }) => plaintext !== "").length;
  expect(JSON.stringify(driver.drops()), JSON.stringify({ badInner: withData }), "drops");
}

/** Under load, the lane answers the message with the recorded cookie reply, and takes it when it comes again with mac2. */
function giveCookie(driver, message, cookie) {
  const from = cookie.address.length === 8 ? ipv4(cookie) : ipv6(cookie);
  driver.receive(from, bytes(message));
  const reply = driver.nextSent();
  expect(reply?.message, cookie.reply, "cookie reply");
  expect(reply.to, from, "cookie reply to");
  expect(driver.sent.length, 0, "more sent");
  driver.receive(from, bytes(cookie.messageWithMac2));
  expect(driver.sent.length, 1, "answers to the message with mac2");
}

/** The lane, given a cookie for its initiation, sends the very same one again, with mac2. */
function takeCookie(driver, cookie) {
  const first = driver.nextSent().message;
  driver.receive(RESPONDER, bytes(cookie.reply));
  expect(JSON.stringify(driver.drops()), "{}", "drops");
  driver.advance(REPEAT_MS);
  const again = driver.nextSent()?.message;
  expect(again, cookie.messageWithMac2, "initiation with mac2");
  expect(again.slice(0, -32), first.slice(0, -32), "the same initiation");
}

function ipv4({ address, port }) {
  return `${[...bytes(address)].join(".")}:${port}`;
}

function ipv6({ address, port }) {
  const groups = address.match(/.{4}/g).map((group) => Number.parseInt(group, 16).toString(16));
  return `[${groups.join(":").replace(/(^|:)0(:0)+(:|$)/, "::")}]:${port}`;
}

function driverPublic({ suite }, secret) {
  const out = new Uint8Array(32);
  suite.publicKey(out, bytes(secret));
  return hex(out);
}
