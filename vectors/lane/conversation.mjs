/**
 * A recorded conversation, with one of its two sides played by a lane: what its application and the other side sent is fed in at the time
 * at which it came; what it sends and delivers must be the tape's, byte for byte, at the same millisecond and to the same place.
 *
 * What the recorded side drew at random is on the tape. Jitter is not: it shows in when its next initiation left.
 */
import { bytes, expect, le32 } from "../bytes.mjs";
import { LaneDriver } from "./driver.mjs";

/** Whitepaper 6.1 and 6.5: after how long an initiation is repeated, and a silent peer's session renewed; up to 333 ms more. */
const REPEAT_MS = 5_000;
const RENEW_MS = 15_000;
const JITTER_MAX_MS = 333;
/** A flood brings the first; the second is what a cookie reply is sent for. Anything else dropped would be a fault. */
const DROPS_EXPECTED = ["badMac1", "cookieDemanded"];

export function playConversation(parts, tape, role) {
  const own = tape[role];
  const other = tape[role === "initiator" ? "responder" : "initiator"];
  const draws = new Draws(tape, role);
  const driver = new LaneDriver(parts, {
    wallMs: tape.wallMs,
    mtu: tape.mtu,
    entropy: (out) => draws.fill(out, driver.at),
  });
  driver.set(
    `private_key=${own.private}`,
    `public_key=${other.public}`,
    `preshared_key=${tape.presharedKey}`,
    `persistent_keepalive_interval=${own.persistentKeepalive}`,
    ...(own.peerEndpoint === undefined ? [] : [`endpoint=${own.peerEndpoint}`]),
    ...own.allowedIps.map((prefix) => `allowed_ip=${prefix}`),
  );
  driver.up();
  const byNumber = new Map();
  for (const event of tape.events) {
    const where = `${role}, ${event.at} ms, ${event.kind} ${event.number ?? ""}`;
    driver.advance(event.at);
    if (event.kind === "datagram") byNumber.set(event.number, event);
    if (event.kind === "end") break;
    if (event.kind === "arrival") {
      if (event.side === role) deliver(driver, byNumber.get(event.number));
    } else if (event.side === role) {
      perform(driver, event, where);
    } else if (event.kind === "datagram" && event.fate === undefined) {
      deliver(driver, event);
    }
  }
  expect(JSON.stringify(driver.sent), "[]", `${role}: sent beyond the tape`);
  expect(JSON.stringify(driver.delivered), "[]", `${role}: delivered beyond the tape`);
  const drops = Object.keys(driver.drops()).filter((name) => !DROPS_EXPECTED.includes(name));
  expect(drops.join(), "", `${role}: drops`);
  draws.expectAllUsed();
  driver.close();
}

function deliver(driver, { from, message }) {
  driver.receive(from, bytes(message));
}

/** What the tape says of the lane's own side: fed in, or expected. */
function perform(driver, event, where) {
  if (event.kind === "inner") driver.sendInner(bytes(event.packet));
  else if (event.kind === "load") driver.isUnderLoad = event.on;
  else if (event.kind === "delivered") expect(driver.delivered.shift(), event.packet, where);
  else if (event.kind === "datagram") {
    const sent = driver.nextSent();
    expect(sent?.message, event.message, where);
    expect(sent.to, event.to, `${where}: to`);
    expect(sent.at, event.at, `${where}: sent at`);
  }
}

/** Gives the lane what the recorded side drew: 32 bytes of a key, 24 of a nonce, or 4 of an index or for jitter. */
class Draws {
  #made;
  #next = 0;
  #isIndexDue = false;
  /** The initiation whose time to repetition is drawn next. */
  #initiation;

  constructor({ events }, role) {
    this.#made = events.filter(
      ({ kind, side, index, nonce }) =>
        kind === "datagram" && side === role && (index !== undefined || nonce !== undefined),
    );
  }

  fill(out, at) {
    if (out.length === 4) {
      out.set(le32(this.#word(at)));
      return;
    }
    const made = this.#made[this.#next];
    if (made === undefined) throw new Error(`at ${at} ms: a message that is not on the tape`);
    if (out.length === 24) {
      out.set(bytes(made.nonce));
      this.#next++;
      return;
    }
    out.set(bytes(made.ephemeral ?? made.secret));
    this.#isIndexDue = made.ephemeral !== undefined;
  }

  expectAllUsed() {
    expect(this.#next, this.#made.length, "messages made");
  }

  #word(at) {
    if (this.#isIndexDue) {
      this.#isIndexDue = false;
      const made = this.#made[this.#next++];
      if (made.message.startsWith("01")) this.#initiation = made;
      return made.index;
    }
    const base = this.#initiation === undefined ? at + RENEW_MS : this.#initiation.at + REPEAT_MS;
    this.#initiation = undefined;
    const later = this.#made.slice(this.#next).find(({ at: then, message }) => {
      return message.startsWith("01") && then >= base && then <= base + JITTER_MAX_MS;
    });
    return later === undefined ? 0 : later.at - base;
  }
}
