/**
 * Sends datagrams that no WireGuard peer would send, in a random order, and counts what comes back. Plain JavaScript, since it runs
 * as a program of its own inside a namespace:
 *   node hostile-sender.mjs '{"source":"192.0.2.66","target":"192.0.2.2","port":51820,"counts":{"short":10},"replay":["04000000..."]}'
 * Prints "sent N" when all are sent; at SIGTERM one line of JSON: {"sent":N,"answers":N}.
 */
import { randomBytes, randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { setTimeout as sleep } from "node:timers/promises";

const { source, target, port, counts = {}, replay = [] } = JSON.parse(process.argv[2]);
const UDP_MAX = 65_507;
/** So many bytes, then a pause: nothing is to get lost on the way. */
const BURST_BYTES = 16_384;
const PAUSE_MS = 2;

/** Random bytes with a message type in front. */
function typed(type, length) {
  const datagram = randomBytes(length);
  if (length >= 4) datagram.writeUInt32LE(type, 0);
  return datagram;
}

/** Anything but the four types, also those with something in their reserved bytes. */
function unknownType() {
  const type = randomInt(2) === 0 ? randomInt(5, 2 ** 32) : randomInt(1, 5) + 256 * randomInt(1, 9);
  return typed(type, randomInt(4, 1_400));
}

const SIZES = { 1: 148, 2: 92, 3: 64 };

function wrongSize() {
  const type = randomInt(1, 5);
  if (type === 4) return typed(4, randomInt(4, 32));
  const length = randomInt(4, 300);
  return typed(type, length === SIZES[type] ? length + 1 : length);
}

const makers = {
  short: () => randomBytes(randomInt(0, 4)),
  unknownType,
  wrongSize,
  initiation: () => typed(1, SIZES[1]),
  response: () => typed(2, SIZES[2]),
  cookieReply: () => typed(3, SIZES[3]),
  transport: () => typed(4, randomInt(32, 1_400)),
  oversized: () => typed(4, UDP_MAX),
};

/** All that is to be sent, as functions that make it, shuffled. */
function schedule() {
  const list = replay.map((text) => () => Buffer.from(text, "hex"));
  for (const [kind, count] of Object.entries(counts)) {
    for (let index = 0; index < count; index++) list.push(makers[kind]);
  }
  for (let index = list.length - 1; index > 0; index--) {
    const other = randomInt(index + 1);
    [list[index], list[other]] = [list[other], list[index]];
  }
  return list;
}

const count = { sent: 0, answers: 0 };
const socket = createSocket(source.includes(":") ? "udp6" : "udp4");
socket.on("message", () => count.answers++);
process.once("SIGTERM", () => {
  process.stdout.write(`${JSON.stringify(count)}\n`, () => process.exit(0));
});
await new Promise((resolve) => socket.bind(0, source, resolve));
socket.setSendBufferSize(1 << 20);
let burst = 0;
for (const make of schedule()) {
  const datagram = make();
  await new Promise((resolve, reject) => {
    socket.send(datagram, port, target, (error) => (error === null ? resolve() : reject(error)));
  });
  count.sent++;
  burst += datagram.length + 64;
  if (burst < BURST_BYTES) continue;
  burst = 0;
  await sleep(PAUSE_MS);
}
process.stdout.write(`sent ${count.sent}\n`);
