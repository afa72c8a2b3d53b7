/**
 * The guided loop: inputs that reach something new are kept and changed further. What it does follows from the target, the seed and
 * the inputs to begin with; only when it ends may depend on time. A finding is minimised and ends the loop.
 */
import { Dice } from "../../sim/dice.ts";
import type { Target } from "../target.ts";
import { Coverage, Reached } from "./coverage.ts";
import { minimise } from "./minimise.ts";
import { mutate } from "./mutate.ts";

export interface Finding {
  readonly input: Uint8Array;
  /** Before it was minimised. */
  readonly original: Uint8Array;
  readonly reason: string;
}

export interface Progress {
  readonly runs: number;
  /** Pieces of code, counts of functions, notes. */
  readonly reached: number;
  /** Of those, what the inputs at the beginning did not reach. */
  readonly news: number;
  readonly kept: number;
}

export interface LoopParts {
  readonly target: Target;
  readonly seed: number;
  readonly inputs: readonly Uint8Array[];
  /** Called before each input: where a crash of the process leaves it. */
  readonly before?: (input: Uint8Array) => void;
  /** An input that reached something new. */
  readonly keep?: (input: Uint8Array) => void;
  /** Asked after each batch; false ends the loop. */
  readonly goOn: (progress: Progress) => boolean;
}

export interface Outcome extends Progress {
  readonly finding?: Finding;
}

/** Where an error was thrown: minimising must not end at another finding. Messages may hold parts of the input. */
function kindOf(error: unknown): string {
  if (!(error instanceof Error)) return "no error";
  const frames = (error.stack ?? "").split("\n").filter((line) => /^\s+at /.test(line));
  return [error.name, ...frames.slice(0, 2)].join("\n");
}

/** What an input throws, as a kind and in words; undefined: nothing. */
export function failureOf(
  target: Target,
  input: Uint8Array,
): { readonly kind: string; readonly reason: string } | undefined {
  try {
    target.run(input, () => undefined);
    return undefined;
  } catch (error) {
    const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { kind: kindOf(error), reason };
  }
}

/**
 * Few inputs, small ones first and at most `most`, that reach what all reach together, each made smaller. Inputs must not throw.
 */
export function distil(
  target: Target,
  inputs: readonly Uint8Array[],
  most: number,
  triesMax: number,
): Uint8Array[] {
  const coverage = new Coverage(target.sources);
  const reached = new Reached();
  /** What an input reaches that is not known: by adding it to a copy or to the original. */
  const adds = (input: Uint8Array, to: Reached): boolean => {
    const notes: string[] = [];
    coverage.look();
    target.run(input, (feature) => notes.push(feature));
    let isNew = to.add(coverage.look());
    for (const note of notes) if (to.note(`note ${note}`)) isNew = true;
    return isNew;
  };
  try {
    const chosen: Uint8Array[] = [];
    for (const input of inputs.toSorted((a, b) => a.length - b.length)) {
      if (chosen.length >= most) break;
      const before = reached.copy();
      if (!adds(input, reached)) continue;
      chosen.push(
        minimise(
          input,
          (candidate) => {
            const trial = before.copy();
            return adds(candidate, trial) && trial.includes(reached);
          },
          triesMax,
        ),
      );
    }
    return chosen;
  } finally {
    coverage.close();
  }
}

export class GuidedLoop {
  readonly #parts: LoopParts;
  readonly #dice: Dice;
  readonly #coverage: Coverage;
  readonly #corpus: Uint8Array[] = [];
  readonly #reached = new Reached();
  #runs = 0;
  #reachedAtStart = 0;

  constructor(parts: LoopParts) {
    this.#parts = parts;
    this.#dice = new Dice(parts.seed);
    this.#coverage = new Coverage(parts.target.sources);
  }

  run(): Outcome {
    try {
      return this.#run();
    } finally {
      this.#coverage.close();
    }
  }

  #run(): Outcome {
    const { target, inputs, goOn } = this.#parts;
    const beginning = inputs.length > 0 ? inputs : target.seeds;
    for (const input of beginning) {
      const finding = this.#judge(input);
      if (finding !== undefined) return this.#ended(finding);
    }
    this.#reachedAtStart = this.#reached.size;
    while (goOn(this.#progress())) {
      const finding = this.#runBatch();
      if (finding !== undefined) return this.#ended(finding);
    }
    return this.#progress();
  }

  /** A batch at once; its inputs one by one only if it has reached code that none has before. */
  #runBatch(): Finding | undefined {
    const { target } = this.#parts;
    const batch: Uint8Array[] = [];
    const noted = new Set<Uint8Array>();
    this.#coverage.look();
    for (let i = 0; i < target.batch; i++) {
      const input = this.#next();
      batch.push(input);
      const finding = this.#runOne(input, (feature) => {
        if (this.#reached.note(`note ${feature}`)) noted.add(input);
      });
      if (finding !== undefined) return finding;
    }
    const hasReached = this.#reached.isNew(this.#coverage.look());
    for (const input of hasReached ? batch : noted) {
      const finding = this.#judge(input, noted.has(input));
      if (finding !== undefined) return finding;
    }
    return undefined;
  }

  /** Keeps an input if it reaches something new. */
  #judge(input: Uint8Array, isKnownNew = false): Finding | undefined {
    this.#coverage.look();
    let isNew = isKnownNew;
    const finding = this.#runOne(input, (feature) => {
      if (this.#reached.note(`note ${feature}`)) isNew = true;
    });
    if (finding !== undefined) return finding;
    if (this.#reached.add(this.#coverage.look())) isNew = true;
    if (!isNew) return undefined;
    this.#corpus.push(input);
    this.#parts.keep?.(input);
    return undefined;
  }

  #runOne(input: Uint8Array, note: (feature: string) => void): Finding | undefined {
    const { target, before } = this.#parts;
    before?.(input);
    this.#runs++;
    try {
      target.run(input, note);
      return undefined;
    } catch (error) {
      const kind = kindOf(error);
      const smallest = minimise(input, (candidate) => {
        before?.(candidate);
        return failureOf(target, candidate)?.kind === kind;
      });
      const failure = failureOf(target, smallest);
      // An input that does not fail again tells of state that outlives a run: a fault of the target, and a finding too.
      const reason = failure?.reason ?? `fails only after others: ${(error as Error).stack}`;
      return { input: failure === undefined ? input : smallest, original: input, reason };
    }
  }

  /** Recent inputs are changed more often: they are where the frontier is. */
  #next(): Uint8Array {
    const { target } = this.#parts;
    const count = this.#corpus.length;
    const recent = Math.min(count, 16);
    const at = this.#dice.chance(0.3)
      ? count - 1 - this.#dice.below(recent)
      : this.#dice.below(count);
    const base = this.#corpus[at] ?? new Uint8Array(0);
    const { dictionary, maxBytes } = target;
    return mutate(base, { others: this.#corpus, dictionary, maxBytes }, this.#dice);
  }

  #progress(): Progress {
    return {
      runs: this.#runs,
      reached: this.#reached.size,
      news: this.#reached.size - this.#reachedAtStart,
      kept: this.#corpus.length,
    };
  }

  #ended(finding: Finding): Outcome {
    return { ...this.#progress(), finding };
  }
}
