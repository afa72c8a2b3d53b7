/**
 * The three keypairs of a peer (K noise.c add_new_keypair, wg_noise_received_with_keypair): how a new session comes in,
 * how it is confirmed, how sessions go.
 */
import type { Keypair } from "../session/keypair.ts";
import type { Peer } from "./peer.ts";
import type { Moment, TunnelState } from "./state.ts";

/** Wipes a keypair and frees its index. */
function dispose(state: TunnelState, keypair: Keypair | undefined): void {
  if (keypair === undefined) return;
  state.keypairs.delete(keypair.localIndex, keypair);
  keypair.wipe();
}

/**
 * Puts a new session in place. As initiator it is in use at once: the response confirmed it. As responder it waits in
 * `next` until the first packet under it arrives.
 */
export function installKeypair(
  state: TunnelState,
  peer: Peer,
  keypair: Keypair,
  moment: Moment,
): void {
  state.keypairs.set(keypair.localIndex, keypair);
  if (state.siblings !== undefined) keypair.share(new Int32Array(new SharedArrayBuffer(4)));
  if (keypair.initiator) {
    dispose(state, peer.previous);
    if (peer.next !== undefined) {
      dispose(state, peer.current);
      peer.previous = peer.next;
      peer.next = undefined;
    } else {
      peer.previous = peer.current;
    }
    peer.current = keypair;
    state.noteChange(peer);
  } else {
    dispose(state, peer.next);
    dispose(state, peer.previous);
    peer.next = keypair;
    peer.previous = undefined;
  }
  peer.timers.sessionDerived(moment.now);
}

/** An authentic packet came under `keypair`: true if that confirmed the session that was waiting. */
export function confirmKeypair(state: TunnelState, peer: Peer, keypair: Keypair): boolean {
  if (peer.next !== keypair) return false;
  dispose(state, peer.previous);
  peer.previous = peer.current;
  peer.current = keypair;
  peer.next = undefined;
  state.noteChange(peer);
  return true;
}

/** Ends the handshake in progress and frees its index. */
export function clearHandshake(state: TunnelState, peer: Peer): void {
  state.handshakes.delete(peer.handshake.localIndex, peer);
  peer.handshake.clear();
}

/** Wipes the handshake and all three keypairs. */
export function clearSessions(state: TunnelState, peer: Peer): void {
  clearHandshake(state, peer);
  dispose(state, peer.previous);
  dispose(state, peer.current);
  dispose(state, peer.next);
  peer.previous = undefined;
  peer.current = undefined;
  peer.next = undefined;
  state.cipher.forget();
  state.noteChange(peer);
}

/** A handshake was confirmed in either role. */
export function completeHandshake(state: TunnelState, peer: Peer, moment: Moment): void {
  state.deferred.delete(peer);
  peer.timers.handshakeComplete();
  peer.lastHandshakeMs = moment.wallMs;
  peer.handshakes++;
}
