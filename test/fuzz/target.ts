/** What a fuzz target is. Targets know nothing of who makes the inputs: the guided loop, a corpus that is replayed, a person. */

/**
 * Tells what an input has reached, beside the code that it ran: a state, a verdict, a count. An input that reaches something new is
 * kept and built upon. Few thousand names at most.
 */
export type Note = (feature: string) => void;

export interface Target {
  readonly name: string;
  /** Where V8's coverage counts: a part of the path of modules under `src/`. */
  readonly sources: RegExp;
  /** Inputs between two looks at the coverage, which costs some milliseconds. */
  readonly batch: number;
  /** Longest input in bytes. */
  readonly maxBytes: number;
  /** Pieces that mutations put into inputs. */
  readonly dictionary: readonly Uint8Array[];
  /** Inputs to begin with when there is no corpus. */
  readonly seeds: readonly Uint8Array[];
  /** Throws if what must hold does not. The same input does the same, whatever ran before. */
  readonly run: (input: Uint8Array, note: Note) => void;
}

/** Something that must hold does not. */
export class Broken extends Error {}

export function must(isTrue: boolean, what: string): asserts isTrue {
  if (!isTrue) throw new Broken(what);
}

/** Text as input. */
export function textInput(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
