/**
 * One WireGuard interface on a lane: a tunnel between its TUN port and its UDP port. Owns the order of work in a turn, what
 * becomes of send errors, and the interface's socket settings. Waiting and scheduling are the lane's.
 */
import { ENDPOINT_BYTES, slabLayout } from "../bytes/slab.ts";
import { FloodStep } from "../session/flood-watch.ts";
import { Drop } from "../tunnel/drop.ts";
import { clearSource, hasSource } from "../tunnel/endpoint.ts";
import type { Outbox, OutboxSink } from "../tunnel/outbox.ts";
import type { Moment, TunnelPorts } from "../tunnel/state.ts";
import { Tunnel } from "../tunnel/tunnel.ts";
import type { LaneNote } from "./messages.ts";
import {
  type LinkState,
  NO_SOCKETS,
  type SocketPair,
  type TunPort,
  type UdpPort,
} from "./ports.ts";
import { RouteFollower } from "./route-follower.ts";
import { LaneStats } from "./stats.ts";

/** Ours: handshake messages worked off in a turn that brought few datagrams. See {@link Interface.handleTime}. */
const HANDSHAKES_PER_TURN = 32;
/** Ours: between tries to open the sockets of an interface that is up; doubled each time, to the second. */
const REOPEN_FIRST_MS = 1_000;
const REOPEN_MAX_MS = 32_000;
/** asm-generic/errno-base.h, asm-generic/errno.h. */
const EACCES = -13;
const EADDRINUSE = -98;
const EPOLLERR = 0x8;
const EPOLLHUP = 0x10;

/** Told what went wrong, and the -errno of it. */
export type InterfaceLog = ((text: string, status: number) => void) | undefined;

/** The other lanes that serve this interface. See src/tunnel/siblings.ts. */
export interface LaneSiblings {
  readonly lane: number;
  readonly count: number;
  post(to: number, note: LaneNote): void;
}

export interface InterfaceParts extends Omit<TunnelPorts, "sink"> {
  readonly siblings?: LaneSiblings | undefined;
}

export class Interface implements OutboxSink {
  readonly tunnel: Tunnel;
  readonly stats: LaneStats = new LaneStats();
  readonly link: LinkState = { index: 0, isUp: false, mtu: 1420 };
  /** As configured; 0: any. The port in use is `udp.port`. */
  listenPort = 0;
  mark = 0;
  readonly #tun: TunPort;
  readonly #udp: UdpPort;
  readonly #log: InterfaceLog;
  readonly #routes: RouteFollower;
  /** Position and key in the lane's deadline heap. */
  heapSlot = -1;
  heapKey: number = Number.POSITIVE_INFINITY;
  isGone = false;
  /** When datagrams last came, or left on behalf of packets; not by a timer. */
  lastCarriedMs: number = Number.NEGATIVE_INFINITY;
  /** `stats.datagramsReceived` and `datagramsSent` at the end of the last turn. */
  #settledReceived = 0;
  #settledSent = 0;

  /** Lane 0 opens the sockets, for the others too, who are up when it is. */
  readonly #siblings: LaneSiblings | undefined;
  readonly #isLeader: boolean;
  #isLeaderUp: boolean;
  /** Of the leader: followers who still have the sockets of before it went down, and with them the port. */
  #unreleased = 0;
  /** When sockets that could not be opened are tried again, and how long after the last time that is. */
  #reopenMs: number = Number.POSITIVE_INFINITY;
  #reopenDelayMs = REOPEN_FIRST_MS;

  constructor(ports: InterfaceParts, tun: TunPort, udp: UdpPort, log: InterfaceLog) {
    this.#siblings = ports.siblings;
    this.#isLeader = ports.siblings === undefined || ports.siblings.lane === 0;
    this.#isLeaderUp = this.#isLeader;
    this.#tun = tun;
    this.#udp = udp;
    this.#log = log;
    this.#routes = new RouteFollower(udp);
    this.tunnel = new Tunnel({ ...ports, sink: this });
  }

  get udp(): UdpPort {
    return this.#udp;
  }

  get tun(): TunPort {
    return this.#tun;
  }

  /** Reads the link's state and follows it: up opens the sockets, down closes them, the MTU is the tunnel's. */
  followLink(moment: Moment): void {
    if (!this.#tun.queryLink(this.link)) {
      this.isGone = true;
      return;
    }
    this.tunnel.setMtu(this.link.mtu);
    const { state } = this.tunnel;
    // A link that comes up right after it went down waits for the followers to let go of the port.
    const isUp = this.link.isUp && this.#isLeaderUp && this.#unreleased === 0;
    if (isUp && !state.isUp) {
      if (this.#isLeader) this.#openSockets(moment);
      this.tunnel.up(moment);
      this.flush();
    } else if (!isUp && state.isUp) {
      this.tunnel.down();
      state.flood.reset();
      if (!this.#isLeader) return;
      if (this.#udp.isOpen) this.listenPort = this.#udp.port;
      this.#udp.close();
      this.#reopenMs = Number.POSITIVE_INFINITY;
      this.#unreleased = this.#tellFollowers(false);
    }
  }

  /** A note of sibling `from` came. */
  takeNote(from: number, note: LaneNote, moment: Moment): void {
    if (note.kind === "released") {
      this.#unreleased--;
      this.followLink(moment);
      return;
    }
    if (note.kind !== "sockets") {
      this.tunnel.takeNote(from, note, moment);
      this.flush();
      return;
    }
    this.#udp.adopt(note.pair);
    this.tunnel.state.flood.reset();
    if (this.mark !== 0) this.setMark(this.mark);
    this.#isLeaderUp = note.isUp;
    if (!note.isUp) this.#siblings?.post(from, { kind: "released" });
    this.followLink(moment);
  }

  /** A descriptor of this interface is ready. */
  handleReady(tag: number, events: number, moment: Moment): void {
    this.#routes.tellTime(moment.now);
    if (tag === this.#tun.linkTag) this.followLink(moment);
    else if (tag === this.#tun.readTag) this.#read(events, moment);
    else if (tag === this.#udp.routesTag) this.#followRoutes();
    else this.#receive(tag === this.#udp.tagV6, moment);
  }

  /**
   * Deadlines and queued handshakes; the last step of a turn. True if handshakes are left for the next turn.
   *
   * In a flood of handshake messages, half of what a turn brought in is worked off at most: the sockets must be emptied
   * faster than the queue, so that the queue grows and tells of the load, and so that transport messages, which wait in
   * the same sockets behind the flood, are not lost there.
   */
  handleTime(moment: Moment): boolean {
    const { stats } = this;
    const received = stats.datagramsReceived - this.#settledReceived;
    if (received > 0 || stats.datagramsSent !== this.#settledSent) this.lastCarriedMs = moment.now;
    if (this.tunnel.nextDeadline() <= moment.now) this.tunnel.handleDeadline(moment);
    const budget = Math.max(HANDSHAKES_PER_TURN, received >>> 1);
    const more = this.tunnel.handleHandshakes(budget, moment);
    this.#shedFlood(moment.now);
    if (this.#reopenMs <= moment.now) this.#openSockets(moment);
    this.flush();
    this.#settledReceived = stats.datagramsReceived;
    this.#settledSent = stats.datagramsSent;
    return more;
  }

  /** When {@link handleTime} has something to do. */
  nextDeadline(): number {
    const { tunnel } = this;
    return Math.min(tunnel.nextDeadline(), tunnel.state.flood.deadline, this.#reopenMs);
  }

  /** Sends what the tunnel has put out. */
  flush(): void {
    this.tunnel.publish();
    this.tunnel.outbox.flushPlain();
    this.tunnel.outbox.flushDatagrams();
  }

  sendDatagrams(outbox: Outbox): void {
    const { stats } = this;
    stats.sendCalls++;
    stats.datagramsSent += outbox.datagramCount;
    stats.groupsSent += outbox.groupCount;
    if (!this.#udp.isOpen) {
      this.tunnel.state.drop(Drop.interfaceDown, outbox.datagramCount);
      return;
    }
    this.#routes.follow(outbox);
    if (this.#udp.send(outbox) > 0) this.#settleFailures(outbox);
  }

  writePlain(outbox: Outbox): void {
    this.stats.writeCalls++;
    this.stats.packetsWritten += outbox.plainCount;
    const refused = this.#tun.write(outbox);
    if (refused > 0) this.tunnel.state.drop(Drop.tunRefused, refused);
  }

  setListenPort(port: number): number {
    if (!this.#isLeader) return 0;
    if (port !== 0 && port === this.#udp.port) {
      this.listenPort = port;
      return 0;
    }
    if (port === 0 && !this.tunnel.state.isUp) {
      this.listenPort = 0;
      return 0;
    }
    const status = this.#udp.open(port, this.mark);
    if (status === EADDRINUSE && this.#unreleased > 0) {
      // Perhaps by followers, who are about to let go. Whether by others shows when the interface comes up.
      this.listenPort = port;
      return 0;
    }
    // The answer is a number: what is lacking goes into the log.
    if (status === EACCES) this.#log?.(portProblem(port, status), status);
    if (status < 0) return status;
    this.tunnel.state.flood.reset();
    this.listenPort = port;
    this.#reopenMs = Number.POSITIVE_INFINITY;
    // Down: the port was only tried, so that a conflict is told now; it is bound when the interface comes up.
    if (this.tunnel.state.isUp) this.#tellFollowers(true);
    else this.#udp.close();
    return 0;
  }

  /**
   * Opens the sockets in another network namespace, on the same port; 0 or -errno: then those in use stay. Peers' remembered
   * source addresses are those of the old namespace, so they are forgotten.
   */
  moveSockets(namespaceFd: number): number {
    const before = this.#udp.namespaceFd;
    this.#udp.namespaceFd = namespaceFd;
    const { state } = this.tunnel;
    for (const peer of state.allPeers()) clearSource(peer.endpoint, 0);
    if (!this.#isLeader || !state.isUp) return 0;
    const status = this.#udp.open(this.#udp.port || this.listenPort, this.mark);
    if (status < 0) {
      this.#udp.namespaceFd = before;
      return status;
    }
    state.flood.reset();
    this.#reopenMs = Number.POSITIVE_INFINITY;
    this.#tellFollowers(true);
    return 0;
  }

  setMark(mark: number): number {
    const status = this.#udp.isOpen ? this.#udp.setMark(mark) : 0;
    if (status !== 0) return status;
    this.mark = mark;
    // It may choose another table.
    this.#routes.noteChange();
    return 0;
  }

  close(): void {
    this.tunnel.close();
    this.#udp.close();
    this.#tun.close();
  }

  #followRoutes(): void {
    this.#udp.drainRoutes();
    this.#routes.noteChange();
  }

  /** What can't be opened is tried again, for as long as the interface is up: whoever has the port may go. */
  #openSockets({ now }: Moment): void {
    const isFirst = this.#reopenMs === Number.POSITIVE_INFINITY;
    const status = this.#udp.isOpen ? 0 : this.#udp.open(this.listenPort, this.mark);
    this.tunnel.state.flood.reset();
    if (status < 0) {
      this.#reopenDelayMs = isFirst
        ? REOPEN_FIRST_MS
        : Math.min(2 * this.#reopenDelayMs, REOPEN_MAX_MS);
      this.#reopenMs = now + this.#reopenDelayMs;
      if (!isFirst) return;
      this.#log?.(portProblem(this.listenPort, status), status);
    } else this.#reopenMs = Number.POSITIVE_INFINITY;
    this.#tellFollowers(true);
  }

  /** Gives how many there are. */
  #tellFollowers(isUp: boolean): number {
    if (this.#siblings === undefined) return 0;
    const pairs: readonly SocketPair[] = this.#udp.handOut();
    for (let lane = 1; lane < this.#siblings.count; lane++) {
      const pair = pairs[lane - 1] ?? NO_SOCKETS;
      this.#siblings.post(lane, { kind: "sockets", isUp, pair });
    }
    return this.#siblings.count - 1;
  }

  /** A flood of initiations is best thrown away where it costs no turn of the lane: in the kernel. */
  #shedFlood(now: number): void {
    const { flood } = this.tunnel.state;
    const step = flood.decide(now);
    if (step === FloodStep.none) return;
    const status = this.#udp.shed(flood.source, step === FloodStep.shed);
    // Refused, on an odd kernel: the rate limit does it alone.
    if (status < 0) flood.reset();
  }

  /** One call, up to 16 messages of 64 KiB: what is left is reported again by the next wait, after everybody else's turn. */
  #receive(isV6: boolean, moment: Moment): void {
    const count = this.#udp.receive(isV6);
    this.stats.receiveCalls++;
    if (count <= 0) return;
    this.stats.datagramsReceived += count;
    this.tunnel.receive(count, moment);
    this.flush();
  }

  /** One call, up to 256 KiB, for the same reason. */
  #read(events: number, moment: Moment): void {
    const count = this.#tun.read(this.link.mtu);
    this.stats.readCalls++;
    if (count <= 0) {
      // A deleted interface stays readable and hung up for ever: that is how its end is noticed without netlink.
      if (count < 0 || (events & (EPOLLERR | EPOLLHUP)) !== 0) this.followLink(moment);
      return;
    }
    this.stats.packetsRead += count;
    this.tunnel.send(count, moment);
    this.flush();
  }

  /** Failed groups: one more try without the remembered source address (K socket.c send4), else counted. */
  #settleFailures(outbox: Outbox): void {
    const { slab } = outbox;
    for (let group = 0; group < outbox.groupCount; group++) {
      if (slab.groupStatus[group] === 0) continue;
      const at = slabLayout.groupEndpoint.offset + group * ENDPOINT_BYTES;
      if (!hasSource(slab.bytes, at)) continue;
      clearSource(slab.bytes, at);
      const peer = outbox.groupPeer[group];
      if (peer !== undefined) clearSource(peer.endpoint, 0);
      this.#udp.resend(group);
    }
    for (let group = 0; group < outbox.groupCount; group++) {
      const status = slab.groupStatus[group]!;
      if (status === 0) continue;
      this.tunnel.state.drop(Drop.sendFailed, slab.groupCount[group]!);
      const peer = outbox.groupPeer[group];
      if (peer !== undefined) {
        peer.sendErrors += slab.groupCount[group]!;
        peer.lastSendError = status;
      }
    }
  }
}

function portProblem(port: number, status: number): string {
  const lack = status === EACCES ? " (a low port needs CAP_NET_BIND_SERVICE)" : "";
  return `Unable to open UDP port ${port}${lack}`;
}
