/** `wirehaul status`: what it tells of a running interface, that it never tells a secret, and what it answers to mistakes. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect } from "vitest";
import { ROOT } from "../../src/cli/demo/implementations.ts";
import { generateKeys, generatePsk } from "../../src/cli/demo/keys.ts";
import { addressLine, type Lab, socketPath } from "../../src/cli/demo/lab.ts";
import { ping, pingUntil } from "../../src/cli/demo/measure.ts";
import { endpointOf, LISTEN_PORT, makePair, type Pair } from "../../src/cli/demo/pair.ts";
import { WireguardNode } from "../../src/cli/demo/wireguard-node.ts";
import { attempt, type Finished, run, until } from "../../src/control/linux/command.ts";
import type { InterfaceStatus } from "../../src/lane/status.ts";
import { labTest } from "./harness/lab-test.ts";
import { exchange } from "./uapi-client.ts";

const command = [process.execPath, join(ROOT, "bin", "wirehaul"), "status"];
const SENDER = fileURLToPath(new URL("./hostile-sender.mjs", import.meta.url));

async function statusOf(name: string): Promise<InterfaceStatus> {
  const found = JSON.parse(await run([...command, name, "--json"])) as InterfaceStatus[];
  expect(found.map((device) => device.name)).toEqual([name]);
  return found[0]!;
}

async function dropsOf(name: string, reason: string): Promise<number> {
  return (await statusOf(name)).drops[reason] ?? 0;
}

async function connectedPair(lab: Lab, carrier: "v4" | "v6" = "v4"): Promise<Pair> {
  const pair = await makePair(lab, { a: "wirehaul", b: "wirehaul", carrier, hasPsk: true });
  await pingUntil(pair.a.namespace, pair.b.inner4);
  return pair;
}

/** One line to standard error, nothing to standard output. */
function expectError(result: Finished, reason: RegExp): void {
  expect(result.stderr).toMatch(reason);
  expect(result.stderr.trimEnd().split("\n")).toHaveLength(1);
  expect(result.stdout).toBe("");
  expect(result.code).toBe(1);
}

describe("what it tells", () => {
  for (const carrier of ["v4", "v6"] as const) {
    labTest(`paths and handshakes over IP${carrier}`, async (lab) => {
      const pair = await connectedPair(lab, carrier);
      const [near, far] = [await statusOf(pair.a.node.name), await statusOf(pair.b.node.name)];
      expect(near).toMatchObject({ isUp: true, mtu: 1420, crypto: "openssl", handshakeQueue: 0 });
      expect(near.isUnderLoad).toBe(false);
      expect(near.laneDrops).toEqual({});
      expect(far.listenPort).toBe(LISTEN_PORT);
      expect(near.peers).toHaveLength(1);
      const family = carrier === "v4" ? "IPv4" : "IPv6";
      const [own, other] =
        carrier === "v4" ? [pair.a.outer4, pair.b.outer4] : [pair.a.outer6, pair.b.outer6];
      const peer = near.peers[0]!;
      expect(peer).toMatchObject({
        publicKey: pair.b.node.keys.publicKey,
        endpoint: endpointOf(pair.b, carrier),
        family,
        source: own,
        handshakes: 1,
        initiations: 1,
        attempts: 0,
        sessions: ["current"],
        stagedPackets: 0,
        sendErrors: 0,
        lastSendError: 0,
      });
      expect(Math.abs(peer.lastHandshakeMs - Date.now())).toBeLessThan(60_000);
      const back = far.peers[0]!;
      expect(back).toMatchObject({ family, source: other, handshakes: 1, initiations: 0 });
      expect(back.endpoint).toBe(endpointOf(pair.a, carrier, await pair.a.node.listenPort()));
      // What it says is what `wg` says.
      const shown = await pair.a.node.peer(pair.b.node.keys.publicKey);
      const latest = (await statusOf(pair.a.node.name)).peers[0]!;
      expect(latest.endpoint).toBe(shown.endpoint);
      expect(Math.floor(latest.lastHandshakeMs / 1000)).toBe(shown.latestHandshake);
      const text = await run([...command, pair.a.node.name]);
      expect(text).toContain(`interface: ${near.name} (up, MTU 1420, port ${near.listenPort})`);
      expect(text).toContain(`peer: ${peer.publicKey}\n`);
      expect(text).toContain(`path: ${peer.endpoint} (${family}) from ${own}\n`);
      expect(text).toContain("handshakes: 1 complete, 1 initiations sent\n");
    });
  }

  labTest("the lane's figures grow with the traffic", async (lab) => {
    const pair = await connectedPair(lab);
    const { name } = pair.b.node;
    const before = (await statusOf(name)).lane;
    const { received } = await ping(pair.a.namespace, pair.b.inner4, { count: 20 });
    expect(received).toBe(20);
    const after = (await statusOf(name)).lane;
    for (const figure of ["datagramsReceived", "packetsWritten", "packetsRead", "datagramsSent"]) {
      const key = figure as keyof typeof before;
      expect(after[key] - before[key], figure).toBeGreaterThanOrEqual(20);
    }
    for (const [calls, packets] of [
      ["receiveCalls", "datagramsReceived"],
      ["writeCalls", "packetsWritten"],
      ["sendCalls", "groupsSent"],
      ["groupsSent", "datagramsSent"],
    ] as const) {
      expect(after[calls], calls).toBeGreaterThan(before[calls]);
      if (calls !== "receiveCalls") expect(after[calls]).toBeLessThanOrEqual(after[packets]);
    }
    expect(await run([...command, name])).toMatch(/\n {2}in: {2}\d+ datagrams in \d+ reads, /);
  });

  for (const lanes of [1, 2]) {
    labTest(
      `what the process takes, and its timers and indexes, with ${lanes} lanes`,
      async (lab) => {
        const environment = { WIREHAUL_LANES: `${lanes}` };
        const pair = await makePair(lab, { a: "wirehaul", b: "wirehaul", environment });
        const { node, namespace } = pair.a;
        const idle = await statusOf(node.name);
        expect(idle).toMatchObject({ timers: 0, indexes: 0 });
        await pingUntil(namespace, pair.b.inner4);
        const { process: taken, timers, indexes } = await statusOf(node.name);
        // The session, and that it ends one day.
        expect({ timers, indexes }).toEqual({ timers: 1, indexes: 1 });
        const { pid } = node.program;
        expect(taken.pid).toBe(pid);
        expect(taken.threads).toBe(readdirSync(`/proc/${pid}/task`).length);
        // Asking takes a connection more.
        const descriptors = readdirSync(`/proc/${pid}/fd`).length;
        expect(taken.descriptors - descriptors).toBeGreaterThanOrEqual(0);
        expect(taken.descriptors - descriptors).toBeLessThanOrEqual(1);
        const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(
          readFileSync(`/proc/${pid}/status`, "utf8"),
        )?.[1];
        expect(taken.residentBytes / (Number(kilobytes) * 1024)).toBeCloseTo(1, 1);
        expect(taken.heapBytes).toBeGreaterThan(1 << 20);
        expect(taken.laneHeapBytes).toBeGreaterThan(lanes << 20);
        expect(taken.heapBytes + taken.laneHeapBytes).toBeLessThan(taken.residentBytes);
        expect(await run([...command, node.name])).toMatch(
          new RegExp(
            `process: ${pid}, [\\d.]+ MiB .*${taken.threads} threads; timers: 1, indexes: 1\n`,
          ),
        );
        // A peer that goes takes its timers and indexes along.
        await node.set(["peer", pair.b.node.keys.publicKey, "remove"]);
        expect(await statusOf(node.name)).toMatchObject({ timers: 0, indexes: 0 });
      },
    );
  }

  labTest("attempts and waiting packets of a peer that is silent", async (lab) => {
    const pair = await connectedPair(lab);
    const { node, namespace } = pair.a;
    const silent = generateKeys().publicKey;
    await node.set([
      ...["peer", silent, "allowed-ips", "10.99.0.0/24"],
      ...["endpoint", `${pair.b.outer4}:9`],
    ]);
    await namespace.ip([`route add 10.99.0.0/24 dev ${node.name}`]);
    const result = await ping(namespace, "10.99.0.1", { count: 3, waitSeconds: 1 });
    expect(result.received).toBe(0);
    const seen = await until("a second attempt", async () => {
      const peer = (await statusOf(node.name)).peers.find((one) => one.publicKey === silent)!;
      return peer.attempts >= 2 ? peer : undefined;
    });
    expect(seen).toMatchObject({ handshakes: 0, lastHandshakeMs: 0, sessions: [] });
    expect(seen.initiations).toBeGreaterThanOrEqual(2);
    expect(seen.stagedPackets).toBe(3);
    const text = await run([...command, node.name]);
    expect(text).toMatch(/0 complete, \d+ initiations sent, trying for the \d+\. time\n/);
    expect(text).toContain("sessions: none; waiting packets: 3\n");
  });

  labTest("a link that is down, without peers", async (lab) => {
    const namespace = await lab.namespace("n");
    const settings = { implementation: "wirehaul", namespace, label: "w" } as const;
    const { name } = await WireguardNode.start(lab, settings);
    expect(await statusOf(name)).toMatchObject({
      isUp: false,
      listenPort: 0,
      drops: {},
      peers: [],
    });
    const text = await run([...command, name]);
    expect(text).toContain(`interface: ${name} (down, MTU 1420, port none)\n`);
    expect(text).toContain("  drops: none\n");
  });

  labTest("all interfaces, and no other program's", async (lab) => {
    const names: string[] = [];
    for (const label of ["v", "w"]) {
      const namespace = await lab.namespace(`${label}n`);
      const settings = { implementation: "wirehaul", namespace, label } as const;
      names.push((await WireguardNode.start(lab, settings)).name);
    }
    const namespace = await lab.namespace("o");
    const other = await WireguardNode.start(lab, {
      implementation: "wireguard-go",
      namespace,
      label: "g",
    });
    const result = await attempt([...command, "--json"]);
    expect(result).toMatchObject({ code: 0, stderr: "" });
    const found = (JSON.parse(result.stdout) as InterfaceStatus[]).map(({ name }) => name);
    expect(found).toEqual(expect.arrayContaining(names));
    expect(found).not.toContain(other.name);
    const text = await run(command);
    for (const name of names) expect(text).toContain(`interface: ${name} (`);
    expect(text).not.toContain(other.name);
    expectError(await attempt([...command, other.name]), /another program than wirehaul-wg/);
  });
});

/** Without the multicasts that the kernel sends on its own, which count as packets to nobody. */
async function quietPair(lab: Lab): Promise<Pair> {
  const pair = await connectedPair(lab);
  for (const { namespace, node } of [pair.a, pair.b]) {
    await namespace.exec(["sysctl", "-q", "-w", `net.ipv6.conf.${node.name}.disable_ipv6=1`]);
  }
  return pair;
}

describe("drops are counted", () => {
  labTest("packets to nobody, and to a peer without endpoint", async (lab) => {
    const pair = await quietPair(lab);
    const { node, namespace } = pair.a;
    await namespace.ip([`route add 10.98.0.0/16 dev ${node.name}`]);
    const keyless = generateKeys().publicKey;
    await node.set(["peer", keyless, "allowed-ips", "10.98.1.0/24"]);
    for (const [address, reason] of [
      ["10.98.0.1", "noRoute"],
      ["10.98.1.1", "noEndpoint"],
    ] as const) {
      const before = await dropsOf(node.name, reason);
      expect((await ping(namespace, address, { count: 5, waitSeconds: 1 })).received).toBe(0);
      expect((await dropsOf(node.name, reason)) - before).toBe(5);
      expect(await run([...command, node.name])).toContain(`${reason} ${before + 5}`);
    }
  });

  labTest("garbage on the port", async (lab) => {
    const pair = await quietPair(lab);
    const counts = { unknownType: 7, short: 5, transport: 6, response: 4, cookieReply: 3 };
    const settings = {
      source: pair.a.outer4,
      target: pair.b.outer4,
      port: LISTEN_PORT,
      counts,
    };
    const before = await statusOf(pair.b.node.name);
    const sender = pair.a.namespace.spawn([process.execPath, SENDER, JSON.stringify(settings)]);
    await sender.waitFor("sent 25\n");
    const { drops } = await until("all are counted", async () => {
      const now = await statusOf(pair.b.node.name);
      return now.lane.datagramsReceived - before.lane.datagramsReceived >= 25 ? now : undefined;
    });
    expect(drops).toEqual({
      ...before.drops,
      badType: 7,
      badSize: 5,
      unknownIndex: 6,
      badMac1: 4,
      badCookieReply: 3,
    });
  });

  labTest("an inner source that is not the peer's", async (lab) => {
    const pair = await quietPair(lab);
    const { node, namespace } = pair.a;
    await namespace.ip([addressLine("10.66.0.1/32", node.name)]);
    const before = await statusOf(pair.b.node.name);
    const spoofed = ["ping", "-n", "-c", "4", "-i", "0.1", "-W", "1", "-I", "10.66.0.1"];
    expect((await namespace.attempt([...spoofed, pair.b.inner4])).code).toBe(1);
    const after = await statusOf(pair.b.node.name);
    expect(after.drops).toEqual({ ...before.drops, wrongSource: 4 });
    expect(after.lane.packetsWritten).toBe(before.lane.packetsWritten);
  });
});

/** Every notation in which a key might slip out, and pieces of it. */
function formsOf(key: string): string[] {
  const hex = Buffer.from(key, "base64").toString("hex");
  return [key.slice(0, 20), key.slice(-21, -1), hex.slice(0, 20), hex.slice(-20)].flatMap(
    (form) => [form, form.toUpperCase()],
  );
}

labTest("no output and no log holds a private or preshared key", async (lab) => {
  const pair = await connectedPair(lab);
  const replaced = { ...pair.a.node.keys };
  const { node } = pair.a;
  const psk = generatePsk();
  await node.set(["peer", pair.b.node.keys.publicKey, "preshared-key", node.secret(psk)]);
  // Mistakes with keys in them, of which the log tells.
  const hex = Buffer.from(replaced.privateKey, "base64").toString("hex");
  for (const line of [
    `private_key=${hex.slice(2)}`,
    `private_key=${replaced.privateKey}`,
    `private_key ${hex}`,
    hex,
    `${hex}=1`,
    `public_key=${Buffer.from(pair.b.node.keys.publicKey, "base64").toString("hex")}\npreshared_key=${hex}00`,
  ]) {
    const reply = await exchange(socketPath(node.name), [`set=1\n${line}\n\n`]);
    expect(reply).toMatch(/^errno=-(22|71)\n\n$/);
  }
  await exchange(socketPath(node.name), [`${hex}\n`]);
  await ping(pair.a.namespace, pair.b.inner4);
  const outputs = [
    await run([...command, node.name]),
    await run([...command, node.name, "--json"]),
    await run([...command, pair.b.node.name, "--json"]),
    await run(command),
    await run([...command, "--json"]),
  ];
  await node.stop();
  await pair.b.node.stop();
  const text = [...outputs, node.program.output, pair.b.node.program.output].join("\n");
  expect(text).toContain(pair.b.node.keys.publicKey);
  expect(node.program.output).toContain("ERROR");
  const secrets = [
    pair.a.node.keys.privateKey,
    pair.b.node.keys.privateKey,
    pair.presharedKey!,
    psk,
  ];
  for (const form of secrets.flatMap(formsOf)) expect(text).not.toContain(form);
});

describe("mistakes", () => {
  labTest("an interface that does not exist", async (lab) => {
    const name = lab.name("x");
    for (const option of [[], ["--json"]]) {
      const result = await attempt([...command, name, ...option]);
      if (option.length === 0) {
        expectError(result, new RegExp(`${name}: no program serves .* wirehaul-wg`));
      } else {
        expect(result.stderr).toMatch(new RegExp(`^wirehaul: ${name}: no program serves .*\n$`));
        expect(result).toMatchObject({ code: 1, stdout: "[]\n" });
      }
    }
  });

  labTest("a socket file that nobody serves any more", async (lab) => {
    const namespace = await lab.namespace("n");
    const settings = { implementation: "wirehaul", namespace, label: "w" } as const;
    const { name, program } = await WireguardNode.start(lab, settings);
    program.signal("SIGKILL");
    await program.ended;
    expectError(await attempt([...command, name]), /no program serves this interface/);
  });

  for (const name of ["x".repeat(200), "../../run/x", "", "a b"]) {
    labTest(`the name "${name.slice(0, 20)}"`, async () => {
      expectError(await attempt([...command, name]), /^wirehaul: /);
    });
  }

  for (const args of [["--no-such-option"], ["-j"], ["wg0", "wg1"], ["--json", "-x", "wg0"]]) {
    labTest(`"${args.join(" ")}"`, async () => {
      expectError(await attempt([...command, ...args]), /^Usage: wirehaul status/);
    });
  }

  for (const [what, change] of [
    ["no interface at all", "mount -t tmpfs none /var/run"],
    ["an empty folder", "mount -t tmpfs none /var/run; mkdir /var/run/wireguard"],
  ] as const) {
    labTest(what, async () => {
      const alone = ["unshare", "-m", "sh", "-c", `${change}; exec "$@"`, "sh", ...command];
      const result = await attempt(alone);
      expect(result).toMatchObject({ code: 0, stdout: "" });
      expect(result.stderr).toBe("no interface is served by wirehaul-wg\n");
      expect(await attempt([...alone, "--json"])).toMatchObject({ code: 0, stdout: "[]\n" });
    });
  }

  labTest("a user who is not root", async (lab) => {
    const namespace = await lab.namespace("n");
    const settings = { implementation: "wirehaul", namespace, label: "w" } as const;
    const { name } = await WireguardNode.start(lab, settings);
    const result = await attempt([
      ...["setpriv", "--reuid", "65534", "--clear-groups", "--bounding-set=-all,+dac_read_search"],
      ...["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"],
      ...command,
      name,
    ]);
    expectError(result, /no right to ask; run as root/);
  });
});
