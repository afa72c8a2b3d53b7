/**
 * The way out of a packet: inner packets from TUN -> peer by allowed IPs -> counters and headers -> sealed in place ->
 * groups in the outbox; or into staging while there is no session. Whitepaper 6.4, 5.4.6; K send.c.
 *
 * On the packet path: nothing here allocates per packet.
 */
import { HEADROOM_BYTES } from "../bytes/slab.ts";
import { encapsulate } from "../route/ecn.ts";
import { composeUnreachable } from "../route/icmp-unreachable.ts";
import { isRejectedCounter, type Keypair } from "../session/keypair.ts";
import { OFF } from "../session/timers.ts";
import { REKEY_AFTER_TIME } from "../wire/constants.ts";
import { TRANSPORT_HEADER_BYTES, TRANSPORT_OVERHEAD_BYTES } from "../wire/layout.ts";
import { paddedLength, writeTransportHeader } from "../wire/transport.ts";
import { Drop } from "./drop.ts";
import { hasEndpoint } from "./endpoint.ts";
import { initiate } from "./initiating.ts";
import type { Peer } from "./peer.ts";
import { isOwnMessage } from "./routing-loop.ts";
import { handOverRuns, noteSent } from "./siblings.ts";
import type { Moment, TunnelState } from "./state.ts";

const IPV4_HEADER_BYTES = 20;
const IPV6_HEADER_BYTES = 40;
const IPV4_DESTINATION = 16;
const IPV6_DESTINATION = 24;
/** Ours: ICMP unreachables per second to local senders; the kernel limits its own the same way (net.ipv4.icmp_ratelimit). */
const UNREACHABLE_INTERVAL_MS = 20;
/** RFC 4443 2.4(c): an ICMPv6 error never exceeds the least IPv6 MTU. */
const UNREACHABLE_BYTES_MAX = 1280;

/** Takes the first `count` packets of the slab's `inner` list. */
export function sendInner(state: TunnelState, count: number, moment: Moment): void {
  if (!state.isUp) {
    state.drop(Drop.interfaceDown, count);
    return;
  }
  const { slab, touched } = state;
  touched.length = 0;
  let runs = 0;
  let index = 0;
  while (index < count) {
    const run = slab.innerRun[index]!;
    let end = index + 1;
    while (end < count && slab.innerRun[end] === run) end++;
    const offset = slab.innerOffset[index]!;
    const length = slab.innerLength[index]!;
    const peer = peerFor(state, offset, length);
    if (peer === undefined) {
      dropUnroutable(state, index, end, moment);
    } else if (isOwnMessage(state, peer, offset, length)) {
      state.drop(Drop.routingLoop, end - index);
    } else {
      state.runFirst[runs] = index;
      state.runEnd[runs] = end;
      state.runNext[runs] = -1;
      if (peer.lastRun < 0) {
        peer.firstRun = runs;
        touched.push(peer);
      } else {
        state.runNext[peer.lastRun] = runs;
      }
      peer.lastRun = runs;
      runs++;
    }
    index = end;
  }
  for (let i = 0; i < touched.length; i++) {
    const peer = touched[i]!;
    sendRuns(state, peer, moment);
    peer.firstRun = -1;
    peer.lastRun = -1;
  }
}

/** Sends an empty packet, or what is waiting, or begins the handshake that is needed first (K send.c). */
export function sendKeepalive(state: TunnelState, peer: Peer, moment: Moment): void {
  if (peer.staging.count === 0) peer.staging.push(EMPTY, 0, 0);
  sendStaged(state, peer, moment);
}

/** Sends what waits for this peer; without a session, begins a handshake. */
export function sendStaged(state: TunnelState, peer: Peer, moment: Moment): void {
  if (peer.staging.count === 0 || !state.isUp) return;
  const keypair = peer.current;
  if (keypair?.maySend(moment.now) !== true || !keypair.reserve(peer.staging.count)) {
    initiate(state, peer, moment, false);
    return;
  }
  const { outbox, slab } = state;
  const packets = peer.staging.takeAll();
  let first = outbox.datagramCount;
  let hasData = false;
  for (const packet of packets) {
    const padded = paddedLength(packet.length, state.mtu);
    const length = padded + TRANSPORT_OVERHEAD_BYTES;
    if (!outbox.hasRoom(length)) {
      seal(state, keypair, first);
      outbox.flushDatagrams();
      first = 0;
    }
    const offset = outbox.compose(length);
    const payload = offset + TRANSPORT_HEADER_BYTES;
    slab.bytes.set(packet, payload);
    slab.bytes.fill(0, payload + packet.length, payload + padded);
    const tos = packet.length === 0 ? 0 : outerTos(slab.bytes, payload);
    append(state, peer, keypair, tos, offset, length);
    if (packet.length > 0) hasData = true;
  }
  seal(state, keypair, first);
  afterSending(state, peer, keypair, hasData, moment);
}

const EMPTY = new Uint8Array(0);

function peerFor(state: TunnelState, offset: number, length: number): Peer | undefined {
  const { bytes } = state.slab;
  const version = bytes[offset]! >>> 4;
  let id = -1;
  if (version === 4 && length >= IPV4_HEADER_BYTES) {
    id = state.allowedIps.lookup4At(bytes, offset + IPV4_DESTINATION);
  } else if (version === 6 && length >= IPV6_HEADER_BYTES) {
    id = state.allowedIps.lookup6At(bytes, offset + IPV6_DESTINATION);
  }
  return id < 0 ? undefined : state.peers[id];
}

function sendRuns(state: TunnelState, peer: Peer, moment: Moment): void {
  const keypair = peer.current;
  if (!hasEndpoint(peer.endpoint)) {
    for (let run = peer.firstRun; run >= 0; run = state.runNext[run]!) {
      answerUnreachable(state, state.runFirst[run]!, moment);
      state.drop(Drop.noEndpoint, state.runEnd[run]! - state.runFirst[run]!);
    }
    return;
  }
  const maySend = keypair?.maySend(moment.now) === true;
  if (maySend && peer.staging.count > 0) sendStaged(state, peer, moment);
  if (!maySend || !keypair.reserve(packetsInRuns(state, peer))) {
    if (peer.isHome) {
      stageRuns(state, peer);
      initiate(state, peer, moment, false);
    } else {
      handOverRuns(state, peer, moment);
    }
    return;
  }
  const { outbox, slab, mtu } = state;
  let first = outbox.datagramCount;
  for (let run = peer.firstRun; run >= 0; run = state.runNext[run]!) {
    const end = state.runEnd[run]!;
    const begin = state.runFirst[run]!;
    const tos = outerTos(slab.bytes, slab.innerOffset[begin]!);
    for (let i = begin; i < end; i++) {
      if (!outbox.hasRoom(0)) {
        seal(state, keypair, first);
        outbox.flushDatagrams();
        first = 0;
      }
      if (isRejectedCounter(keypair.sendHi, keypair.sendLo)) {
        state.drop(Drop.counterExhausted, 1);
        continue;
      }
      const length = paddedLength(slab.innerLength[i]!, mtu) + TRANSPORT_OVERHEAD_BYTES;
      append(state, peer, keypair, tos, slab.innerOffset[i]! - HEADROOM_BYTES, length);
    }
  }
  seal(state, keypair, first);
  afterSending(state, peer, keypair, true, moment);
}

function packetsInRuns(state: TunnelState, peer: Peer): number {
  let count = 0;
  for (let run = peer.firstRun; run >= 0; run = state.runNext[run]!) {
    count += state.runEnd[run]! - state.runFirst[run]!;
  }
  return count;
}

/** Writes the header with the next counter and lists the datagram. The seal comes later, for the whole batch. */
function append(
  state: TunnelState,
  peer: Peer,
  keypair: Keypair,
  tos: number,
  offset: number,
  length: number,
): void {
  writeTransportHeader(
    state.slab.view,
    offset,
    keypair.remoteIndex,
    keypair.sendHi,
    keypair.sendLo,
  );
  keypair.step();
  peer.txBytes += length;
  state.outbox.append(peer, peer.endpoint, tos, offset, length);
}

/** Seals the datagrams from `first` to the end of the outbox. */
function seal(state: TunnelState, keypair: Keypair, first: number): void {
  const count = state.outbox.datagramCount - first;
  if (count > 0) state.cipher.seal(state.slab, keypair.sendKey, first, count);
  state.outbox.endGroup();
}

function afterSending(
  state: TunnelState,
  peer: Peer,
  keypair: Keypair,
  hasData: boolean,
  moment: Moment,
): void {
  if (!peer.isHome) {
    noteSent(state, peer, keypair, hasData, moment);
    return;
  }
  const { timers } = peer;
  timers.authenticatedTraversed(moment.now);
  timers.authenticatedSent();
  if (hasData && timers.renewMs === OFF) timers.dataSent(moment.now, state.jitter());
  state.schedule(peer);
  // K send.c keep_key_fresh.
  if (
    keypair.isCounterHigh ||
    (keypair.initiator && moment.now - keypair.createdMs >= REKEY_AFTER_TIME)
  ) {
    initiate(state, peer, moment, false);
  }
}

function stageRuns(state: TunnelState, peer: Peer): void {
  const { slab } = state;
  for (let run = peer.firstRun; run >= 0; run = state.runNext[run]!) {
    const end = state.runEnd[run]!;
    for (let i = state.runFirst[run]!; i < end; i++) {
      const outcome = peer.staging.push(slab.bytes, slab.innerOffset[i]!, slab.innerLength[i]!);
      if (outcome > 0) state.drop(Drop.stagedOverflow, outcome);
      if (outcome < 0) state.drop(Drop.stagedMemory, 1);
    }
  }
}

/** ECN of the inner packet, DSCP zero: nothing else about the traffic is shown outside (K send.c, RFC 6040 4.1). */
function outerTos(bytes: Uint8Array, offset: number): number {
  const first = bytes[offset]!;
  const tos =
    first >>> 4 === 4 ? bytes[offset + 1]! : ((first & 0x0f) << 4) | (bytes[offset + 1]! >>> 4);
  return encapsulate(tos);
}

function dropUnroutable(state: TunnelState, first: number, end: number, moment: Moment): void {
  const version = state.slab.bytes[state.slab.innerOffset[first]!]! >>> 4;
  if (version !== 4 && version !== 6) {
    state.drop(Drop.badOutgoing, end - first);
    return;
  }
  state.drop(Drop.noRoute, end - first);
  answerUnreachable(state, first, moment);
}

/** Tells the local sender of inner packet `index` that its destination cannot be reached (K device.c wg_xmit). */
function answerUnreachable(state: TunnelState, index: number, moment: Moment): void {
  if (moment.now < state.unreachableFromMs) return;
  const { outbox, slab } = state;
  if (!outbox.hasRoom(UNREACHABLE_BYTES_MAX)) return;
  const offset = outbox.compose(UNREACHABLE_BYTES_MAX);
  const length = composeUnreachable(
    slab.bytes,
    offset,
    slab.bytes,
    slab.innerOffset[index]!,
    slab.innerLength[index]!,
  );
  if (length === 0) return;
  state.unreachableFromMs = moment.now + UNREACHABLE_INTERVAL_MS;
  outbox.appendPlain(offset, length);
  outbox.flushPlain();
}
