/**
 * Datagrams from strangers: random, cut, oversized, of every type, and recorded ones sent again. None is answered, all are
 * counted, the peers do not notice, and memory does not grow.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect } from "vitest";
import { addressLine, type Lab, socketPath } from "../../src/cli/demo/lab.ts";
import { ping, pingUntil } from "../../src/cli/demo/measure.ts";
import { LISTEN_PORT, makePair, type Pair } from "../../src/cli/demo/pair.ts";
import { until } from "../../src/control/linux/command.ts";
import type { InterfaceStatus } from "../../src/lane/status.ts";
import { Capture, sendSingly } from "./harness/capture.ts";
import { labTest } from "./harness/lab-test.ts";
import { exchange } from "./uapi-client.ts";

const SENDER = fileURLToPath(new URL("./hostile-sender.mjs", import.meta.url));
const STRANGERS = { v4: "192.0.2.66", v6: "2001:db8::66" } as const;
type Carrier = keyof typeof STRANGERS;

const COUNTS = {
  short: 400,
  unknownType: 800,
  wrongSize: 800,
  initiation: 400,
  response: 400,
  cookieReply: 400,
  transport: 800,
  oversized: 60,
} as const;
const TOTAL = Object.values(COUNTS).reduce((sum, count) => sum + count, 0);
/** Over a flood, after one that has filled every pool. */
const RSS_GROWTH_MAX = 8 << 20;

/** By its socket, as `wirehaul status` asks. */
async function statusOf(name: string): Promise<InterfaceStatus> {
  const reply = await exchange(socketPath(name), ["status=1\n\n"], true);
  const line = reply.split("\n").find((text) => text.startsWith("status="));
  if (line === undefined) throw new Error(`${name} tells no status: ${reply}`);
  return JSON.parse(line.slice("status=".length)) as InterfaceStatus;
}

function rssOf(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kilobytes) * 1024;
}

/** How much each counter has grown; those that have not are left out. */
function growth(
  before: Readonly<Record<string, number>>,
  after: Readonly<Record<string, number>>,
): Record<string, number> {
  const grown = Object.entries(after).map(([name, count]) => [name, count - (before[name] ?? 0)]);
  return Object.fromEntries(grown.filter(([, count]) => count !== 0));
}

const sum = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((total, count) => total + count, 0);

interface Attack {
  readonly carrier: Carrier;
  readonly counts?: Readonly<Record<string, number>>;
  readonly replay?: readonly string[];
}

/** Sends from A's namespace, under a stranger's address, and returns when B has counted all: what it counted and answered. */
async function attack(
  pair: Pair,
  { carrier, counts = {}, replay = [] }: Attack,
): Promise<{ readonly drops: Record<string, number>; readonly answers: number }> {
  const { name } = pair.b.node;
  const target = carrier === "v4" ? pair.b.outer4 : pair.b.outer6;
  const before = await statusOf(name);
  const settings = { source: STRANGERS[carrier], target, port: LISTEN_PORT, counts, replay };
  const sender = pair.a.namespace.spawn([process.execPath, SENDER, JSON.stringify(settings)]);
  const total = sum(counts) + replay.length;
  await sender.waitFor(`sent ${total}\n`);
  const drops = await until(`${name} has counted ${total} more datagrams`, async () => {
    // The other way, out, the kernel has multicasts of its own now and then.
    const { noRoute, ...grown } = growth(before.drops, (await statusOf(name)).drops);
    return sum(grown) >= total ? grown : undefined;
  });
  // What was answered has arrived by now: it went out when the datagram was counted.
  const { stdout } = await sender.stop();
  const last = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as { answers: number };
  return { drops, answers: last.answers };
}

async function makeAttackedPair(lab: Lab): Promise<Pair> {
  const pair = await makePair(lab, { a: "wirehaul", b: "wirehaul" });
  const { namespace, cable } = pair.a;
  await namespace.ip([
    addressLine(`${STRANGERS.v4}/24`, cable),
    addressLine(`${STRANGERS.v6}/64`, cable),
  ]);
  // Else the kernel would lose what is sent until it knows the neighbour.
  for (const address of [pair.b.outer4, pair.b.outer6]) await pingUntil(namespace, address);
  return pair;
}

describe("datagrams from strangers", () => {
  for (const carrier of ["v4", "v6"] as const) {
    labTest(`are counted and not answered, over IP${carrier}`, async (lab) => {
      const pair = await makeAttackedPair(lab);
      await pingUntil(pair.a.namespace, pair.b.inner4);
      const { node } = pair.b;
      const endpoint = (await node.peer(pair.a.node.keys.publicKey)).endpoint;
      const pings = ping(pair.a.namespace, pair.b.inner4, { count: 300, intervalSeconds: 0.01 });
      const { drops, answers } = await attack(pair, { carrier, counts: COUNTS });
      const result = await pings;
      expect(result.received).toBe(result.sent);
      expect(answers).toBe(0);
      const { badMac1 = 0, badCookieReply = 0, handshakeQueueFull = 0, ...others } = drops;
      expect(others).toEqual({
        badSize: COUNTS.short + COUNTS.wrongSize,
        badType: COUNTS.unknownType,
        unknownIndex: COUNTS.transport + COUNTS.oversized,
      });
      // A full queue refuses handshake messages before it looks at them.
      expect(badMac1 + badCookieReply + handshakeQueueFull).toBe(
        COUNTS.initiation + COUNTS.response + COUNTS.cookieReply,
      );
      expect(badMac1).toBeGreaterThan(0);
      expect(badCookieReply).toBeGreaterThan(0);
      expect((await node.peer(pair.a.node.keys.publicKey)).endpoint).toBe(endpoint);
      expect(node.program.isRunning).toBe(true);
      expect(node.program.output).not.toContain("ERROR");
    });
  }

  labTest("that repeat or change a peer's own are dropped, and its path stays", async (lab) => {
    const pair = await makeAttackedPair(lab);
    await sendSingly(pair.a.namespace, pair.a.cable);
    const capture = await Capture.start(lab, pair.b.namespace, pair.b.cable);
    await pingUntil(pair.a.namespace, pair.b.inner4);
    expect((await ping(pair.a.namespace, pair.b.inner4, { count: 10 })).received).toBe(10);
    const seen = await capture.conversation();
    const initiations = seen.filter((payload) => payload[0] === 1);
    const transports = seen.filter((payload) => payload[0] === 4);
    const changed = transports.map((payload) => {
      const copy = Buffer.from(payload);
      copy[copy.length - 1]! ^= 1;
      return copy;
    });
    const before = await pair.b.node.peer(pair.a.node.keys.publicKey);
    const { drops, answers } = await attack(pair, {
      carrier: "v4",
      replay: [...initiations, ...transports, ...changed].map((payload) => payload.toString("hex")),
    });
    expect(drops).toEqual({
      badHandshake: initiations.length,
      replay: transports.length,
      badTag: changed.length,
    });
    expect(answers).toBe(0);
    const after = await pair.b.node.peer(pair.a.node.keys.publicKey);
    expect(after.endpoint).toBe(before.endpoint);
    expect(after.latestHandshake).toBe(before.latestHandshake);
    expect((await ping(pair.a.namespace, pair.b.inner4)).received).toBe(3);
    await capture.stop();
  });

  labTest("leave nothing in memory", async (lab) => {
    const pair = await makeAttackedPair(lab);
    await pingUntil(pair.a.namespace, pair.b.inner4);
    const { pid } = pair.b.node.program;
    const attackBoth = async (): Promise<void> => {
      for (const carrier of ["v4", "v6"] as const) await attack(pair, { carrier, counts: COUNTS });
    };
    await attackBoth();
    const before = rssOf(pid);
    for (let round = 0; round < 3; round++) await attackBoth();
    const grown = rssOf(pid) - before;
    console.log(
      `resident memory after ${6 * TOTAL} datagrams: ${Math.round(grown / 1024)} KiB more`,
    );
    expect(grown).toBeLessThan(RSS_GROWTH_MAX);
  });
});
