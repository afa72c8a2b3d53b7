/**
 * Initiations of our own (whitepaper 5.4.2; K send.c): when one is sent, and how a handshake message leaves. What comes
 * back is `handshaking.ts`.
 */
import { secretBytes } from "../bytes/secret-bytes.ts";
import { writeTai64n } from "../session/tai64n.ts";
import { HANDSHAKE_TOS, REKEY_TIMEOUT } from "../wire/constants.ts";
import { INITIATION_BYTES, TIMESTAMP_BYTES } from "../wire/layout.ts";
import { hasEndpoint } from "./endpoint.ts";
import type { Peer } from "./peer.ts";
import { clearHandshake } from "./sessions.ts";
import type { Moment, TunnelState } from "./state.ts";

/** Ours: a tunnel of which initiations wait looks again so soon; who had a share of this turn comes after who had none. */
const NO_SHARE_MS = 1;
const NEXT_SHARE_MS = 2;

/**
 * Sends an initiation, unless one was sent within REKEY_TIMEOUT; in a later turn, where this one has begun enough. `isRetry` goes on
 * with the attempt at hand; else it is a fresh need with all its retries before it.
 */
export function initiate(state: TunnelState, peer: Peer, moment: Moment, isRetry: boolean): void {
  if (!isRetry) peer.timers.attempts = 0;
  if (!mayInitiate(state, peer, moment)) return;
  // Those that wait already come first.
  if (state.deferred.size === 0 && state.pace.take(moment.now)) begin(state, peer, moment);
  else {
    state.deferred.add(peer);
    state.deferredMs = Math.min(state.deferredMs, moment.now + NEXT_SHARE_MS);
  }
}

/** Begins initiations that had to wait, as many as this turn allows. */
export function initiateDeferred(state: TunnelState, moment: Moment): void {
  if (state.deferredMs > moment.now) return;
  let hasBegun = false;
  for (const peer of state.deferred) {
    if (!mayInitiate(state, peer, moment)) {
      state.deferred.delete(peer);
      continue;
    }
    if (!state.pace.take(moment.now)) break;
    state.deferred.delete(peer);
    begin(state, peer, moment);
    hasBegun = true;
  }
  if (state.deferred.size === 0) state.deferredMs = Number.POSITIVE_INFINITY;
  else state.deferredMs = moment.now + (hasBegun ? NEXT_SHARE_MS : NO_SHARE_MS);
}

function mayInitiate(state: TunnelState, peer: Peer, moment: Moment): boolean {
  if (moment.now - peer.lastInitiationMs < REKEY_TIMEOUT) return false;
  return state.identity !== undefined && state.isUp && hasEndpoint(peer.endpoint);
}

function begin(state: TunnelState, peer: Peer, moment: Moment): void {
  const { identity, suite } = state;
  if (identity === undefined) return;
  peer.lastInitiationMs = moment.now;
  const offset = room(state, INITIATION_BYTES);
  const message = state.slab.bytes.subarray(offset, offset + INITIATION_BYTES);
  const ephemeral = secretBytes(32);
  state.entropy(ephemeral);
  const timestamp = new Uint8Array(TIMESTAMP_BYTES);
  writeTai64n(timestamp, moment.wallMs);
  clearHandshake(state, peer);
  const index = state.freshIndex();
  const created = peer.handshake.createInitiation(
    suite,
    identity,
    message,
    index,
    ephemeral,
    timestamp,
  );
  ephemeral.fill(0);
  if (!created) {
    state.log?.(peer, "No handshake is possible: the peer's public key is of low order");
    return;
  }
  state.handshakes.set(index, peer);
  peer.jar.addMacs(suite, message, peer.mac1Key(suite), moment.now);
  peer.initiations++;
  state.log?.(peer, "Sending handshake initiation");
  transmit(state, peer, offset, INITIATION_BYTES, moment);
  peer.timers.initiated(moment.now, state.jitter());
  state.schedule(peer);
}

/** Lists a handshake message to the peer's endpoint, as a datagram of its own. */
export function transmit(
  state: TunnelState,
  peer: Peer,
  offset: number,
  length: number,
  moment: Moment,
): void {
  peer.timers.authenticatedTraversed(moment.now);
  peer.timers.authenticatedSent();
  peer.txBytes += length;
  state.outbox.append(peer, peer.endpoint, HANDSHAKE_TOS, offset, length);
  state.outbox.endGroup();
}

/** Room for a message in the outbox, flushing if need be. Everything in it is sealed at this point. */
export function room(state: TunnelState, length: number): number {
  if (!state.outbox.hasRoom(length)) state.outbox.flushDatagrams();
  return state.outbox.compose(length);
}
