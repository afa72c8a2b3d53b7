/**
 * Applies the operations of a UAPI `set` to a tunnel, in order, each at once, as wireguard-go does: when one is refused,
 * those before it stay. What concerns sockets (listen_port, fwmark) goes to the ports handed in.
 */

import { isEqual, isZero } from "../bytes/equal.ts";
import type { SetOperation } from "../uapi/operation.ts";
import type { Peer } from "./peer.ts";
import type { Moment } from "./state.ts";
import type { Tunnel } from "./tunnel.ts";

/** Socket settings and name look-ups that a tunnel does not do itself. Each returns 0 or -errno. */
export interface SocketSettings {
  setListenPort(port: number): number;
  setMark(mark: number): number;
  /** Fills a 48-byte endpoint record from an address and a scope (interface name or number); -errno: no such scope. */
  resolveEndpoint(
    record: Uint8Array,
    family: number,
    address: Uint8Array,
    port: number,
    scope: string | undefined,
  ): number;
}

/** errno of an invalid value (asm-generic/errno-base.h EINVAL). */
const EINVAL = -22;

/**
 * Applies operations in order. Returns 0, or the -errno of the one that was refused, and how many were carried out. `isComplete` false: a bad line follows
 * them, so the settings of the last peer are not complete, and it is left as it is (G uapi.go: handlePostConfig is not
 * reached). What is refused here leaves it so too.
 */
export function applySet(
  tunnel: Tunnel,
  operations: readonly SetOperation[],
  sockets: SocketSettings,
  moment: Moment,
  isComplete = true,
): { readonly status: number; readonly applied: number } {
  const cursor = new Cursor(tunnel, moment);
  for (const [applied, operation] of operations.entries()) {
    const status = applyOne(tunnel, cursor, operation, sockets);
    if (status < 0) return { status, applied };
  }
  if (isComplete) cursor.finish();
  return { status: 0, applied: operations.length };
}

/** The peer that the lines after a `public_key` speak of. */
class Cursor {
  peer: Peer | undefined;
  #created = false;
  /** A packet is to go to it, whatever waits. */
  #isCalled = false;
  readonly #tunnel: Tunnel;
  readonly #moment: Moment;

  constructor(tunnel: Tunnel, moment: Moment) {
    this.#tunnel = tunnel;
    this.#moment = moment;
  }

  /** False: the limit of peers is reached. Our own public key is a peer whose settings go nowhere. */
  moveTo(publicKey: Uint8Array): boolean {
    this.finish();
    const { state } = this.#tunnel;
    const isSelf = state.identity !== undefined && isEqual(state.identity.publicKey, publicKey);
    if (isSelf) return true;
    this.peer = state.peerByKey(publicKey);
    this.#created = this.peer === undefined;
    this.peer ??= state.addPeer(publicKey);
    return this.peer !== undefined;
  }

  updateOnly(): void {
    if (this.#created) this.remove();
  }

  remove(): void {
    if (this.peer !== undefined) this.#tunnel.removePeer(this.peer);
    this.peer = undefined;
  }

  setKeepalive(seconds: number): void {
    if (this.peer === undefined) return;
    const { timers } = this.peer;
    this.#isCalled = timers.persistentIntervalMs === 0 && seconds > 0;
    timers.persistentIntervalMs = seconds * 1000;
  }

  restart(): void {
    if (this.peer === undefined) return;
    this.#tunnel.restartPeer(this.peer);
    this.#isCalled = true;
  }

  /** The settings of this peer are complete. */
  finish(): void {
    if (this.peer !== undefined) {
      this.#tunnel.startPeer(this.peer, this.#isCalled, this.#moment);
    }
    this.peer = undefined;
    this.#created = false;
    this.#isCalled = false;
  }
}

function applyOne(
  tunnel: Tunnel,
  cursor: Cursor,
  operation: SetOperation,
  sockets: SocketSettings,
): number {
  switch (operation.op) {
    case "private_key":
      tunnel.setPrivateKey(isZero(operation.key) ? undefined : operation.key);
      operation.key.fill(0);
      return 0;
    case "listen_port":
      return sockets.setListenPort(operation.port);
    case "fwmark":
      return sockets.setMark(operation.mark);
    case "replace_peers":
      tunnel.removeAllPeers();
      return 0;
    case "peer":
      return cursor.moveTo(operation.publicKey) ? 0 : EINVAL;
    default:
      return applyToPeer(tunnel, cursor, operation, sockets);
  }
}

function applyToPeer(
  tunnel: Tunnel,
  cursor: Cursor,
  operation: SetOperation,
  sockets: SocketSettings,
): number {
  const { peer } = cursor;
  const { allowedIps } = tunnel.state;
  switch (operation.op) {
    case "update_only":
      cursor.updateOnly();
      return 0;
    case "remove":
      cursor.remove();
      return 0;
    case "preshared_key":
      peer?.handshake.setPresharedKey(operation.key);
      operation.key.fill(0);
      return 0;
    case "endpoint": {
      const record = new Uint8Array(48);
      const { family, bytes, port, scope } = operation;
      const status = sockets.resolveEndpoint(record, family, bytes, port, scope);
      if (status === 0 && peer !== undefined) tunnel.setEndpoint(peer, record);
      return status;
    }
    case "persistent_keepalive_interval":
      cursor.setKeepalive(operation.seconds);
      return 0;
    case "replace_allowed_ips":
      if (peer !== undefined) allowedIps.removeByPeer(peer.id);
      return 0;
    case "allowed_ip": {
      if (peer === undefined) return 0;
      const { family, bytes, cidr } = operation;
      if (operation.add) allowedIps.insert(family, bytes, 0, cidr, peer.id);
      else allowedIps.remove(family, bytes, 0, cidr, peer.id);
      return 0;
    }
    case "restart":
      cursor.restart();
      return 0;
    default:
      return 0;
  }
}
