/**
 * Handshake messages received (whitepaper 5.4, 5.3; K receive.c): which to believe, when to demand a cookie, how to answer,
 * and what a finished handshake sets going. Initiations of our own are `initiating.ts`.
 */

import { isEqual } from "../bytes/equal.ts";
import { loadLe32 } from "../bytes/integer.ts";
import { secretBytes } from "../bytes/secret-bytes.ts";
import { ENDPOINT_BYTES, slabLayout } from "../bytes/slab.ts";
import { HandshakeState, openInitiation, type PreparedResponse } from "../session/handshake.ts";
import { HandshakeBatch, type Solved } from "../session/handshake-batch.ts";
import type { Identity } from "../session/identity.ts";
import {
  HANDSHAKE_TOS,
  TYPE_COOKIE_REPLY,
  TYPE_INITIATION,
  TYPE_RESPONSE,
} from "../wire/constants.ts";
import {
  COOKIE_REPLY_BYTES,
  cookieReplyLayout,
  INITIATION_BYTES,
  initiationLayout,
  MAC_BYTES,
  RESPONSE_BYTES,
  responseLayout,
} from "../wire/layout.ts";
import { Drop } from "./drop.ts";
import { copyEndpoint } from "./endpoint.ts";
import { room, transmit } from "./initiating.ts";
import { sendKeepalive } from "./outbound.ts";
import type { Peer } from "./peer.ts";
import { completeHandshake, installKeypair } from "./sessions.ts";
import { homeOf } from "./siblings.ts";
import type { Moment, TunnelState } from "./state.ts";

/** Ours: of the messages of one turn, so many may cost a Diffie-Hellman: some 0.3 ms each, for which transport waits. */
const ADMITTED_PER_TURN = 8;

/** Takes at most `budget` messages from the queue. */
export function processHandshakes(state: TunnelState, budget: number, moment: Moment): void {
  let admitted = 0;
  state.offload.begin(state.queue.count);
  for (let i = 0; i < budget && admitted < ADMITTED_PER_TURN; i++) {
    const isUnderLoad = state.queue.isUnderLoad(moment.now);
    const entry = state.queue.take();
    if (entry === undefined) break;
    if (state.identity === undefined || !state.isUp) {
      state.drop(Drop.noIdentity, 1);
      continue;
    }
    const { message, endpoint } = entry;
    const type = message[0]!;
    if (type === TYPE_COOKIE_REPLY) {
      consumeCookieReply(state, message, moment);
    } else if (admit(state, state.identity, message, endpoint, isUnderLoad, moment)) {
      if (type === TYPE_INITIATION && state.offload.take(state.identity, message, endpoint)) {
        continue;
      }
      admitted++;
      if (type === TYPE_INITIATION) {
        consumeInitiation(state, state.identity, message, endpoint, moment);
      } else {
        consumeResponse(state, state.identity, message, endpoint, moment);
      }
    }
  }
  state.offload.end();
}

/** A block of `count` initiations is back from the pool; undefined: it was lost there. Wipes it. */
export function finishInitiations(
  state: TunnelState,
  bytes: Uint8Array<ArrayBuffer> | undefined,
  count: number,
  moment: Moment,
): void {
  state.offload.settle();
  if (bytes === undefined) state.drop(Drop.handshakeQueueFull, count);
  else acceptSolved(state, bytes, count, moment);
}

/** Goes on with `count` initiations whose Diffie-Hellman is done, on this lane or on that of their peer. Wipes them. */
export function acceptSolved(
  state: TunnelState,
  bytes: Uint8Array<ArrayBuffer>,
  count: number,
  moment: Moment,
): void {
  const { identity } = state;
  const batch = new HandshakeBatch(bytes, count);
  if (identity === undefined || !state.isUp || !isEqual(identity.publicKey, batch.publicKey)) {
    state.drop(Drop.noIdentity, count);
  } else {
    for (let index = 0; index < count; index++) {
      const solved = batch.solved(index);
      if (solved === undefined) state.drop(Drop.badHandshake, 1);
      else if (!forward(state, identity, batch, index, solved)) {
        acceptInitiation(state, identity, solved, moment);
      }
    }
  }
  batch.wipe();
}

/** Hands record `index` to the home lane of its peer; false: that is this one, or the peer is unknown. */
function forward(
  state: TunnelState,
  identity: Identity,
  batch: HandshakeBatch,
  index: number,
  solved: Solved,
): boolean {
  const peer = state.peerByKey(solved.opened.remoteStatic);
  const { siblings } = state;
  if (siblings === undefined || peer === undefined || peer.isHome) return false;
  const single = batch.pick(index, identity);
  solved.opened.progress.wipe();
  siblings.post(homeOf(peer.publicKey, siblings.count), {
    kind: "initiations",
    bytes: single.bytes,
    count: 1,
  });
  return true;
}

/** The macs, and under load the cookie and the rate of its source (whitepaper 5.3, 5.4.7). */
function admit(
  state: TunnelState,
  identity: Identity,
  message: Uint8Array,
  endpoint: Uint8Array,
  isUnderLoad: boolean,
  moment: Moment,
): boolean {
  if (!state.checker.hasMac1(identity, message)) {
    state.drop(Drop.badMac1, 1);
    return false;
  }
  if (!isUnderLoad) return true;
  if (!state.checker.hasMac2(message, endpoint, moment.now)) {
    state.drop(Drop.cookieDemanded, 1);
    demandCookie(state, identity, message, endpoint, moment);
    return false;
  }
  if (!state.rateLimit.allow(endpoint, 0, moment.now)) {
    state.drop(Drop.rateLimited, 1);
    return false;
  }
  return true;
}

function demandCookie(
  state: TunnelState,
  identity: Identity,
  message: Uint8Array,
  endpoint: Uint8Array,
  moment: Moment,
): void {
  const senderAt = message[0] === TYPE_INITIATION ? initiationLayout.sender : responseLayout.sender;
  const sender = loadLe32(message, senderAt);
  const offset = room(state, COOKIE_REPLY_BYTES);
  const reply = state.slab.bytes.subarray(offset, offset + COOKIE_REPLY_BYTES);
  state.checker.reply(reply, identity, message, sender, endpoint, moment.now, state.entropy);
  state.outbox.append(undefined, endpoint, HANDSHAKE_TOS, offset, COOKIE_REPLY_BYTES);
}

function consumeCookieReply(state: TunnelState, message: Uint8Array, moment: Moment): void {
  const index = loadLe32(message, cookieReplyLayout.receiver);
  // The message that it answers was an initiation (a handshake's index) or a response (already a keypair's).
  const keypair = state.keypairs.get(index);
  const peer =
    state.handshakes.get(index) ??
    (keypair === undefined ? undefined : state.peers[keypair.peerId]);
  if (
    peer === undefined ||
    !peer.jar.consumeReply(state.suite, message, peer.cookieKey(state.suite), moment.now)
  ) {
    state.drop(Drop.badCookieReply, 1);
    return;
  }
  state.log?.(peer, "Received cookie reply");
}

function consumeInitiation(
  state: TunnelState,
  identity: Identity,
  message: Uint8Array,
  endpoint: Uint8Array,
  moment: Moment,
): void {
  if (state.siblings !== undefined) {
    // Whose it is shows only when it is opened, and what was opened must be able to travel.
    const batch = new HandshakeBatch(identity, 0, 1);
    batch.add(message, endpoint);
    batch.solve(state.suite, state.entropy);
    acceptSolved(state, batch.bytes, 1, moment);
    return;
  }
  const opened = openInitiation(state.suite, identity, message);
  if (opened === undefined) {
    state.drop(Drop.badHandshake, 1);
    return;
  }
  acceptInitiation(state, identity, { message, endpoint, opened }, moment);
}

/** `response` is missing if its Diffie-Hellman is still to be done. */
type Accepted = Omit<Solved, "response"> & { readonly response?: PreparedResponse };

function acceptInitiation(
  state: TunnelState,
  identity: Identity,
  { message, endpoint, opened, response }: Accepted,
  moment: Moment,
): void {
  const peer = state.peerByKey(opened.remoteStatic);
  const ours = peer?.handshake.localIndex ?? 0;
  if (
    peer === undefined ||
    !peer.handshake.consumeInitiation(state.suite, identity, opened, message, moment.now)
  ) {
    opened.progress.wipe();
    state.drop(Drop.badHandshake, 1);
    return;
  }
  // An initiation of our own that was under way is overtaken by theirs.
  state.handshakes.delete(ours, peer);
  heardFrom(state, peer, endpoint, INITIATION_BYTES, moment);
  state.log?.(peer, "Received handshake initiation");
  respond(state, peer, response, moment);
}

function respond(
  state: TunnelState,
  peer: Peer,
  prepared: PreparedResponse | undefined,
  moment: Moment,
): void {
  const { suite } = state;
  const offset = room(state, RESPONSE_BYTES);
  const message = state.slab.bytes.subarray(offset, offset + RESPONSE_BYTES);
  const ephemeral = secretBytes(32);
  if (prepared === undefined) state.entropy(ephemeral);
  const created = peer.handshake.createResponse(
    suite,
    message,
    state.freshIndex(),
    prepared ?? ephemeral,
  );
  ephemeral.fill(0);
  if (!created) {
    state.drop(Drop.badHandshake, 1);
    return;
  }
  peer.lastInitiationMs = moment.now;
  peer.jar.addMacs(suite, message, peer.mac1Key(suite), moment.now);
  const keypair = peer.handshake.deriveKeypair(suite, peer.id, moment.now);
  if (keypair !== undefined) installKeypair(state, peer, keypair, moment);
  state.log?.(peer, "Sending handshake response");
  transmit(state, peer, offset, RESPONSE_BYTES, moment);
  state.schedule(peer);
}

function consumeResponse(
  state: TunnelState,
  identity: Identity,
  message: Uint8Array,
  endpoint: Uint8Array,
  moment: Moment,
): void {
  const peer = state.handshakes.get(loadLe32(message, responseLayout.receiver));
  if (
    peer === undefined ||
    peer.handshake.state !== HandshakeState.initiationCreated ||
    !peer.handshake.consumeResponse(state.suite, identity, message)
  ) {
    state.drop(peer === undefined ? Drop.unknownIndex : Drop.badHandshake, 1);
    return;
  }
  state.handshakes.delete(peer.handshake.localIndex, peer);
  heardFrom(state, peer, endpoint, RESPONSE_BYTES, moment);
  state.log?.(peer, "Received handshake response");
  const keypair = peer.handshake.deriveKeypair(state.suite, peer.id, moment.now);
  if (keypair === undefined) return;
  installKeypair(state, peer, keypair, moment);
  completeHandshake(state, peer, moment);
  // What waits, or an empty packet: the responder may not speak before it hears from us.
  sendKeepalive(state, peer, moment);
  state.schedule(peer);
}

/** An authentic handshake message came: endpoint, counters, timers. */
function heardFrom(
  state: TunnelState,
  peer: Peer,
  endpoint: Uint8Array,
  length: number,
  moment: Moment,
): void {
  copyEndpoint(peer.endpoint, 0, endpoint, 0);
  state.noteChange(peer);
  peer.lastReceivedMs = moment.now;
  peer.rxBytes += length;
  peer.timers.authenticatedReceived();
  peer.timers.authenticatedTraversed(moment.now);
  state.schedule(peer);
}

/** Queues a handshake message of `type` received as part of message `from` of the slab. */
export function queueHandshake(
  state: TunnelState,
  type: number,
  offset: number,
  length: number,
  from: number,
  moment: Moment,
): void {
  const endpointAt = slabLayout.messageEndpoint.offset + from * ENDPOINT_BYTES;
  const { bytes } = state.slab;
  const isPreferred =
    type === TYPE_INITIATION ? hasMac(bytes, offset + length) : answersUs(state, type, offset);
  // Who forges another's address can keep that one from a first cookie this way; the queue would do so too, for everybody.
  if (!isPreferred) state.flood.see(bytes, endpointAt);
  if (
    !isPreferred &&
    state.queue.isUnderLoad(moment.now) &&
    !state.unprovenLimit.allow(bytes, endpointAt, moment.now)
  ) {
    if (type === TYPE_INITIATION) state.flood.refuse(bytes, endpointAt, moment.now);
    state.drop(Drop.rateLimited, 1);
    return;
  }
  if (!state.queue.push(bytes, offset, length, bytes, endpointAt, isPreferred)) {
    state.drop(Drop.handshakeQueueFull, 1);
  }
}

/** True if the 16 bytes before `end` are not all zero. */
function hasMac(bytes: Uint8Array, end: number): boolean {
  for (let at = end - MAC_BYTES; at < end; at++) if (bytes[at] !== 0) return true;
  return false;
}

/** True if a response or cookie reply names an index that is in use: guessing one takes 2^32 tries. */
function answersUs(state: TunnelState, type: number, offset: number): boolean {
  const at = type === TYPE_RESPONSE ? responseLayout.receiver : cookieReplyLayout.receiver;
  const index = state.slab.view.getUint32(offset + at, true);
  return state.handshakes.get(index) !== undefined || state.keypairs.get(index) !== undefined;
}
