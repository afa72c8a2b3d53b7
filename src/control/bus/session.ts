/**
 * Connections to Redis that live and end together. They don't come back by themselves: whoever holds a session makes a new one and
 * looks first at what the old one has left. A message is moved, not popped, from its queue to a list of those that are worked on, so
 * that none is lost when this process or the connection ends in between.
 */
import { Redis } from "ioredis";
import type { BusAddress } from "./address.ts";

/** As Go's zbus: seconds that one wait for a message takes. */
const TAKE_SECONDS = 10;
/** As Go's zbus: seconds until an answer that nobody fetches is gone. */
export const REPLY_SECONDS = 300;
/** Ours: Redis on the same machine answers at once, or is stopped. */
const ANSWER_MS = 10_000;
/** Ours: what was left is looked at in parts. */
const PART = 1_000;

export class Session {
  readonly #work: Redis;
  readonly #waiting: readonly Redis[];
  readonly ended: Promise<void>;
  #isEnded = false;
  #end: () => void = () => undefined;

  private constructor(work: Redis, waiting: readonly Redis[]) {
    this.#work = work;
    this.#waiting = waiting;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    for (const redis of [work, ...waiting]) redis.once("end", () => this.end());
  }

  /** Connects: once for all short commands, and for each of `waiting` that waits for messages. Rejects with the reason. */
  static async open(address: BusAddress, waiting: number): Promise<Session> {
    const opened: Redis[] = [];
    try {
      for (let count = 0; count <= waiting; count++) {
        const options = count === 0 ? { commandTimeout: ANSWER_MS } : {};
        opened.push(await connect(address, options));
      }
    } catch (error) {
      for (const redis of opened) redis.disconnect();
      throw error;
    }
    const [work, ...rest] = opened;
    return new Session(work!, rest);
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Ends all its connections at once; what they wait for is rejected. */
  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    for (const redis of [this.#work, ...this.#waiting]) redis.disconnect();
    this.#end();
  }

  /** Waits for a message on connection number `which`, and moves it from `queue` to `taken`. Undefined: none came. */
  async take(which: number, queue: string, taken: string): Promise<Uint8Array | undefined> {
    const redis = this.#waiting[which];
    if (redis === undefined) throw new Error(`there is no connection ${which}`);
    // A Redis that is stopped keeps the connection, and says nothing.
    const guard = setTimeout(() => this.end(), TAKE_SECONDS * 1_000 + ANSWER_MS);
    try {
      const message = await redis.blmoveBuffer(queue, taken, "LEFT", "RIGHT", TAKE_SECONDS);
      return message ?? undefined;
    } finally {
      clearTimeout(guard);
    }
  }

  /** Messages in a list, oldest first: at most {@link PART}. */
  async list(key: string): Promise<Uint8Array[]> {
    return await this.#do(this.#work.lrangeBuffer(key, 0, PART - 1));
  }

  /** Counts one more attempt with a message; how many that makes. */
  async count(key: string, field: string): Promise<number> {
    return await this.#do(this.#work.hincrby(key, field, 1));
  }

  /** Answers a message and takes it off the list, both or nothing. False: the answer's list is something else. */
  async settle(done: {
    readonly taken: string;
    readonly message: Uint8Array;
    readonly tries: readonly [key: string, field: string];
    readonly reply?: { readonly to: string; readonly bytes: Uint8Array } | undefined;
  }): Promise<boolean> {
    const { taken, message, tries, reply } = done;
    const steps = this.#work.multi();
    if (reply !== undefined) {
      steps.rpush(reply.to, Buffer.from(reply.bytes)).expire(reply.to, REPLY_SECONDS);
    }
    steps.lrem(taken, 1, Buffer.from(message)).hdel(...tries);
    const results = await this.#do(steps.exec());
    const [first] = results ?? [];
    return reply === undefined || first?.[0] === null;
  }

  async publish(channel: string, bytes: Uint8Array): Promise<void> {
    await this.#do(this.#work.publish(channel, Buffer.from(bytes)));
  }

  /** A connection that fails once is not used again. */
  async #do<Value>(answer: Promise<Value>): Promise<Value> {
    try {
      return await answer;
    } catch (error) {
      this.end();
      throw error;
    }
  }
}

/** One connection, ready; it never reconnects. Rejects with the reason. */
export async function connect(
  address: BusAddress,
  more: { readonly commandTimeout?: number } = {},
): Promise<Redis> {
  const redis = new Redis({
    ...address.connection,
    ...more,
    lazyConnect: true,
    protocol: 2,
    disableClientInfo: true,
    connectTimeout: ANSWER_MS,
    retryStrategy: () => null,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
  });
  let reason: Error | undefined;
  redis.on("error", (error: Error) => {
    reason ??= error;
  });
  try {
    await redis.connect();
  } catch (error) {
    redis.disconnect();
    throw reason ?? error;
  }
  return redis;
}
