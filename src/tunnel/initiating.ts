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

/**
 * Ours: of a moment, which is a turn of the lane; the others follow in the next turns, 1 ms apart at least. Each costs two
 * Diffie-Hellmans, some 0.15 ms, for which all interfaces wait: 200 interfaces with 200 peers each that were all called at once made a
 * turn of 16 s, longer than any initiation waits for its response, and so no handshake came about any more.
 */
export const INITIATIONS_PER_MOMENT = 8;
const DEFERRED_MS = 1;

/**
 * Sends an initiation, unless one was sent within REKEY_TIMEOUT; a little later where too many are sent now. `isRetry` goes on with the attempt at hand; else it
 * is a fresh need with all its retries before it.
 */
export function initiate(state: TunnelState, peer: Peer, moment: Moment, isRetry: boolean): void {
  if (!isRetry) peer.timers.attempts = 0;
  if (moment.now - peer.lastInitiationMs < REKEY_TIMEOUT) return;
  const { identity, suite } = state;
  if (identity === undefined || !state.isUp || !hasEndpoint(peer.endpoint)) return;
  if (!isFirstOfMany(state, moment.now)) {
    peer.timers.initiationDeferred(moment.now + DEFERRED_MS);
    state.schedule(peer);
    return;
  }
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

/** False: as many as may be were begun at this moment. */
function isFirstOfMany(state: TunnelState, now: number): boolean {
  if (state.initiatingMs !== now) {
    state.initiatingMs = now;
    state.initiatingCount = 0;
  }
  return state.initiatingCount++ < INITIATIONS_PER_MOMENT;
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
