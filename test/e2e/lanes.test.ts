/** Several lanes serve one interface, and lanes that die are started again, on the real thing. */

import { readdirSync } from "node:fs";
import { getPriority } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect } from "vitest";
import { ROOT } from "../../src/cli/demo/implementations.ts";
import { generateKeys } from "../../src/cli/demo/keys.ts";
import { addressLine, type Lab, type Namespace } from "../../src/cli/demo/lab.ts";
import { iperf, ping, pingUntil } from "../../src/cli/demo/measure.ts";
import { makePair } from "../../src/cli/demo/pair.ts";
import { configurationText, WireguardNode } from "../../src/cli/demo/wireguard-node.ts";
import { attempt, type Background, run, until } from "../../src/control/linux/command.ts";
import { homeOf } from "../../src/tunnel/siblings.ts";
import { socketsOn } from "./harness/bound-sockets.ts";
import { labTest } from "./harness/lab-test.ts";
import { statusOf } from "./harness/status.ts";
import { REFERENCE, SUBJECT } from "./harness/subject.ts";

const LANES = 3;
const PORT = 51_820;
const SPOKES = 6;
const ENGINE_USER = fileURLToPath(new URL("./engine-user.mjs", import.meta.url));
const spread = { WIREHAUL_LANES: `${LANES}` };

function laneKeys(count: number): Set<number> {
  return new Set(Array.from({ length: count }, (_, lane) => lane));
}

for (const other of [SUBJECT, REFERENCE]) {
  labTest(`a pair, the other side ${other}`, async (lab) => {
    const pair = await makePair(lab, { a: SUBJECT, b: other, environment: spread, hasPsk: true });
    const { a, b } = pair;
    await pingUntil(a.namespace, b.inner4);
    for (const [from, to, address] of [
      [a.namespace, b.namespace, b.inner4],
      [b.namespace, a.namespace, a.inner6],
    ] as const) {
      const stream = await iperf(from, to, address, { seconds: 2, streams: 8 });
      expect(stream.bytes).toBeGreaterThan(10_000_000);
    }
    const udp = await iperf(a.namespace, b.namespace, b.inner4, {
      seconds: 2,
      isUdp: true,
      // 16 Mbit/s in all: far below what either carries, so that what is lost was lost by steering.
      rate: 2e6,
      size: 1200,
      streams: 8,
    });
    expect(udp.lostPercent).toBeLessThan(1);
    const status = await statusOf(a.node.name);
    expect(status.lanes).toBe(LANES);
    // Steered to the right lane, each one; and no counter came twice to the other side.
    expect(status.drops["unknownIndex"]).toBeUndefined();
    expect(status.drops["replay"]).toBeUndefined();
    const port = await a.node.listenPort();
    expect(await socketsOn(a.namespace, port)).toBe(2 * LANES);
    expect(await run(a.namespace.command(["ip", "tuntap"]))).toContain("multi_queue");
    // Transfer is counted over all lanes.
    const peer = await a.node.peer(b.node.keys.publicKey);
    expect(peer.txBytes).toBeGreaterThan(10_000_000);
    expect(peer.rxBytes).toBeGreaterThan(10_000_000);
  });
}

labTest("a hub whose peers are at home on all of its lanes", async (lab) => {
  const namespace = await lab.namespace("h");
  const hub = await WireguardNode.start(lab, {
    implementation: SUBJECT,
    namespace,
    label: "h",
    environment: spread,
  });
  const spokes: { node: WireguardNode; namespace: Namespace; inner: string; outer: string }[] = [];
  for (let index = 0; index < SPOKES; index++) {
    const space = await lab.namespace(`s${index}`);
    const node = await WireguardNode.start(lab, {
      implementation: REFERENCE,
      namespace: space,
      label: `s${index}`,
    });
    // Keys are chosen so that each lane is home to two.
    while (homeOf(Buffer.from(node.keys.publicKey, "base64"), LANES) !== index % LANES) {
      node.keys = generateKeys();
    }
    const outer = `192.0.${index}`;
    await lab.cable(
      { namespace, name: lab.name(`h${index}`), addresses: [`${outer}.1/24`] },
      { namespace: space, name: lab.name(`v${index}`), addresses: [`${outer}.2/24`] },
    );
    spokes.push({ node, namespace: space, inner: `10.9.0.${index + 2}`, outer });
  }
  for (const { node, inner, outer } of spokes) {
    await node.configure([
      {
        publicKey: hub.keys.publicKey,
        allowedIps: ["10.9.0.0/24"],
        endpoint: `${outer}.1:${PORT}`,
      },
    ]);
    await node.up([`${inner}/24`]);
  }
  await hub.configure(
    spokes.map(({ node, inner }) => ({
      publicKey: node.keys.publicKey,
      allowedIps: [`${inner}/32`],
    })),
    PORT,
  );
  await hub.up(["10.9.0.1/24"]);
  await run(namespace.command(["sysctl", "-qw", "net.ipv4.ip_forward=1"]));
  const homes = spokes.map(({ node }) => homeOf(Buffer.from(node.keys.publicKey, "base64"), LANES));
  expect(new Set(homes)).toEqual(laneKeys(LANES));
  // The spokes begin, so the hub learns their endpoints; then everybody reaches everybody, through all pairs of lanes.
  for (const { namespace: from } of spokes) await pingUntil(from, "10.9.0.1");
  for (const { namespace: from } of spokes) {
    for (const { inner } of spokes) {
      expect((await ping(from, inner, { count: 2 })).received).toBe(2);
    }
  }
  const status = await statusOf(hub.name);
  expect(status.peers.map(({ sessions }) => sessions)).toEqual(Array(SPOKES).fill(["current"]));
  expect(status.drops["unknownIndex"]).toBeUndefined();
  const shown = await hub.peers();
  expect(shown.map(({ publicKey }) => publicKey)).toEqual(
    spokes.map(({ node }) => node.keys.publicKey),
  );
  for (const { latestHandshake, rxBytes, txBytes } of shown) {
    expect(Math.min(latestHandshake, rxBytes, txBytes)).toBeGreaterThan(0);
  }
});

labTest("a port in use is refused, though lanes share theirs", async (lab) => {
  const namespace = await lab.namespace("n");
  const start = (label: string): Promise<WireguardNode> =>
    WireguardNode.start(lab, { implementation: SUBJECT, namespace, label, environment: spread });
  const [first, second] = [await start("a"), await start("b")];
  await first.configure([], PORT);
  await first.up(["10.0.0.1/32"]);
  await second.configure([]);
  await second.up(["10.0.0.2/32"]);
  const before = await second.listenPort();
  const key = generateKeys().publicKey;
  const refused = await attempt(["wg", "set", second.name, "listen-port", `${PORT}`, "peer", key]);
  expect(refused.stderr).toContain("Address already in use");
  expect(await second.listenPort()).toBe(before);
  expect(await second.peers()).toEqual([]);
  expect(await socketsOn(namespace, before)).toBe(2 * LANES);
  // All lanes give it up when the link goes down, and have it again after.
  await namespace.ip([`link set dev ${second.name} down`]);
  await until("the port is free", async () => (await socketsOn(namespace, before)) === 0);
  await namespace.ip([`link set dev ${second.name} up`]);
  await until("it is bound", async () => (await socketsOn(namespace, before)) === 2 * LANES);
});

/** Niceness of the threads of a process. */
function nicesOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).map((thread) => getPriority(Number(thread)));
}

labTest("lanes alone come before other programs, as far as was said", async (lab) => {
  const namespace = await lab.namespace("n");
  const cases: readonly [readonly string[], Readonly<Record<string, string>>, number, number][] = [
    [[], {}, 0, 0],
    [[], { WIREHAUL_LANE_NICE: "-10" }, 0, -10],
    // Who makes the whole program humbler makes lanes so.
    [["nice", "-n", "15"], { WIREHAUL_LANE_NICE: "-10" }, 15, 5],
    // Without the right to it they stay as they are.
    [
      ["setpriv", "--bounding-set", "-sys_nice", "--inh-caps", "-sys_nice"],
      { WIREHAUL_LANE_NICE: "-10" },
      0,
      0,
    ],
  ];
  for (const [prefix, settings, own, lanes] of cases) {
    const command = [...prefix, process.execPath, join(ROOT, "bin", "wirehaul-wg"), "-f"];
    const name = lab.interfaceName("p");
    const program = namespace.spawn([...command, name], { ...spread, ...settings });
    await until("it serves", async () => (await attempt(["wg", "show", name])).code === 0);
    const others = nicesOf(program.pid).filter((nice) => nice !== own);
    const title = `${prefix.join(" ")} ${JSON.stringify(settings)}`;
    expect(others, title).toEqual(own === lanes ? [] : Array(LANES).fill(lanes));
    await program.stop();
  }
});

describe("options", () => {
  labTest("a number that cannot be is named", async (lab) => {
    const namespace = await lab.namespace("n");
    for (const bad of ["0", "65", "two", "-1", "1.5", ""]) {
      const command = [process.execPath, join(ROOT, "bin", "wirehaul-wg"), "--lanes", bad, "wg0"];
      const { code, stderr } = await attempt(namespace.command(command));
      expect(code).toBe(1);
      expect(stderr).toContain(`must be auto or a number from 1 to 64, it is "${bad}"`);
    }
  });

  labTest("a start in the background hands all queues over", async (lab) => {
    const namespace = await lab.namespace("n");
    const name = lab.interfaceName("b");
    const program = join(ROOT, "bin", "wirehaul-wg");
    await run(namespace.command([process.execPath, program, "--lanes=2", name]));
    try {
      expect((await statusOf(name)).lanes).toBe(2);
      await namespace.ip([addressLine("10.0.0.1/32", name), `link set dev ${name} up`]);
      const port = Number(await run(["wg", "show", name, "listen-port"]));
      await until("all sockets", async () => (await socketsOn(namespace, port)) === 4);
    } finally {
      await namespace.ip([`link del ${name}`]);
    }
  });
});

/** The program of engine-user.mjs with a peer at its other end. */
async function makeMortal(
  lab: Lab,
  lanes: number,
): Promise<{ mortal: Background; name: string; pair: Awaited<ReturnType<typeof makePair>> }> {
  const pair = await makePair(lab, { a: SUBJECT, b: REFERENCE });
  await pair.a.node.stop();
  const { namespace } = pair.a;
  const name = lab.interfaceName("m");
  const mortal = namespace.spawn([process.execPath, ENGINE_USER, name, `${lanes}`]);
  await mortal.waitFor("serving");
  const peer = {
    publicKey: pair.b.node.keys.publicKey,
    allowedIps: [`${pair.b.inner4}/32`],
    endpoint: `${pair.b.outer4}:${PORT}`,
    keepaliveSeconds: 25,
    presharedKey: pair.presharedKey ?? generateKeys().privateKey,
  };
  await pair.b.node.set([
    "peer",
    pair.a.node.keys.publicKey,
    "preshared-key",
    pair.b.node.secret(peer.presharedKey),
  ]);
  const text = configurationText(pair.a.node.keys.privateKey, [peer], 40_001, 7);
  await run(["wg", "setconf", name, lab.file(`${name}.conf`, text)]);
  await namespace.ip([addressLine(`${pair.a.inner4}/24`, name), `link set dev ${name} up`]);
  await pingUntil(namespace, pair.b.inner4);
  return { mortal, name, pair };
}

describe.each([1, LANES])("death, with %i", (lanes) => {
  labTest(
    "lanes are started again as they were, and the peer shakes hands at once",
    async (lab) => {
      const { mortal, name, pair } = await makeMortal(lab, lanes);
      const { namespace } = pair.a;
      const shown = async (): Promise<string> => await run(["wg", "showconf", name]);
      const before = await shown();
      const received = Number((await run(["wg", "show", name, "transfer"])).split("\t")[1]);
      const pings = ping(namespace, pair.b.inner4, { count: 60, intervalSeconds: 0.05 });
      await new Promise((resolve) => setTimeout(resolve, 500));
      process.kill(mortal.pid, "SIGUSR2");
      await mortal.waitFor("was started again");
      // Half a second of sixty twentieths would be ten; a new thread takes a quarter of one here.
      expect((await pings).received).toBeGreaterThan(30);
      const strip = (text: string): string => text.replace(/\n\[Peer\]\nPublicKey = AQEB[^[]*/, "");
      expect(strip(await shown())).toBe(strip(before));
      const transfer = Number((await run(["wg", "show", name, "transfer"])).split("\t")[1]);
      expect(transfer).toBeGreaterThan(received);
      expect(mortal.output).toContain("request failed");
      expect((await ping(namespace, pair.b.inner4, { count: 20 })).received).toBe(20);
    },
  );

  labTest("what dies again and again stays dead, and says why", async (lab) => {
    const { mortal } = await makeMortal(lab, lanes);
    for (let death = 1; death <= 6; death++) {
      process.kill(mortal.pid, "SIGUSR2");
      await until(`death ${death}`, () => {
        const again = mortal.output.split("was started again").length - 1;
        return again === death || mortal.output.includes("lost: ");
      });
    }
    await mortal.waitFor("lost: ");
    expect(mortal.output.split("was started again").length - 1).toBe(5);
    await until("it has ended", () => !mortal.isRunning);
  });
});
