/** How a lane waits. */
import { describe, expect, it } from "vitest";
import type { Interface } from "../../../src/lane/interface.ts";
import { ATTENTIVE_MS, CONTROL_TAG, GLANCE_MS, Lane } from "../../../src/lane/lane.ts";
import type { Waiter } from "../../../src/lane/ports.ts";
import { ipv4Packet } from "../../sim/packets.ts";
import { fakeLane } from "./fake-ports.ts";
import { stub } from "./stub-ports.ts";

const FOREVER = Number.POSITIVE_INFINITY;

/** A waiter on which the control event is ready when the test says so; time is the test's. */
class ScriptedWaiter implements Waiter {
  readonly ready: Int32Array = new Int32Array([CONTROL_TAG]);
  readonly events: Int32Array = new Int32Array([1]);
  now = 5_000;
  wallMs = 1;
  isReady = false;
  readonly waits: number[] = [];

  wait(timeoutMs: number): number {
    this.waits.push(timeoutMs);
    return this.isReady ? 1 : 0;
  }
}

function makeLane(): { readonly lane: Lane; readonly waiter: ScriptedWaiter } {
  const waiter = new ScriptedWaiter();
  return { lane: new Lane(waiter, { drain: () => undefined, gone: () => undefined }), waiter };
}

describe("Lane", () => {
  it("waits for ever when there is nothing to do", () => {
    const { lane, waiter } = makeLane();
    for (let i = 0; i < 3; i++) lane.turn();
    expect(waiter.waits).toEqual([FOREVER, FOREVER, FOREVER]);
  });

  it("looks up every 2 ms for 100 ms after a datagram left, and no more then", () => {
    const { lane, waiter } = makeLane();
    const { near, tun } = fakeLane(ipv4Packet("10.0.0.1", "10.0.0.2", 100));
    lane.add(near);
    tun.pending = 1;
    waiter.ready[0] = tun.readTag;
    waiter.isReady = true;
    lane.turn();
    expect(near.stats.datagramsSent).toBe(1);
    waiter.isReady = false;
    for (let passed = 0; passed < ATTENTIVE_MS; passed += GLANCE_MS) {
      lane.turn();
      expect(waiter.waits.at(-1)).toBe(GLANCE_MS);
      waiter.now += GLANCE_MS;
    }
    lane.turn();
    // The time of the turn before was still within; from now on it is the initiation's retransmission that is waited for.
    lane.turn();
    expect(waiter.waits.at(-1)).toBeGreaterThan(1_000);
  });

  it("carries a packet of its own at each of these looks, and at no other turn", () => {
    const { lane, waiter } = makeLane();
    const { near, tun } = fakeLane(ipv4Packet("10.0.0.1", "10.0.0.2", 100));
    let glances = 0;
    lane.whenGlancing(() => glances++);
    lane.add(near);
    lane.turn();
    expect(glances).toBe(0);
    tun.pending = 1;
    waiter.ready[0] = tun.readTag;
    waiter.isReady = true;
    lane.turn();
    expect(glances).toBe(0);
    waiter.isReady = false;
    for (let passed = 0; passed < ATTENTIVE_MS; passed += GLANCE_MS) {
      waiter.now += GLANCE_MS;
      lane.turn();
    }
    expect(glances).toBe(ATTENTIVE_MS / GLANCE_MS - 1);
    lane.turn();
    expect(glances).toBe(ATTENTIVE_MS / GLANCE_MS - 1);
  });

  it("takes no notice of events that carry nothing", () => {
    const { lane, waiter } = makeLane();
    waiter.isReady = true;
    lane.turn();
    waiter.isReady = false;
    lane.turn();
    expect(waiter.waits).toEqual([FOREVER, FOREVER]);
  });

  it("lets an interface go that is gone, once, and takes no notice of it any more", () => {
    const gone: Interface[] = [];
    const waiter = new ScriptedWaiter();
    const lane = new Lane(waiter, { drain: () => undefined, gone: (iface) => gone.push(iface) });
    const made = stub();
    lane.add(made.iface);
    made.tun.link = undefined;
    waiter.isReady = true;
    waiter.ready[0] = made.tun.linkTag;
    for (let turn = 0; turn < 3; turn++) lane.turn();
    expect(gone).toEqual([made.iface]);
  });

  it("does not wait while handshake messages are left from the last turn", () => {
    const { lane, waiter } = makeLane();
    const made = stub();
    lane.add(made.iface);
    const { queue } = made.iface.tunnel.state;
    const message = new Uint8Array(148);
    for (let i = 0; i < 40; i++) queue.push(message, 0, 148, new Uint8Array(48), 0, false);
    waiter.isReady = true;
    waiter.ready[0] = made.tun.linkTag;
    lane.turn();
    waiter.isReady = false;
    expect(queue.count).toBe(8);
    lane.turn();
    lane.turn();
    expect(waiter.waits).toEqual([FOREVER, 0, FOREVER]);
    expect(queue.count).toBe(0);
  });

  it("does idle work only while nothing is ready, without waiting, until it is done", () => {
    const { lane, waiter } = makeLane();
    let steps = 0;
    lane.whenIdle({ step: () => ++steps < 2 });
    waiter.isReady = true;
    lane.turn();
    expect(steps).toBe(0);
    waiter.isReady = false;
    for (let i = 0; i < 4; i++) lane.turn();
    expect(steps).toBe(2);
    expect(waiter.waits).toEqual([0, 0, 0, FOREVER, FOREVER]);
  });
});
