/**
 * Small questions of many asked as one: what comes while earlier ones are with the database goes together, so that a commit is shared by all
 * that wait for it. Nobody waits for a clock: alone, a question goes at once. Each is answered when its own batch has been.
 */
import { UnavailableError } from "./database.ts";

interface Waiting<In, Out> {
  readonly item: In;
  readonly resolve: (answer: Out) => void;
  readonly reject: (error: unknown) => void;
}

/** Ours: two, so that one is made ready while the other is written; the pool has connections for the rest. */
const BATCHES_AT_ONCE = 2;
/** Ours: beyond it a batch gains nothing, and what fails with it is more. */
const ITEMS_MAX = 200;

export class Batch<In, Out> {
  readonly #run: (items: readonly In[]) => Promise<readonly Out[]>;
  #waiting: Waiting<In, Out>[] = [];
  #running = 0;

  /** `run` answers in the order of its items, all or none. */
  constructor(run: (items: readonly In[]) => Promise<readonly Out[]>) {
    this.#run = run;
  }

  ask(item: In): Promise<Out> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      this.#start();
    });
  }

  #start(): void {
    if (this.#running >= BATCHES_AT_ONCE || this.#waiting.length === 0) return;
    const batch = this.#waiting.slice(0, ITEMS_MAX);
    this.#waiting = this.#waiting.slice(ITEMS_MAX);
    this.#running += 1;
    void this.#answer(batch).finally(() => {
      this.#running -= 1;
      this.#start();
    });
  }

  async #answer(batch: readonly Waiting<In, Out>[]): Promise<void> {
    let answers: readonly Out[];
    try {
      answers = await this.#run(batch.map(({ item }) => item));
    } catch (error) {
      if (batch.length === 1 || error instanceof UnavailableError) {
        for (const { reject } of batch) reject(error);
      } else {
        // One of them is refused: the others are not to suffer from it.
        for (const one of batch) await this.#answer([one]);
      }
      return;
    }
    for (const [at, { resolve }] of batch.entries()) resolve(answers[at]!);
  }
}
