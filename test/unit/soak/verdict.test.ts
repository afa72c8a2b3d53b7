import { describe, expect, it } from "vitest";
import { parseOptions } from "../../../bench/soak/options.ts";
import type { Sample } from "../../../bench/soak/samples.ts";
import { PINGS_PER_WINDOW, WINDOW_SECONDS } from "../../../bench/soak/traffic.ts";
import { isWithin, judgeGrowth, judgeWindows } from "../../../bench/soak/verdict.ts";

const window = (index: number, received: number) => ({
  from: index * WINDOW_SECONDS,
  to: (index + 1) * WINDOW_SECONDS,
  received,
});

describe("windows of pings", () => {
  const all = PINGS_PER_WINDOW;

  it("are answered, failed, or excused by what was done to that spoke then", () => {
    const windows = [window(0, all), window(1, 0), window(2, all / 2), window(3, all / 2 - 1)];
    const excuse = { what: "restart", touches: ["frail"], from: 12, to: 18 };
    expect(judgeWindows("frail", windows, [excuse])).toEqual({
      answered: 2,
      excused: 1,
      failed: [windows[3]],
    });
    expect(judgeWindows("steady", windows, [excuse])).toMatchObject({
      answered: 2,
      excused: 0,
      failed: [windows[1], windows[3]],
    });
  });

  it("are not excused by what was over before or came after", () => {
    for (const [from, to] of [
      [0, 10],
      [20, 30],
    ] as const) {
      const excuse = { what: "restart", touches: ["frail"], from, to };
      expect(judgeWindows("frail", [window(1, 0)], [excuse]).failed).toHaveLength(1);
    }
  });
});

describe("growth", () => {
  const samples = (change: (time: number) => Partial<Sample>): Sample[] =>
    Array.from({ length: 300 }, (_, index) => ({
      ...{ time: 2 * index, isSettled: index % 5 === 4, resident: 60, heap: 5, laneHeap: 5 },
      ...{ descriptors: 30, threads: 11, timers: 3, indexes: 6 },
      ...change(2 * index),
    }));
  const beyond = (list: readonly Sample[]): string[] =>
    judgeGrowth("hub", list, 600)
      .filter((line) => !isWithin(line))
      .map(({ figure }) => figure);

  it("is judged of each figure by its own bound", () => {
    expect(beyond(samples(() => ({})))).toEqual([]);
    expect(beyond(samples((time) => ({ resident: 60 + time / 60 })))).toEqual([]);
    expect(beyond(samples((time) => ({ resident: 60 + time / 20 })))).toEqual(["resident"]);
    expect(beyond(samples((time) => ({ descriptors: 30 + Math.floor(time / 60) })))).toEqual([
      "descriptors",
    ]);
    expect(beyond(samples((time) => ({ timers: 3 + time / 100, indexes: 6 + time / 50 })))).toEqual(
      ["timers", "indexes"],
    );
  });

  it("that can't be told fails", () => {
    expect(beyond([])).toHaveLength(7);
  });
});

describe("the command line", () => {
  it.each([
    [[], { minutes: 3, lanes: 1 }],
    [["--minutes", "10"], { minutes: 10, lanes: 1 }],
    [["--hours", "0.5", "--lanes", "2"], { minutes: 30, lanes: 2 }],
  ])("%j", (args, options) => {
    expect(parseOptions(args)).toEqual(options);
  });

  it.each([
    [["--minutes"], /--minutes is "", it must be 2 minutes to 720 hours/],
    [["--minutes", "1"], /must be 2 minutes/],
    [["--hours", "x"], /--hours is "x"/],
    [["--hours", "1", "--minutes", "5"], /not both/],
    [["--lanes", "0"], /--lanes is "0"/],
    [["--long"], /"--long" is not understood/],
  ])("%j is refused", (args, reason) => {
    expect(parseOptions(args)).toMatch(reason);
  });
});
