/** One peer's trouble, or the receiver's, is nobody else's: others' traffic flows, drops are counted, memory stays bounded. */
import { readFileSync } from "node:fs";
import { expect } from "vitest";
import type { Lab, Namespace } from "../../src/cli/demo/lab.ts";
import { iperf, ping, pingUntil } from "../../src/cli/demo/measure.ts";
import { makePair } from "../../src/cli/demo/pair.ts";
import { WireguardNode } from "../../src/cli/demo/wireguard-node.ts";
import { run, until } from "../../src/control/linux/command.ts";
import { STAGED_MAX } from "../../src/tunnel/staging.ts";
import { labTest } from "./harness/lab-test.ts";
import { statusOf } from "./harness/status.ts";
import { SUBJECT } from "./harness/subject.ts";

const PORT = 51_820;
/** Ours: what memory may grow by while a peer's packets go nowhere; all staged packets of a lane are 16 MiB. */
const GROWTH_MAX = 24 * 2 ** 20;
const SECONDS = 2;
const UDP_RATE = 50e6;
const UDP_BYTES = 1200;

function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
}

/** Lets something run beside the test; what it rejects with waits until somebody asks for it. */
function inBackground<Result>(running: Promise<Result>): () => Promise<Result> {
  running.catch(() => undefined);
  return () => running;
}

interface Spoke {
  readonly namespace: Namespace;
  readonly node: WireguardNode;
  readonly cable: string;
  readonly inner: string;
}

/** A hub with two spokes, each on a cable of its own. */
async function makeStar(lab: Lab): Promise<{ hub: Spoke; near: Spoke; far: Spoke }> {
  const make = async (label: string, host: number): Promise<Spoke> => {
    const namespace = await lab.namespace(`${label}n`);
    const node = await WireguardNode.start(lab, { implementation: SUBJECT, namespace, label });
    return { namespace, node, cable: lab.name(`${label}v`), inner: `10.9.0.${host}` };
  };
  const [hub, near, far] = [await make("h", 1), await make("n", 2), await make("f", 3)];
  for (const [index, spoke] of [near, far].entries()) {
    await lab.cable(
      { namespace: hub.namespace, name: lab.name(`h${index}`), addresses: [`192.0.${index}.1/24`] },
      { namespace: spoke.namespace, name: spoke.cable, addresses: [`192.0.${index}.2/24`] },
    );
    await spoke.node.configure(
      [{ publicKey: hub.node.keys.publicKey, allowedIps: [`${hub.inner}/32`] }],
      PORT,
    );
    await spoke.node.up([`${spoke.inner}/24`]);
  }
  await hub.node.configure(
    [near, far].map(({ node, inner }, index) => ({
      publicKey: node.keys.publicKey,
      allowedIps: [`${inner}/32`],
      endpoint: `192.0.${index}.2:${PORT}`,
    })),
  );
  await hub.node.up([`${hub.inner}/24`]);
  for (const { inner } of [near, far]) await pingUntil(hub.namespace, inner);
  return { hub, near, far };
}

labTest("a peer that vanishes under load takes nothing from another one", async (lab) => {
  const { hub, near, far } = await makeStar(lab);
  const stream = async (): Promise<number> =>
    (await iperf(hub.namespace, near.namespace, near.inner, { seconds: SECONDS })).bitsPerSecond;
  const load = inBackground(
    iperf(hub.namespace, far.namespace, far.inner, {
      seconds: 4 * SECONDS,
      isUdp: true,
      rate: UDP_RATE,
      size: UDP_BYTES,
    }),
  );
  const before = await stream();
  const memory = residentBytes(hub.node.program.pid);
  await far.namespace.ip([`link set dev ${far.cable} down`]);
  const during = await stream();
  // Half leaves room for a noisy machine; a lane that waited for the lost peer would be at a tenth.
  expect(during).toBeGreaterThan(before * 0.5);
  expect(residentBytes(hub.node.program.pid) - memory).toBeLessThan(GROWTH_MAX);
  await far.namespace.ip([`link set dev ${far.cable} up`]);
  await pingUntil(hub.namespace, far.inner, 30_000);
  // Its control connection may have broken with the link.
  await load().catch(() => undefined);
});

labTest(
  "packets to a peer that never answers wait, 128 of them, and the rest is counted",
  async (lab) => {
    const { hub, near, far } = await makeStar(lab);
    await far.node.set(["peer", hub.node.keys.publicKey, "remove"]);
    const { publicKey } = far.node.keys;
    await hub.node.set(["peer", publicKey, "remove"]);
    await hub.node.set([
      "peer",
      publicKey,
      "allowed-ips",
      `${far.inner}/32`,
      "endpoint",
      "192.0.1.2:51820",
    ]);
    const memory = residentBytes(hub.node.program.pid);
    // ping's own limit of lost packets is far away: 500 echo requests in a second, none answered.
    const lost = await ping(hub.namespace, far.inner, {
      count: 500,
      intervalSeconds: 0.002,
      waitSeconds: 1,
    });
    expect(lost.received).toBe(0);
    const status = await statusOf(hub.node.name);
    const silent = status.peers.find((peer) => peer.publicKey === publicKey)!;
    expect(silent.stagedPackets).toBe(STAGED_MAX);
    expect(status.drops["stagedOverflow"]).toBeGreaterThanOrEqual(500 - STAGED_MAX);
    expect(residentBytes(hub.node.program.pid) - memory).toBeLessThan(GROWTH_MAX);
    expect((await ping(hub.namespace, near.inner, { count: 20 })).received).toBe(20);
  },
);

labTest("a peer behind a slow link takes nothing from another one", async (lab) => {
  const { hub, near, far } = await makeStar(lab);
  const cable = lab.name("h1");
  const slow = ["tc", "qdisc", "add", "dev", cable, "root", "tbf", "rate", "1mbit"];
  await run(hub.namespace.command([...slow, "burst", "20kb", "limit", "100kb"]));
  const stream = async (): Promise<number> =>
    (await iperf(hub.namespace, near.namespace, near.inner, { seconds: SECONDS })).bitsPerSecond;
  const before = await stream();
  const memory = residentBytes(hub.node.program.pid);
  const load = inBackground(
    iperf(hub.namespace, far.namespace, far.inner, {
      seconds: 2 * SECONDS,
      isUdp: true,
      rate: UDP_RATE,
      size: UDP_BYTES,
    }),
  );
  const during = await stream();
  // Half, for the noise of the machine and what sending 50 Mbit/s costs.
  expect(during).toBeGreaterThan(before * 0.5);
  expect(residentBytes(hub.node.program.pid) - memory).toBeLessThan(GROWTH_MAX);
  // Fifty times more was offered than the link carries.
  const result = await load();
  expect(result.lostPercent).toBeGreaterThan(50);
});

labTest(
  "a receiver that stands still loses what its socket can't hold, and goes on",
  async (lab) => {
    const { a, b } = await makePair(lab, { a: SUBJECT, b: SUBJECT });
    await pingUntil(a.namespace, b.inner4);
    const { pid } = b.node.program;
    const memory = residentBytes(pid);
    // Long enough to be there still when it is seen to flow, and for 2.5 s after.
    const load = inBackground(
      iperf(a.namespace, b.namespace, b.inner4, {
        seconds: 12,
        isUdp: true,
        rate: 100e6,
        size: UDP_BYTES,
      }),
    );
    const received = async (): Promise<number> => (await statusOf(b.node.name)).lane.packetsWritten;
    const atStart = await received();
    await until("traffic flows", async () => (await received()) > atStart + 1_000);
    process.kill(pid, "SIGSTOP");
    // 31 of 75 MB would have come: its socket holds 14.
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    process.kill(pid, "SIGCONT");
    const { lostPercent } = await load();
    expect(lostPercent).toBeGreaterThan(0);
    expect(lostPercent).toBeLessThan(50);
    expect((await statusOf(b.node.name)).socketDrops).toBeGreaterThan(0);
    expect(residentBytes(pid) - memory).toBeLessThan(GROWTH_MAX);
    expect((await ping(a.namespace, b.inner4, { count: 20 })).received).toBe(20);
  },
);

labTest("a sender that stands still loses what its TUN can't hold, and goes on", async (lab) => {
  const { a, b } = await makePair(lab, { a: SUBJECT, b: SUBJECT });
  await pingUntil(a.namespace, b.inner4);
  const { pid } = a.node.program;
  const memory = residentBytes(pid);
  process.kill(pid, "SIGSTOP");
  // More than the 500 packets that a TUN's queue holds (its txqueuelen).
  const lost = await ping(a.namespace, b.inner4, {
    count: 1_000,
    intervalSeconds: 0.001,
    waitSeconds: 1,
  });
  process.kill(pid, "SIGCONT");
  expect(lost.received).toBeLessThan(1_000);
  const text = await run(a.namespace.command(["ip", "-s", "-j", "link", "show", a.node.name]));
  const [link] = JSON.parse(text) as { stats64: { tx: { dropped: number } } }[];
  expect(link!.stats64.tx.dropped).toBeGreaterThan(0);
  expect(residentBytes(pid) - memory).toBeLessThan(GROWTH_MAX);
  expect((await ping(a.namespace, b.inner4, { count: 20 })).received).toBe(20);
});

labTest("a send buffer that is full costs what does not fit, counted, and no more", async (lab) => {
  const { a, b } = await makePair(lab, { a: SUBJECT, b: SUBJECT });
  await pingUntil(a.namespace, b.inner4);
  const { pid } = a.node.program;
  const memory = residentBytes(pid);
  // The queue takes all that the socket's buffer (14 MB) holds, so sends fail in the middle of a batch, with EAGAIN.
  const slow = ["tc", "qdisc", "add", "dev", a.cable, "root", "tbf", "rate", "1mbit"];
  await run(a.namespace.command([...slow, "burst", "20kb", "limit", "100mb"]));
  const load = inBackground(
    iperf(a.namespace, b.namespace, b.inner4, {
      seconds: 4,
      isUdp: true,
      rate: 600e6,
      size: UDP_BYTES,
    }),
  );
  await until(
    "sends fail",
    async () => ((await statusOf(a.node.name)).drops["sendFailed"] ?? 0) > 100,
  );
  await run(a.namespace.command(["tc", "qdisc", "del", "dev", a.cable, "root"]));
  await load();
  const status = await statusOf(a.node.name);
  expect(status.peers[0]!.sendErrors).toBe(status.drops["sendFailed"]);
  // asm-generic/errno-base.h EAGAIN.
  expect(status.peers[0]!.lastSendError).toBe(-11);
  expect(residentBytes(pid) - memory).toBeLessThan(GROWTH_MAX);
  expect((await ping(a.namespace, b.inner4, { count: 20 })).received).toBe(20);
});
