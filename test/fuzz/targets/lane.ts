/**
 * Datagrams into a lane: a script of what peers send, what the network makes of it, what strangers add, how time passes, what is set
 * and what the kernel refuses. The checks are in `lane/world.ts` and `lane/checks.ts`.
 */
import { recordOf } from "../../sim/node.ts";
import { ipv4Packet } from "../../sim/packets.ts";
import { Checks } from "../lane/checks.ts";
import { sealed } from "../lane/seal.ts";
import { clean } from "../lane/tools.ts";
import { type Flying, type Friend, INNER, World } from "../lane/world.ts";
import { Script } from "../script.ts";
import type { Note, Target } from "../target.ts";

const EVENTS_MAX = 100;
const STRANGE = "198.51.100.9:9";
/** Milliseconds: the deadlines of the protocol lie between these. */
const SPANS = [
  1, 20, 100, 999, 2_000, 5_000, 5_400, 10_000, 15_000, 25_000, 90_000, 120_000, 165_000, 180_000,
  540_000,
];
const JUMPS = [0, -3_600_000, 3_600_000, -1, 86_400_000];
const LENGTHS = [20, 28, 100, 1_400, 1_420, 1_500, 64];
const MTUS = [1_420, 1_280, 576, 68, 9_000, 0];
const SETTINGS = [
  "private_key=K",
  "private_key=0",
  "private_key=O",
  "listen_port=0",
  "listen_port=1",
  "listen_port=51820",
  "fwmark=3",
  "replace_peers=true",
  "PEER",
  "PEER\nremove=true",
  "PEER\nupdate_only=true\npersistent_keepalive_interval=1",
  "PEER\nreplace_allowed_ips=true\nallowed_ip=0.0.0.0/0",
  "PEER\nallowed_ip=-INNER/32",
  "PEER\nallowed_ip=10.0.0.0/24",
  "PEER\npreshared_key=P",
  "PEER\npersistent_keepalive_interval=0",
  "PEER\npersistent_keepalive_interval=25",
  "PEER\nendpoint=ADDRESS",
  "PEER\nendpoint=[2001:db8::9]:9",
  "PEER\nendpoint=203.0.113.1:0",
  "PEER\nendpoint=[fe80::1%no]:1",
  "PEER\nallowed_ip=bad",
  "nonsense",
];

type Event = (world: World, script: Script) => void;

let mark = 0;

function pickFriend(world: World, script: Script): Friend {
  return world.friends[script.below(8) % 3]!;
}

/** Friends send inner packets by their own tunnels. */
const friendSends: Event = (world, script) => {
  const friend = pickFriend(world, script);
  const count = 1 + script.below(4);
  const length = script.pick(LENGTHS);
  const from = script.below(8) === 7 ? script.pick(INNER) : friend.inner;
  const packets = Array.from({ length: count }, () => ipv4Packet(from, "10.0.0.1", length, mark++));
  for (const packet of packets) world.expect(friend, packet);
  friend.node.send(...packets);
  world.collect();
};

/** A friend with a session seals whatever it likes. */
const friendSealsOddly: Event = (world, script) => {
  const friend = pickFriend(world, script);
  const [peer] = friend.node.tunnel.state.allPeers();
  const session = peer?.current;
  if (session?.maySend(world.subject.waiter.now) !== true) return;
  const packet = ipv4Packet(friend.inner, "10.0.0.1", 20 + script.below(60), mark++);
  const how = script.below(6);
  if (how < 4 && packet.length > 0) packet[script.below(24) % packet.length]! ^= script.byte();
  const plain = how === 4 ? script.bytes(script.below(40)) : packet;
  if (how === 5) session.sendLo = (session.sendLo + script.word()) >>> 0;
  world.expect(friend, plain);
  const tos = script.byte();
  world.launch({ bytes: sealed(session, plain), from: friend.address, tos }, true);
};

const subjectSends: Event = (world, script) => {
  const to = script.below(8) === 7 ? "10.9.9.9" : script.pick(INNER);
  const count = 1 + script.below(script.flag() ? 4 : 200);
  const length = script.pick(LENGTHS);
  const packets = Array.from({ length: count }, () =>
    ipv4Packet("10.0.0.1", to, length, mark++, script.byte()),
  );
  world.sendFromSubject(...(script.flag() ? [packets] : packets.map((packet) => [packet])));
};

/** What flies to the subject arrives: some, in order or not, single or merged. */
const arrive: Event = (world, script) => {
  const count = 1 + script.below(16);
  const isReversed = script.flag();
  const isMerged = script.flag();
  const taken = world.toSubject.splice(0, count);
  if (isReversed) taken.reverse();
  const messages: Flying[][] = [];
  for (const flying of taken) {
    const last = messages.at(-1);
    // As UDP_GRO merges: one source, all of the first one's size but for a shorter last.
    const mayMerge =
      isMerged &&
      last !== undefined &&
      last[0]!.from === flying.from &&
      last.at(-1)!.bytes.length === last[0]!.bytes.length &&
      flying.bytes.length <= last[0]!.bytes.length;
    if (mayMerge) last.push(flying);
    else messages.push([flying]);
  }
  world.receive(messages);
};

const arriveAtFriends: Event = (world, script) => {
  for (const { datagram, friend } of world.toFriends.splice(0, 1 + script.below(16))) {
    friend.node.receive(datagram);
    friend.node.delivered.length = 0;
  }
  world.collect();
};

const lose: Event = (world, script) => {
  const list: unknown[] = script.flag() ? world.toSubject : world.toFriends;
  list.splice(0, 1 + script.below(8));
};

const repeat: Event = (world, script) => {
  if (world.seen.length === 0) return;
  const flying = script.pick(world.seen);
  const copies = 1 + script.below(script.flag() ? 2 : 200);
  const from = script.flag() ? flying.from : STRANGE;
  for (let sent = 0; sent < copies; sent += 16) {
    const portion = Math.min(16, copies - sent);
    world.receive(Array.from({ length: portion }, () => [{ ...flying, from }]));
  }
};

/** A true datagram, changed where its authenticity does not allow it. */
const forge: Event = (world, script) => {
  if (world.seen.length === 0) return;
  const base = script.pick(world.seen);
  const how = script.below(4);
  const at = script.below(Math.max(1, base.bytes.length));
  let bytes = base.bytes.slice();
  if (how < 2) bytes[at]! ^= 1 + script.below(255);
  else if (how === 2) bytes = bytes.slice(0, at);
  else bytes = Uint8Array.of(...bytes, ...script.bytes(1 + script.below(32)));
  // mac2 is looked at under load only, and a datagram that grew into another true one is none.
  const isLoose = (bytes[0] === 1 && at >= 132) || (bytes[0] === 2 && at >= 76);
  if ((how < 2 && isLoose) || world.isAuthentic(bytes)) return;
  world.receiveForged({ bytes, from: script.flag() ? base.from : STRANGE, tos: script.byte() });
};

const noise: Event = (world, script) => {
  const bytes = script.bytes(script.below(200));
  if (script.flag())
    bytes.set(Uint8Array.of(1 + script.below(4), 0, 0, 0).subarray(0, bytes.length));
  const sizes = [148, 92, 64, 32, bytes.length];
  const sized = new Uint8Array(script.pick(sizes));
  sized.set(bytes.subarray(0, sized.length));
  if (!world.isAuthentic(sized)) world.receiveForged({ bytes: sized, from: STRANGE, tos: 0 });
};

const pass: Event = (world, script) => {
  const ms = script.pick(SPANS) + script.below(16);
  const jump = script.below(8) === 7 ? script.pick(JUMPS) : 0;
  world.pass(ms, ms + jump);
};

const configure: Event = (world, script) => {
  const friend = pickFriend(world, script);
  const key = Buffer.from(friend.node.publicKey).toString("hex");
  const lines = Array.from({ length: 1 + script.below(3) }, () => script.pick(SETTINGS));
  const text = lines
    .join("\n")
    .replaceAll("PEER", `public_key=${key}`)
    .replaceAll("INNER", friend.inner)
    .replaceAll("ADDRESS", friend.address)
    .replaceAll("=K", `=${"40".repeat(32)}`)
    .replaceAll("=O", `=${"48".repeat(32)}`)
    .replaceAll("=P", `=${"77".repeat(32)}`)
    .replaceAll("private_key=0", `private_key=${"0".repeat(64)}`);
  world.note(world.subject.configure(`set=1\n${text}\n\n`).trim());
  world.turn();
  world.subject.configure("get=1\n\n");
};

const link: Event = (world, script) => {
  const { tun } = world.subject;
  if (script.flag()) tun.isUp = !tun.isUp;
  else tun.mtu = script.pick(MTUS);
  world.turn();
};

const refuse: Event = (world, script) => {
  const { tun, udp } = world.subject;
  udp.failures = script.below(8);
  tun.refuses = script.below(4);
  udp.shedStatus = script.flag() ? 0 : -1;
};

const restart: Event = (world, script) => world.restart(pickFriend(world, script));

/** Many from one source: what a flood of initiations is. */
const flood: Event = (world, script) => {
  const base = world.seen.find(({ bytes }) => bytes[0] === 1);
  if (base === undefined) return;
  const bytes = base.bytes.slice();
  bytes[131]! ^= 1;
  const from = `198.51.100.${script.below(4)}:7`;
  const portions = 1 + script.below(script.flag() ? 4 : 40);
  for (let portion = 0; portion < portions; portion++) {
    world.subject.udp.put({
      parts: Array.from({ length: 64 }, () => bytes),
      from: recordOf(from),
      tos: 0,
    });
  }
  world.turn();
};

const EVENTS: readonly Event[] = [
  friendSends,
  subjectSends,
  arrive,
  arrive,
  arriveAtFriends,
  arriveAtFriends,
  pass,
  forge,
  repeat,
  noise,
  friendSealsOddly,
  configure,
  lose,
  link,
  refuse,
  restart,
  flood,
];

function run(input: Uint8Array, note: Note): void {
  clean();
  mark = 0;
  const script = new Script(input);
  const world = new World(note);
  const checks = new Checks();
  let before = "";
  for (let count = 0; count < EVENTS_MAX && !script.isOver; count++) {
    const event = script.pick(EVENTS);
    event(world, script);
    checks.between(world);
    note(`${before} then ${EVENTS.indexOf(event)}`);
    before = String(EVENTS.indexOf(event));
  }
  for (const { node } of world.friends) node.tunnel.close();
  world.subject.iface.close();
  checks.afterClose(world);
}

export const laneTarget: Target = {
  name: "lane",
  sources: /\/src\/(tunnel|session|lane|bytes|wire|route)\//,
  batch: 8,
  maxBytes: 500,
  dictionary: [],
  seeds: [
    // A handshake, a packet each way, and one again.
    Uint8Array.of(
      0,
      0,
      0,
      2,
      2,
      0,
      0,
      0,
      4,
      0,
      2,
      0,
      0,
      0,
      1,
      0,
      0,
      0,
      2,
      4,
      0,
      8,
      0,
      0,
      0,
      1,
      0,
      6,
      5,
      0,
    ),
    // The subject begins; time passes until all is over.
    Uint8Array.of(1, 0, 0, 0, 2, 0, 4, 0, 2, 0, 0, 0, 4, 0, 6, 9, 0, 0, 6, 13, 0, 0, 6, 14, 0, 0),
    Uint8Array.of(0, 0, 0, 2, 16, 0, 1, 39, 6, 4, 0, 0, 16, 0, 1, 39, 6, 7, 0, 0),
  ],
  run,
};
