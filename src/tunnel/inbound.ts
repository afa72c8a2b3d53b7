/**
 * The way in of a datagram: type and size -> receiver index -> opened in place, a run at a time -> replay window ->
 * roaming -> inner header -> allowed source -> TUN. The order of checks is the protocol's: nothing unauthenticated changes
 * state. Whitepaper 5.4.6; K receive.c.
 *
 * On the packet path: nothing here allocates per packet.
 */
import { ENDPOINT_BYTES, slabLayout } from "../bytes/slab.ts";
import { decapsulate } from "../route/ecn.ts";
import { innerLength, setEcn, tos } from "../route/ip-header.ts";
import { isRejectedCounter, type Keypair } from "../session/keypair.ts";
import {
  REKEY_ON_RECEIVE_AFTER_TIME,
  TYPE_COOKIE_REPLY,
  TYPE_INITIATION,
  TYPE_RESPONSE,
  TYPE_TRANSPORT,
} from "../wire/constants.ts";
import {
  COOKIE_REPLY_BYTES,
  INITIATION_BYTES,
  RESPONSE_BYTES,
  TRANSPORT_HEADER_BYTES,
  TRANSPORT_OVERHEAD_BYTES,
  transportLayout,
} from "../wire/layout.ts";
import { Drop } from "./drop.ts";
import { copyEndpoint, isSameEndpoint } from "./endpoint.ts";
import { queueHandshake } from "./handshaking.ts";
import { initiate } from "./initiating.ts";
import { sendStaged } from "./outbound.ts";
import type { Peer } from "./peer.ts";
import { completeHandshake, confirmKeypair } from "./sessions.ts";
import type { Moment, TunnelState } from "./state.ts";

const IPV4_SOURCE = 12;
const IPV6_SOURCE = 8;
const ECN_MASK = 3;

/** Takes the first `count` datagrams of the slab's `received` list. */
export function receiveDatagrams(state: TunnelState, count: number, moment: Moment): void {
  if (!state.isUp) {
    state.drop(Drop.interfaceDown, count);
    return;
  }
  const { slab } = state;
  const { view } = slab;
  let index = 0;
  while (index < count) {
    const offset = slab.receivedOffset[index]!;
    const length = slab.receivedLength[index]!;
    const type = length >= 4 ? view.getUint32(offset, true) : 0;
    if (type !== TYPE_TRANSPORT) {
      receiveHandshake(state, index, type, moment);
      index++;
      continue;
    }
    if (length < TRANSPORT_OVERHEAD_BYTES) {
      state.drop(Drop.badSize, 1);
      index++;
      continue;
    }
    const receiver = view.getUint32(offset + transportLayout.receiver, true);
    let end = index + 1;
    while (end < count && isTransportFor(state, end, receiver)) end++;
    receiveRun(state, receiver, index, end, moment);
    index = end;
  }
}

function isTransportFor(state: TunnelState, index: number, receiver: number): boolean {
  const { slab } = state;
  const offset = slab.receivedOffset[index]!;
  return (
    slab.receivedLength[index]! >= TRANSPORT_OVERHEAD_BYTES &&
    slab.view.getUint32(offset, true) === TYPE_TRANSPORT &&
    slab.view.getUint32(offset + transportLayout.receiver, true) === receiver
  );
}

function receiveHandshake(state: TunnelState, index: number, type: number, moment: Moment): void {
  const length = state.slab.receivedLength[index]!;
  let wanted = 0;
  if (type === TYPE_INITIATION) wanted = INITIATION_BYTES;
  else if (type === TYPE_RESPONSE) wanted = RESPONSE_BYTES;
  else if (type === TYPE_COOKIE_REPLY) wanted = COOKIE_REPLY_BYTES;
  if (wanted === 0) state.drop(length < 4 ? Drop.badSize : Drop.badType, 1);
  else if (length !== wanted) state.drop(Drop.badSize, 1);
  else {
    const { slab } = state;
    const offset = slab.receivedOffset[index]!;
    queueHandshake(state, type, offset, length, slab.receivedMessage[index]!, moment);
  }
}

/** Transport messages `first` to `end - 1`, all for one receiver index. */
function receiveRun(
  state: TunnelState,
  receiver: number,
  first: number,
  end: number,
  moment: Moment,
): void {
  const keypair = state.keypairs.get(receiver);
  const peer = keypair === undefined ? undefined : state.peers[keypair.peerId];
  if (keypair === undefined || peer === undefined) {
    state.drop(Drop.unknownIndex, end - first);
    return;
  }
  if (!keypair.mayReceive(moment.now)) {
    state.drop(Drop.expiredKey, end - first);
    return;
  }
  const { slab } = state;
  state.cipher.open(slab, keypair.receiveKey, first, end - first);
  let authentic = 0;
  let hasData = false;
  let confirmed = false;
  let message = -1;
  for (let i = first; i < end; i++) {
    const payload = slab.opened[i]!;
    if (payload < 0) {
      state.drop(Drop.badTag, 1);
      continue;
    }
    const offset = slab.receivedOffset[i]!;
    const counterLo = slab.view.getUint32(offset + transportLayout.counter, true);
    const counterHi = slab.view.getUint32(offset + transportLayout.counter + 4, true);
    if (isRejectedCounter(counterHi, counterLo)) {
      state.drop(Drop.counterExhausted, 1);
      continue;
    }
    if (!keypair.replay.accept(counterHi, counterLo)) {
      state.drop(Drop.replay, 1);
      continue;
    }
    authentic++;
    peer.rxBytes += payload + TRANSPORT_OVERHEAD_BYTES;
    if (authentic === 1) confirmed = confirmKeypair(state, peer, keypair);
    if (slab.receivedMessage[i]! !== message) {
      message = slab.receivedMessage[i]!;
      roam(state, peer, message);
    }
    if (payload > 0) {
      hasData = true;
      deliver(state, peer, offset + TRANSPORT_HEADER_BYTES, payload, slab.messageTos[message]!);
    }
  }
  if (authentic > 0) afterReceiving(state, peer, keypair, hasData, confirmed, moment);
}

function afterReceiving(
  state: TunnelState,
  peer: Peer,
  keypair: Keypair,
  hasData: boolean,
  confirmed: boolean,
  moment: Moment,
): void {
  const { timers } = peer;
  timers.authenticatedReceived();
  peer.lastReceivedMs = moment.now;
  timers.authenticatedTraversed(moment.now);
  if (hasData) timers.dataReceived(moment.now);
  if (confirmed) {
    completeHandshake(state, peer, moment);
    sendStaged(state, peer, moment);
  }
  state.schedule(peer);
  // K receive.c keep_key_fresh: renew in time though we only listen; once per session.
  if (
    keypair === peer.current &&
    keypair.initiator &&
    !keypair.renewalAsked &&
    moment.now - keypair.createdMs >= REKEY_ON_RECEIVE_AFTER_TIME
  ) {
    keypair.renewalAsked = true;
    initiate(state, peer, moment, false);
  }
}

/** An authentic packet says where its peer now is, and which of our addresses it speaks to (whitepaper 2.1). */
function roam(state: TunnelState, peer: Peer, message: number): void {
  const at = slabLayout.messageEndpoint.offset + message * ENDPOINT_BYTES;
  if (isSameEndpoint(peer.endpoint, state.slab.bytes, at)) return;
  copyEndpoint(peer.endpoint, 0, state.slab.bytes, at);
  state.noteChange(peer);
}

/** Checks one decrypted packet and lists it for TUN. */
function deliver(
  state: TunnelState,
  peer: Peer,
  offset: number,
  payload: number,
  outerTos: number,
): void {
  const { bytes } = state.slab;
  const length = innerLength(bytes, offset, payload);
  if (length < 0) {
    state.drop(Drop.badInner, 1);
    return;
  }
  const isV4 = bytes[offset]! >>> 4 === 4;
  const owner = isV4
    ? state.allowedIps.lookup4At(bytes, offset + IPV4_SOURCE)
    : state.allowedIps.lookup6At(bytes, offset + IPV6_SOURCE);
  if (owner !== peer.id) {
    state.drop(Drop.wrongSource, 1);
    return;
  }
  if ((outerTos & ECN_MASK) !== 0) {
    const innerTos = tos(bytes, offset);
    const ecn = decapsulate(outerTos, innerTos);
    if (ecn < 0) {
      state.drop(Drop.badEcn, 1);
      return;
    }
    if (ecn !== (innerTos & ECN_MASK)) setEcn(bytes, offset, ecn);
  }
  state.outbox.appendPlain(offset, length);
}
