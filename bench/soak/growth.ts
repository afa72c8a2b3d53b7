/**
 * Whether a figure grows, told from its samples. Memory of a JavaScript program is a saw: garbage piles up and is collected, and
 * churn adds peaks of its own. What leaks lifts the teeth's lowest points. So garbage is collected before a sample that counts
 * (collect.ts); the time after the warm-up is cut into slices, of each slice the least value counts, and the growth is the slope
 * through these (Theil and Sen: the median of the slopes of all pairs, which up to a quarter of odd values can't bend) times the time
 * measured.
 *
 * The bound is on that growth, not on the slope: pools that fill once and V8's own habits cost some megabytes in any run, a leak costs
 * more the longer it runs. A run of minutes finds what leaks fast, hours find the rest.
 */
import { median } from "../statistics.ts";

export interface Point {
  /** Seconds since the start. */
  readonly time: number;
  readonly value: number;
}

export interface Growth {
  /** Of the figure over the time measured, in its unit; negative if it shrank. */
  readonly total: number;
  readonly perHour: number;
  /** Slices that went into it. */
  readonly slices: number;
}

/** Ours: this share of a run is warm-up, two minutes at most. */
const WARM_UP_SHARE = 0.3;
const WARM_UP_SECONDS_MAX = 120;
/** Ours: enough for the median of pairs to be steady, few enough for each slice to hold several samples and a quiet moment. */
const SLICES = 12;
/** Fewer make no trend. */
const SLICES_MIN = 4;

/** When measuring begins, in a run of this many seconds. */
export function warmUpSeconds(duration: number): number {
  return Math.min(WARM_UP_SHARE * duration, WARM_UP_SECONDS_MAX);
}

/** Growth of the samples after the warm-up of a run of `duration` seconds; undefined: there are too few. */
export function growthOf(points: readonly Point[], duration: number): Growth | undefined {
  const start = warmUpSeconds(duration);
  const width = (duration - start) / SLICES;
  const floors: Point[] = [];
  for (let slice = 0; slice < SLICES; slice++) {
    const from = start + slice * width;
    const inside = points.filter(({ time }) => time >= from && time < from + width);
    if (inside.length === 0) continue;
    floors.push(inside.reduce((least, point) => (point.value < least.value ? point : least)));
  }
  if (floors.length < SLICES_MIN) return undefined;
  const slopes: number[] = [];
  for (const [index, one] of floors.entries()) {
    for (const other of floors.slice(index + 1)) {
      slopes.push((other.value - one.value) / (other.time - one.time));
    }
  }
  const slope = median(slopes);
  return { total: slope * (duration - start), perHour: slope * 3600, slices: floors.length };
}
