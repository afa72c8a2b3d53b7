/** Puts together what several lanes know of one interface: of each peer, what its home lane says. */
import type { SnapshotPart, StatusPart } from "../lane/messages.ts";
import type { LaneStatus, PeerStatus } from "../lane/status.ts";
import { type DeviceSnapshot, type PeerSnapshot, wipeSnapshot } from "../uapi/snapshot.ts";

/**
 * The first part leads: its order and its settings. A peer whose home lane is missing is as others know it. Keys in what is left
 * over are wiped.
 */
export function mergeSnapshots([first, ...others]: readonly SnapshotPart[]):
  | DeviceSnapshot
  | undefined {
  if (first === undefined || others.length === 0) return first?.snapshot;
  const known = new Map<string, PeerSnapshot>();
  for (const { snapshot, homes } of [first, ...others]) {
    for (const [index, peer] of snapshot.peers.entries()) {
      if (homes[index] === true) known.set(nameOf(peer.publicKey), peer);
    }
  }
  const peers = first.snapshot.peers.map((peer) => known.get(nameOf(peer.publicKey)) ?? peer);
  const merged: DeviceSnapshot = { ...first.snapshot, peers };
  const used = new Set<PeerSnapshot>(peers);
  for (const { snapshot } of [first, ...others]) {
    const { privateKey, ...rest } = snapshot;
    wipeSnapshot({
      ...(privateKey === undefined || snapshot === first.snapshot ? {} : { privateKey }),
      ...rest,
      peers: snapshot.peers.filter((peer) => !used.has(peer)),
    });
  }
  return merged;
}

export function mergeStatus([first, ...others]: readonly StatusPart[]): LaneStatus | undefined {
  if (first === undefined || others.length === 0) return first?.status;
  const known = new Map<string, PeerStatus>();
  for (const { status, homes } of [first, ...others]) {
    for (const [index, peer] of status.peers.entries()) {
      if (homes[index] === true) known.set(peer.publicKey, peer);
    }
  }
  const all = [first, ...others].map(({ status }) => status);
  return {
    ...first.status,
    lanes: all.length,
    segments: all.every(({ segments }) => segments),
    handshakeQueue: total(all.map(({ handshakeQueue }) => handshakeQueue)),
    isUnderLoad: all.some(({ isUnderLoad }) => isUnderLoad),
    floods: total(all.map(({ floods }) => floods)),
    handshakesPooled: total(all.map(({ handshakesPooled }) => handshakesPooled)),
    drops: sum(all.map(({ drops }) => drops)),
    lane: sum(all.map(({ lane }) => ({ ...lane }))) as unknown as LaneStatus["lane"],
    socketDrops: total(all.map(({ socketDrops }) => socketDrops)),
    laneDrops: sum(all.map(({ laneDrops }) => laneDrops)),
    timers: total(all.map(({ timers }) => timers)),
    indexes: total(all.map(({ indexes }) => indexes)),
    laneHeapBytes: total(all.map(({ laneHeapBytes }) => laneHeapBytes)),
    peers: first.status.peers.map((peer) => known.get(peer.publicKey) ?? peer),
  };
}

function sum(parts: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const part of parts) {
    for (const [name, count] of Object.entries(part)) sums[name] = (sums[name] ?? 0) + count;
  }
  return sums;
}

function total(counts: readonly number[]): number {
  return counts.reduce((a, b) => a + b, 0);
}

function nameOf(publicKey: Uint8Array): string {
  return String.fromCharCode(...publicKey);
}
