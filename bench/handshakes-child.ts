/**
 * Sends prepared initiations to a responder and counts its answers:
 *
 *   node handshakes-child.js FILE PEERS ADDRESS PORT SECONDS PID
 *
 * PEERS take turns in FILE, and each has a socket of its own, as peers have: boringtun gives a peer all that comes from its
 * address and port. PID is the responder's. Runs in a namespace of its own; prints one line of JSON ({@link Answers}). Answers
 * are not opened: whether they are right is for tests to say.
 */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { TYPE_COOKIE_REPLY, TYPE_RESPONSE } from "../src/wire/constants.ts";
import { INITIATION_BYTES } from "../src/wire/layout.ts";
import { cpuSeconds } from "./process-cost.ts";

/** After the responder has warmed up. */
export interface Answers {
  readonly responses: number;
  readonly seconds: number;
  /** Of the responder, in that time. */
  readonly cpuSeconds: number;
  readonly cookieReplies: number;
}

/**
 * Initiations without an answer at a time: enough to keep a responder busy, and a quarter of what puts one under load (an
 * eighth of its queue, 128), when it would demand cookies.
 */
const WINDOW = 32;
/** Without a response for so long, those on their way count as lost; and no sooner is a cookie's demand taken for an answer. */
const STALL_MS = 100;
const TICK_MS = 10;
/** Not measured: until a responder's code is compiled. */
const WARM_UP_MS = 400;

const [file = "", peers = "", address = "", port = "", seconds = "", pid = ""] =
  process.argv.slice(2);
const messages = readFileSync(file);
const total = messages.length / INITIATION_BYTES;
const sockets: Socket[] = [];
let next = 0;
let outstanding = 0;
let responses = 0;
let cookieReplies = 0;
let lastResponseMs = 0;

/** What has been counted so far. */
function reading(now: number): Answers {
  return {
    responses,
    seconds: now / 1_000,
    cpuSeconds: cpuSeconds([Number(pid)]),
    cookieReplies,
  };
}

function fill(): void {
  while (outstanding < WINDOW && next < total) {
    const at = next * INITIATION_BYTES;
    sockets[next % sockets.length]!.send(messages.subarray(at, at + INITIATION_BYTES));
    next++;
    outstanding++;
  }
}

function take(message: Uint8Array): void {
  if (message[0] === TYPE_COOKIE_REPLY) cookieReplies++;
  if (message[0] !== TYPE_RESPONSE) return;
  responses++;
  outstanding = Math.max(0, outstanding - 1);
  lastResponseMs = performance.now();
  fill();
}

/** Settles when the time is over, or the initiations are used up. */
async function measure(): Promise<Answers> {
  const warmAtMs = performance.now() + WARM_UP_MS;
  const endMs = warmAtMs + Number(seconds) * 1_000;
  let warm: Answers | undefined;
  lastResponseMs = performance.now();
  fill();
  for (;;) {
    await sleep(TICK_MS);
    const now = performance.now();
    if (warm === undefined && now >= warmAtMs) warm = reading(now);
    if (now >= endMs || (next === total && outstanding === 0)) {
      if (warm === undefined) throw new Error("the initiations were used up in the warm-up");
      // Who ran out of initiations was measured until its last response.
      const end = reading(next === total ? lastResponseMs : now);
      return {
        responses: end.responses - warm.responses,
        seconds: end.seconds - warm.seconds,
        cpuSeconds: end.cpuSeconds - warm.cpuSeconds,
        cookieReplies: end.cookieReplies - warm.cookieReplies,
      };
    }
    if (now - lastResponseMs > STALL_MS) {
      outstanding = 0;
      lastResponseMs = now;
      fill();
    }
  }
}

for (let peer = 0; peer < Number(peers); peer++) {
  const socket = createSocket("udp4", take);
  socket.connect(Number(port), address);
  await once(socket, "connect");
  sockets.push(socket);
}
const answers = await measure();
for (const socket of sockets) socket.close();
process.stdout.write(`${JSON.stringify(answers)}\n`);
