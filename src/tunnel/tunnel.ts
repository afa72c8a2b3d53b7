/**
 * A tunnel: one WireGuard interface without its sockets (whitepaper 2 to 6). Datagrams, inner packets, deadlines and
 * settings come in; what is to be sent goes to the outbox. No clock, no entropy, no I/O of its own: a handshake and a
 * rekey run in virtual time.
 */

import { isEqual } from "../bytes/equal.ts";
import { Identity } from "../session/identity.ts";
import { OFF } from "../session/timers.ts";
import { Drop } from "./drop.ts";
import { copyEndpoint, hasEndpoint } from "./endpoint.ts";
import { expireDeadlines } from "./expiry.ts";
import { acceptSolved, finishInitiations, processHandshakes } from "./handshaking.ts";
import { receiveDatagrams } from "./inbound.ts";
import { initiateDeferred } from "./initiating.ts";
import { sendInner, sendKeepalive, sendStaged } from "./outbound.ts";
import type { Outbox } from "./outbox.ts";
import type { Peer } from "./peer.ts";
import { clearHandshake, clearSessions } from "./sessions.ts";
import { publishChanges, type SiblingNote, takeNote } from "./siblings.ts";
import { type Moment, type TunnelPorts, TunnelState } from "./state.ts";

const NEVER = Number.NEGATIVE_INFINITY;

export class Tunnel {
  readonly state: TunnelState;

  constructor(ports: TunnelPorts) {
    this.state = new TunnelState(ports);
  }

  get outbox(): Outbox {
    return this.state.outbox;
  }

  /** Takes datagrams 0 to `count - 1` of the slab's `received` list. Handshake messages are only queued. */
  receive(count: number, moment: Moment): void {
    receiveDatagrams(this.state, count, moment);
  }

  /** Takes packets 0 to `count - 1` of the slab's `inner` list. */
  send(count: number, moment: Moment): void {
    sendInner(this.state, count, moment);
  }

  /** Works off at most `budget` queued handshake messages; true if some are left. */
  handleHandshakes(budget: number, moment: Moment): boolean {
    if (this.state.queue.count > 0) processHandshakes(this.state, budget, moment);
    return this.state.queue.count > 0;
  }

  /** Initiations that were handed to `TunnelPorts.submit` are back; undefined: they were lost. Wipes `bytes`. */
  finishInitiations(
    bytes: Uint8Array<ArrayBuffer> | undefined,
    count: number,
    moment: Moment,
  ): void {
    finishInitiations(this.state, bytes, count, moment);
  }

  /** A sibling's note came; wipes the secrets in it. */
  takeNote(from: number, note: SiblingNote, moment: Moment): void {
    if (note.kind === "initiations") acceptSolved(this.state, note.bytes, note.count, moment);
    else takeNote(this.state, from, note, moment);
  }

  /** Tells siblings what has changed; at the end of every piece of work. */
  publish(): void {
    publishChanges(this.state);
  }

  /** The next moment (monotonic milliseconds) at which {@link handleDeadline} has something to do, or Infinity. */
  nextDeadline(): number {
    return Math.min(this.state.deadlines.earliest, this.state.deferredMs);
  }

  handleDeadline(moment: Moment): void {
    expireDeadlines(this.state, moment);
    initiateDeferred(this.state, moment);
  }

  /** The interface came up: what waits is sent, persistent keepalives begin (K device.c wg_open). */
  up(moment: Moment): void {
    if (this.state.isUp) return;
    this.state.isUp = true;
    for (const peer of this.state.allPeers())
      this.startPeer(peer, peer.timers.persistentIntervalMs > 0, moment);
  }

  /** The interface went down: sessions, timers and waiting packets go (K device.c wg_stop). */
  down(): void {
    if (!this.state.isUp) return;
    this.state.isUp = false;
    for (const peer of this.state.allPeers()) this.#stopPeer(peer);
    this.state.queue.clear();
  }

  setMtu(mtu: number): void {
    this.state.mtu = mtu;
  }

  /**
   * Sets our private key (32 bytes, copied), or none. Sessions in use are renewed; a peer that has our own public key is
   * removed (whitepaper 5.4; K noise.c wg_noise_set_static_identity_private_key).
   */
  setPrivateKey(secret: Uint8Array | undefined): void {
    const { state } = this;
    const before = state.identity;
    if (before === undefined && secret === undefined) return;
    if (before !== undefined && secret !== undefined && isEqual(before.secret, secret)) return;
    state.identity = secret === undefined ? undefined : new Identity(state.suite, secret);
    before?.wipe();
    state.checker.wipe();
    if (state.identity !== undefined) {
      const self = state.peerByKey(state.identity.publicKey);
      if (self !== undefined) this.removePeer(self);
    }
    for (const peer of state.allPeers()) {
      peer.handshake.forgetIdentity();
      clearHandshake(state, peer);
      peer.lastInitiationMs = NEVER;
      if (peer.current !== undefined) peer.current.sendable = false;
      if (peer.next !== undefined) peer.next.sendable = false;
      state.noteChange(peer);
    }
  }

  removePeer(peer: Peer): void {
    this.#stopPeer(peer);
    peer.handshake.wipe();
    this.state.forgetPeer(peer);
  }

  removeAllPeers(): void {
    for (const peer of [...this.state.allPeers()]) this.removePeer(peer);
  }

  /** Sets where to send; the local source is forgotten with the old place. `record`: 48 bytes, copied. */
  setEndpoint(peer: Peer, record: Uint8Array): void {
    copyEndpoint(peer.endpoint, 0, record, 0);
    this.state.noteChange(peer);
  }

  /** After settings of a peer changed on an interface that is up: sends what waits, or a keepalive at once. */
  startPeer(peer: Peer, keepalive: boolean, moment: Moment): void {
    if (!this.state.isUp || !peer.isHome) return;
    const { timers } = peer;
    if (timers.persistentIntervalMs === 0) timers.persistentMs = OFF;
    else if (timers.persistentMs === OFF) timers.authenticatedTraversed(moment.now);
    if (keepalive && hasEndpoint(peer.endpoint)) sendKeepalive(this.state, peer, moment);
    sendStaged(this.state, peer, moment);
    this.state.schedule(peer);
  }

  /** Forgets a peer's sessions and when it was heard last, but not what protects it from replays; {@link startPeer} begins anew. */
  restartPeer(peer: Peer): void {
    this.#stopPeer(peer);
    peer.lastHandshakeMs = 0;
    this.state.noteChange(peer);
  }

  /** Wipes every secret; the tunnel is not to be used any more. */
  close(): void {
    this.down();
    this.removeAllPeers();
    this.state.identity?.wipe();
    this.state.identity = undefined;
    this.state.checker.wipe();
    this.state.cipher.forget();
  }

  #stopPeer(peer: Peer): void {
    const { state } = this;
    clearSessions(state, peer);
    state.drop(Drop.stagedExpired, peer.staging.clear());
    peer.timers.stop();
    peer.lastInitiationMs = NEVER;
    state.deadlines.remove(peer);
    state.deferred.delete(peer);
  }
}
