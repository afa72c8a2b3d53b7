/**
 * Sends handshake initiations with a valid mac1 and random contents in bursts, and counts what comes back. Plain JavaScript, since it
 * runs as a program of its own inside a namespace: node flood.mjs ADDRESS PORT PUBLIC_KEY SOURCES BURST
 * Sources are separated by commas and take turns.
 * Prints "flooding" after the first burst, "cookie" when the first cookie reply comes; at SIGTERM one line of JSON: {"sent":N,"cookies":N,"others":N}.
 */
import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { blake2s } from "@noble/hashes/blake2.js";

const [address, port, publicKey, sources, burst] = process.argv.slice(2);
const INITIATION_BYTES = 148;
const MAC1_OFFSET = 116;
const MAC_BYTES = 16;
const COOKIE_REPLY = 3;
const BURST_INTERVAL_MS = 50;
/** Different ones, so that none is taken for a repetition. */
const VARIANTS = 4000;

const label = Buffer.from("mac1----");
const mac1Key = blake2s(Buffer.concat([label, Buffer.from(publicKey, "base64")]));

function initiation() {
  const packet = randomBytes(INITIATION_BYTES);
  packet.writeUInt32LE(1, 0);
  const mac1 = blake2s(packet.subarray(0, MAC1_OFFSET), { key: mac1Key, dkLen: MAC_BYTES });
  packet.set(mac1, MAC1_OFFSET);
  packet.fill(0, MAC1_OFFSET + MAC_BYTES);
  return packet;
}

const packets = Array.from({ length: VARIANTS }, initiation);
const count = { sent: 0, cookies: 0, others: 0 };
const sockets = sources.split(",").map((source) => {
  const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
  socket.on("message", (message) => {
    if (message[0] === COOKIE_REPLY) {
      if (count.cookies++ === 0) process.stdout.write("cookie\n");
    } else count.others++;
  });
  return new Promise((resolve) => {
    socket.bind(0, source, () => {
      socket.setSendBufferSize(4 << 20);
      resolve(socket);
    });
  });
});
const bound = await Promise.all(sockets);
const send = () => {
  for (let index = 0; index < Number(burst); index++) {
    const packet = packets[count.sent++ % VARIANTS];
    bound[index % bound.length].send(packet, Number(port), address, () => undefined);
  }
};
send();
process.stdout.write("flooding\n");
setInterval(send, BURST_INTERVAL_MS);
process.once("SIGTERM", () => {
  process.stdout.write(`${JSON.stringify(count)}\n`, () => process.exit(0));
});
