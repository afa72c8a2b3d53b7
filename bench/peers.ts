/** `peers`: what configured peers cost that never speak: memory of each, and the time that it takes to configure many. */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Implementation } from "../src/cli/demo/implementations.ts";
import type { Lab } from "../src/cli/demo/lab.ts";
import { type PeerSettings, WireguardNode } from "../src/cli/demo/wireguard-node.ts";
import { run, until } from "../src/control/linux/command.ts";
import { inLab } from "./in-lab.ts";
import { residentBytes } from "./process-cost.ts";
import type { Line } from "./table.ts";
import { MIB } from "./table.ts";

/** Bytes, but for the time in milliseconds. */
export interface PeersFigures {
  /** Resident memory with so many peers. */
  readonly resident1: number;
  readonly resident1000: number;
  readonly resident10000: number;
  /** (resident10000 - resident1) / 9,999 */
  readonly bytesPerPeer: number;
  /** `wg setconf` of 10,000 peers, until `wg show` lists them all. */
  readonly configureMs: number;
}

export const PEERS_LINES: readonly Line<keyof PeersFigures>[] = [
  { key: "resident1", title: "memory, 1 peer, MiB", scale: 1 / MIB, digits: 1 },
  { key: "resident1000", title: "memory, 1,000 peers, MiB", scale: 1 / MIB, digits: 1 },
  { key: "resident10000", title: "memory, 10,000 peers, MiB", scale: 1 / MIB, digits: 1 },
  { key: "bytesPerPeer", title: "memory per extra peer, KiB", scale: 1 / 1024, digits: 2 },
  { key: "configureMs", title: "configuring 10,000 peers, ms", scale: 1, digits: 0 },
];

const COUNTS = [1, 1_000, 10_000] as const;
/** Memory is read so long after the configuration: garbage collectors, Go's too, give pages back after some seconds. */
const SETTLE_MS = 10_000;
/** Longest that a configuration may take. */
const LIMIT_MS = 60_000;

/** A program of its own for each count, so that none has the garbage of the one before. */
export async function measurePeers(implementation: Implementation): Promise<PeersFigures> {
  const memory: number[] = [];
  let configureMs = Number.NaN;
  for (const count of COUNTS) {
    const result = await inLab((lab) => configured(lab, implementation, count));
    memory.push(result.resident);
    configureMs = result.configureMs;
  }
  const [resident1 = 0, resident1000 = 0, resident10000 = 0] = memory;
  return {
    resident1,
    resident1000,
    resident10000,
    bytesPerPeer: (resident10000 - resident1) / (COUNTS[2] - COUNTS[0]),
    configureMs,
  };
}

async function configured(
  lab: Lab,
  implementation: Implementation,
  count: number,
): Promise<{ readonly resident: number; readonly configureMs: number }> {
  const namespace = await lab.namespace("n");
  const node = await WireguardNode.start(lab, {
    implementation,
    namespace,
    label: "w",
    environment: { LOG_LEVEL: "error" },
  });
  await node.up([]);
  const peers = Array.from({ length: count }, (_, index) => makePeer(index));
  const start = performance.now();
  await node.configure(peers);
  await until(
    `${implementation} lists ${count} peers`,
    async () => {
      const text = await run(["wg", "show", node.name, "peers"]);
      return text.trimEnd().split("\n").length === count;
    },
    LIMIT_MS,
  );
  const configureMs = performance.now() - start;
  await sleep(SETTLE_MS);
  return { resident: residentBytes(node.program.pid), configureMs };
}

/** `index` below 65,536. Nobody is at the endpoint; nothing is sent there either. */
function makePeer(index: number): PeerSettings {
  const host = `${index >> 8}.${index & 255}`;
  return {
    publicKey: randomBytes(32).toString("base64"),
    allowedIps: [`10.1.${host}/32`],
    endpoint: `198.18.${host}:51820`,
  };
}
