/**
 * The sets without cryptography through the whole lane: counters arrive as datagrams under a recorded session, and what comes out of TUN
 * is what the case says; prefixes decide which inner packets pass, inward and outward; under load, sources are held to their rate.
 */
import {
  bytes,
  expect,
  HEADER,
  hex,
  mac2For,
  openTransport,
  TAG,
  transportMessage,
} from "../bytes.mjs";
import { counters } from "../tables.mjs";
import { innerPacket, LaneDriver, prescribed } from "./driver.mjs";
import { INITIATOR, RESPONDER, recordedSession } from "./handshakes.mjs";

const BATCH = 16;
const PAYLOAD = new Uint8Array(8).fill(0x5a);
const INNER_V4 = Uint8Array.of(10, 0, 0, 1);
const INNER_V6 = bytes("fd000000000000000000000000000001");

/** name of the set -> its check of parts { suite, cipher, slab, code } */
export const laneTableChecks = {
  "replay-counter"(parts, { steps }) {
    for (const role of ["responder", "initiator"]) {
      const session = open(parts, role, "allowed_ip=10.0.0.1/32");
      let batch = [];
      for (const step of counters(steps)) {
        batch.push(step);
        if (batch.length === BATCH) batch = takeCounters(session, role, batch);
      }
      takeCounters(session, role, batch);
      session.driver.close();
    }
    return true;
  },

  "allowed-ips"(parts, { steps }) {
    // Each peer in turn is the one with a session, so that each answer is seen: let through as its own, and as another's not.
    for (const mine of new Set(steps.map(({ peer }) => peer))) {
      if (mine !== "") playRoutes(open(parts, "responder"), parts.code, steps, mine);
    }
    return true;
  },

  "rate-limiter"(parts, { fill, steps }) {
    if (fill) return false;
    const { c } = recordedSession(parts);
    const secret = "5c".repeat(32);
    const driver = new LaneDriver(parts, {
      entropy: prescribed(secret, "11".repeat(24), c.responderEphemeralPrivate, "01020304"),
    });
    driver.set(
      `private_key=${c.responderStaticPrivate}`,
      `public_key=${c.initiatorStaticPublic}`,
      `preshared_key=${c.presharedKey}`,
    );
    driver.up();
    driver.isUnderLoad = true;
    const initiation = bytes(c.initiation.message);
    // The first demand of a cookie makes the secret; the load that it tells of lasts for a second more.
    driver.receive("203.0.113.9:1", initiation);
    expect(driver.nextSent()?.message.slice(0, 8), "03000000", "cookie reply");
    driver.isUnderLoad = false;
    let answers = 0;
    for (const { number = "", at, source, allowed } of steps) {
      driver.advance(at);
      const isV6 = source.includes(":");
      const { bytes: address } = parts.code.parseAddress(source);
      const from = Buffer.concat([address.subarray(0, isV6 ? 16 : 4), Uint8Array.of(0, 9)]);
      const mac2 = mac2For(bytes(secret), from, initiation.subarray(0, -16));
      const [limited, refused] = [driver.dropped("rateLimited"), driver.dropped("badHandshake")];
      driver.receive(
        isV6 ? `[${source}]:9` : `${source}:9`,
        Buffer.concat([initiation.subarray(0, -16), mac2]),
      );
      const where = `${number} at ${at} ms: ${source}`;
      expect(driver.dropped("rateLimited") - limited, allowed ? 0 : 1, `${where}: refused`);
      // The first of them all is answered; the others are its replays, and are seen to be.
      const answered = driver.sent.splice(0).length;
      const replays = driver.dropped("badHandshake") - refused;
      expect(answered + replays, allowed ? 1 : 0, `${where}: looked at`);
      answers += answered;
    }
    expect(answers, 1, "answers");
    driver.close();
    return true;
  },
};

/** A lane with the recorded session, as one of its sides. */
function open(parts, role, ...settings) {
  const { c, handshake } = recordedSession(parts);
  const isInitiator = role === "initiator";
  const driver = handshake[role](...settings);
  driver.sent.length = 0;
  return {
    driver,
    from: isInitiator ? RESPONDER : INITIATOR,
    receiveKey: bytes(isInitiator ? c.responderSendKey : c.initiatorSendKey),
    sendKey: bytes(isInitiator ? c.initiatorSendKey : c.responderSendKey),
    index: isInitiator ? c.initiatorIndex : c.responderIndex,
    peerKey: isInitiator ? c.responderStaticPublic : c.initiatorStaticPublic,
    counter: 0n,
    refused: 0,
  };
}

function sealed(session, counter, packet) {
  const padded = new Uint8Array((packet.length + 15) & ~15);
  padded.set(packet);
  const low = Buffer.alloc(8);
  low.writeBigUInt64LE(counter);
  return transportMessage(session.receiveKey, session.index, low.toString("hex"), padded);
}

/** A batch arrives at once; each packet bears its number. Returns the next batch, empty. */
function takeCounters(session, role, batch) {
  const { driver } = session;
  const datagrams = batch.map(({ number, counter }) => {
    const payload = new Uint8Array(4);
    new DataView(payload.buffer).setUint32(0, number);
    return sealed(session, counter, innerPacket(2, INNER_V4, INNER_V4, payload));
  });
  driver.receive(session.from, ...datagrams);
  const taken = driver.delivered.splice(0).map((packet) => Number.parseInt(packet.slice(-8), 16));
  const wanted = batch.filter(({ accepted }) => accepted).map(({ number }) => number);
  expect(taken.join(), wanted.join(), `${role}: numbers of ${batch[0]?.number} on that came out`);
  session.refused += batch.length - wanted.length;
  const { replay = 0, counterExhausted = 0, ...others } = driver.drops();
  expect(replay + counterExhausted, session.refused, `${role}: refused`);
  expect(Object.keys(others).join(), "", `${role}: other drops`);
  return [];
}

function playRoutes(session, code, steps, mine) {
  const { driver } = session;
  const keyOf = (name) => (name === mine ? session.peerKey : publicKeyOf(name));
  for (const step of steps) {
    const { number = "", peer } = step;
    if (step.do === "insert") {
      driver.set(`public_key=${keyOf(peer)}`, `allowed_ip=${step.prefix}`);
    } else if (step.do === "remove-peer") {
      driver.set(`public_key=${keyOf(peer)}`, "replace_allowed_ips=true");
    } else if (step.do === "list") {
      if (peer === mine) expectList(driver, session.peerKey, step);
    } else {
      const where = `${number}: ${step.address}, which is ${peer}'s, as seen by ${mine}`;
      const address = code.parseAddress(step.address);
      expectInward(session, address, peer === mine, where);
      expectOutward(session, address, peer, mine, where);
    }
  }
  driver.close();
}

/** A packet from this source under the session of `mine`. */
function expectInward(session, { family, bytes: source }, isMine, where) {
  const { driver } = session;
  const packet = innerPacket(family, source, family === 2 ? INNER_V4 : INNER_V6, PAYLOAD);
  const before = driver.dropped("wrongSource");
  driver.receive(session.from, sealed(session, session.counter++, packet));
  expect(driver.delivered.splice(0).join(), isMine ? hex(packet) : "", `${where}: delivered`);
  expect(driver.dropped("wrongSource") - before, isMine ? 0 : 1, `${where}: wrong source`);
  // The keepalive that confirms the session.
  driver.sent.length = 0;
}

/** A packet to this destination: only `mine` has a session, the others have no endpoint. */
function expectOutward(session, { family, bytes: destination }, peer, mine, where) {
  const { driver } = session;
  const packet = innerPacket(family, family === 2 ? INNER_V4 : INNER_V6, destination, PAYLOAD);
  const [noRoute, noEndpoint] = [driver.dropped("noRoute"), driver.dropped("noEndpoint")];
  driver.sendInner(packet);
  const sent = driver.sent.splice(0);
  // An ICMP message may tell the sender that it goes nowhere.
  driver.delivered.length = 0;
  const isOthers = peer !== "" && peer !== mine;
  expect(sent.length, peer === mine ? 1 : 0, `${where}: sent`);
  expect(driver.dropped("noRoute") - noRoute, peer === "" ? 1 : 0, `${where}: no route`);
  expect(driver.dropped("noEndpoint") - noEndpoint, isOthers ? 1 : 0, `${where}: another's`);
  if (peer !== mine) return;
  const message = bytes(sent[0].message);
  expect(message.length, HEADER + ((packet.length + 15) & ~15) + TAG, `${where}: length`);
  const opened = openTransport(session.sendKey, message);
  expect(hex(opened.subarray(0, packet.length)), hex(packet), `${where}: what was sent`);
}

function expectList(driver, key, { number = "", peer, prefixes = [] }) {
  const section =
    driver
      .get()
      .split("public_key=")
      .find((text) => text.startsWith(key)) ?? "";
  const listed = [...section.matchAll(/^allowed_ip=(.*)$/gm)].map(([, prefix]) => prefix);
  expect(listed.sort().join(), prefixes.join(), `${number}: list of ${peer}`);
}

/** Keys of peers that never speak: the name, repeated. */
function publicKeyOf(name) {
  return Buffer.alloc(32, `${name} `).toString("hex");
}
