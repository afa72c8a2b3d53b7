/**
 * Peers and interfaces come and go while others' traffic passes: it loses nothing, and what came is gone without a trace in memory,
 * descriptors, timers and indexes.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { askToCollect } from "../../bench/soak/collect.ts";
import { ROOT } from "../../src/cli/demo/implementations.ts";
import { generateKeys, generatePsk } from "../../src/cli/demo/keys.ts";
import { addressLine, type Lab, type Namespace } from "../../src/cli/demo/lab.ts";
import { iperf, pingUntil } from "../../src/cli/demo/measure.ts";
import { makePair, type Pair } from "../../src/cli/demo/pair.ts";
import { configurationText, WireguardNode } from "../../src/cli/demo/wireguard-node.ts";
import { run } from "../../src/control/linux/command.ts";
import type { InterfaceStatus } from "../../src/lane/status.ts";
import { labTest } from "./harness/lab-test.ts";
import { PingStream } from "./harness/ping-stream.ts";
import { statusOf } from "./harness/status.ts";
import { REFERENCE } from "./harness/subject.ts";

const HUB = join(ROOT, "dist", "bench", "soak", "hub-child.js");
/** Before what is measured: pools and V8's heap have their size then. */
const WARM_UP_ROUNDS = 4;
const ROUNDS_MIN = 8;
const SECONDS = 8;
const FAKE_PEERS = 40;
/**
 * With garbage collected. Of what there was to leak, 40 peers or 8 interfaces with 20 peers each a round, a single round that stays is
 * 0.3 MiB or more.
 */
const HEAP_GROWTH_MAX = 2 << 20;
/** V8 and the C library keep pages that they may need again. */
const RSS_GROWTH_MAX = 16 << 20;
/** A collection comes within 100 ms of a request, unless the lane is busy. */
const COLLECTION_MS = 1_000;

/** What an interface counted as lost, in either direction, that could be a packet of the streams. */
function lost({ drops, laneDrops }: InterfaceStatus): number {
  const { noRoute, ...others } = drops;
  const counts = [...Object.values(others), ...Object.values(laneDrops)];
  return counts.reduce((sum, count) => sum + count, 0);
}

/** What UDP sockets of a namespace had no room for: the tunnel's, and those of iperf3, which shares two cores with all the rest. */
async function socketDrops(namespace: Namespace): Promise<number> {
  const text = await namespace.exec(["cat", "/proc/net/snmp", "/proc/net/snmp6"]);
  const [names = "", counts = ""] = text.split("\n").filter((line) => line.startsWith("Udp:"));
  const v4 = Number(counts.split(" ")[names.split(" ").indexOf("RcvbufErrors")]);
  return v4 + Number(/^Udp6RcvbufErrors\s+(\d+)/m.exec(text)?.[1]);
}

/** What the interface's own queue in the kernel had no room for. */
async function queueDrops(namespace: Namespace, name: string): Promise<number> {
  const text = await run(["ip", "-n", namespace.name, "-j", "-s", "link", "show", "dev", name]);
  const [link] = JSON.parse(text) as { stats64: { tx: { dropped: number } } }[];
  return link!.stats64.tx.dropped;
}

/** After a collection. */
async function settledStatus(name: string): Promise<InterfaceStatus> {
  await askToCollect(name);
  await sleep(COLLECTION_MS);
  return await statusOf(name);
}

/** Does `churn` round by round beside pings and a UDP stream from A to B, and compares before and after. */
async function besideTraffic(
  pair: Pair,
  subject: string,
  churn: (round: number) => Promise<void>,
): Promise<void> {
  const { a, b } = pair;
  const names = [
    [a.namespace, subject],
    [b.namespace, b.node.name],
  ] as const;
  const countLost = async (): Promise<number> => {
    let sum = 0;
    for (const [namespace, name] of names) {
      sum += lost(await statusOf(name));
      sum += (await queueDrops(namespace, name)) + (await socketDrops(namespace));
    }
    return sum;
  };
  const lostBefore = await countLost();
  const pings = await PingStream.start(a.namespace, b.inner4, { intervalMs: 5 });
  for (let round = 0; round < WARM_UP_ROUNDS; round++) await churn(round);
  const before = await settledStatus(subject);
  let isStreaming = true;
  const settings = { seconds: SECONDS, isUdp: true, rate: 20e6, size: 1200 };
  const stream = iperf(a.namespace, b.namespace, b.inner4, settings).finally(() => {
    isStreaming = false;
  });
  let rounds = 0;
  while (isStreaming || rounds < ROUNDS_MIN) await churn(WARM_UP_ROUNDS + rounds++);
  const after = await settledStatus(subject);
  const streamed = await stream;
  const pinged = await pings.stop();
  const explained = (await countLost()) - lostBefore;

  const [taken, takenBefore] = [after.process, before.process];
  const grown = taken.residentBytes - takenBefore.residentBytes;
  const heapGrown = taken.heapBytes - takenBefore.heapBytes;
  const laneHeapGrown = taken.laneHeapBytes - takenBefore.laneHeapBytes;
  console.log(
    `${rounds} rounds: pings ${pinged.received} of ${pinged.sent}, datagrams lost ${streamed.lostPackets} of ${streamed.packets}, ${explained} drops counted; KiB more: resident ${grown >> 10}, heap ${heapGrown >> 10}, of lanes ${laneHeapGrown >> 10}; longest gap ${Math.round(pinged.longestGapMs)} ms`,
  );
  expect(pinged.sent).toBeGreaterThan(100);
  expect(streamed.packets).toBeGreaterThan(1_000);
  const missing = pinged.sent - pinged.received + streamed.lostPackets;
  expect(missing).toBeLessThanOrEqual(explained);
  expect(after.process.descriptors).toBe(before.process.descriptors);
  expect(after.process.threads).toBe(before.process.threads);
  expect(after.peers).toHaveLength(1);
  expect(after.timers).toBe(1);
  // A session, the one before it, and perhaps a handshake.
  expect(after.indexes).toBeLessThanOrEqual(3);
  expect(heapGrown).toBeLessThan(HEAP_GROWTH_MAX);
  expect(laneHeapGrown).toBeLessThan(HEAP_GROWTH_MAX);
  expect(grown).toBeLessThan(RSS_GROWTH_MAX);
}

labTest("peers come and go, real ones and such that never answer", async (lab) => {
  const pair = await makePair(lab, { a: "wirehaul", b: "wirehaul" });
  const { a, b } = pair;
  await pingUntil(a.namespace, b.inner4);
  const guest = await makeGuest(lab, pair);
  await besideTraffic(pair, a.node.name, async (round) => {
    const fakes = Array.from({ length: FAKE_PEERS }, () => generateKeys().publicKey);
    const psk = lab.file("psk", `${generatePsk()}\n`);
    const settings = fakes.flatMap((key, index) => [
      ...["peer", key, "preshared-key", psk, "endpoint", `${b.outer4}:9`],
      // One in eight calls at once, and again.
      ...["persistent-keepalive", index % 8 === 0 ? "1" : "off"],
      ...["allowed-ips", `10.88.${index}.0/24,fd88:${index}::/64`],
    ]);
    const key = guest.keys.publicKey;
    await a.node.set([...settings, "peer", key, "allowed-ips", `${GUEST_INNER}/32`]);
    await a.node.set(["peer", key, "endpoint", `${GUEST_OUTER}:${await guest.listenPort()}`]);
    await pingUntil(a.namespace, GUEST_INNER);
    // Their allowed IPs go to others, and they go, one way or the other.
    await a.node.set(["peer", fakes[0]!, "allowed-ips", "10.88.0.0/16"]);
    const gone = round % 2 === 0 ? fakes : fakes.toReversed();
    await a.node.set([...gone, key].flatMap((each) => ["peer", each, "remove"]));
  });
});

const GUEST_INNER = "10.77.0.9";
const GUEST_OUTER = "198.51.100.2";

/** A third node, beside A, that answers when A calls; it never has to forget A. */
async function makeGuest(lab: Lab, { a }: Pair): Promise<WireguardNode> {
  const namespace = await lab.namespace("gn");
  const guest = await WireguardNode.start(lab, {
    implementation: REFERENCE,
    namespace,
    label: "gw",
  });
  await lab.cable(
    { namespace: a.namespace, name: lab.name("ga"), addresses: ["198.51.100.1/24"] },
    { namespace, name: lab.name("gg"), addresses: [`${GUEST_OUTER}/24`] },
  );
  await guest.configure([{ publicKey: a.node.keys.publicKey, allowedIps: [`${a.inner4}/32`] }]);
  await guest.up([`${GUEST_INNER}/24`]);
  return guest;
}

for (const lanes of [1, 2]) {
  labTest(`interfaces of the same process come and go, with ${lanes} lanes`, async (lab) => {
    const pair = await makePair(lab, { a: "wirehaul", b: "wirehaul" });
    const { a, b } = pair;
    await a.node.stop();
    const name = lab.interfaceName("c");
    const command = [process.execPath, HUB, name, `${lanes}`, lab.name("i")];
    const program = a.namespace.spawn(command);
    await program.waitFor("serving");
    const peer = {
      publicKey: b.node.keys.publicKey,
      allowedIps: [`${b.inner4}/32`],
      endpoint: `${b.outer4}:51820`,
    };
    const text = configurationText(a.node.keys.privateKey, [peer]);
    await run(["wg", "setconf", name, lab.file("churn.conf", text)]);
    await a.namespace.ip([addressLine(`${a.inner4}/24`, name), `link set dev ${name} up`]);
    await pingUntil(a.namespace, b.inner4);
    await besideTraffic(pair, name, async (round) => {
      program.signal("SIGUSR2");
      await program.waitFor(`churned ${round + 1}\n`);
    });
    expect(program.output).not.toContain("failed");
    expect(program.output).not.toContain("lost");
  });
}
