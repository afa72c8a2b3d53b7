/** Measurements that noise doesn't change. */
import { describe, expect, test } from "vitest";
import { settleMeasured, settleRelay } from "../../../../src/control/mesh/settle.ts";

const at = (latencyMs: number, isReached = true) => ({ v4: { isReached, latencyMs } });

describe("latency", () => {
  test.each([
    [100, 124, 100],
    [100, 76, 100],
    [100, 126, 126],
    [100, 74, 74],
    [2, 7, 2],
    [2, 8, 8],
  ])("seen as %d, now %d: seen as %d", (before, now, seen) => {
    expect(settleMeasured(at(before), at(now))).toEqual(at(seen));
  });

  test("a slow drift is seen when it has gone far enough from what was seen", () => {
    let seen = at(100);
    const steps: number[] = [];
    for (let now = 100; now <= 160; now += 10) {
      seen = settleMeasured(seen, at(now)) as typeof seen;
      steps.push(seen.v4.latencyMs);
    }
    expect(steps).toEqual([100, 100, 100, 130, 130, 130, 130]);
  });

  test("the same to a plan is the same object; the first is taken as it is", () => {
    const before = { ...at(100), lan: [{ address: "10.0.0.1", isReached: true, latencyMs: 1 }] };
    expect(
      settleMeasured(before, {
        ...at(110),
        lan: [{ address: "10.0.0.1", isReached: true, latencyMs: 2 }],
      }),
    ).toBe(before);
    expect(settleMeasured(undefined, at(3))).toEqual(at(3));
  });

  test("what is reached is never held back, and a failure keeps the latency for later", () => {
    expect(settleMeasured(at(100), { v4: { isReached: false } })).toEqual(at(100, false));
    expect(settleMeasured(at(100), {})).toEqual({});
    const lan = [{ address: "10.0.0.1", isReached: true }];
    expect(
      settleMeasured({ lan }, { lan: [{ address: "10.0.0.1", isReached: false }] }).lan?.[0]
        ?.isReached,
    ).toBe(false);
    expect(
      settleMeasured({ lan }, { lan: [{ address: "10.0.0.2", isReached: true }] }).lan?.[0]
        ?.address,
    ).toBe("10.0.0.2");
  });
});

describe("a relay", () => {
  const relay = { isAllowed: true, health: "up", load: 0.5 } as const;

  test("its load moves in steps", () => {
    expect(settleRelay(relay, { ...relay, load: 0.58 })).toBe(relay);
    expect(settleRelay(relay, { ...relay, load: 0.65 }).load).toBe(0.65);
    expect(settleRelay(undefined, relay)).toBe(relay);
  });

  test("its health and its farmer's will count at once", () => {
    expect(settleRelay(relay, { ...relay, health: "down", load: 0.55 })).toEqual({
      ...relay,
      health: "down",
    });
    expect(settleRelay(relay, { ...relay, isAllowed: false }).isAllowed).toBe(false);
  });
});
