/**
 * One queue's messages: taken in their order, worked on several at once, each answered, over as many sessions as it takes. An answer
 * that can't be delivered is kept until Redis is back; its message stays in the list of those that are worked on until then.
 */
import { createHash } from "node:crypto";
import type { Session } from "./session.ts";

export interface Reply {
  /** A list in Redis. */
  readonly to: string;
  readonly bytes: Uint8Array;
}

export interface ConsumerOptions {
  readonly queue: string;
  /** How many at once. */
  readonly slots: number;
  /** Works on a message; never rejects. Undefined: it can't be answered. */
  readonly handle: (message: Uint8Array) => Promise<Reply | undefined>;
  /** The answer to a message that the process has ended with several times. */
  readonly giveUp: (message: Uint8Array) => Reply | undefined;
  /** An answer's list is something else than a list. */
  readonly onRefused: () => void;
}

/** Ours: whoever ends the process with a message three times would do it for ever. */
const TRIES_MAX = 3;

export class Consumer {
  readonly #options: ConsumerOptions;
  readonly #taken: string;
  readonly #tries: string;
  /** Messages that are worked on, and how many equal ones. */
  readonly #active = new Map<string, number>();
  readonly #works = new Set<Promise<void>>();
  #session: Session | undefined;
  #waiting: (() => void)[] = [];
  #isStopped = false;

  constructor(options: ConsumerOptions) {
    this.#options = options;
    this.#taken = `${options.queue}.taken`;
    this.#tries = `${options.queue}.tries`;
  }

  /** How many are worked on or wait for Redis to take their answers. */
  get busy(): number {
    return this.#works.size;
  }

  /** Serves until the session ends; rejects with the reason. `which`: number of the session's connection. `served` is told of each wait. */
  async serve(session: Session, which: number, served: () => void): Promise<void> {
    const { queue } = this.#options;
    this.#session = session;
    this.#wake();
    try {
      while (!this.#isStopped && (await this.#recover(session)));
      while (!this.#isStopped && !session.isEnded) {
        if (!(await this.#room(session))) continue;
        const message = await session.take(which, queue, this.#taken);
        served();
        if (message !== undefined) this.#begin(message);
      }
    } finally {
      if (this.#session === session) this.#session = undefined;
    }
  }

  /** Takes no more; settles when what is worked on is done and answered, or after `ms`. */
  async stop(ms: number): Promise<void> {
    this.#isStopped = true;
    this.#wake();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
    });
    await Promise.race([Promise.all(this.#works), late]);
    clearTimeout(timer);
  }

  /** Begins what was taken and is not worked on: this process or another has lost it. True: there may be more. */
  async #recover(session: Session): Promise<boolean> {
    const left = await session.list(this.#taken);
    const known = new Map(this.#active);
    const lost = left.filter((message) => {
      const key = keyOf(message);
      const count = known.get(key) ?? 0;
      known.set(key, count - 1);
      return count <= 0;
    });
    for (const message of lost) {
      if (!(await this.#room(session))) return false;
      const tries = await session.count(this.#tries, fieldOf(message));
      this.#begin(message, tries > TRIES_MAX);
    }
    return lost.length > 0;
  }

  #begin(message: Uint8Array, isTooOften = false): void {
    const { handle, giveUp } = this.#options;
    const key = keyOf(message);
    this.#active.set(key, (this.#active.get(key) ?? 0) + 1);
    const handled = isTooOften ? Promise.resolve(giveUp(message)) : handle(message);
    const work = handled
      .catch(() => undefined)
      .then((reply) => this.#deliver(message, reply))
      .finally(() => {
        const count = (this.#active.get(key) ?? 1) - 1;
        if (count === 0) this.#active.delete(key);
        else this.#active.set(key, count);
        this.#works.delete(work);
        this.#wake();
      });
    this.#works.add(work);
  }

  /** Never rejects: tries with each session until it is done, or the process ends. */
  async #deliver(message: Uint8Array, reply: Reply | undefined): Promise<void> {
    const { onRefused } = this.#options;
    for (;;) {
      const session = await this.#connected();
      if (session === undefined) return;
      try {
        const tries = [this.#tries, fieldOf(message)] as const;
        const isTaken = await session.settle({ taken: this.#taken, message, tries, reply });
        if (!isTaken) onRefused();
        return;
      } catch {
        await session.ended;
      }
    }
  }

  /** A session that works; undefined: the consumer was stopped without one. */
  async #connected(): Promise<Session | undefined> {
    for (;;) {
      const session = this.#session;
      if (session !== undefined && !session.isEnded) return session;
      if (this.#isStopped) return undefined;
      await this.#change();
    }
  }

  /** Waits until one more may be begun. False: not with this session. */
  async #room(session: Session): Promise<boolean> {
    while (this.#works.size >= this.#options.slots) {
      if (this.#isStopped || session.isEnded) return false;
      await Promise.race([this.#change(), session.ended]);
    }
    return !this.#isStopped && !session.isEnded;
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

function keyOf(message: Uint8Array): string {
  return Buffer.from(message).toString("latin1");
}

function fieldOf(message: Uint8Array): string {
  return createHash("sha256").update(message).digest("base64url");
}
