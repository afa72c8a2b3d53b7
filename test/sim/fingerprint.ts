import type { Peer } from "../../src/tunnel/peer.ts";
import type { Tunnel } from "../../src/tunnel/tunnel.ts";

/** All that only authentic messages may change, as text. */
export function stateOf(node: { readonly tunnel: Tunnel }): string {
  const { state } = node.tunnel;
  return JSON.stringify([
    state.keypairs.count,
    state.handshakes.count,
    [...state.allPeers()].map(describe),
  ]);
}

function describe(peer: Peer): unknown[] {
  return [
    [...peer.endpoint],
    peer.rxBytes,
    peer.txBytes,
    peer.previous?.localIndex,
    peer.current?.localIndex,
    peer.next?.localIndex,
    peer.handshake.state,
    peer.lastHandshakeMs,
    peer.handshakes,
    peer.timers.keepaliveMs,
    peer.timers.renewMs,
    peer.staging.count,
  ];
}
