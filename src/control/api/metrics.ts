/** Prometheus text (exposition format 0.0.4) of a node: networks, peers, drops by reason. Public keys are labels, no secret is. */
import { Counter, Gauge, Registry } from "prom-client";
import type { Reachability } from "../model/reachability.ts";
import type { NetworkDetails } from "../node/view.ts";

export interface NodeFacts {
  /** Undefined: there is no registry. */
  readonly hasInternet: boolean | undefined;
  /** Undefined: nobody is asked. */
  readonly reachability: Reachability | undefined;
}

/** `now`: milliseconds since 1970. */
export async function metricsText(
  networks: readonly NetworkDetails[],
  { hasInternet, reachability }: NodeFacts,
  now: number,
): Promise<string> {
  const registry = new Registry();
  const registers = [registry];
  const gauge = (name: string, help: string, labelNames: string[]): Gauge =>
    new Gauge({ name: `wirehaul_${name}`, help, labelNames, registers });
  const counter = (name: string, help: string, labelNames: string[]): Counter =>
    new Counter({ name: `wirehaul_${name}`, help, labelNames, registers });
  const peerLabels = ["network", "peer"];
  const up = gauge("network_up", "1: the network is as it should be", ["network"]);
  const workloads = gauge("network_workloads", "Attached workloads", ["network"]);
  const packets = counter("network_packets_total", "Packets through the TUN", [
    "network",
    "direction",
  ]);
  const drops = counter("drops_total", "Packets not passed on", ["network", "reason"]);
  const bytes = counter("peer_bytes_total", "Bytes on the underlay", [...peerLabels, "direction"]);
  const handshakes = counter("peer_handshakes_total", "Complete handshakes", peerLabels);
  const age = gauge("peer_handshake_age_seconds", "Since the last handshake", peerLabels);
  const path = gauge("peer_path", "1: packets go there", [...peerLabels, "endpoint", "family"]);
  if (hasInternet !== undefined) {
    gauge("registry_reached", "1: the registry answers", []).set(hasInternet ? 1 : 0);
  }
  if (reachability !== undefined) {
    const reached = gauge("reachable", "1: from outside, 0: hidden; absent: unknown", ["family"]);
    const lifetime = gauge(
      "mapping_lifetime_seconds",
      "A silent mapping of the NAT or firewall lives so long",
      ["family"],
    );
    const interval = gauge("keepalive_seconds", "Of peers that need one", ["family"]);
    for (const family of ["ipv4", "ipv6"] as const) {
      const { verdict, lifetimeMs, keepaliveSeconds } = reachability[family];
      if (verdict !== "unknown") reached.set({ family }, verdict === "public" ? 1 : 0);
      if (lifetimeMs !== null) lifetime.set({ family }, lifetimeMs / 1000);
      interval.set({ family }, keepaliveSeconds);
    }
  }
  for (const { id: network, problem, workloads: count, device } of networks) {
    up.set({ network }, problem === null ? 1 : 0);
    workloads.set({ network }, count);
    if (device === null) continue;
    packets.inc({ network, direction: "in" }, device.lane.packetsWritten);
    packets.inc({ network, direction: "out" }, device.lane.packetsRead);
    for (const [reason, dropped] of Object.entries(device.drops)) {
      drops.inc({ network, reason }, dropped);
    }
    drops.inc({ network, reason: "socket" }, device.socketDrops);
    for (const peer of device.peers) {
      const labels = { network, peer: peer.publicKey };
      bytes.inc({ ...labels, direction: "received" }, peer.rxBytes);
      bytes.inc({ ...labels, direction: "sent" }, peer.txBytes);
      handshakes.inc(labels, peer.handshakes);
      if (peer.lastHandshakeMs > 0) {
        age.set(labels, Math.max(0, now - peer.lastHandshakeMs) / 1000);
      }
      if (peer.endpoint !== null) {
        path.set({ ...labels, endpoint: peer.endpoint, family: peer.family ?? "" }, 1);
      }
    }
  }
  return await registry.metrics();
}
