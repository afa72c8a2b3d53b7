/** Measures contestants one after the other in each round, so that a machine's moods meet all alike. */
import type { Contestant } from "./contestant.ts";
import { tell } from "./progress.ts";

/** What each contestant's rounds gave, in the order of the contestants; a round that failed is left out. */
export type ByContestant<Figures> = ReadonlyMap<Contestant, readonly Figures[]>;

export interface Rounds<Figures> {
  readonly results: ByContestant<Figures>;
  readonly failures: number;
}

/** `measure` is told which round it is, from 1. One contestant's failure does not stop the others. */
export async function measureRounds<Name extends Contestant, Figures>(
  part: string,
  rounds: number,
  contestants: readonly Name[],
  measure: (contestant: Name, round: number) => Promise<Figures>,
): Promise<Rounds<Figures>> {
  const results = new Map<Contestant, Figures[]>(contestants.map((name) => [name, []]));
  let failures = 0;
  for (let round = 1; round <= rounds; round++) {
    for (const name of contestants) {
      tell(`${part}, round ${round} of ${rounds}: ${name}`);
      try {
        results.get(name)!.push(await measure(name, round));
      } catch (error) {
        tell(`${part}: ${name} failed: ${(error as Error).message}`);
        failures++;
      }
    }
  }
  return { results, failures };
}
