/**
 * `UdpPort` over two sockets, IPv4 and IPv6, on one port: batched receive with GRO, batched send with segmentation, and
 * its fall-backs. Where the machine has no IPv6 (or no IPv4), the other serves alone.
 */
import { loadLe32 } from "../bytes/integer.ts";
import { endpointLayout, FAMILY_V4, type Slab } from "../bytes/slab.ts";
import { NO_SOCKETS, type SocketPair, type UdpPort } from "../lane/ports.ts";
import type { Outbox } from "../tunnel/outbox.ts";
import type { EpollWaiter } from "./epoll-waiter.ts";
import type { Native, SlabHandle } from "./native.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const EIO = 5;
const EINVAL = 22;
const EMSGSIZE = 90;
const EADDRINUSE = 98;
const EAFNOSUPPORT = 97;
/** G bind_std.go: tries at finding a port that is free for both families. */
const PORT_TRIES_MAX = 100;

export class UdpSockets implements UdpPort {
  readonly tagV4: number;
  readonly tagV6: number;
  readonly routesTag: number;
  /** False once the kernel or the NIC has refused a segmented send on these sockets. */
  segments = false;
  port = 0;
  readonly #native: Native;
  readonly #handle: SlabHandle;
  readonly #slab: Slab;
  readonly #waiter: EpollWaiter;
  namespaceFd: number;
  /** For how many lanes sockets are opened. */
  readonly #lanes: number;
  #spare: readonly SocketPair[] = [];
  #fd4 = -1;
  #fd6 = -1;
  #mark = 0;
  /** Netlink sockets: told of changes, and asked. -1: there is none, and routes are not followed. */
  #watchFd = -1;
  #routeFd = -1;

  /**
   * `namespaceFd`: where sockets are opened, -1: the caller's namespace. `lanes` above 1: a group of them shares the port, and the
   * kernel steers by receiver index.
   */
  constructor(
    native: Native,
    slab: Slab,
    handle: SlabHandle,
    waiter: EpollWaiter,
    namespaceFd: number,
    lanes = 1,
  ) {
    this.#native = native;
    this.#slab = slab;
    this.#handle = handle;
    this.#waiter = waiter;
    this.namespaceFd = namespaceFd;
    this.#lanes = lanes;
    this.tagV4 = waiter.freshTag();
    this.tagV6 = waiter.freshTag();
    this.routesTag = waiter.freshTag();
  }

  get isOpen(): boolean {
    return this.#fd4 >= 0 || this.#fd6 >= 0;
  }

  open(port: number, mark: number): number {
    // Alone first, also where a group is to be: a group would share the port with whoever else asks for that.
    const alone = this.#openPair(port, mark, false);
    if (typeof alone === "number") return alone;
    this.#mark = mark;
    if (this.#lanes === 1) {
      this.adopt(alone);
      return 0;
    }
    const bound = this.#native.udpPort(alone.fd4 >= 0 ? alone.fd4 : alone.fd6);
    this.#closePair(alone);
    const group: SocketPair[] = [];
    for (let lane = 0; lane < this.#lanes; lane++) {
      const pair = this.#openPair(bound, mark, true);
      const status = typeof pair === "number" ? pair : lane === 0 ? this.#steer(pair) : 0;
      if (typeof pair !== "number") group.push(pair);
      if (status === 0) continue;
      for (const opened of group) this.#closePair(opened);
      return status;
    }
    const [own = NO_SOCKETS, ...spare] = group;
    this.adopt(own);
    this.#spare = spare;
    return 0;
  }

  handOut(): readonly SocketPair[] {
    const spare = this.#spare;
    this.#spare = [];
    return spare;
  }

  adopt(pair: SocketPair): void {
    this.close();
    const { fd4, fd6 } = pair;
    this.#fd4 = fd4;
    this.#fd6 = fd6;
    if (fd4 >= 0) this.#waiter.add(fd4, this.tagV4);
    if (fd6 >= 0) this.#waiter.add(fd6, this.tagV6);
    const fd = fd4 >= 0 ? fd4 : fd6;
    if (fd < 0) return;
    this.#watchRoutes();
    this.port = this.#native.udpPort(fd);
    this.segments = this.#native.udpSegments(fd) === 1;
  }

  get dropped(): number {
    let count = 0;
    for (const fd of [this.#fd4, this.#fd6]) {
      if (fd >= 0) count += Math.max(0, this.#native.udpDropped(fd));
    }
    return count;
  }

  drainRoutes(): void {
    this.#native.routesDrain(this.#watchFd);
  }

  isBoundRightly(endpoint: Uint8Array): boolean {
    const bound = loadLe32(endpoint, endpointLayout.sourceInterface);
    // A scope names the way out itself.
    if (bound === 0 || loadLe32(endpoint, endpointLayout.scope) !== 0) return true;
    const index = this.#native.routeInterface(this.#routeFd, endpoint, this.#mark);
    return index < 0 || index === bound;
  }

  setMark(mark: number): number {
    for (const fd of [this.#fd4, this.#fd6]) {
      const status = fd < 0 ? 0 : this.#native.udpMark(fd, mark);
      if (status < 0) return status;
    }
    this.#mark = mark;
    return 0;
  }

  shed(source: Uint8Array, isOn: boolean): number {
    const isV4 = source[endpointLayout.family]! === FAMILY_V4;
    const fd = isV4 ? this.#fd4 : this.#fd6;
    const { address } = endpointLayout;
    const length = isOn ? (isV4 ? 4 : 16) : 0;
    return fd < 0 ? 0 : this.#native.udpShed(fd, source.subarray(address, address + length));
  }

  receive(isV6: boolean): number {
    const fd = isV6 ? this.#fd6 : this.#fd4;
    return fd < 0 ? 0 : this.#native.udpReceive(this.#handle, fd);
  }

  send(outbox: Outbox): number {
    const failed = this.#sendGroups(0, outbox.groupCount);
    if (failed === 0 || !this.segments) return failed;
    for (let group = 0; group < outbox.groupCount; group++) this.#sendAfterRefusal(group);
    return failed;
  }

  resend(group: number): void {
    if (this.#sendGroups(group, 1) > 0 && this.segments) this.#sendAfterRefusal(group);
  }

  close(): void {
    for (const fd of [this.#fd4, this.#fd6, this.#watchFd]) if (fd >= 0) this.#waiter.remove(fd);
    for (const fd of [this.#watchFd, this.#routeFd]) if (fd >= 0) this.#native.fdClose(fd);
    this.#watchFd = -1;
    this.#routeFd = -1;
    this.#closePair({ fd4: this.#fd4, fd6: this.#fd6 });
    for (const pair of this.handOut()) this.#closePair(pair);
    this.#fd4 = -1;
    this.#fd6 = -1;
    this.port = 0;
  }

  /** Both families on one port, or -errno. */
  #openPair(port: number, mark: number, isShared: boolean): SocketPair | number {
    for (let attempt = 1; ; attempt++) {
      const fd4 = this.#openFamily(AF_INET, port, mark, isShared);
      if (fd4 < 0 && fd4 !== -EAFNOSUPPORT) return fd4;
      const bound = fd4 < 0 ? port : this.#native.udpPort(fd4);
      const fd6 = this.#openFamily(AF_INET6, bound, mark, isShared);
      if (fd6 >= 0 || (fd6 === -EAFNOSUPPORT && fd4 >= 0)) {
        return { fd4: Math.max(fd4, -1), fd6: Math.max(fd6, -1) };
      }
      if (fd4 >= 0) this.#native.fdClose(fd4);
      if (port === 0 && fd6 === -EADDRINUSE && attempt < PORT_TRIES_MAX) continue;
      return fd6;
    }
  }

  /** Without them the sockets serve as well, and stay where they are bound. */
  #watchRoutes(): void {
    this.#watchFd = this.#native.routesOpen(this.namespaceFd, true);
    this.#routeFd = this.#native.routesOpen(this.namespaceFd, false);
    if (this.#watchFd >= 0) this.#waiter.add(this.#watchFd, this.routesTag);
  }

  #closePair({ fd4, fd6 }: SocketPair): void {
    for (const fd of [fd4, fd6]) if (fd >= 0) this.#native.fdClose(fd);
  }

  /** 0 or -errno. */
  #steer({ fd4, fd6 }: SocketPair): number {
    for (const fd of [fd4, fd6]) {
      const status = fd < 0 ? 0 : this.#native.udpSteer(fd, this.#lanes);
      if (status < 0) return status;
    }
    return 0;
  }

  #openFamily(family: number, port: number, mark: number, isShared: boolean): number {
    return this.#native.udpOpen(family, port, mark, this.namespaceFd, isShared);
  }

  /**
   * A group that the kernel would not cut goes datagram by datagram. EIO: the way out cannot checksum segments (G
   * conn/errors_linux.go), so never again on these sockets. EMSGSIZE, EINVAL before Linux 6.14: segments must fit the route's MTU
   * (net/ipv4/udp.c udp_send_skb), single datagrams need not, they are fragmented.
   */
  #sendAfterRefusal(group: number): void {
    const status = this.#slab.groupStatus[group]!;
    if (status === -EIO) this.segments = false;
    else if (status !== -EMSGSIZE && status !== -EINVAL) return;
    this.#native.udpSend(this.#handle, this.#fd4, this.#fd6, group, 1, false);
  }

  #sendGroups(first: number, count: number): number {
    return this.#native.udpSend(this.#handle, this.#fd4, this.#fd6, first, count, this.segments);
  }
}
