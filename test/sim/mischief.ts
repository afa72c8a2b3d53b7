/** What the rogue does of its own accord, one act at a time; each with what a host may make of it. */
import { MAC_BYTES } from "../../src/crypto/suite.ts";
import { CookieChecker } from "../../src/session/cookie.ts";
import { type Identity, labelKey } from "../../src/session/identity.ts";
import type { Keypair } from "../../src/session/keypair.ts";
import { COOKIE_REPLY_BYTES, INITIATION_BYTES, RESPONSE_BYTES } from "../../src/wire/layout.ts";
import type { Host } from "./host.ts";
import { lowOrderSuite } from "./low-order.ts";
import { recordOf } from "./node.ts";
import type { Act, Rogue } from "./rogue.ts";

/** What the rogue can lay its hands on. */
export interface Stage {
  readonly now: number;
  count(name: string): void;
  /** Datagrams of others. */
  readonly seen: readonly {
    readonly bytes: Uint8Array;
    readonly from: string;
    readonly to: string;
  }[];
  /** A true inner packet for `host`; `source` undefined: from the rogue itself, else a lie. */
  packet(host: Host, source: string | undefined, length: number): Uint8Array;
}

type Mischief = (rogue: Rogue, host: Host, stage: Stage) => Act | undefined;

/** A million is beyond any window. */
const FAR = 1_000_000;
const TOP = 0xffff_ffff;

/** Begins a session, as anybody would. */
const initiate: Mischief = (rogue, host, { now }) => ({
  what: "initiates",
  messages: [rogue.initiation(host, now)],
  effect: "own",
});

const replayInitiation: Mischief = (rogue, host) => {
  const relation = rogue.relation(host);
  if (relation.initiations.length === 0) return undefined;
  const { message, epoch, index } = rogue.dice.pick(relation.initiations);
  // One that was answered, or is older than one that was: by this very host, since when it knows of it.
  const isOld = relation.answeredEpoch === host.epoch && index <= relation.answered;
  return {
    what: `repeats initiation ${index} of epoch ${epoch}`,
    messages: [message],
    effect: isOld ? "nothing" : "own",
  };
};

const backdated: Mischief = (rogue, host, { now }) => {
  if (rogue.relation(host).answeredEpoch !== host.epoch) return undefined;
  const backMs = 60_000 + rogue.dice.below(1_000_000);
  // Older than what was answered by as much as time has passed since then, at the least.
  const message = rogue.initiation(host, now, backMs + now);
  return { what: "initiates with an old timestamp", messages: [message], effect: "nothing" };
};

const burst: Mischief = (rogue, host, { now }) => ({
  what: "initiates many times at once",
  messages: Array.from({ length: 3 + rogue.dice.below(6) }, () => rogue.initiation(host, now)),
  effect: "once",
});

const respondToNothing: Mischief = (rogue, host) => {
  const message = rogue.dice.bytes(RESPONSE_BYTES);
  message.set([2, 0, 0, 0]);
  return { what: "answers nothing", messages: [withMac1(rogue, host, message)], effect: "nothing" };
};

/** The index of somebody else's session, under the rogue's own key. */
const wrongIndex: Mischief = (rogue, host, { seen }) => {
  const keypair = newest(rogue, host);
  if (keypair === undefined) return undefined;
  const message = rogue.transport(keypair, 0, rogue.dice.below(100), new Uint8Array(16));
  const other = seen.find(({ bytes, to }) => bytes[0] === 4 && to === host.link.address);
  if (other === undefined || rogue.dice.chance(0.3)) message.set(rogue.dice.bytes(4), 4);
  else message.set(other.bytes.subarray(4, 8), 4);
  const isOwn = message.subarray(4, 8).every((byte, at) => byte === indexBytes(keypair)[at]);
  return {
    what: "speaks to an index of another",
    messages: [message],
    effect: isOwn ? "own" : "nothing",
  };
};

const lowOrder: Mischief = (rogue, host, { now }) => {
  const messages = [
    // Makes sure that the static-static secret is a true one.
    rogue.initiation(host, now, now + 3_600_000),
    rogue.initiation(host, now, 0, lowOrderSuite(rogue.tools.suite, rogue.dice)),
  ];
  return {
    what: "initiates with a point of low order",
    messages: [messages[1]!],
    effect: "nothing",
  };
};

const speak: Mischief = (rogue, host, stage) => {
  const keypair = newest(rogue, host);
  if (keypair === undefined) return undefined;
  const relation = rogue.relation(host);
  const messages = [40, 400, 60_000].map((length) =>
    rogue.speak(relation, keypair, padded(stage.packet(host, undefined, length))),
  );
  return { what: "speaks", messages, effect: "own" };
};

const lie: Mischief = (rogue, host, stage) => {
  const keypair = newest(rogue, host);
  const other = rogue.dice.pick([...host.owners.keys(), "192.168.0.1", "0.0.0.0"]);
  if (keypair === undefined || other === rogue.inner) return undefined;
  const packet = stage.packet(host, other, 84);
  const message = rogue.speak(rogue.relation(host), keypair, padded(packet));
  return { what: `says that it is ${other}`, messages: [message], effect: "own" };
};

/** Counters that are far ahead, at the end, past it, and behind. */
const counters: Mischief = (rogue, host, stage) => {
  const keypair = newest(rogue, host);
  if (keypair === undefined) return undefined;
  const [first, second] = [84, 84].map((length) => padded(stage.packet(host, undefined, length)));
  const [hi, lo] = rogue.dice.pick([
    [0, FAR],
    [0x8000_0000, 0],
    [TOP, 0xffff_dffe],
    [TOP, 0xffff_dfff],
    [TOP, TOP],
    [0, 0],
  ] as const);
  const messages = [
    rogue.transport(keypair, hi, lo, first!),
    rogue.transport(keypair, 0, 1, second!),
  ];
  return { what: `counts ${hi},${lo} and then 0,1`, messages, effect: "own" };
};

const rejectedCounter: Mischief = (rogue, host, stage) => {
  const keypair = newest(rogue, host);
  if (keypair === undefined) return undefined;
  const packet = padded(stage.packet(host, undefined, 84));
  const lo = rogue.dice.pick([0xffff_dfff, 0xffff_e000, TOP]);
  return {
    what: `counts ${lo} of 2^64`,
    messages: [rogue.transport(keypair, TOP, lo, packet)],
    effect: "nothing",
  };
};

const replay: Mischief = (rogue, host) => {
  const { sent } = rogue.relation(host);
  if (sent.length === 0) return undefined;
  const message = rogue.dice.pick(sent);
  return { what: "repeats itself", messages: [message, message, message], effect: "own" };
};

const oldSession: Mischief = (rogue, host, stage) => {
  const relation = rogue.relation(host);
  if (relation.sessions.length < 2) return undefined;
  const keypair = rogue.dice.pick(relation.sessions);
  const packet = padded(stage.packet(host, undefined, 84));
  return {
    what: "speaks under an old key",
    messages: [rogue.speak(relation, keypair, packet)],
    effect: "own",
  };
};

/** Sealed as it should be, but no packet inside. */
const badInside: Mischief = (rogue, host) => {
  const keypair = newest(rogue, host);
  if (keypair === undefined) return undefined;
  const { dice } = rogue;
  const relation = rogue.relation(host);
  const header = (version: number, length: number, bytes: number): Uint8Array => {
    const packet = new Uint8Array(bytes);
    packet[0] = (version << 4) | 5;
    new DataView(packet.buffer).setUint16(2, length);
    packet.set(rogue.inner.split(".").map(Number), 12);
    return packet;
  };
  const payloads = [
    dice.bytes(1 + dice.below(19)).fill(0x45, 0, 1),
    header(4, 1_000, 32),
    header(4, 19, 32),
    header(4, 0, 32),
    header(5, 32, 32),
    header(6, 32, 48),
    header(0, 32, 32),
    header(4, 0xffff, 60_000),
  ];
  const messages = payloads.map((payload) => rogue.speak(relation, keypair, payload));
  return { what: "sends what is no packet", messages, effect: "own" };
};

/** True messages, longer or shorter than they may be, or with reserved bytes. */
const misSized: Mischief = (rogue, host, { now }) => {
  const { dice } = rogue;
  const initiation = rogue.initiation(host, now);
  const keypair = newest(rogue, host);
  const transport = keypair && rogue.transport(keypair, TOP, 0, dice.bytes(32));
  const messages = [initiation, ...(transport === undefined ? [] : [transport])].flatMap(
    (message) => {
      const reserved = message.slice();
      reserved[1 + dice.below(3)] = 1 + dice.below(255);
      return [
        message.slice(0, dice.below(message.length)),
        Uint8Array.of(...message, ...dice.bytes(1 + dice.below(64))),
        reserved,
      ];
    },
  );
  messages.push(new Uint8Array(0), new Uint8Array(65_507).fill(4, 0, 1));
  return { what: "sends messages of wrong sizes", messages, effect: "nothing" };
};

/** Who sees an initiation can make a cookie reply to it: that much is not authentic, and changes the cookie alone. */
const forgedCookie: Mischief = (rogue, host, { seen, now }) => {
  const initiation = seen.findLast(
    ({ bytes, from }) => bytes[0] === 1 && from === host.link.address,
  );
  if (initiation === undefined) return undefined;
  const { suite } = rogue.tools;
  const messages = [...host.peers.values()].map((publicKey) => {
    const reply = new Uint8Array(COOKIE_REPLY_BYTES);
    const identity = { cookieKey: labelKey(suite, "cookie", publicKey) } as Identity;
    const sender = new DataView(initiation.bytes.buffer, initiation.bytes.byteOffset).getUint32(
      4,
      true,
    );
    new CookieChecker(suite).reply(
      reply,
      identity,
      initiation.bytes,
      sender,
      recordOf("203.0.113.9:9"),
      now,
      (out) => out.set(rogue.dice.bytes(out.length)),
    );
    return reply;
  });
  return { what: "makes a cookie reply to another's initiation", messages, effect: "nothing" };
};

/** More than a host works off: it is under load, and asks for cookies. */
const junk: Mischief = (rogue, host) => {
  const message = rogue.dice.bytes(INITIATION_BYTES);
  message.set([1, 0, 0, 0]);
  message.fill(0, INITIATION_BYTES - MAC_BYTES);
  const messages = new Array<Uint8Array>(160).fill(withMac1(rogue, host, message));
  return { what: "floods", messages, effect: "nothing" };
};

/** A flood with mac2 of no cookie: the queue fills to its end. */
const fullQueue: Mischief = (rogue) => {
  const message = rogue.dice.bytes(INITIATION_BYTES);
  message.set([1, 0, 0, 0]);
  return {
    what: "floods to the end",
    messages: new Array<Uint8Array>(1_200).fill(message),
    effect: "nothing",
  };
};

export const ACTS: readonly (readonly [weight: number, mischief: Mischief])[] = [
  [6, initiate],
  [2, replayInitiation],
  [2, backdated],
  [1, burst],
  [2, respondToNothing],
  [2, wrongIndex],
  [2, lowOrder],
  [4, speak],
  [3, lie],
  [2, counters],
  [2, rejectedCounter],
  [3, replay],
  [2, oldSession],
  [2, badInside],
  [2, misSized],
  [2, forgedCookie],
  [1, junk],
  [0.3, fullQueue],
];
const WEIGHT = ACTS.reduce((sum, [weight]) => sum + weight, 0);

/** The next act, or undefined: it was not possible. */
export function nextAct(rogue: Rogue, host: Host, stage: Stage): Act | undefined {
  let at = rogue.dice.next() * WEIGHT;
  for (const [weight, mischief] of ACTS) {
    at -= weight;
    if (at >= 0) continue;
    const act = mischief(rogue, host, stage);
    if (act !== undefined) stage.count(mischief.name);
    return act;
  }
  return undefined;
}

function newest(rogue: Rogue, host: Host): Keypair | undefined {
  return rogue.relation(host).sessions.at(-1);
}

function padded(packet: Uint8Array): Uint8Array {
  const bytes = new Uint8Array((packet.length + 15) & ~15);
  bytes.set(packet);
  return bytes;
}

function indexBytes({ remoteIndex }: Keypair): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, remoteIndex, true);
  return bytes;
}

/** Anybody who knows a public key can make a right mac1. */
function withMac1(rogue: Rogue, host: Host, message: Uint8Array): Uint8Array {
  const at = message.length - 2 * MAC_BYTES;
  const mac1 = message.subarray(at, at + MAC_BYTES);
  rogue.tools.suite.mac(mac1, rogue.relation(host).mac1Key, message.subarray(0, at));
  return message;
}
