/** The bus's queue on a real Redis that goes and comes back: what is taken, begun, answered, and what is left by a process that ended. */
import { createHash } from "node:crypto";
import { expect } from "vitest";
import type { Lab } from "../../src/cli/demo/lab.ts";
import { Consumer, type ConsumerOptions } from "../../src/control/bus/consumer.ts";
import { Session } from "../../src/control/bus/session.ts";
import { until } from "../../src/control/linux/command.ts";
import { labTest } from "./harness/lab-test.ts";
import { RedisServer } from "./harness/redis.ts";

const QUEUE = "module.object@1";
const TAKEN = `${QUEUE}.taken`;

/** Each message names the list for its answer, and ends when the test says so. */
class Fixture {
  readonly redis: RedisServer;
  readonly begun: string[] = [];
  readonly refused: number[] = [];
  readonly consumer: Consumer;
  readonly #open = new Map<string, () => void>();
  #session: Session | undefined;
  #serving: Promise<unknown> = Promise.resolve();

  private constructor(redis: RedisServer, more: Partial<ConsumerOptions>) {
    this.redis = redis;
    this.consumer = new Consumer({
      queue: QUEUE,
      slots: 3,
      handle: async (message) => {
        const to = Buffer.from(message).toString();
        this.begun.push(to);
        await new Promise<void>((resolve) => this.#open.set(to, resolve));
        return { to, bytes: Buffer.from(`done ${to}`) };
      },
      giveUp: (message) => ({
        to: Buffer.from(message).toString(),
        bytes: Buffer.from("given up"),
      }),
      onRefused: () => this.refused.push(1),
      ...more,
    });
  }

  static async make(lab: Lab, more: Partial<ConsumerOptions> = {}): Promise<Fixture> {
    return new Fixture(await RedisServer.start(lab), more);
  }

  async serve(): Promise<void> {
    const session = await Session.open(this.redis.address, 1);
    this.#session = session;
    this.#serving = this.consumer.serve(session, 0, () => undefined).catch(() => undefined);
  }

  finish(...names: readonly string[]): void {
    for (const name of names) this.#open.get(name)?.();
  }

  async untilBegun(count: number): Promise<void> {
    await until(`${count} are begun`, () => this.begun.length >= count);
  }

  async push(...names: readonly string[]): Promise<void> {
    await this.redis.do("rpush", QUEUE, ...names);
  }

  async list(key: string): Promise<unknown> {
    return await this.redis.do("lrange", key, "0", "-1");
  }

  async untilAnswered(name: string, answer = `done ${name}`): Promise<void> {
    await until(`${name} is answered`, async () => {
      const list = (await this.list(name)) as string[];
      return list.length > 0;
    });
    expect(await this.list(name)).toEqual([answer]);
  }

  async untilNoneIsLeft(): Promise<void> {
    await until("none is left", async () => {
      const left = (await this.list(TAKEN)) as string[];
      return left.length === 0;
    });
  }

  async close(): Promise<void> {
    await this.consumer.stop(100);
    this.#session?.end();
    await this.#serving;
  }
}

labTest("several at once, in their order, and no more than there are slots", async (lab) => {
  const fixture = await Fixture.make(lab);
  await fixture.push("a", "b", "c", "d", "e");
  await fixture.serve();
  await fixture.untilBegun(3);
  expect(fixture.begun).toEqual(["a", "b", "c"]);
  // The rest stays where another one could take it.
  expect(await fixture.list(QUEUE)).toEqual(["d", "e"]);
  expect(await fixture.list(TAKEN)).toEqual(["a", "b", "c"]);
  fixture.finish("b");
  await fixture.untilAnswered("b");
  await fixture.untilBegun(4);
  expect(fixture.begun[3]).toBe("d");
  expect(await fixture.list(QUEUE)).toEqual(["e"]);
  fixture.finish("a", "c", "d");
  await fixture.untilBegun(5);
  fixture.finish("e");
  for (const name of ["a", "c", "d", "e"]) await fixture.untilAnswered(name);
  await fixture.untilNoneIsLeft();
  expect(Number(await fixture.redis.do("ttl", "e"))).toBeGreaterThan(0);
  await fixture.close();
});

labTest("an answer waits for Redis to come back; a call is carried out once", async (lab) => {
  const fixture = await Fixture.make(lab);
  await fixture.serve();
  await fixture.push("a", "b");
  await fixture.untilBegun(2);
  await fixture.redis.kill();
  // One ends while Redis is away, one after it has come back.
  fixture.finish("a");
  await fixture.redis.start();
  expect(await fixture.list(TAKEN)).toEqual(["a", "b"]);
  await fixture.serve();
  await fixture.untilAnswered("a");
  fixture.finish("b");
  await fixture.untilAnswered("b");
  expect(fixture.begun).toEqual(["a", "b"]);
  await fixture.close();
});

labTest("what a process that ended has left is begun again, three times at most", async (lab) => {
  const fixture = await Fixture.make(lab);
  await fixture.redis.do("rpush", TAKEN, "left", "left", "poison");
  await fixture.push("new");
  const field = createHash("sha256").update("poison").digest("base64url");
  await fixture.redis.do("hset", `${QUEUE}.tries`, field, "3");
  await fixture.serve();
  await fixture.untilAnswered("poison", "given up");
  await fixture.untilBegun(3);
  expect(fixture.begun).toEqual(["left", "left", "new"]);
  expect(await fixture.redis.do("hexists", `${QUEUE}.tries`, field)).toBe(0);
  fixture.finish("left", "new");
  await fixture.untilAnswered("new");
  await fixture.close();
});

labTest("an answer's list that is none is no matter but its own", async (lab) => {
  const fixture = await Fixture.make(lab);
  await fixture.redis.do("set", "text", "here");
  await fixture.serve();
  await fixture.push("text", "a");
  await fixture.untilBegun(2);
  fixture.finish("text", "a");
  await fixture.untilAnswered("a");
  await until("it is counted", () => fixture.refused.length === 1);
  expect(await fixture.redis.do("get", "text")).toBe("here");
  await fixture.untilNoneIsLeft();
  await fixture.close();
});

labTest("a Redis that ends takes the session with it", async (lab) => {
  const fixture = await Fixture.make(lab);
  const session = await Session.open(fixture.redis.address, 1);
  await fixture.redis.kill();
  await session.ended;
  await expect(session.publish("channel", Buffer.from("x"))).rejects.toThrow();
  await expect(Session.open(fixture.redis.address, 1)).rejects.toThrow(/ECONNREFUSED|ENOENT/);
});
