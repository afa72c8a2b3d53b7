/**
 * What happens when a peer's deadline passes (whitepaper 6; K timers.c, one function there for each branch here).
 */
import { OFF } from "../session/timers.ts";
import {
  HANDSHAKE_RETRIES_MAX,
  KEEPALIVE_TIMEOUT,
  ZERO_KEYS_AFTER_TIME,
} from "../wire/constants.ts";
import { Drop } from "./drop.ts";
import { clearSource } from "./endpoint.ts";
import { initiate } from "./initiating.ts";
import { sendKeepalive } from "./outbound.ts";
import type { Peer } from "./peer.ts";
import { clearSessions } from "./sessions.ts";
import { report } from "./siblings.ts";
import type { Moment, TunnelState } from "./state.ts";

/** Handles every deadline that has passed. */
export function expireDeadlines(state: TunnelState, moment: Moment): void {
  for (;;) {
    const peer = state.deadlines.first;
    if (peer === undefined || peer.heapKey > moment.now) return;
    expirePeer(state, peer, moment);
    state.deadlines.set(peer, peer.timers.next());
  }
}

function expirePeer(state: TunnelState, peer: Peer, moment: Moment): void {
  const { timers } = peer;
  const { now } = moment;
  if (timers.retransmitMs <= now) {
    timers.retransmitMs = OFF;
    retransmit(state, peer, moment);
  }
  if (timers.keepaliveMs <= now) {
    timers.keepaliveMs = OFF;
    sendKeepalive(state, peer, moment);
    if (timers.anotherKeepalive) {
      timers.anotherKeepalive = false;
      timers.keepaliveMs = now + KEEPALIVE_TIMEOUT;
    }
  }
  if (timers.renewMs <= now) {
    timers.renewMs = OFF;
    clearSource(peer.endpoint, 0);
    state.noteChange(peer);
    state.log?.(peer, "Renewing the session: nothing came back for what was sent");
    initiate(state, peer, moment, false);
  }
  if (timers.zeroKeysMs <= now) {
    timers.zeroKeysMs = OFF;
    state.log?.(peer, "Wiping all keys: no new session for 540 seconds");
    clearSessions(state, peer);
  }
  if (timers.reportMs <= now) {
    timers.reportMs = OFF;
    report(state, peer);
  }
  if (timers.persistentMs <= now) {
    // Armed anew whatever becomes of the packet: without an endpoint there is nothing to send, but one may come.
    timers.persistentMs = timers.persistentIntervalMs > 0 ? now + timers.persistentIntervalMs : OFF;
    if (timers.persistentIntervalMs > 0) sendKeepalive(state, peer, moment);
  }
}

function retransmit(state: TunnelState, peer: Peer, moment: Moment): void {
  const { timers } = peer;
  if (timers.attempts > HANDSHAKE_RETRIES_MAX) {
    state.log?.(peer, `No answer to ${HANDSHAKE_RETRIES_MAX + 2} initiations, giving up`);
    timers.keepaliveMs = OFF;
    state.drop(Drop.stagedExpired, peer.staging.clear());
    if (timers.zeroKeysMs === OFF) timers.zeroKeysMs = moment.now + ZERO_KEYS_AFTER_TIME;
    return;
  }
  timers.attempts++;
  clearSource(peer.endpoint, 0);
  state.noteChange(peer);
  state.log?.(peer, `No answer to the initiation, trying again (try ${timers.attempts + 1})`);
  initiate(state, peer, moment, true);
}
