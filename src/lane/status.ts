/**
 * Snapshots of an interface for people and programs: `snapshot` in the terms of the configuration protocol (it holds the
 * private key: only for the UAPI socket), `interfaceStatus` with what `wg show` cannot tell and without any secret.
 */
import { formatBase64Key } from "../bytes/base64.ts";
import { endpointLayout, FAMILY_V4 } from "../bytes/slab.ts";
import { formatAddress, formatEndpointText } from "../route/address.ts";
import { DROP_REASONS } from "../tunnel/drop.ts";
import { hasEndpoint, hasSource } from "../tunnel/endpoint.ts";
import type { Peer } from "../tunnel/peer.ts";
import type { DeviceSnapshot, PeerSnapshot } from "../uapi/snapshot.ts";
import type { Interface } from "./interface.ts";
import type { LaneStats } from "./stats.ts";

/** Name of an interface by its index, for scopes; undefined: no such interface (any more). */
export type ScopeName = (index: number) => string | undefined;

export interface PeerStatus {
  readonly publicKey: string;
  /** Where packets go, and what the path is made of. */
  readonly endpoint: string | null;
  readonly family: "IPv4" | "IPv6" | null;
  /** Our address that the peer speaks to, once known. */
  readonly source: string | null;
  /** Milliseconds since 1970, 0: never. */
  readonly lastHandshakeMs: number;
  readonly handshakes: number;
  readonly initiations: number;
  /** Initiations sent for the handshake that is under way. */
  readonly attempts: number;
  /** Which keypairs are held. */
  readonly sessions: readonly ("previous" | "current" | "next")[];
  readonly stagedPackets: number;
  readonly rxBytes: number;
  readonly txBytes: number;
  readonly sendErrors: number;
  /** errno of the last failed send, 0: none. */
  readonly lastSendError: number;
}

export interface InterfaceStatus {
  readonly name: string;
  readonly isUp: boolean;
  readonly mtu: number;
  readonly listenPort: number;
  readonly crypto: string;
  /** How many lanes serve it; the counters are of all. */
  readonly lanes: number;
  /** TUN_F_* bits that are on, and whether UDP sends are segmented by the kernel. */
  readonly offload: number;
  readonly segments: boolean;
  readonly handshakeQueue: number;
  readonly isUnderLoad: boolean;
  /** The source of a flood of initiations, most of which the kernel throws away just now. */
  readonly shedding: string | null;
  /** How often that was begun. */
  readonly floods: number;
  /** Initiations that were handed to the handshake pool. */
  readonly handshakesPooled: number;
  /** Reasons with a count above zero. */
  readonly drops: Readonly<Record<string, number>>;
  readonly lane: Readonly<LaneStats>;
  /** What the kernel dropped because the sockets' buffers were full, or shed as a flood; since they were opened. */
  readonly socketDrops: number;
  /** What the addon dropped before it came to an interface; of the lane as a whole, names with a count above zero. */
  readonly laneDrops: Readonly<Record<string, number>>;
  /** Peers that a timer waits for: all of a peer's timers are one entry. */
  readonly timers: number;
  /** Receiver indexes in use: one a keypair, one a handshake under way. */
  readonly indexes: number;
  readonly process: ProcessStatus;
  readonly peers: readonly PeerStatus[];
}

/** What the whole process takes, all of its interfaces together. */
export interface ProcessStatus {
  readonly pid: number;
  readonly residentBytes: number;
  /** JavaScript objects of the main thread; of the lanes that serve this interface. Garbage included. */
  readonly heapBytes: number;
  readonly laneHeapBytes: number;
  readonly descriptors: number;
  readonly threads: number;
}

/** What a lane knows of an interface; the engine puts the process beside it. */
export interface LaneStatus extends Omit<InterfaceStatus, "process"> {
  /** Bytes of the heap of the lane's thread. */
  readonly laneHeapBytes: number;
}

/** What the host of a lane knows besides. */
export interface LaneFacts {
  /** Monotonic. */
  readonly now: number;
  readonly drops: Readonly<Record<string, number>>;
  readonly heapBytes: number;
}

export function snapshot(iface: Interface, scopeName: ScopeName): DeviceSnapshot {
  const { state } = iface.tunnel;
  const peers: PeerSnapshot[] = [];
  for (const peer of state.allPeers()) {
    peers.push({
      publicKey: peer.publicKey,
      presharedKey: peer.handshake.presharedKey,
      ...(hasEndpoint(peer.endpoint) ? { endpoint: endpointOf(peer, scopeName) } : {}),
      lastHandshake: {
        sec: Math.floor(peer.lastHandshakeMs / 1000),
        nsec: Math.floor((peer.lastHandshakeMs % 1000) * 1_000_000),
      },
      txBytes: peer.txBytes,
      rxBytes: peer.rxBytes,
      persistentKeepalive: peer.timers.persistentIntervalMs / 1000,
      allowedIps: state.allowedIps.entries(peer.id),
    });
  }
  return {
    ...(state.identity === undefined ? {} : { privateKey: state.identity.secret }),
    listenPort: iface.udp.isOpen ? iface.udp.port : iface.listenPort,
    fwmark: iface.mark,
    peers,
  };
}

export function interfaceStatus(
  iface: Interface,
  scopeName: ScopeName,
  facts: LaneFacts,
): LaneStatus {
  const { state } = iface.tunnel;
  const drops: Record<string, number> = {};
  DROP_REASONS.forEach(([name], reason) => {
    const count = state.drops[reason]!;
    if (count > 0) drops[name] = count;
  });
  return {
    name: iface.tun.name(),
    isUp: state.isUp,
    mtu: iface.link.mtu,
    listenPort: iface.udp.isOpen ? iface.udp.port : iface.listenPort,
    crypto: state.suite.name,
    lanes: 1,
    offload: iface.tun.offload,
    segments: iface.udp.segments,
    handshakeQueue: state.queue.count,
    isUnderLoad: state.queue.isUnderLoad(facts.now),
    shedding: state.flood.isShedding ? addressOf(state.flood.source) : null,
    floods: state.flood.begun,
    handshakesPooled: state.offload.total,
    drops,
    lane: { ...iface.stats },
    socketDrops: iface.udp.dropped,
    laneDrops: facts.drops,
    timers: state.deadlines.count,
    indexes: state.keypairs.count + state.handshakes.count,
    laneHeapBytes: facts.heapBytes,
    peers: Array.from(state.allPeers(), (peer) => peerStatus(peer, scopeName)),
  };
}

function peerStatus(peer: Peer, scopeName: ScopeName): PeerStatus {
  const sessions: ("previous" | "current" | "next")[] = [];
  if (peer.previous !== undefined) sessions.push("previous");
  if (peer.current !== undefined) sessions.push("current");
  if (peer.next !== undefined) sessions.push("next");
  const known = hasEndpoint(peer.endpoint);
  const endpoint = known ? endpointOf(peer, scopeName) : undefined;
  const isV4 = endpoint?.family === FAMILY_V4;
  return {
    publicKey: formatBase64Key(peer.publicKey),
    endpoint: endpoint === undefined ? null : formatEndpointText(endpoint),
    family: endpoint === undefined ? null : isV4 ? "IPv4" : "IPv6",
    source:
      endpoint !== undefined && hasSource(peer.endpoint, 0)
        ? formatAddress(endpoint.family, peer.endpoint, endpointLayout.source)
        : null,
    lastHandshakeMs: peer.lastHandshakeMs,
    handshakes: peer.handshakes,
    initiations: peer.initiations,
    attempts: peer.timers.attempts,
    sessions,
    stagedPackets: peer.staging.count,
    rxBytes: peer.rxBytes,
    txBytes: peer.txBytes,
    sendErrors: peer.sendErrors,
    lastSendError: peer.lastSendError,
  };
}

function endpointOf(
  peer: Peer,
  scopeName: ScopeName,
): { family: 2 | 10; bytes: Uint8Array; port: number; scope?: string } {
  const view = new DataView(peer.endpoint.buffer, peer.endpoint.byteOffset, peer.endpoint.length);
  const family = view.getUint16(endpointLayout.family, true) === FAMILY_V4 ? 2 : 10;
  const scope = view.getUint32(endpointLayout.scope, true);
  return {
    family,
    bytes: peer.endpoint.slice(endpointLayout.address, endpointLayout.source),
    port: view.getUint16(endpointLayout.port, true),
    ...(scope === 0 ? {} : { scope: scopeName(scope) ?? String(scope) }),
  };
}

/** The address in an endpoint record, as text. */
function addressOf(record: Uint8Array): string {
  const family = record[endpointLayout.family]! === FAMILY_V4 ? 2 : 10;
  return formatAddress(family, record, endpointLayout.address);
}
