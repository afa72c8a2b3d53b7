/**
 * The lane's edge: what it needs from the world, as interfaces that `io` implements with system calls and tests with
 * arrays. All work on the lane's slab, in batches; all return counts, or -errno where said.
 */
import type { Outbox } from "../tunnel/outbox.ts";

/** What a TUN interface looks like from outside just now. */
export interface LinkState {
  /** Interface index. */
  index: number;
  isUp: boolean;
  mtu: number;
}

export interface TunPort {
  /** Ready for reading as long as the descriptor of this tag in the waiter says so. */
  readonly readTag: number;
  readonly linkTag: number;
  /** TUN_F_* offloads that are on. */
  readonly offload: number;
  /** Fills the slab's `inner` list; 0: nothing to read; -errno. */
  read(mtu: number): number;
  /** Writes the outbox's plain packets; returns how many the kernel refused. */
  write(outbox: Outbox): number;
  /** Asks how the interface is; false: it has been deleted. Follows it into another namespace. */
  queryLink(link: LinkState): boolean;
  /** Name as it is now. */
  name(): string;
  close(): void;
}

/** Descriptors of the IPv4 and the IPv6 socket on one port; -1: there is none. */
export interface SocketPair {
  readonly fd4: number;
  readonly fd6: number;
}

export const NO_SOCKETS: SocketPair = { fd4: -1, fd6: -1 };

export interface UdpPort {
  /** Tags of the IPv4 and IPv6 socket, and of changes of the routes where they are. */
  readonly tagV4: number;
  readonly tagV6: number;
  readonly routesTag: number;
  /** Takes note that the routes have changed. */
  drainRoutes(): void;
  /**
   * False if what is sent from the source address of this endpoint record (48 bytes) would now leave by another interface than the
   * one that it is bound to. True if that can't be told.
   */
  isBoundRightly(endpoint: Uint8Array): boolean;
  /**
   * The sockets that the last {@link open} bound for the followers, lanes 1 to N - 1, a pair each; theirs from now on. Empty
   * with one lane.
   */
  handOut(): readonly SocketPair[];
  /** Closes what is open and takes this pair over, given by the leading lane. -1: none of that family. */
  adopt(pair: SocketPair): void;
  /** Opens sockets of both families on `port` (0: any free one); replaces those open. 0 or -errno; on failure what was open
   * stays open. */
  open(port: number, mark: number): number;
  /** True while the kernel cuts segments on send. */
  readonly segments: boolean;
  /** True while sockets are open. */
  readonly isOpen: boolean;
  /** Bound port, 0 while closed. */
  readonly port: number;
  /** Where sockets are opened from now on: descriptor of a network namespace, -1: the caller's. Open ones stay. */
  namespaceFd: number;
  setMark(mark: number): number;
  /** Datagrams that the kernel dropped for these sockets because their buffers were full, or shed. */
  readonly dropped: number;
  /**
   * Has most initiations without a mac2 from the address in this endpoint record (48 bytes) thrown away before they are received;
   * `isOn` false: not any more. 0 or -errno.
   */
  shed(source: Uint8Array, isOn: boolean): number;
  /** Fills the slab's `received` list from one socket; 0: nothing; -errno. */
  receive(isV6: boolean): number;
  /**
   * Sends all groups of the outbox and fills in their status. Sees to segmentation being refused by the kernel; returns the
   * number of groups that failed.
   */
  send(outbox: Outbox): number;
  /** Sends one group again and fills in its status. */
  resend(group: number): void;
  close(): void;
}

/** Waits for descriptors, the control event and time, and tells the time. */
export interface Waiter {
  /** Tags that are ready, after {@link wait}. */
  readonly ready: Int32Array;
  /** EPOLL* bits of each. */
  readonly events: Int32Array;
  /** Monotonic milliseconds that go on while the machine sleeps, as of the end of the last wait; true from the start. */
  readonly now: number;
  /** Milliseconds since 1970, as of the same moment. */
  readonly wallMs: number;
  /** Waits until something is ready or `timeoutMs` (Infinity: for ever, 0: just look) have passed. Returns how many are. */
  wait(timeoutMs: number): number;
}

/** Something to do while nothing is ready. */
export interface IdleWork {
  /** Does a little, for less than a millisecond. False: that was all. */
  step(): boolean;
}
