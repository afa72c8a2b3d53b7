import { describe, expect, it } from "vitest";
import { drawChart } from "../../../bench/soak/chart.ts";
import type { RunRecord } from "../../../bench/soak/samples.ts";

function record(duration: number, count: number): RunRecord {
  const samples = Array.from({ length: count }, (_, index) => ({
    time: (index * duration) / count,
    ...{ resident: 60 + (index % 7), heap: 5, laneHeap: 4 },
    ...{ descriptors: 30, threads: 11, timers: 3, indexes: 6, isSettled: index % 5 === 4 },
  }));
  return {
    duration,
    samples: new Map([
      ["hub", samples],
      ["steady", samples],
    ]),
    marks: [
      { what: "kill -9", from: duration / 4, to: duration / 3 },
      { what: "a < b & c", from: duration / 2, to: duration / 2 },
    ],
    rates: [{ time: duration / 5, title: "TCP in steady", gigabits: 2.5 }],
  };
}

describe("the chart", () => {
  it.each([
    [180, 180, "time, seconds"],
    [600, 600, "time, minutes"],
    [86_400, 1_440, "time, hours"],
  ])("of %i s is well-formed, has its axes, and is small", (duration, count, axis) => {
    const svg = drawChart(record(duration, count));
    expect(svg).toContain(axis);
    for (const words of ["Resident memory, MiB", "hub, lanes", "kill -9 (1)", "TCP in steady"]) {
      expect(svg).toContain(words);
    }
    expect(svg).toContain("a &lt; b &amp; c");
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
    expect(svg.length).toBeLessThan(200_000);
    // Every element that is opened is closed.
    const open: string[] = [];
    for (const [, close, name, self] of svg.matchAll(/<(\/?)([a-z]+)[^>]*?(\/?)>/g)) {
      if (close === "/") expect(open.pop()).toBe(name);
      else if (self !== "/") open.push(name!);
    }
    expect(open).toEqual([]);
  });

  it("draws what there is when there is nothing", () => {
    const svg = drawChart({ duration: 5, samples: new Map(), marks: [], rates: [] });
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  it("keeps all inside: no point lies beyond its panel", () => {
    const svg = drawChart(record(600, 600));
    for (const [, points] of svg.matchAll(/points="([^"]+)"/g)) {
      for (const pair of points!.split(" ")) {
        const [x, y] = pair.split(",").map(Number);
        expect(x).toBeGreaterThanOrEqual(64);
        expect(x).toBeLessThanOrEqual(830);
        expect(y).toBeGreaterThanOrEqual(52);
        expect(y).toBeLessThanOrEqual(990);
      }
    }
  });
});
