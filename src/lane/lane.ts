/**
 * The lane: one thread's loop over its interfaces. Waits, takes the time once, then lets every interface that has
 * something to do take its turn: sockets, TUN, deadlines, handshakes. A packet enters and leaves the process here.
 *
 * It blocks in `Waiter.wait`, so nothing asynchronous may live on its thread.
 */
import { DeadlineHeap } from "../bytes/deadline-heap.ts";
import type { Interface } from "./interface.ts";
import type { IdleWork, Waiter } from "./ports.ts";

/** The tag of the control event; interfaces' tags are above. */
export const CONTROL_TAG = 0;

/**
 * Ours: for so long after datagrams came or went a lane looks up every GLANCE_MS, though nothing calls it, and carries a packet of
 * its own in memory. Caches and branch predictors stay warm and the core out of its deep sleep: at ten milliseconds between
 * pings the round trip is shorter by half, for two per cent of a core (docs/decisions/0015).
 */
export const ATTENTIVE_MS = 100;
export const GLANCE_MS = 2;

export interface LaneControl {
  /** Takes the messages that wait; called once after the control event was signalled. */
  drain(): void;
  /** An interface has been deleted under us; the lane has let it go. */
  gone(gone: Interface): void;
}

interface LaneMoment {
  now: number;
  wallMs: number;
}

export class Lane {
  /** The reading of the clocks of this turn. */
  readonly moment: LaneMoment = { now: 0, wallMs: 0 };
  turns = 0;
  readonly #waiter: Waiter;
  readonly #control: LaneControl;
  readonly #byTag: (Interface | undefined)[] = [];
  readonly #deadlines = new DeadlineHeap<Interface>();
  /** Interfaces that were ready in this turn, and those with handshakes left over from the last. */
  readonly #busy = new Set<Interface>();
  readonly #idleWork: IdleWork[] = [];
  #glance: (() => void) | undefined;
  #lastCarriedMs = Number.NEGATIVE_INFINITY;
  #isStopped = false;

  constructor(waiter: Waiter, control: LaneControl) {
    this.#waiter = waiter;
    this.#control = control;
    this.#readClocks();
  }

  add(iface: Interface): void {
    for (const tag of tagsOf(iface)) this.#byTag[tag] = iface;
    this.reschedule(iface);
  }

  remove(iface: Interface): void {
    for (const tag of tagsOf(iface)) this.#byTag[tag] = undefined;
    this.#deadlines.remove(iface);
    this.#busy.delete(iface);
  }

  /** To be called after settings were changed from outside a turn. */
  reschedule(iface: Interface): void {
    this.#deadlines.set(iface, iface.nextDeadline());
  }

  /** Has work done in the turns that find nothing ready, until it is all done; one after the other. */
  whenIdle(work: IdleWork): void {
    this.#idleWork.push(work);
  }

  /** Has this done at each look of an attentive lane that finds nothing to do. */
  whenGlancing(work: () => void): void {
    this.#glance = work;
  }

  /** Runs until {@link stop}. */
  run(): void {
    while (!this.#isStopped) this.turn();
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** Waits for something to do, and does it. */
  turn(): void {
    const count = this.#waiter.wait(this.#patience());
    this.#readClocks();
    this.turns++;
    for (let i = 0; i < count; i++) {
      const tag = this.#waiter.ready[i]!;
      if (tag === CONTROL_TAG) {
        this.#control.drain();
        continue;
      }
      const iface = this.#byTag[tag];
      if (iface === undefined || iface.isGone) continue;
      iface.handleReady(tag, this.#waiter.events[i]!, this.moment);
      this.#busy.add(iface);
    }
    // Once per turn and interface, however many of its descriptors were ready: else handshakes crowd out transport.
    for (const iface of this.#busy) this.#settle(iface);
    for (;;) {
      const due = this.#deadlines.first;
      if (due === undefined || due.heapKey > this.moment.now) break;
      this.#settle(due);
    }
    if (count > 0 || this.#busy.size > 0) return;
    const work = this.#idleWork[0];
    if (work === undefined) {
      if (this.#isAttentive) this.#glance?.();
    } else if (work.step() === false) this.#idleWork.shift();
  }

  /** How long to wait at most. */
  #patience(): number {
    if (this.#busy.size > 0 || this.#idleWork.length > 0) return 0;
    const { now } = this.moment;
    const untilDeadline = Math.max(0, this.#deadlines.earliest - now);
    return this.#isAttentive ? Math.min(untilDeadline, GLANCE_MS) : untilDeadline;
  }

  get #isAttentive(): boolean {
    return this.moment.now - this.#lastCarriedMs < ATTENTIVE_MS;
  }

  #settle(iface: Interface): void {
    if (iface.isGone) {
      this.remove(iface);
      this.#control.gone(iface);
      return;
    }
    if (iface.handleTime(this.moment)) this.#busy.add(iface);
    else this.#busy.delete(iface);
    this.#lastCarriedMs = Math.max(this.#lastCarriedMs, iface.lastCarriedMs);
    this.reschedule(iface);
  }

  #readClocks(): void {
    this.moment.now = this.#waiter.now;
    this.moment.wallMs = this.#waiter.wallMs;
  }
}

function tagsOf(iface: Interface): readonly number[] {
  const { tun, udp } = iface;
  return [tun.readTag, tun.linkTag, udp.tagV4, udp.tagV6, udp.routesTag];
}
