/** The state of a tunnel as text, to see whether something has changed it. */
import type { Keypair } from "../../src/session/keypair.ts";
import type { Peer } from "../../src/tunnel/peer.ts";
import type { SimNode } from "./node.ts";

/** All that only authentic messages may change: cookies are not among it. `without`: a public key whose peer is left out. */
export function stateOf(node: SimNode, without?: Uint8Array): string {
  const { state } = node.tunnel;
  const left = without === undefined ? undefined : state.peerByKey(without);
  const peers = [...state.allPeers()].filter((peer) => peer !== left);
  return JSON.stringify([
    left === undefined ? [state.keypairs.count, state.handshakes.count] : [],
    peers.map(describe),
  ]);
}

function describe(peer: Peer): unknown[] {
  const { handshake, timers } = peer;
  return [
    Buffer.from(peer.endpoint).toString("latin1"),
    peer.rxBytes,
    peer.txBytes,
    keypairOf(peer.previous),
    keypairOf(peer.current),
    keypairOf(peer.next),
    [handshake.state, handshake.localIndex, handshake.remoteIndex],
    [peer.lastHandshakeMs, peer.handshakes, peer.initiations],
    [peer.lastInitiationMs, peer.lastReceivedMs],
    [timers.retransmitMs, timers.keepaliveMs, timers.renewMs, timers.zeroKeysMs],
    [timers.persistentMs, timers.anotherKeepalive, timers.attempts],
    peer.staging.count,
  ];
}

function keypairOf(keypair: Keypair | undefined): unknown[] {
  if (keypair === undefined) return [];
  const { localIndex, remoteIndex, sendHi, sendLo, usable, sendable } = keypair;
  return [localIndex, remoteIndex, sendHi, sendLo, usable, sendable];
}

/** Where two such texts differ, with what stands around it. */
export function difference(before: string, after: string): string {
  let at = 0;
  while (at < before.length && before[at] === after[at]) at++;
  const around = (text: string): string => text.slice(Math.max(0, at - 40), at + 40);
  return `${around(before)} -> ${around(after)}`;
}
