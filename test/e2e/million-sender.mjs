/**
 * Sends random datagrams as fast as it can: half of them random bytes of any length, half with the type and length of a message of
 * WireGuard and random otherwise. Plain JavaScript, since it runs as a program of its own inside a namespace:
 *   node million-sender.mjs '{"source":"192.0.2.66","target":"192.0.2.2","port":51820,"count":1000000}'
 * Prints "sent N" when all are sent; at SIGTERM one line of JSON: {"sent":N,"answers":N}.
 */
import { randomFillSync } from "node:crypto";
import { createSocket } from "node:dgram";

const { source, target, port, count } = JSON.parse(process.argv[2]);
/** What fits into a packet of 1500 bytes. */
const LENGTH_MAX = 1_472;
/** Type and length of handshake messages; transport has any length from 32 on. */
const HANDSHAKE = [
  [1, 148],
  [2, 92],
  [3, 64],
];
const TRANSPORT = 4;
const TRANSPORT_MIN = 32;
/** Sends in a row before the event loop gets its turn. */
const BURST = 256;

const pool = randomFillSync(Buffer.alloc(16 << 20));
const below = (limit) => Math.floor(Math.random() * limit);

function datagram() {
  const at = below(pool.length - LENGTH_MAX);
  const kind = below(8);
  if (kind >= 4) return pool.subarray(at, at + below(LENGTH_MAX + 1));
  const [type, length] = HANDSHAKE[kind] ?? [
    TRANSPORT,
    TRANSPORT_MIN + below(LENGTH_MAX - TRANSPORT_MIN + 1),
  ];
  pool.writeUInt32LE(type, at);
  return pool.subarray(at, at + length);
}

const result = { sent: 0, answers: 0 };
const socket = createSocket("udp4");
socket.on("message", () => result.answers++);
process.once("SIGTERM", () => {
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
});
await new Promise((resolve) => socket.bind(0, source, resolve));
await new Promise((resolve) => socket.connect(port, target, resolve));
socket.setSendBufferSize(4 << 20);
while (result.sent < count) {
  const burst = Math.min(BURST, count - result.sent);
  for (let index = 1; index < burst; index++) socket.send(datagram());
  await new Promise((resolve, reject) => {
    socket.send(datagram(), (error) => (error === null ? resolve() : reject(error)));
  });
  result.sent += burst;
}
process.stdout.write(`sent ${result.sent}\n`);
