/**
 * `TunPort` over a TUN descriptor: batched reads and writes with the offloads that the kernel takes, and a netlink socket
 * that tells when the interface's link changes, in whatever namespace it is.
 */
import type { LinkState, TunPort } from "../lane/ports.ts";
import type { Outbox } from "../tunnel/outbox.ts";
import type { EpollWaiter } from "./epoll-waiter.ts";
import type { Native, SlabHandle } from "./native.ts";

/** linux/if_tun.h. */
const IFF_VNET_HDR = 0x4000;
const TUN_F_CSUM = 0x01;
const TUN_F_TSO4 = 0x02;
const TUN_F_TSO6 = 0x04;
const TUN_F_USO4 = 0x20;
const TUN_F_USO6 = 0x40;
/** linux/if.h. */
const IFF_UP = 0x1;
const ENODEV = 19;
const EBADFD = 77;

const HAS_VNET_HEADER = 1;
/** Ours: how often an interface is looked for again while it moves between namespaces. */
const MOVES_MAX = 8;

export class TunDevice implements TunPort {
  readonly readTag: number;
  readonly linkTag: number;
  /** TUN_F_* that are on. */
  readonly offload: number;
  readonly #native: Native;
  readonly #slab: SlabHandle;
  readonly #waiter: EpollWaiter;
  readonly #fd: number;
  readonly #flags: number;
  #linkFd = -1;
  readonly #answer = new Int32Array(3);
  #name = "";
  readonly #warn: (text: string) => void;
  /** Told once that the link can't be watched where it is. */
  #isLost = false;

  /** The descriptor stays the caller's. Throws if it is no TUN queue. */
  constructor(
    native: Native,
    slab: SlabHandle,
    waiter: EpollWaiter,
    fd: number,
    warn: (text: string) => void = () => undefined,
  ) {
    this.#warn = warn;
    this.#native = native;
    this.#slab = slab;
    this.#waiter = waiter;
    this.#fd = fd;
    this.readTag = waiter.freshTag();
    this.linkTag = waiter.freshTag();
    const flags = native.tunFlags(fd);
    if (flags < 0) throw new Error(`descriptor ${fd} is no TUN interface: errno ${-flags}`);
    this.#flags = (flags & IFF_VNET_HDR) !== 0 ? HAS_VNET_HEADER : 0;
    const wanted = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_USO4 | TUN_F_USO6;
    this.offload = Math.max(0, native.tunOffload(fd, wanted));
    this.#openLink();
    waiter.add(fd, this.readTag);
  }

  read(mtu: number): number {
    return this.#native.tunRead(this.#slab, this.#fd, mtu, this.#flags);
  }

  write(outbox: Outbox): number {
    const { plainCount } = outbox;
    const refused = this.#native.tunWrite(
      this.#slab,
      this.#fd,
      0,
      plainCount,
      this.offload,
      this.#flags,
    );
    return refused < 0 ? plainCount : refused;
  }

  queryLink(link: LinkState): boolean {
    for (let move = 0; move < MOVES_MAX; move++) {
      const status = this.#native.linkQuery(this.#linkFd, this.#fd, this.#answer);
      if (status === 0) {
        link.index = this.#answer[0]!;
        link.isUp = (this.#answer[1]! & IFF_UP) !== 0;
        link.mtu = this.#answer[2]!;
        this.#isLost = false;
        return true;
      }
      if (status === -EBADFD) return false;
      // It is in another namespace now: follow it there.
      if (status === -ENODEV) this.#openLink();
    }
    // Not to be found, though the descriptor lives: keep what is known; the next change will tell.
    if (!this.#isLost) {
      this.#isLost = true;
      this.#warn(
        `${this.name()} is in another network namespace, where its link can't be watched (that needs CAP_SYS_ADMIN): it is taken to be as it was`,
      );
    }
    return true;
  }

  name(): string {
    const name = this.#native.tunName(this.#fd);
    if (typeof name === "string") this.#name = name;
    return this.#name;
  }

  close(): void {
    this.#waiter.remove(this.#fd);
    this.#closeLink();
  }

  #openLink(): void {
    this.#closeLink();
    const fd = this.#native.linkOpen(this.#fd);
    if (fd < 0) throw new Error(`the link of ${this.name()} cannot be watched: errno ${-fd}`);
    this.#linkFd = fd;
    this.#waiter.add(fd, this.linkTag);
  }

  #closeLink(): void {
    if (this.#linkFd < 0) return;
    this.#waiter.remove(this.#linkFd);
    this.#native.fdClose(this.#linkFd);
    this.#linkFd = -1;
  }
}
