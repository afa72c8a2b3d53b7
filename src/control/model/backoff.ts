/** Delays between attempts that never end: doubling with a ceiling, and with jitter, so that many nodes don't ask in step. Pure. */

export interface BackoffLimits {
  readonly baseMs: number;
  readonly maxMs: number;
}

/** Ours: a half second is soon enough for what heals at once; half a minute is what a person waits after plugging in a cable. */
export const DEFAULT_BACKOFF: BackoffLimits = { baseMs: 500, maxMs: 30_000 };

/**
 * The delay after `failures` failures in a row (1 is the first), in milliseconds: between half of the doubled base and all of it.
 * `random` is in [0, 1).
 */
export function backoffMs(
  failures: number,
  random: number,
  limits: BackoffLimits = DEFAULT_BACKOFF,
): number {
  const doublings = Math.min(Math.max(failures - 1, 0), 30);
  const full = Math.min(limits.baseMs * 2 ** doublings, limits.maxMs);
  return Math.round(full / 2 + (full / 2) * random);
}
