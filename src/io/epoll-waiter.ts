/**
 * `Waiter` over epoll, and the tags by which descriptors are known in a lane. Owns the epoll descriptor and the control
 * eventfd's registration, nothing else.
 */
import type { Waiter } from "../lane/ports.ts";
import type { Native } from "./native.ts";

/** Ours: readiness reports taken per wait. */
const EVENTS_MAX = 64;
/** What `epollWait` fills: two doubles, then pairs. */
const CLOCK_BYTES = 16;

export class EpollWaiter implements Waiter {
  readonly ready: Int32Array = new Int32Array(EVENTS_MAX);
  readonly events: Int32Array = new Int32Array(EVENTS_MAX);
  readonly #native: Native;
  readonly #epollFd: number;
  readonly #report = new Int32Array(CLOCK_BYTES / 4 + EVENTS_MAX * 2);
  readonly #clocks = new Float64Array(this.#report.buffer, 0, 2);
  readonly #pairs = new Int32Array(this.#report.buffer, CLOCK_BYTES);
  #nextTag = 1;

  constructor(native: Native) {
    this.#native = native;
    const fd = native.epollOpen();
    if (fd < 0) throw new Error(`epoll cannot be opened: errno ${-fd}`);
    this.#epollFd = fd;
    this.wait(0);
  }

  get now(): number {
    return this.#clocks[0]!;
  }

  get wallMs(): number {
    return this.#clocks[1]!;
  }

  /** A tag that no other descriptor of this lane has or had. */
  freshTag(): number {
    return this.#nextTag++;
  }

  /** Watches `fd` for reading. */
  add(fd: number, tag: number): void {
    const status = this.#native.epollAdd(this.#epollFd, fd, tag);
    if (status < 0) throw new Error(`descriptor ${fd} cannot be watched: errno ${-status}`);
  }

  remove(fd: number): void {
    this.#native.epollRemove(this.#epollFd, fd);
  }

  wait(timeoutMs: number): number {
    const timeout = timeoutMs === Number.POSITIVE_INFINITY ? -1 : timeoutMs;
    const count = this.#native.epollWait(this.#epollFd, this.#report, timeout);
    // Never for a reason outside of this program, and the loop would turn without a pause.
    if (count < 0) throw new Error(`epoll cannot be waited for: errno ${-count}`);
    for (let i = 0; i < count; i++) {
      this.ready[i] = this.#pairs[2 * i]!;
      this.events[i] = this.#pairs[2 * i + 1]!;
    }
    return count;
  }

  close(): void {
    this.#native.fdClose(this.#epollFd);
  }
}
