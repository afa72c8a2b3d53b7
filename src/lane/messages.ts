/**
 * What the engine's thread and a lane's thread say to each other. Plain data: it crosses by structured clone. Every request
 * is answered once, by its id.
 */
import type { SetOperation } from "../uapi/operation.ts";
import type { DeviceSnapshot } from "../uapi/snapshot.ts";
import type { InterfaceStatus } from "./status.ts";

/** What a lane's worker is started with. */
export interface LaneData {
  readonly eventFd: number;
  readonly crypto: "openssl" | "noble";
  readonly verbose: boolean;
}

export type LaneRequest =
  /** Takes a TUN descriptor over and serves it. `namespaceFd`: where UDP sockets are opened, -1: here. */
  | { readonly kind: "add"; readonly tunFd: number; readonly namespaceFd: number }
  /** `isComplete` false: a bad line followed these operations. */
  | {
      readonly kind: "set";
      readonly operations: readonly SetOperation[];
      readonly isComplete: boolean;
    }
  | { readonly kind: "get" }
  | { readonly kind: "status" }
  /** Wipes keys, closes sockets and the TUN descriptor. */
  | { readonly kind: "remove" };

export type LaneReply =
  | { readonly kind: "done"; readonly status: number }
  | { readonly kind: "failed"; readonly reason: string }
  | { readonly kind: "snapshot"; readonly snapshot: DeviceSnapshot }
  | { readonly kind: "status"; readonly status: InterfaceStatus };

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
