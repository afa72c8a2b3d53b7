/**
 * Nodes that can and cannot be reached from outside: found out by packets, never by what addresses look like; keepalives by what was
 * measured. Items of docs/networkd.md, parts F and G.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { ROOT } from "../../src/cli/demo/implementations.ts";
import { generateKeys } from "../../src/cli/demo/keys.ts";
import type { Lab, Namespace } from "../../src/cli/demo/lab.ts";
import { pingUntil } from "../../src/cli/demo/measure.ts";
import { realClock } from "../../src/control/linux/clock.ts";
import { type Background, until } from "../../src/control/linux/command.ts";
import type { FamilyReachability, Verdict } from "../../src/control/model/reachability.ts";
import type { AgentStatus, PublishedReachability } from "../../src/control/node/agent.ts";
import { Outside } from "../../src/control/node/reachability/outside.ts";
import { type Probed, probe } from "../../src/control/node/reachability/probe.ts";
import { ReachabilityResponder } from "../../src/control/node/reachability/responder.ts";
import { parseResponder } from "../../src/control/node/reachability/responder-name.ts";
import type { NetworkDetails } from "../../src/control/node/view.ts";
import { BootMachine, Internet, REGISTRY4, REGISTRY6 } from "./harness/boot-machine.ts";
import { labTest } from "./harness/lab-test.ts";
import { Machine } from "./harness/machine.ts";
import { connect, makeRouter } from "./harness/router.ts";

const PROGRAM = join(ROOT, "bin", "wirehaul");
const SOCKET = "/run/wirehaul/api.sock";
/** On the machine with net number 3 (connect). */
const RESPONDERS = "10.3.0.2:3479,[2001:db8:3::2]:3479";
/** A mapping of the gateway lives so long. */
const LIFETIME_SECONDS = 6;
/** A table with a chain for what comes in. */
const FILTER = "add table inet f; add chain inet f i { type filter hook input priority 0; };";
/** WP 5.4.6. */
const KEEPALIVE_BYTES = 32;

async function startNode(machine: Machine, ...args: readonly string[]): Promise<Background> {
  const command = [process.execPath, PROGRAM, "node", "run", "--state", machine.folder, ...args];
  const node = machine.spawn(command);
  await node.waitFor(`serving ${SOCKET}`, 60_000);
  return node;
}

async function ask(machine: Machine, ...args: readonly string[]): Promise<string> {
  return await machine.exec([process.execPath, PROGRAM, ...args]);
}

async function status(machine: Machine): Promise<AgentStatus> {
  return JSON.parse(await ask(machine, "node", "status", "--json")) as AgentStatus;
}

/** A family's state, as soon as it is so. */
async function untilSo(
  machine: Machine,
  family: "ipv4" | "ipv6",
  what: string,
  isSo: (state: FamilyReachability) => boolean,
  limitMs = 30_000,
): Promise<FamilyReachability> {
  let last: unknown;
  try {
    return await until(
      `${family} is ${what}`,
      async () => {
        const state = (await status(machine)).reachability?.[family];
        last = state;
        return state !== undefined && isSo(state) ? state : undefined;
      },
      limitMs,
    );
  } catch (error) {
    throw new Error(`${(error as Error).message}: ${JSON.stringify(last)}`);
  }
}

async function add(lab: Lab, machine: Machine, resource: { readonly id: string }): Promise<void> {
  const path = join(lab.folder, `${resource.id}-${Math.random()}.json`);
  writeFileSync(path, JSON.stringify(resource));
  await ask(machine, "network", "add", "--local", path);
}

/** Of each peer, in seconds, as wg-tools say it. */
async function keepalives(machine: Machine, name: string): Promise<Record<string, string>> {
  const text = await machine.exec(["wg", "show", name, "persistent-keepalive"]);
  return Object.fromEntries(
    text
      .trim()
      .split("\n")
      .map((line) => line.split(/\s+/)),
  );
}

/**
 * A gateway with 100.64.7.2 (RFC 6598) outside, behind which 10.9.0.2 is masqueraded, and 2001:db8:9::2, a global address, gets in only
 * what it has asked for.
 */
async function makeHome(lab: Lab, internet: Namespace, home: Namespace): Promise<void> {
  const gateway = await makeRouter(lab, "gw");
  await lab.cable(
    { namespace: home, name: "eth0", addresses: ["10.9.0.2/24", "2001:db8:9::2/64"] },
    { namespace: gateway, name: "lan", addresses: ["10.9.0.1/24", "2001:db8:9::1/64"] },
  );
  await lab.cable(
    { namespace: gateway, name: "wan", addresses: ["100.64.7.2/24", "2001:db8:90::2/64"] },
    { namespace: internet, name: "home", addresses: ["100.64.7.1/24", "2001:db8:90::1/64"] },
  );
  await home.ip(["route add default via 10.9.0.1", "route add default via 2001:db8:9::1"]);
  await gateway.ip(["route add default via 100.64.7.1", "route add default via 2001:db8:90::1"]);
  await internet.ip(["route add 2001:db8:9::/64 via 2001:db8:90::2"]);
  await gateway.exec(["nft", "-f", "-"], {
    input: `table inet gateway {
  chain postrouting {
    type nat hook postrouting priority srcnat;
    meta nfproto ipv4 oifname "wan" masquerade
  }
  chain forward {
    type filter hook forward priority filter;
    iifname "wan" ct state established,related accept
    iifname "wan" drop
  }
}
`,
  });
  await gateway.exec([
    "sysctl",
    "-q",
    "-w",
    `net.netfilter.nf_conntrack_udp_timeout=${LIFETIME_SECONDS}`,
    `net.netfilter.nf_conntrack_udp_timeout_stream=${LIFETIME_SECONDS}`,
  ]);
}

labTest(
  "items 26, 30, 31, 32: behind a NAT and an IPv6 firewall a node is hidden, begins, and keeps its mapping by the measured lifetime",
  async (lab) => {
    const internet = await makeRouter(lab, "net");
    const [responder, open, home] = [
      await Machine.create(lab, "re"),
      await Machine.create(lab, "op"),
      await Machine.create(lab, "ho"),
    ];
    await connect(lab, { router: internet, namespace: responder.host, label: "r", net: 3 });
    await connect(lab, { router: internet, namespace: open.host, label: "o", net: 5 });
    await makeHome(lab, internet, home.host);
    const answering = await startNode(responder, "--respond", "3479");
    await answering.waitFor("answers at UDP port 3479");
    await startNode(open, "--responders", RESPONDERS);
    const hidden = await startNode(home, "--responders", RESPONDERS);

    // Item 30: a private address that is reached is public; a shared and a global one that are not are hidden.
    const [open4, open6, home4, home6] = await Promise.all([
      untilSo(open, "ipv4", "public", ({ verdict }) => verdict === "public"),
      untilSo(open, "ipv6", "public", ({ verdict }) => verdict === "public"),
      untilSo(home, "ipv4", "hidden", ({ verdict }) => verdict === "hidden"),
      untilSo(home, "ipv6", "hidden", ({ verdict }) => verdict === "hidden"),
    ]);
    expect([open4.address, open6.address]).toEqual(["10.5.0.2", "2001:db8:5::2"]);
    expect(home4).toMatchObject({ address: null, seen: expect.stringMatching(/^100\.64\.7\.2:/) });
    expect(home6.seen).toMatch(/^\[2001:db8:9::2\]:/);

    // Items 26 and 31: the hidden node gets the public one's address and port, the public one gets none.
    const keys = [generateKeys(), generateKeys(), generateKeys()] as const;
    const common = { id: "aaa", name: "net", owner: "1", range: "10.1.0.0/16" };
    await add(lab, open, {
      ...common,
      subnet: "10.1.1.0/24",
      privateKey: keys[0].privateKey,
      listenPort: 5000,
      peers: [
        { publicKey: keys[1].publicKey, allowedIps: ["10.1.2.0/24", "100.64.1.2/32"] },
        {
          publicKey: keys[2].publicKey,
          endpoint: "10.3.0.2:5000",
          allowedIps: ["10.1.3.0/24"],
        },
      ],
    } as { id: string });
    const before = await status(home);
    await add(lab, home, {
      ...common,
      subnet: "10.1.2.0/24",
      privateKey: keys[1].privateKey,
      peers: [
        {
          publicKey: keys[0].publicKey,
          endpoint: `${open4.address}:5000`,
          allowedIps: ["10.1.1.0/24", "100.64.1.1/32"],
        },
      ],
    } as { id: string });
    const [toOpen, toHome, toThird] = keys.map(({ publicKey }) => publicKey);
    if (before.reachability?.ipv4.lifetimeMs === null) {
      expect(await keepalives(home, "w-aaa")).toEqual({ [toOpen!]: "25" });
    }
    // Nobody has sent anything through the tunnel.
    const peerAtOpen = async (): Promise<{
      endpoint: string | null;
      handshakes: number;
      rxBytes: number;
    }> => {
      const text = await ask(open, "network", "show", "--local", "--json", "aaa");
      const { device } = JSON.parse(text) as NetworkDetails;
      const peer = device?.peers.find(({ publicKey }) => publicKey === toHome);
      const { endpoint = null, handshakes = 0, rxBytes = 0 } = peer ?? {};
      return { endpoint, handshakes, rxBytes };
    };
    const first = await until("the hidden node has begun", async () => {
      const peer = await peerAtOpen();
      return peer.handshakes > 0 ? peer : undefined;
    });
    expect(first.endpoint).toMatch(/^100\.64\.7\.2:/);

    // Item 32: the lifetime is found in both families, and the keepalive follows it, within the session.
    for (const family of ["ipv4", "ipv6"] as const) {
      const measured = await untilSo(
        home,
        family,
        "measured",
        ({ lifetimeMs }) => lifetimeMs !== null,
        60_000,
      );
      expect(measured.lifetimeMs).toBeLessThan(LIFETIME_SECONDS * 1000);
      expect(measured.lifetimeMs).toBeGreaterThanOrEqual((LIFETIME_SECONDS - 1) * 1000);
      expect(measured.keepaliveSeconds).toBe(2);
    }
    await until("the keepalive follows", async () => {
      return (await keepalives(home, "w-aaa"))[toOpen!] === "2";
    });
    expect(await keepalives(open, "w-aaa")).toEqual({ [toHome!]: "25", [toThird!]: "off" });
    const explained = await ask(home, "node", "explain", toOpen!);
    expect(explained).toContain("this node is hidden in IPv4: it begins");
    expect(explained).toMatch(/keepalive every 2 s: a silent mapping lives 5(\.\d+)? s at least/);
    expect(await ask(open, "node", "explain", toThird!)).toContain("both ends can be reached");
    const text = await ask(home, "node", "status");
    expect(text).toMatch(/IPv4: hidden: no packet from 10\.3\.0\.2:3479 arrived on port \d+/);
    expect(text).toContain("keepalive 2 s");
    const metrics = await home.exec(["curl", "-s", "--unix-socket", SOCKET, "http://node/metrics"]);
    expect(metrics).toContain('wirehaul_reachable{family="ipv4"} 0');
    expect(metrics).toMatch(/wirehaul_mapping_lifetime_seconds\{family="ipv6"\} 5/);
    expect(metrics).toContain('wirehaul_keepalive_seconds{family="ipv4"} 2');

    // For longer than a mapping lives nothing but keepalives has gone; then the public side speaks first.
    const { rxBytes } = await peerAtOpen();
    await until("keepalives for longer than a mapping lives", async () => {
      const came = (await peerAtOpen()).rxBytes - rxBytes;
      return came >= KEEPALIVE_BYTES * (LIFETIME_SECONDS / 2 + 2);
    });
    expect(await open.reaches("10.1.2.1", "n-aaa", 2)).toBe(true);
    expect((await peerAtOpen()).handshakes).toBe(first.handshakes);

    // A restart of the program goes on with what was measured, also while nobody answers.
    for (const node of [answering, hidden]) {
      node.signal("SIGTERM");
      await node.ended;
    }
    await startNode(home, "--responders", RESPONDERS);
    expect(await keepalives(home, "w-aaa")).toEqual({ [toOpen!]: "2" });
    expect((await status(home)).reachability?.ipv4).toMatchObject({ verdict: "hidden" });
  },
  120_000,
);

labTest(
  "item 30: a firewall that closes is noticed as addresses change, and who is away changes nothing",
  async (lab) => {
    const internet = await makeRouter(lab, "net");
    const [responder, node] = [await Machine.create(lab, "re"), await Machine.create(lab, "no")];
    await connect(lab, { router: internet, namespace: responder.host, label: "r", net: 3 });
    const { cable } = await connect(lab, {
      router: internet,
      namespace: node.host,
      label: "n",
      net: 5,
    });
    const answering = await startNode(responder, "--respond", "3479");
    await startNode(node, "--responders", RESPONDERS);
    await untilSo(node, "ipv4", "public", ({ verdict }) => verdict === "public");
    await untilSo(node, "ipv6", "public", ({ verdict }) => verdict === "public");
    await node.exec(["nft", "-f", "-"], undefined, {
      input: `table inet firewall {
  chain input {
    type filter hook input priority filter; policy drop;
    iif lo accept
    meta l4proto { icmp, icmpv6 } accept
    ct state established,related accept
  }
}
`,
    });
    await node.host.ip([`address add 10.5.0.77/24 dev ${cable}`]);
    const shut = await untilSo(node, "ipv4", "hidden", ({ verdict }) => verdict === "hidden");
    expect(shut.keepaliveSeconds).toBe(25);
    // The other family's addresses are what they were.
    expect((await status(node)).reachability?.ipv6.verdict).toBe("public");
    answering.signal("SIGTERM");
    await answering.ended;
    await node.host.ip([`address add 2001:db8:5::77/64 dev ${cable} nodad`]);
    const away = await untilSo(node, "ipv6", "unknown", ({ verdict }) => verdict === "unknown");
    expect(away.why).toContain("no answer");
  },
);

labTest(
  "item 30: what is measured is the namespace of WireGuard's sockets, and others are answered from there, also after a move",
  async (lab) => {
    const internet = await makeRouter(lab, "net");
    const outside = await lab.namespace("re");
    const [open, shut] = [await lab.namespace("op"), await lab.namespace("sh")];
    await connect(lab, { router: internet, namespace: outside, label: "r", net: 3 });
    await connect(lab, { router: internet, namespace: open, label: "o", net: 5 });
    await connect(lab, { router: internet, namespace: shut, label: "s", net: 6 });
    const rule = "add rule inet f i ct state new udp dport != { 4000, 4001 } drop";
    await shut.exec(["nft", `${FILTER} ${rule}`]);
    for (const namespace of [open, shut]) {
      // Neighbours take their time in a new lab.
      await pingUntil(namespace, "10.3.0.2");
      await pingUntil(namespace, "2001:db8:3::2");
    }
    const responder = await ReachabilityResponder.open({ port: 3479, namespace: outside.name });
    let changes = 0;
    const node = new Outside({
      clock: realClock,
      responders: RESPONDERS.split(",").map(parseResponder),
      respondPort: 4000,
      portRange: [1_024, 3_999],
      before: undefined,
      namespace: open.name,
      onChange: () => {
        changes += 1;
      },
      log: () => undefined,
    });
    const untilVerdicts = async (verdict: Verdict): Promise<void> => {
      await until(`both families are ${verdict}`, () => {
        const { ipv4, ipv6 } = node.state ?? {};
        return ipv4?.verdict === verdict && ipv6?.verdict === verdict;
      });
    };
    const askNode = async (address: string): Promise<Probed> =>
      await probe({
        clock: realClock,
        family: 4,
        namespace: outside.name,
        responders: [parseResponder(`${address}:4000`)],
        portRange: [1_024, 32_767],
        signal: new AbortController().signal,
      });
    node.start();
    try {
      await untilVerdicts("public");
      expect(node.state?.ipv6.address).toBe("2001:db8:5::2");
      expect(await askNode("10.5.0.2")).toMatchObject({ verdict: "public" });
      expect(await askNode("10.6.0.2")).toMatchObject({ verdict: "unknown" });
      node.move(shut.name);
      await untilVerdicts("hidden");
      expect(node.state?.ipv4.seen).toMatch(/^10\.6\.0\.2:/);
      expect(await askNode("10.6.0.2")).toMatchObject({ verdict: "public" });
      expect(await askNode("10.5.0.2")).toMatchObject({ verdict: "unknown" });
      expect(changes).toBeGreaterThanOrEqual(4);
      // What comes from the port that was asked is no proof: with the other port shut off nothing is reached.
      await outside.exec(["nft", `${FILTER} add rule inet f i udp sport 4001 drop`]);
      expect(await askNode("10.6.0.2")).toMatchObject({ verdict: "hidden" });
    } finally {
      await node.stop();
      responder.close();
    }
  },
);

labTest(
  "item 30: what is found once the uplink is there is published with the census",
  async (lab) => {
    const internet = await Internet.make(lab);
    await internet.startRegistry();
    const router = await internet.router(1, { ra: true });
    // Both families have addresses that lead everywhere; one is let in.
    const rule =
      "add rule inet f i meta nfproto ipv6 iifname wan meta l4proto udp ct state new drop";
    await router.namespace.exec(["nft", `${FILTER.replace("hook input", "hook forward")} ${rule}`]);
    const program = [process.execPath, PROGRAM, "node", "run"];
    // Its machine has more than one address of each family: the one that is asked has to answer.
    const responder = internet.namespace.spawn([
      ...program,
      ...["--respond", "3479", "--state", join(lab.folder, "re")],
      ...["--socket", join(lab.folder, "re.sock")],
    ]);
    await responder.waitFor("answers at UDP port 3479");
    const machine = await BootMachine.make(lab);
    await machine.plug("eth1", router);
    const command = [...program, "--state", join(lab.folder, "st")];
    const nics = ["--nic-kinds", "veth", "--nic-names", "eth*"];
    const responders = `${REGISTRY4}:3479,[${REGISTRY6}]:3479`;
    const names = ["--registry", `http://${REGISTRY4}/`, "--responders", responders];
    const node = machine.spawn([...command, ...nics, ...names]);
    const body = await until(
      "both verdicts are published",
      () => {
        const { body } = internet.censuses().at(-1) ?? {};
        const { reachability } = (body ?? {}) as { reachability?: PublishedReachability };
        const { ipv4, ipv6 } = reachability ?? {};
        return ipv4?.verdict === "public" && ipv6?.verdict === "hidden" ? body : undefined;
      },
      60_000,
    );
    expect(body).toMatchObject({
      nics: [{ name: "eth1" }, { name: "zos" }],
      reachability: {
        ipv4: { address: expect.stringMatching(/^10\.1\.0\.\d+$/) },
        ipv6: { address: null },
      },
    });
    // The uplink is no network's leftover: a restart finds it and leaves it.
    const indexOf = async (): Promise<string> =>
      (await machine.exec(["ip", "-o", "link", "show", "zos"])).split(":")[0] ?? "";
    const before = await indexOf();
    node.signal("SIGTERM");
    await node.ended;
    const again = machine.spawn([...command, ...nics, ...names]);
    await again.waitFor("online", 60_000);
    expect(await indexOf()).toBe(before);
  },
  150_000,
);
