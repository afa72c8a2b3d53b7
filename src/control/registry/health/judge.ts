/**
 * Whether a relay is up, by what its peers report and by its heartbeats. Pure.
 *
 * Votes are of members that probe the relay and are heard themselves; its own word is none. Down is:
 * - two or more say that it doesn't answer, and they are more than those who say that it does;
 * - it misses its heartbeats too, and nobody says that it answers.
 * A relay that only misses heartbeats, while its peers reach it, has lost the registry and stays up. Once it is not down any more it is
 * on probation for {@link PROBATION_MS}.
 */

export interface Votes {
  readonly yes: number;
  readonly no: number;
}

export type Health = "up" | "probation" | "down";

export interface RelayRecord {
  readonly health: "probation" | "down";
  readonly since: number;
}

/** Ours: long enough to see that it doesn't fall again. */
export const PROBATION_MS = 60_000;
/** A node says every 30 s that it is there: three of them missed. */
export const SILENT_MS = 90_000;

export function isDown({ yes, no }: Votes, isSilent: boolean): boolean {
  return (no >= 2 && no > yes) || (isSilent && yes === 0);
}

/** The record after a judgement; undefined: it is up. The same object if nothing is new. */
export function judge(
  before: RelayRecord | undefined,
  votes: Votes,
  isSilent: boolean,
  at: number,
): RelayRecord | undefined {
  if (isDown(votes, isSilent)) {
    return before?.health === "down" ? before : { health: "down", since: at };
  }
  if (before?.health === "down") return { health: "probation", since: at };
  return before !== undefined && at - before.since >= PROBATION_MS ? undefined : before;
}
