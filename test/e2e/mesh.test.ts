/**
 * 200 nodes, each a peer of all others: 39,800 peers of 200 interfaces on one engine. Every node has a network namespace with an
 * address of its own, where its interface and its UDP sockets are; a router between them carries the datagrams. Every pair exchanges
 * packets both ways.
 */
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import type { Lab, Namespace } from "../../src/cli/demo/lab.ts";
import { type Background, type Finished, until } from "../../src/control/linux/command.ts";
import { labTest } from "./harness/lab-test.ts";

const NODES = 200;
const PAIRS = (NODES * (NODES - 1)) / 2;
const CHILD = fileURLToPath(new URL("./harness/mesh-child.mjs", import.meta.url));
/** On every cable: who is there is known by its /32 (the kernel's neighbour table would be too small for all on one). */
const GATEWAY = "169.254.1.1";
/** Of what takes ten seconds on a machine of its own: beside other tests the kernel has one lock for all links of all namespaces. */
const LIMIT_MS = 180_000;
const AGAIN_MS = 2_000;
/** A peer with its session and the replay window of it; 3.4 KiB without one (bench part `peers`). */
const BYTES_PER_PEER_MAX = 12 << 10;
const PARALLEL = 8;

interface Node {
  readonly namespace: Namespace;
  readonly name: string;
  readonly outer: string;
  readonly inner: string;
}

interface Report {
  readonly peers: number;
  readonly connected: number;
  readonly handshakes: number;
  readonly waiting: number;
  readonly indexes: number;
  readonly socketDrops: number;
  readonly process: { readonly residentBytes: number; readonly threads: number };
  readonly drops: Readonly<Record<string, number>>;
  readonly errors: readonly string[];
}

/** Runs `work` for each, a few at a time. */
async function forEach<Item>(
  items: readonly Item[],
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const waiting = [...items];
  const worker = async (): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
}

async function makeNodes(lab: Lab, router: Namespace): Promise<Node[]> {
  const nodes: Node[] = [];
  const indexes = Array.from({ length: NODES }, (_, index) => index);
  await forEach(indexes, async (index) => {
    const namespace = await lab.namespace(`n${index}`);
    nodes[index] = {
      namespace,
      name: lab.name(`w${index}`),
      outer: `10.200.0.${index + 1}`,
      inner: `10.201.0.${index + 1}`,
    };
  });
  // Without addresses for IPv6 the kernel says nothing of its own.
  await router.ip(
    nodes.flatMap(({ namespace, outer }, index) => [
      `link add v${index} type veth peer name up netns ${namespace.name}`,
      `address add ${GATEWAY}/32 dev v${index}`,
      `link set dev v${index} addrgenmode none up`,
      `route add ${outer}/32 dev v${index}`,
    ]),
  );
  await router.exec(["sysctl", "-qw", "net.ipv4.ip_forward=1"]);
  await forEach(nodes, async ({ namespace, outer }) => {
    await namespace.ip([
      `address add ${outer}/32 dev up`,
      "link set dev up addrgenmode none up",
      `route add ${GATEWAY}/32 dev up`,
      `route add default via ${GATEWAY} src ${outer}`,
    ]);
  });
  return nodes;
}

async function report(child: Background): Promise<Report> {
  const before = child.output.length;
  process.kill(child.pid, "SIGUSR2");
  const line = await until("the report", () => {
    const text = child.output.slice(before);
    return text.endsWith("\n") ? /^report (.*)$/m.exec(text)?.[1] : undefined;
  });
  return JSON.parse(line) as Report;
}

/** Each node pings those that `targets` names until they have answered, all at the same time; how many did. */
async function meet(
  nodes: readonly Node[],
  targets: (index: number) => readonly Node[],
): Promise<number> {
  // -a: who answers, a line each. Again after two seconds: fping forgets a ping after ten.
  const pace = ["-i", "5", "-t", `${AGAIN_MS}`, "-B", "1", "-r", `${LIMIT_MS / AGAIN_MS}`];
  const finished = await fping(nodes, targets, ["-a", ...pace]);
  return finished.reduce((sum, { stdout }) => sum + stdout.split("\n").filter(Boolean).length, 0);
}

/** Each node sends one ping to each of those that `targets` names, all at the same time. */
async function exchange(
  nodes: readonly Node[],
  targets: (index: number) => readonly Node[],
): Promise<{ readonly sent: number; readonly answered: number; readonly slowestMs: number }> {
  const totals = { sent: 0, answered: 0, slowestMs: 0 };
  for (const { stderr } of await fping(nodes, targets, ["-c", "1", "-i", "50", "-t", "9000"])) {
    for (const [, xmt, rcv, slowest] of stderr.matchAll(
      /xmt\/rcv\/%loss = (\d+)\/(\d+)\/\d+%(?:, min\/avg\/max = [\d.]+\/[\d.]+\/([\d.]+))?/g,
    )) {
      totals.sent += Number(xmt);
      totals.answered += Number(rcv);
      totals.slowestMs = Math.max(totals.slowestMs, Number(slowest ?? 0));
    }
  }
  return totals;
}

async function fping(
  nodes: readonly Node[],
  targets: (index: number) => readonly Node[],
  options: readonly string[],
): Promise<Finished[]> {
  const programs = nodes.flatMap(({ namespace }, index) => {
    const addresses = targets(index).map(({ inner }) => inner);
    return addresses.length === 0
      ? []
      : [namespace.spawn(["fping", "-q", ...options, ...addresses])];
  });
  return await Promise.all(programs.map(({ ended }) => ended));
}

labTest(
  `${NODES} nodes in a full mesh`,
  async (lab) => {
    const clock = stopwatch();
    const router = await lab.namespace("r");
    const nodes = await makeNodes(lab, router);
    const named = nodes.map(({ namespace, name, outer, inner }) => ({
      ...{ name, outer, inner },
      namespace: `/run/netns/${namespace.name}`,
    }));
    clock.lap("namespaces");
    const file = lab.file("mesh.json", JSON.stringify({ lanes: 1, nodes: named }));
    const child = router.spawn([process.execPath, CHILD, file]);
    await child.waitFor("made", LIMIT_MS);
    await router.ip(
      nodes.map(({ name, namespace }) => `link set dev ${name} netns ${namespace.name}`),
    );
    await forEach(nodes, async ({ namespace, name, inner }) => {
      await namespace.ip([
        `address add ${inner}/32 dev ${name}`,
        `link set dev ${name} addrgenmode none up`,
        `route add 10.201.0.0/16 dev ${name}`,
      ]);
    });
    clock.lap(`${NODES * (NODES - 1)} peers`);

    // The lower of each pair calls: a handshake for every pair, all at once.
    const answered = await meet(nodes, (index) => nodes.slice(index + 1));
    clock.lap("first packets");
    const met = await report(child);
    // What was dropped where tells why, if it was.
    console.log(`${clock.text()}; ${answered} of ${PAIRS} answered; ${JSON.stringify(met)}`);
    expect(answered).toBe(PAIRS);
    expect(met).toMatchObject({ peers: 2 * PAIRS, connected: 2 * PAIRS, waiting: 0, errors: [] });

    // And everybody calls everybody.
    const second = await exchange(nodes, (index) =>
      nodes.filter((_node, other) => other !== index),
    );
    clock.lap("packets of all to all");
    expect(second).toMatchObject({ sent: 2 * PAIRS, answered: 2 * PAIRS });
    const talked = await report(child);
    // No session was made anew for it.
    expect(talked.handshakes).toBe(met.handshakes);

    const made = JSON.parse(/^made (.*)$/m.exec(child.output)?.[1] ?? "") as {
      residentBytes: number;
      madeBytes: number;
    };
    const perPeer = (talked.process.residentBytes - made.residentBytes) / (2 * PAIRS);
    console.log(
      `${clock.text()}; handshakes ${met.handshakes}, slowest packet then ${Math.round(second.slowestMs)} ms; memory ${Math.round(talked.process.residentBytes / 2 ** 20)} MiB, ${Math.round(perPeer)} bytes a peer; drops ${JSON.stringify(talked.drops)}, of sockets ${talked.socketDrops}`,
    );
    expect(perPeer).toBeLessThan(BYTES_PER_PEER_MAX);
    // The kernel takes 20 ms to delete an interface, one after the other.
    expect((await child.stop(LIMIT_MS)).code).toBe(0);
  },
  3 * LIMIT_MS,
);

/** Seconds between laps, for whoever reads the output. */
function stopwatch(): { lap(name: string): void; text(): string } {
  let last = performance.now();
  const laps: string[] = [];
  return {
    lap: (name) => {
      const now = performance.now();
      laps.push(`${name} ${((now - last) / 1000).toFixed(1)} s`);
      last = now;
    },
    text: () => laps.join(", "),
  };
}
