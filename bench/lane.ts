/**
 * `lane`: packets per second through a lane whose ports end in memory and whose cipher does nothing: what the TypeScript of
 * the packet path costs by itself. And garbage collections, of which there should be none.
 */
import { randomFillSync } from "node:crypto";
import { PerformanceObserver } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { FAMILY_V4, Slab } from "../src/bytes/slab.ts";
import { opensslSuite } from "../src/crypto/openssl.ts";
import { Interface } from "../src/lane/interface.ts";
import { Lane } from "../src/lane/lane.ts";
import { BATCH, MemoryTun, MemoryUdp, nullCipher, ReadyWaiter, recordOf } from "./lane-ports.ts";

export interface LaneFigures {
  readonly packetsPerSecond: number;
  /** Garbage collections of this thread, of any kind, per million packets. */
  readonly collectionsPerMillion: number;
}

export interface LaneResult {
  /** TUN to UDP. */
  readonly out: LaneFigures;
  /** UDP to TUN. */
  readonly in: LaneFigures;
}

const MILLION = 1_000_000;
/** So many packets before anything is counted: the compiler has done its work by then. */
const WARM_UP = 500_000;
const PACKETS = 4 * MILLION;
/** Entries of the performance observer are handed out when the event loop has turned. */
const OBSERVER_MS = 50;
/** Exchanges of a handshake and its confirmation; a session that takes more will never be. */
const EXCHANGES_MAX = 16;

interface End {
  readonly iface: Interface;
  readonly tun: MemoryTun;
  readonly udp: MemoryUdp;
}

const moment = { now: 1_000, wallMs: 1_790_000_000_000 };

export async function measureLane(): Promise<LaneResult> {
  const [near, far] = connectedEnds();
  return {
    out: await measure(near.iface, near.tun.readTag, () => near.udp.sent),
    in: await measure(far.iface, far.udp.tagV4, () => far.tun.written),
  };
}

export function formatLane(result: LaneResult): string {
  return (["out", "in"] as const)
    .map((way) => {
      const { packetsPerSecond, collectionsPerMillion } = result[way];
      const rate = Math.round(packetsPerSecond).toLocaleString("en-US").padStart(12);
      const each = (1e9 / packetsPerSecond).toFixed(0).padStart(6);
      return `${way.padEnd(4)}${rate} packets/s ${each} ns each   ${collectionsPerMillion} garbage collections per million`;
    })
    .join("\n");
}

async function measure(iface: Interface, tag: number, carried: () => number): Promise<LaneFigures> {
  const lane = new Lane(new ReadyWaiter(tag), { drain: () => undefined, gone: () => undefined });
  lane.add(iface);
  turn(lane, WARM_UP);
  const before = carried();
  const { count, seconds } = await countCollections(() => turn(lane, PACKETS));
  if (carried() - before !== PACKETS) throw new Error("bench lane: packets were lost");
  lane.remove(iface);
  return {
    packetsPerSecond: PACKETS / seconds,
    collectionsPerMillion: count / (PACKETS / MILLION),
  };
}

function turn(lane: Lane, packets: number): void {
  for (let left = packets; left > 0; left -= BATCH) lane.turn();
}

async function countCollections(
  work: () => void,
): Promise<{ readonly count: number; readonly seconds: number }> {
  let count = 0;
  const observer = new PerformanceObserver((list) => {
    count += list.getEntries().length;
  });
  observer.observe({ entryTypes: ["gc"] });
  const start = performance.now();
  work();
  const seconds = (performance.now() - start) / 1_000;
  await sleep(OBSERVER_MS);
  observer.disconnect();
  return { count, seconds };
}

/** Two interfaces that have a session with each other and no longer a way to each other. */
function connectedEnds(): readonly [End, End] {
  const [near, far] = [makeEnd(2), makeEnd(1)];
  for (const [end, other, host] of [
    [near, far, 2],
    [far, near, 1],
  ] as const) {
    const { tunnel } = end.iface;
    const peer = tunnel.state.addPeer(other.iface.tunnel.state.identity!.publicKey)!;
    tunnel.state.allowedIps.insert(FAMILY_V4, new Uint8Array(16), 0, 0, peer.id);
    tunnel.setEndpoint(peer, recordOf(host));
    end.udp.far = other.udp;
    end.iface.followLink(moment);
  }
  // Packets bring the handshake about, and the first of them confirms it.
  handle(near, near.tun.readTag);
  for (let i = 0; i < EXCHANGES_MAX; i++) {
    for (const end of [near, far]) if (end.udp.hasMail) handle(end, end.udp.tagV4);
  }
  near.udp.far = undefined;
  far.udp.far = undefined;
  far.udp.startFlow();
  return [near, far];
}

function handle(end: End, tag: number): void {
  end.iface.handleReady(tag, 1, moment);
  end.iface.handleTime(moment);
}

/** `farHost` is the last byte of the address that its datagrams come from. */
function makeEnd(farHost: number): End {
  const slab = new Slab();
  const tun = new MemoryTun(slab);
  const udp = new MemoryUdp(slab, recordOf(farHost));
  const ports = {
    suite: opensslSuite,
    cipher: nullCipher,
    slab,
    entropy: (out: Uint8Array): void => void randomFillSync(out),
    stagingBudget: { bytes: 0 },
  };
  const iface = new Interface(ports, tun, udp, undefined);
  iface.tunnel.setPrivateKey(randomFillSync(new Uint8Array(32)));
  return { iface, tun, udp };
}
