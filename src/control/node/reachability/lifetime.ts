/**
 * Search for how long a silent mapping of a NAT or firewall lives: rounds of silences that are tried at once, each on a mapping of its
 * own; first doubled ones, then ones between the longest that was survived and the shortest that was not. Pure.
 */

export interface Bounds {
  /** The longest silence that a mapping lived through, in milliseconds; 0: none yet. */
  readonly aliveMs: number;
  /** The shortest above that which none did; undefined: none yet. */
  readonly deadMs: number | undefined;
}

export interface Trial {
  readonly silenceMs: number;
  readonly hasLived: boolean;
}

export const NOTHING_TRIED: Bounds = { aliveMs: 0, deadMs: undefined };

/** Ours: the least that a keepalive of a second can serve with a packet to spare. */
const SHORTEST_MS = 2_000;
/** RFC 4787 REQ-5: no mapping shall be gone before; and the longest keepalive that we use is half of it. */
export const LONGEST_MS = 120_000;
/** Ours: silences tried at once between two bounds; each costs two sockets. */
const INNER = 3;
/** Ours: near enough, as a part of what is survived, and for short ones; keepalives are whole seconds. */
const PRECISION = 1 / 8;
const PRECISION_MIN_MS = 500;
/** Ours: the first, and so many after it, so that the search ends within six minutes. */
export const ROUNDS_MAX = 3;

/** Silences to try next, ascending, in milliseconds; none: it is known well enough. `round` counts from 0. */
export function nextRound({ aliveMs, deadMs }: Bounds, round: number): number[] {
  if (round >= ROUNDS_MAX) return [];
  if (round === 0) {
    const rungs: number[] = [];
    for (let rung = SHORTEST_MS; rung < LONGEST_MS; rung *= 2) rungs.push(rung);
    return [...rungs, LONGEST_MS];
  }
  if (deadMs === undefined) return [];
  const gap = deadMs - aliveMs;
  if (gap <= Math.max(PRECISION_MIN_MS, aliveMs * PRECISION)) return [];
  return Array.from({ length: INNER }, (_, index) =>
    Math.round(aliveMs + (gap * (index + 1)) / (INNER + 1)),
  );
}

/** What is known after some trials. A packet that was lost makes a mapping look dead, nothing makes a dead one look alive. */
export function learn(before: Bounds, trials: readonly Trial[]): Bounds {
  const lived = trials.filter(({ hasLived }) => hasLived).map(({ silenceMs }) => silenceMs);
  const aliveMs = Math.max(before.aliveMs, ...lived);
  const died = trials.filter(({ hasLived }) => !hasLived).map(({ silenceMs }) => silenceMs);
  if (before.deadMs !== undefined) died.push(before.deadMs);
  const above = died.filter((silenceMs) => silenceMs > aliveMs);
  return { aliveMs, deadMs: above.length === 0 ? undefined : Math.min(...above) };
}
