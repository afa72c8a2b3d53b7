/** Whether a soak was passed, and why not: growth, pings that were not answered, programs that ended, errors on the way. */
import { growthOf } from "./growth.ts";
import type { Figure, Mark, Sample } from "./samples.ts";
import { ANSWERED_SHARE_MIN, PINGS_PER_WINDOW, type Window } from "./traffic.ts";

/** Most that a figure may grow over a run: see growth.ts. Ours; memory in MiB. */
export const GROWTH_MAX: Readonly<Record<Figure, number>> = {
  // V8 and the C library keep pages that they may need again: that moves by some megabytes, once.
  resident: 16,
  heap: 3,
  laneHeap: 3,
  // These come and go with what is there, and have no reason to grow at all.
  descriptors: 1,
  threads: 1,
  timers: 1,
  // Three keypairs and a handshake a peer; one peer may hold one more than at the start.
  indexes: 4,
};

export interface Excuse extends Mark {
  readonly touches: readonly string[];
}

export interface WindowCount {
  readonly answered: number;
  readonly excused: number;
  readonly failed: readonly Window[];
}

/** Windows with too few answers fail, if nothing was done to that spoke then. */
export function judgeWindows(
  spoke: string,
  windows: readonly Window[],
  excuses: readonly Excuse[],
): WindowCount {
  const failed: Window[] = [];
  let answered = 0;
  let excused = 0;
  for (const window of windows) {
    if (window.received >= ANSWERED_SHARE_MIN * PINGS_PER_WINDOW) answered++;
    else if (excuses.some((excuse) => doesExcuse(excuse, spoke, window))) excused++;
    else failed.push(window);
  }
  return { answered, excused, failed };
}

function doesExcuse({ touches, from, to }: Excuse, spoke: string, window: Window): boolean {
  return touches.includes(spoke) && from < window.to && to > window.from;
}

export interface GrowthLine {
  readonly program: string;
  readonly figure: Figure;
  readonly first: number;
  readonly last: number;
  /** NaN: too few samples to tell. */
  readonly grown: number;
  readonly perHour: number;
  readonly max: number;
}

export function judgeGrowth(
  program: string,
  samples: readonly Sample[],
  duration: number,
): GrowthLine[] {
  return (Object.entries(GROWTH_MAX) as [Figure, number][]).map(([figure, max]) => {
    const points = samples
      .filter(({ isSettled }) => isSettled)
      .map((sample) => ({ time: sample.time, value: sample[figure] }));
    const growth = growthOf(points, duration);
    return {
      ...{ program, figure, max },
      first: points[0]?.value ?? Number.NaN,
      last: points.at(-1)?.value ?? Number.NaN,
      grown: growth?.total ?? Number.NaN,
      perHour: growth?.perHour ?? Number.NaN,
    };
  });
}

/** What can't be told has not been shown: it fails. */
export function isWithin({ grown, max }: GrowthLine): boolean {
  return grown <= max;
}
