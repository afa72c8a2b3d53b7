/**
 * What the engine's thread and a lane's thread say to each other. Plain data: it crosses by structured clone. Every request
 * is answered once, by its id.
 */

import type { SiblingNote } from "../tunnel/siblings.ts";
import type { SetOperation } from "../uapi/operation.ts";
import type { DeviceSnapshot } from "../uapi/snapshot.ts";
import type { SocketPair } from "./ports.ts";
import type { LaneStatus } from "./status.ts";

/** What a lane's worker is started with. */
export interface LaneData {
  readonly eventFd: number;
  readonly crypto: "openssl" | "noble";
  readonly verbose: boolean;
  /** Which lane this is, of how many. */
  readonly lane: number;
  readonly lanes: number;
  /** Added to the thread's niceness, where it may. */
  readonly nice: number;
}

/** What lanes say to each other about an interface that several serve. The leader is lane 0. */
export type LaneNote =
  | SiblingNote
  /** From the leader: your sockets, which are yours from now on; what you had is to be closed. */
  | { readonly kind: "sockets"; readonly isUp: boolean; readonly pair: SocketPair }
  /** To the leader, who said that all is down: what I had is closed, the port is free of me. */
  | { readonly kind: "released" };

/** What goes over the port between two lanes; the receiver's event is signalled after it. */
export interface BetweenLanes {
  readonly key: number;
  readonly note: LaneNote;
}

export type LaneRequest =
  /** Serves a TUN descriptor, which stays the engine's. `namespaceFd`: where UDP sockets are opened, -1: here. */
  | {
      readonly kind: "add";
      readonly tunFd: number;
      readonly namespaceFd: number;
      /** All lanes serve it, with a TUN queue and sockets each; else only this one does. */
      readonly isSpread: boolean;
    }
  /** `isComplete` false: a bad line followed these operations. */
  | {
      readonly kind: "set";
      readonly operations: readonly SetOperation[];
      readonly isComplete: boolean;
    }
  | { readonly kind: "get" }
  | { readonly kind: "status" }
  /** Opens the UDP sockets anew, on the same port, in another network namespace: sessions stay. */
  | { readonly kind: "moveSockets"; readonly namespaceFd: number }
  /** Brings back what an interface was before its lane died. The keys in it are wiped. */
  | { readonly kind: "restore"; readonly snapshot: DeviceSnapshot }
  /** Wipes keys, closes sockets. */
  | { readonly kind: "remove" };

export type LaneReply =
  /** `applied`: of a set, how many operations were carried out. */
  | { readonly kind: "done"; readonly status: number; readonly applied?: number }
  | { readonly kind: "failed"; readonly reason: string }
  | SnapshotPart
  | StatusPart;

/** What one lane knows; of the peers whose place in `homes` is false another one knows better. */
export interface SnapshotPart {
  readonly kind: "snapshot";
  readonly snapshot: DeviceSnapshot;
  readonly homes: readonly boolean[];
}

export interface StatusPart {
  readonly kind: "status";
  readonly status: LaneStatus;
  readonly homes: readonly boolean[];
}

export type ToLane =
  | {
      readonly kind: "request";
      readonly id: number;
      /** Which interface: a number that the engine gives. */
      readonly key: number;
      readonly request: LaneRequest;
    }
  /** What the pool made of `initiations`; undefined: nothing. The memory is moved. */
  | {
      readonly kind: "solved";
      readonly key: number;
      readonly bytes: Uint8Array<ArrayBuffer> | undefined;
      readonly count: number;
    }
  /** The way to another lane: a MessagePort, whose type this layer does not know, and its event. */
  | {
      readonly kind: "sibling";
      readonly lane: number;
      readonly port: unknown;
      readonly eventFd: number;
    }
  | { readonly kind: "stop" };

export type FromLane =
  | { readonly kind: "reply"; readonly id: number; readonly reply: LaneReply }
  /** A block for the handshake pool (src/session/handshake-batch.ts); the memory is moved. */
  | {
      readonly kind: "initiations";
      readonly key: number;
      readonly bytes: Uint8Array<ArrayBuffer>;
      readonly count: number;
    }
  /** The lane dies of an exception; this is what it knew of the interface. */
  | { readonly kind: "lastWords"; readonly key: number; readonly part: SnapshotPart }
  /** The interface was deleted by somebody else; the lane has let it go. */
  | { readonly kind: "gone"; readonly key: number }
  | {
      readonly kind: "log";
      readonly key: number;
      readonly level: "verbose" | "error";
      readonly text: string;
    };

/** What a thread of the handshake pool is given; it comes back solved. */
export interface PoolTask {
  readonly crypto: "openssl" | "noble";
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly count: number;
}
