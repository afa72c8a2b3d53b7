/** What happens to the network while the soak runs: one thing after the other, in a circle, with pauses. */
import { setTimeout as sleep } from "node:timers/promises";
import { generateKeys, generatePsk } from "../../src/cli/demo/keys.ts";
import type { Namespace } from "../../src/cli/demo/lab.ts";
import { pingUntil } from "../../src/cli/demo/measure.ts";
import { run, until } from "../../src/control/linux/command.ts";
import { configureSpoke, type Network, SPOKES, type Spoke, type SpokeTitle } from "./network.ts";

export interface SoakEvent {
  readonly what: string;
  /** Whose pings may be lost, while it happens and for some seconds after. */
  readonly touches: readonly SpokeTitle[];
  readonly graceSeconds: number;
  readonly happen: (network: Network) => Promise<void>;
}

const FAKE_PEERS = 50;
/** How long a spoke may take to be heard again: 15 s without an answer, a retry, a start. */
const RECOVERY_MAX_MS = 60_000;
const SUSPEND_SECONDS = 10;
/** Now and then, in runs that are long enough: longer than a session. */
const LONG_SUSPEND_SECONDS = 300;
const CUT_SECONDS = 5;
/** For a ping that was on its way, and the kernel's own timers (neighbours, links). */
const GRACE_SECONDS = 10;

/** Peers that never answer, with all that a peer can have; one in ten calls and calls. */
async function churnPeers({ lab, hub }: Network): Promise<void> {
  const keys = Array.from({ length: FAKE_PEERS }, () => generateKeys().publicKey);
  const psk = lab.file("psk", `${generatePsk()}\n`);
  const settings = keys.flatMap((key, index) => [
    ...["peer", key, "preshared-key", psk, "endpoint", "192.168.0.2:9"],
    ...["persistent-keepalive", index % 10 === 0 ? "1" : "off"],
    ...["allowed-ips", `10.88.${index}.0/24,fd88:${index}::/64`],
  ]);
  await run(["wg", "set", hub.name, ...settings]);
  await sleep(1_000);
  await run(["wg", "set", hub.name, ...keys.flatMap((key) => ["peer", key, "remove"])]);
}

/** Has the hub do something and waits until it says that it has. */
async function signalHub(
  { hub }: Network,
  signal: NodeJS.Signals,
  answer: "churned" | "revived",
): Promise<void> {
  hub.program.signal(signal);
  await hub.program.waitFor(`${answer} ${++hub.done[answer]}\n`);
}

/** Another port: the hub follows when it is spoken to. */
async function move({ spokes }: Network): Promise<void> {
  const port = 20_000 + Math.floor(Math.random() * 20_000);
  await spokes.steady.node.set(["listen-port", `${port}`]);
}

async function rejoin({ hub, spokes }: Network): Promise<void> {
  const { node, inner } = spokes.guest;
  const key = node.keys.publicKey;
  await run(["wg", "set", hub.name, "peer", key, "remove"]);
  await sleep(1_000);
  await run(["wg", "set", hub.name, "peer", key, "allowed-ips", `${inner}/32`]);
  await heard(hub.namespace, spokes.guest);
}

async function heard(from: Namespace, spoke: Spoke): Promise<void> {
  await pingUntil(from, spoke.inner, RECOVERY_MAX_MS);
}

async function restart(network: Network, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
  const { frail } = network.spokes;
  frail.node.program.signal(signal);
  await frail.node.program.ended;
  await until(
    "its interface is gone",
    async () => !(await frail.namespace.hasLink(frail.node.name)),
  );
  frail.node = await frail.node.startAgain();
  await configureSpoke(network, frail);
  await heard(network.hub.namespace, frail);
}

async function suspend(network: Network, seconds: number): Promise<void> {
  const { frail } = network.spokes;
  frail.node.program.signal("SIGSTOP");
  try {
    await sleep(seconds * 1_000);
  } finally {
    frail.node.program.signal("SIGCONT");
  }
  await heard(network.hub.namespace, frail);
}

async function cut(network: Network): Promise<void> {
  const { frail } = network.spokes;
  await frail.namespace.ip([`link set dev ${frail.cable} down`]);
  await sleep(CUT_SECONDS * 1_000);
  await frail.namespace.ip([`link set dev ${frail.cable} up`]);
  await heard(network.hub.namespace, frail);
}

async function linkDown(network: Network): Promise<void> {
  const { frail } = network.spokes;
  await frail.namespace.ip([`link set dev ${frail.node.name} down`]);
  await sleep(1_000);
  await frail.namespace.ip([`link set dev ${frail.node.name} up`]);
  await heard(network.hub.namespace, frail);
}

/** Nobody's pings may suffer. */
const harmless = { touches: [], graceSeconds: 0 } as const;
const ofFrail = { touches: ["frail"], graceSeconds: GRACE_SECONDS } as const;
const ofGuest = { touches: ["guest"], graceSeconds: GRACE_SECONDS } as const;

const PEERS: SoakEvent = { what: "peers", ...harmless, happen: churnPeers };
const INTERFACES: SoakEvent = {
  what: "interfaces",
  ...harmless,
  happen: (network) => signalHub(network, "SIGUSR2", "churned"),
};
const LANE_DEATH: SoakEvent = {
  what: "lane death",
  touches: SPOKES,
  graceSeconds: GRACE_SECONDS,
  happen: async (network) => {
    await signalHub(network, "SIGHUP", "revived");
    // What it died of must not come back with it.
    await run(["wg", "set", network.hub.name, "peer", KILLER, "remove"]);
    for (const spoke of Object.values(network.spokes)) await heard(network.hub.namespace, spoke);
  },
};
/** The peer of the request that a lane dies of: 32 bytes of 1. */
const KILLER = Buffer.alloc(32, 1).toString("base64");
const MOVE: SoakEvent = {
  what: "endpoint",
  touches: ["steady"],
  graceSeconds: GRACE_SECONDS,
  happen: move,
};
const REJOIN: SoakEvent = { what: "rejoin", ...ofGuest, happen: rejoin };
const RESTART: SoakEvent = {
  what: "restart",
  ...ofFrail,
  happen: (network) => restart(network, "SIGTERM"),
};
const KILL: SoakEvent = {
  what: "kill -9",
  ...ofFrail,
  happen: (network) => restart(network, "SIGKILL"),
};
const SUSPEND: SoakEvent = {
  what: "suspend",
  ...ofFrail,
  happen: (network) => suspend(network, SUSPEND_SECONDS),
};
const LONG_SUSPEND: SoakEvent = {
  what: "suspend 5 min",
  ...ofFrail,
  happen: (network) => suspend(network, LONG_SUSPEND_SECONDS),
};
const CUT: SoakEvent = { what: "cable cut", ...ofFrail, happen: cut };
const LINK_DOWN: SoakEvent = { what: "link down", ...ofFrail, happen: linkDown };

/** Memory is churned in every second step: a leak in it is the most likely one. One lane death a round: six in a minute stay dead. */
const ROUND: readonly SoakEvent[] = [
  ...[PEERS, INTERFACES, MOVE, PEERS, RESTART, INTERFACES, REJOIN, PEERS, SUSPEND, INTERFACES],
  ...[LANE_DEATH, PEERS, KILL, INTERFACES, CUT, PEERS, LINK_DOWN, INTERFACES],
];
/** Ours: in so many rounds, some twenty minutes, one of the suspensions is a long one. */
const LONG_SUSPEND_ROUNDS = 10;

/** The event number `index`, from 0 on, of a run that is long enough for a long suspension or not. */
export function eventAt(index: number, hasLong: boolean): SoakEvent {
  const event = ROUND[index % ROUND.length]!;
  const round = Math.floor(index / ROUND.length) + 1;
  return hasLong && event === SUSPEND && round % LONG_SUSPEND_ROUNDS === 0 ? LONG_SUSPEND : event;
}
