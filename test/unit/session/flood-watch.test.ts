/** When a source is a flood, which one, and when it is over. */
import { describe, expect, it } from "vitest";
import { endpointLayout, FAMILY_V6 } from "../../../src/bytes/slab.ts";
import {
  FLOOD_REFUSALS,
  FloodStep,
  FloodWatch,
  SHED_MS,
} from "../../../src/session/flood-watch.ts";
import { recordOf } from "../../sim/node.ts";

const FLOOD = recordOf("192.0.2.66:1");
const SAME_FLOOD = recordOf("192.0.2.66:9");
const OTHER = recordOf("192.0.2.7:1");

function refuse(watch: FloodWatch, record: Uint8Array, count: number, now: number): void {
  for (let i = 0; i < count; i++) watch.refuse(record, 0, now);
}

function see(watch: FloodWatch, record: Uint8Array, count: number): void {
  for (let i = 0; i < count; i++) watch.see(record, 0);
}

describe("FloodWatch", () => {
  it("sheds a source of many refusals in a second, whatever its ports", () => {
    const watch = new FloodWatch();
    refuse(watch, FLOOD, FLOOD_REFUSALS - 1, 5_000);
    expect(watch.decide(5_000)).toBe(FloodStep.none);
    expect(watch.deadline).toBe(Number.POSITIVE_INFINITY);
    refuse(watch, SAME_FLOOD, 1, 5_999);
    expect(watch.decide(5_999)).toBe(FloodStep.shed);
    expect([...watch.source]).toEqual([...FLOOD]);
    expect(watch.isShedding).toBe(true);
    expect(watch.begun).toBe(1);
    expect(watch.deadline).toBe(5_999 + SHED_MS);
    expect(watch.decide(6_000)).toBe(FloodStep.none);
  });

  it("tells an IPv4 source from an IPv6 one of the same bytes", () => {
    const watch = new FloodWatch();
    const v6 = FLOOD.slice();
    v6[endpointLayout.family] = FAMILY_V6;
    refuse(watch, FLOOD, FLOOD_REFUSALS, 5_000);
    refuse(watch, v6, 1, 5_000);
    expect(watch.decide(5_000)).toBe(FloodStep.none);
    refuse(watch, FLOOD, 1, 5_000);
    expect(watch.decide(5_000)).toBe(FloodStep.shed);
  });

  it("does not shed what is spread over time", () => {
    const watch = new FloodWatch();
    for (let second = 0; second < 20; second++) {
      refuse(watch, FLOOD, FLOOD_REFUSALS / 2, second * 1_000);
      expect(watch.decide(second * 1_000)).toBe(FloodStep.none);
    }
  });

  it("finds the flood among others, and none where nobody prevails", () => {
    const watch = new FloodWatch();
    for (let i = 0; i < 3 * FLOOD_REFUSALS; i++) {
      watch.refuse(i % 3 === 0 ? OTHER : FLOOD, 0, 1_000);
    }
    expect(watch.decide(1_000)).toBe(FloodStep.shed);
    expect([...watch.source]).toEqual([...FLOOD]);

    const even = new FloodWatch();
    for (let i = 0; i < 10 * FLOOD_REFUSALS; i++)
      even.refuse(i % 2 === 0 ? OTHER : FLOOD, 0, 1_000);
    expect(even.decide(1_000)).toBe(FloodStep.none);
  });

  it("goes on while the sample shows it, and lifts then", () => {
    const watch = new FloodWatch();
    refuse(watch, FLOOD, FLOOD_REFUSALS, 1_000);
    expect(watch.decide(1_000)).toBe(FloodStep.shed);
    // One in 64 of 200 a second, for ten seconds: 32.
    see(watch, FLOOD, 32);
    see(watch, OTHER, 1_000);
    expect(watch.decide(1_000 + SHED_MS)).toBe(FloodStep.none);
    expect(watch.deadline).toBe(1_000 + 2 * SHED_MS);
    see(watch, FLOOD, 31);
    see(watch, OTHER, 1_000);
    expect(watch.decide(1_000 + 2 * SHED_MS - 1)).toBe(FloodStep.none);
    expect(watch.decide(1_000 + 2 * SHED_MS)).toBe(FloodStep.lift);
    expect([...watch.source]).toEqual([...FLOOD]);
    expect(watch.isShedding).toBe(false);
    expect(watch.deadline).toBe(Number.POSITIVE_INFINITY);
    expect(watch.decide(1_000 + 2 * SHED_MS)).toBe(FloodStep.none);
    // And it can begin again.
    refuse(watch, OTHER, FLOOD_REFUSALS, 30_000);
    expect(watch.decide(30_000)).toBe(FloodStep.shed);
    expect([...watch.source]).toEqual([...OTHER]);
  });

  it("begins anew when the sockets are others", () => {
    const watch = new FloodWatch();
    refuse(watch, FLOOD, FLOOD_REFUSALS, 1_000);
    watch.decide(1_000);
    watch.reset();
    expect(watch.isShedding).toBe(false);
    expect(watch.decide(1_001)).toBe(FloodStep.none);
    refuse(watch, FLOOD, FLOOD_REFUSALS, 1_500);
    expect(watch.decide(1_500)).toBe(FloodStep.shed);
    expect(watch.begun).toBe(2);
  });
});
