/**
 * A tunnel that is spread over several lanes. Each lane has a tunnel of its own with the same settings; these are siblings. Every
 * peer has one home lane, which does its handshakes and timers, receives all of its packets (the receiver indexes that it gives out
 * say which lane it is, and the kernel steers by them: native/steer.c) and so holds its replay windows alone. The other
 * siblings only send to it: under a copy of its session in use, with counters leased from shared memory.
 *
 * What siblings tell each other are notes, in order between any two of them. A note is about a peer by its public key: what comes
 * too late, for a peer that is gone, is thrown away.
 */
import { isEqual } from "../bytes/equal.ts";
import { copySecret, secretCopy } from "../bytes/secret-bytes.ts";
import { Keypair } from "../session/keypair.ts";
import { OFF } from "../session/timers.ts";
import { REKEY_AFTER_TIME, REKEY_TIMEOUT } from "../wire/constants.ts";
import { Drop } from "./drop.ts";
import { copyEndpoint, hasEndpoint } from "./endpoint.ts";
import { initiate } from "./initiating.ts";
import { sendStaged } from "./outbound.ts";
import type { Peer } from "./peer.ts";
import { STAGED_MAX } from "./staging.ts";
import type { Moment, TunnelState } from "./state.ts";

/** Ours: how late a home lane may learn what others sent for its peers. Its timers are seconds. */
const REPORT_AFTER_MS = 200;

const NEVER = Number.NEGATIVE_INFINITY;

/** What a lane needs to send under a session. */
export interface SharedSession {
  /** 32 bytes in memory of their own, which is moved; the receiver owns and wipes them. */
  readonly sendKey: Uint8Array<ArrayBuffer>;
  readonly remoteIndex: number;
  /** Monotonic milliseconds, one clock for all threads. */
  readonly createdMs: number;
  readonly leases: Int32Array<SharedArrayBuffer>;
}

export type SiblingNote =
  /** From the home lane: where the peer is, and the session in use; undefined: there is none. */
  | {
      readonly kind: "session";
      readonly publicKey: Uint8Array;
      readonly endpoint: Uint8Array;
      readonly session: SharedSession | undefined;
    }
  /** To the home lane: what was sent since the last report. Times are monotonic; -Infinity: no data. */
  | {
      readonly kind: "sent";
      readonly publicKey: Uint8Array;
      readonly bytes: number;
      readonly firstDataMs: number;
      readonly lastDataMs: number;
      readonly lastSentMs: number;
      readonly errors: number;
      readonly lastError: number;
    }
  /** To the home lane: inner packets for which this one has no session, one after the other. */
  | {
      readonly kind: "packets";
      readonly publicKey: Uint8Array;
      readonly bytes: Uint8Array<ArrayBuffer>;
      readonly lengths: readonly number[];
    }
  /** To the home lane: initiations, opened and solved (src/session/handshake-batch.ts). */
  | {
      readonly kind: "initiations";
      readonly bytes: Uint8Array<ArrayBuffer>;
      readonly count: number;
    };

/** The other lanes of a tunnel. */
export interface Siblings {
  /** Which one we are: 0 to `count - 1`. Initiations come to 0. */
  readonly lane: number;
  readonly count: number;
  /** Sends a note; the memory of `packets` and `initiations` is moved. */
  post(to: number, note: SiblingNote): void;
}

/** What a lane has sent to a peer whose home is elsewhere, and not reported. */
export interface Unreported {
  firstDataMs: number;
  lastDataMs: number;
  lastSentMs: number;
  /** Packets handed over in vain so far, and until when that counts. */
  handedOver: number;
  handedUntilMs: number;
}

/** The home lane of a peer: public keys are evenly spread. */
export function homeOf(publicKey: Uint8Array, lanes: number): number {
  return publicKey[0]! % lanes;
}

/** The lane to which the kernel steers messages for a receiver index (native/steer.c). */
export function laneOfIndex(index: number, lanes: number): number {
  return (index & 0xff) % lanes;
}

/** After sending to a peer that is at home elsewhere. */
export function noteSent(
  state: TunnelState,
  peer: Peer,
  keypair: Keypair,
  hasData: boolean,
  moment: Moment,
): void {
  const unreported = unreportedOf(peer);
  unreported.lastSentMs = moment.now;
  if (hasData) {
    if (unreported.firstDataMs === NEVER) unreported.firstDataMs = moment.now;
    unreported.lastDataMs = moment.now;
  }
  if (peer.timers.reportMs === OFF || keypair.isCounterHigh) {
    peer.timers.reportMs = moment.now + (keypair.isCounterHigh ? 0 : REPORT_AFTER_MS);
    state.schedule(peer);
  }
}

/** Tells the home lane what was sent. */
export function report(state: TunnelState, peer: Peer): void {
  const { siblings } = state;
  if (siblings === undefined) return;
  const unreported = unreportedOf(peer);
  siblings.post(homeOf(peer.publicKey, siblings.count), {
    kind: "sent",
    publicKey: peer.publicKey.slice(),
    bytes: peer.txBytes,
    firstDataMs: unreported.firstDataMs,
    lastDataMs: unreported.lastDataMs,
    lastSentMs: unreported.lastSentMs,
    errors: peer.sendErrors,
    lastError: peer.lastSendError,
  });
  peer.txBytes = 0;
  peer.sendErrors = 0;
  unreported.firstDataMs = NEVER;
  unreported.lastDataMs = NEVER;
}

/** Gives the runs of the batch at hand to the home lane of their peer: there is no session here, or it is too old. */
export function handOverRuns(state: TunnelState, peer: Peer, moment: Moment): void {
  const { siblings, slab } = state;
  if (siblings === undefined) return;
  const unreported = unreportedOf(peer);
  if (moment.now >= unreported.handedUntilMs) {
    unreported.handedOver = 0;
    unreported.handedUntilMs = moment.now + REKEY_TIMEOUT;
  }
  const lengths: number[] = [];
  let total = 0;
  for (let run = peer.firstRun; run >= 0; run = state.runNext[run]!) {
    const end = state.runEnd[run]!;
    for (let i = state.runFirst[run]!; i < end; i++) {
      // No more than would wait for a session anyhow.
      if (unreported.handedOver >= STAGED_MAX) {
        state.drop(Drop.stagedOverflow, 1);
        continue;
      }
      unreported.handedOver++;
      lengths.push(slab.innerLength[i]!);
      total += slab.innerLength[i]!;
    }
  }
  if (lengths.length === 0) return;
  const bytes = new Uint8Array(total);
  let at = 0;
  let listed = 0;
  for (let run = peer.firstRun; run >= 0; run = state.runNext[run]!) {
    const end = state.runEnd[run]!;
    for (let i = state.runFirst[run]!; i < end && listed < lengths.length; i++, listed++) {
      const offset = slab.innerOffset[i]!;
      bytes.set(slab.bytes.subarray(offset, offset + slab.innerLength[i]!), at);
      at += slab.innerLength[i]!;
    }
  }
  siblings.post(homeOf(peer.publicKey, siblings.count), {
    kind: "packets",
    publicKey: peer.publicKey.slice(),
    bytes,
    lengths,
  });
}

/** Tells all siblings of the peers at home here whose session or endpoint has changed. */
export function publishChanges(state: TunnelState): void {
  const { changed, siblings } = state;
  if (siblings === undefined || changed.length === 0) return;
  for (const peer of changed) {
    peer.isChanged = false;
    // Removed since: the others were told that by the request that removed it.
    if (state.peers[peer.id] !== peer) continue;
    for (let lane = 0; lane < siblings.count; lane++) {
      if (lane !== siblings.lane) siblings.post(lane, sessionNote(peer));
    }
  }
  changed.length = 0;
}

/** Takes a note of sibling `from`; what it holds of secrets is wiped. Initiations are not for here: see handshaking.ts. */
export function takeNote(
  state: TunnelState,
  from: number,
  note: Exclude<SiblingNote, { readonly kind: "initiations" }>,
  moment: Moment,
): void {
  const peer = state.peerByKey(note.publicKey);
  switch (note.kind) {
    case "session":
      if (peer !== undefined && !peer.isHome) takeSession(peer, note, state.isUp);
      note.session?.sendKey.fill(0);
      return;
    case "sent":
      if (peer?.isHome === true) takeReport(state, peer, note, moment);
      return;
    case "packets":
      if (peer?.isHome === true) takePackets(state, peer, from, note, moment);
      else state.drop(Drop.noRoute, note.lengths.length);
      return;
  }
}

function sessionNote(peer: Peer): SiblingNote {
  const { current, publicKey, endpoint } = peer;
  const leases = current?.sendable === true ? current.leases : undefined;
  return {
    kind: "session",
    publicKey: publicKey.slice(),
    endpoint: endpoint.slice(),
    session:
      current === undefined || leases === undefined
        ? undefined
        : {
            sendKey: secretCopy(current.sendKey),
            remoteIndex: current.remoteIndex,
            createdMs: current.createdMs,
            leases,
          },
  };
}

function takeSession(
  peer: Peer,
  { endpoint, session }: Extract<SiblingNote, { readonly kind: "session" }>,
  isUp: boolean,
): void {
  copyEndpoint(peer.endpoint, 0, endpoint, 0);
  const held = peer.current;
  // Only the endpoint is another.
  if (session !== undefined && held !== undefined && isEqual(held.sendKey, session.sendKey)) return;
  held?.wipe();
  peer.current = undefined;
  unreportedOf(peer).handedOver = 0;
  if (session === undefined || !isUp) return;
  const { sendKey, remoteIndex, createdMs, leases } = session;
  const keypair = new Keypair(peer.id, false, 0, remoteIndex, createdMs);
  copySecret(keypair.sendKey, sendKey);
  keypair.share(leases);
  peer.current = keypair;
}

function takeReport(
  state: TunnelState,
  peer: Peer,
  note: Extract<SiblingNote, { readonly kind: "sent" }>,
  moment: Moment,
): void {
  peer.txBytes += note.bytes;
  peer.sendErrors += note.errors;
  if (note.errors > 0) peer.lastSendError = note.lastError;
  peer.timers.sentElsewhere(
    note.firstDataMs,
    note.lastDataMs,
    note.lastSentMs,
    peer.lastReceivedMs,
    state.jitter(),
  );
  state.schedule(peer);
  const { current } = peer;
  if (current === undefined) return;
  const isOld = current.initiator && moment.now - current.createdMs >= REKEY_AFTER_TIME;
  if (current.isCounterHigh || isOld) initiate(state, peer, moment, false);
}

function takePackets(
  state: TunnelState,
  peer: Peer,
  from: number,
  { bytes, lengths }: Extract<SiblingNote, { readonly kind: "packets" }>,
  moment: Moment,
): void {
  if (!hasEndpoint(peer.endpoint)) {
    state.drop(Drop.noEndpoint, lengths.length);
    return;
  }
  if (!state.isUp) {
    state.drop(Drop.interfaceDown, lengths.length);
    return;
  }
  let at = 0;
  for (const length of lengths) {
    const outcome = peer.staging.push(bytes, at, length);
    if (outcome > 0) state.drop(Drop.stagedOverflow, outcome);
    if (outcome < 0) state.drop(Drop.stagedMemory, 1);
    at += length;
  }
  // It has missed the note about the session, if there is one: it had not heard of the peer yet.
  if (peer.current?.maySend(moment.now) === true) {
    state.siblings?.post(from, sessionNote(peer));
  }
  sendStaged(state, peer, moment);
}

function unreportedOf(peer: Peer): Unreported {
  peer.unreported ??= {
    firstDataMs: NEVER,
    lastDataMs: NEVER,
    lastSentMs: NEVER,
    handedOver: 0,
    handedUntilMs: NEVER,
  };
  return peer.unreported;
}
