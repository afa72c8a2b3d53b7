/**
 * `wirehaul status [IFACE] [--json]`: asks running `wirehaul-wg` processes by their UAPI sockets and prints what `wg show`
 * cannot tell. Shows no secret.
 */
import { readdirSync } from "node:fs";
import { createConnection } from "node:net";
import { SOCKET_FOLDER, socketPath } from "../engine/uapi-server.ts";
import type { InterfaceStatus, PeerStatus } from "../lane/status.ts";

const TIMEOUT_MS = 5_000;

export async function status(args: readonly string[]): Promise<number> {
  const json = args.includes("--json");
  const names = args.filter((argument) => argument !== "--json");
  if (names.length > 1 || names.some((name) => name.startsWith("-"))) {
    process.stderr.write("Usage: wirehaul status [IFACE] [--json]\n");
    return 1;
  }
  const wanted = names[0] === undefined ? interfaces() : [names[0]];
  const found: InterfaceStatus[] = [];
  let failures = 0;
  for (const name of wanted) {
    try {
      found.push(await askStatus(name));
    } catch (error) {
      // Unasked, others' sockets are passed over: wireguard-go listens in the same folder.
      if (names[0] === undefined) continue;
      failures++;
      process.stderr.write(`wirehaul: ${name}: ${(error as Error).message}\n`);
    }
  }
  if (json) process.stdout.write(`${JSON.stringify(found, null, 2)}\n`);
  else if (found.length > 0) process.stdout.write(found.map(describe).join("\n"));
  else if (failures === 0) process.stderr.write("no interface is served by wirehaul-wg\n");
  return failures > 0 ? 1 : 0;
}

function interfaces(): string[] {
  try {
    return readdirSync(SOCKET_FOLDER)
      .filter((file) => file.endsWith(".sock"))
      .map((file) => file.slice(0, -".sock".length));
  } catch {
    return [];
  }
}

/** What the program that serves an interface tells of it. Rejects with the reason and the fix. */
export function askStatus(name: string): Promise<InterfaceStatus> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(socketPath(name));
    let text = "";
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error("no answer within 5 s")));
    socket.on("connect", () => socket.end("status=1\n\n"));
    socket.on("data", (chunk) => {
      text += chunk.toString();
    });
    socket.on("error", (error: NodeJS.ErrnoException) => reject(new Error(explain(error))));
    socket.on("close", () => {
      const line = text.split("\n").find((candidate) => candidate.startsWith("status="));
      if (line === undefined) reject(new Error("it is served by another program than wirehaul-wg"));
      else resolve(JSON.parse(line.slice("status=".length)) as InterfaceStatus);
    });
  });
}

function explain(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case "ENOENT":
    case "ECONNREFUSED":
      return "no program serves this interface; start one with: wirehaul-wg IFACE";
    case "EACCES":
    case "EPERM":
      return "no right to ask; run as root";
    default:
      return error.message;
  }
}

function describe(device: InterfaceStatus): string {
  const { lane } = device;
  const lines = [
    `interface: ${device.name} (${device.isUp ? "up" : "down"}, MTU ${device.mtu}, port ${device.listenPort || "none"})`,
    `  crypto: ${device.crypto}, lanes: ${device.lanes}, TUN offloads: 0x${device.offload.toString(16)}, UDP segmentation: ${device.segments ? "on" : "off"}`,
    `  in:  ${lane.datagramsReceived} datagrams in ${lane.receiveCalls} reads, ${lane.packetsWritten} packets in ${lane.writeCalls} writes`,
    `  out: ${lane.packetsRead} packets in ${lane.readCalls} reads, ${lane.datagramsSent} datagrams in ${lane.groupsSent} groups, ${lane.sendCalls} sends`,
    `  handshake queue: ${device.handshakeQueue}${device.isUnderLoad ? ", under load" : ""}${device.shedding === null ? "" : `, initiations of ${device.shedding} are shed`}`,
    `  drops: ${list(counts(device.drops))}`,
    `  process: ${describeProcess(device)}`,
  ];
  if (device.floods > 0) lines.push(`  floods shed: ${device.floods}`);
  if (device.socketDrops > 0) lines.push(`  drops of its sockets: ${device.socketDrops}`);
  const laneDrops = counts(device.laneDrops);
  if (laneDrops.length > 0) lines.push(`  drops of its lane: ${list(laneDrops)}`);
  for (const peer of device.peers) lines.push("", ...describePeer(peer));
  return `${lines.join("\n")}\n`;
}

function describeProcess({ process: { pid, ...taken }, timers, indexes }: InterfaceStatus): string {
  const heaps = `heap ${mebibytes(taken.heapBytes)}, of lanes ${mebibytes(taken.laneHeapBytes)}`;
  return `${pid}, ${mebibytes(taken.residentBytes)} MiB (${heaps}), ${taken.descriptors} descriptors, ${taken.threads} threads; timers: ${timers}, indexes: ${indexes}`;
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}

function describePeer(peer: PeerStatus): string[] {
  const path =
    peer.endpoint === null
      ? "no endpoint known"
      : `${peer.endpoint} (${peer.family})${peer.source === null ? "" : ` from ${peer.source}`}`;
  const lines = [
    `peer: ${peer.publicKey}`,
    `  path: ${path}`,
    `  handshakes: ${peer.handshakes} complete, ${peer.initiations} initiations sent${peer.attempts > 0 ? `, trying for the ${peer.attempts + 1}. time` : ""}`,
    `  sessions: ${list(peer.sessions)}; waiting packets: ${peer.stagedPackets}`,
  ];
  if (peer.sendErrors > 0) {
    lines.push(`  send errors: ${peer.sendErrors}, the last with errno ${-peer.lastSendError}`);
  }
  return lines;
}

function counts(drops: Readonly<Record<string, number>>): string[] {
  return Object.entries(drops).map(([name, count]) => `${name} ${count}`);
}

function list(items: readonly string[]): string {
  return items.length === 0 ? "none" : items.join(", ");
}
