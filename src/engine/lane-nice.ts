/** How far a lane's thread is ahead of other programs when they want the same core (nice(2)). */
import { withoutKeys } from "../bytes/secret-text.ts";
import { NICE_MAX, NICE_MIN } from "../io/thread-nice.ts";

/** Ours, added to what the process has: whoever receives must get to its socket as often as the lane does (docs/decisions/0021). */
export const LANE_NICE = 0;

/** A whole number as people write it; throws with the fix. `source` names where it stands. */
export function parseNice(text: string, source: string): number {
  if (/^-?[0-9]{1,2}$/.test(text)) return checkNice(Number(text), source);
  throw new Error(refusal(text, source));
}

export function checkNice(nice: number, source: string): number {
  if (Number.isInteger(nice) && nice >= NICE_MIN && nice <= NICE_MAX) return nice;
  throw new RangeError(refusal(String(nice), source));
}

function refusal(text: string, source: string): string {
  return `${source} must be a whole number from ${NICE_MIN} to ${NICE_MAX}, it is "${withoutKeys(text)}"`;
}
