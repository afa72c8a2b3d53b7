/**
 * Which code of this thread has run, from V8's precise block coverage by way of node:inspector: no instrumentation, no dependency.
 * A look takes some milliseconds, so it is made for a batch of inputs, and for single ones only when the batch has reached something.
 */
import { Session } from "node:inspector";

interface Range {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly count: number;
}

interface Script {
  readonly url: string;
  readonly functions: readonly { readonly ranges: readonly Range[] }[];
}

/** What ran between two looks. */
export interface Look {
  /** By file: one where a character's code ran. V8 joins ranges of equal counts, so that ranges themselves have no name that lasts. */
  readonly code: ReadonlyMap<string, Uint8Array>;
  /** Functions and how often they ran, by powers of four. */
  readonly counts: readonly string[];
}

export class Coverage {
  readonly #session = new Session();
  readonly #sources: RegExp;

  constructor(sources: RegExp) {
    this.#sources = sources;
    this.#session.connect();
    this.#post("Profiler.enable");
    this.#post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  }

  /** What ran since the last look. */
  look(): Look {
    const { result } = this.#post("Profiler.takePreciseCoverage") as {
      readonly result: readonly Script[];
    };
    const code = new Map<string, Uint8Array>();
    const counts: string[] = [];
    for (const { url, functions } of result) {
      const mark = url.lastIndexOf("/src/");
      if (mark < 0 || !this.#sources.test(url)) continue;
      const file = url.slice(mark + 5);
      const ends = functions.map(({ ranges }) => ranges[0]!.endOffset);
      const ran = new Uint8Array(Math.max(0, ...ends));
      for (const { ranges } of functions) {
        // From the outer to the inner; functions that a function holds come after it, also those that did not run.
        for (const { startOffset, endOffset, count } of ranges) {
          ran.fill(count > 0 ? 1 : 0, startOffset, endOffset);
        }
        const { startOffset, count } = ranges[0]!;
        if (count > 0) counts.push(`${file}:${startOffset} ${Math.floor(Math.log2(count) / 2)}`);
      }
      code.set(file, ran);
    }
    return { code, counts };
  }

  close(): void {
    this.#session.disconnect();
  }

  #post(method: string, parameters: object = {}): object {
    let answer: object = {};
    this.#session.post(method, parameters, (error, result) => {
      if (error !== null) throw new Error(`${method}: ${error.message}`);
      answer = result ?? {};
    });
    return answer;
  }
}

/** All that was reached so far. */
export class Reached {
  readonly #code = new Map<string, Uint8Array>();
  readonly #names = new Set<string>();
  /** Pieces of code that were reached at once, counts of functions, notes. */
  size = 0;

  /** Whether some code of a look is new. */
  isNew({ code }: Look): boolean {
    for (const [file, ran] of code) {
      const known = this.#codeOf(file, ran.length);
      for (let i = 0; i < ran.length; i++) if (ran[i]! > known[i]!) return true;
    }
    return false;
  }

  /** Adds a look; true if something was new. */
  add({ code, counts }: Look): boolean {
    const before = this.size;
    for (const [file, ran] of code) {
      const known = this.#codeOf(file, ran.length);
      let isInside = false;
      for (let i = 0; i < ran.length; i++) {
        const isHere = ran[i]! > known[i]!;
        if (isHere && !isInside) this.size++;
        isInside = isHere;
        if (isHere) known[i] = 1;
      }
    }
    for (const name of counts) this.note(name);
    return this.size > before;
  }

  /** Adds a feature by its name; true if it is new. */
  note(name: string): boolean {
    if (this.#names.has(name)) return false;
    this.#names.add(name);
    this.size++;
    return true;
  }

  copy(): Reached {
    const copy = new Reached();
    for (const [file, ran] of this.#code) copy.#code.set(file, ran.slice());
    for (const name of this.#names) copy.#names.add(name);
    copy.size = this.size;
    return copy;
  }

  /** Whether this has reached all that `other` has. */
  includes(other: Reached): boolean {
    for (const name of other.#names) if (!this.#names.has(name)) return false;
    for (const [file, ran] of other.#code) {
      const own = this.#code.get(file);
      for (let i = 0; i < ran.length; i++) if (ran[i]! > (own?.[i] ?? 0)) return false;
    }
    return true;
  }

  #codeOf(file: string, length: number): Uint8Array {
    const known = this.#code.get(file) ?? new Uint8Array(0);
    if (known.length >= length) return known;
    const grown = new Uint8Array(length);
    grown.set(known);
    this.#code.set(file, grown);
    return grown;
  }
}
