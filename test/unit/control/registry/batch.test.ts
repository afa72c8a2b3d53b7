/** Questions that go together: who is answered, when, and who suffers from whom. */
import { expect, test } from "vitest";
import { Batch } from "../../../../src/control/registry/store/batch.ts";
import { UnavailableError } from "../../../../src/control/registry/store/database.ts";

/** Batches that wait until they are let go. */
function held(): {
  readonly asked: (readonly number[])[];
  readonly letGo: () => void;
  readonly batch: Batch<number, number>;
} {
  const asked: (readonly number[])[] = [];
  const waiting: (() => void)[] = [];
  const batch = new Batch<number, number>(async (items) => {
    asked.push(items);
    await new Promise<void>((resolve) => waiting.push(resolve));
    return items.map((item) => 10 * item);
  });
  return { asked, letGo: () => waiting.shift()?.(), batch };
}

test("alone a question goes at once; what comes while two are under way goes together, each with its own answer", async () => {
  const { asked, letGo, batch } = held();
  const answers = [1, 2, 3, 4, 5].map((item) => batch.ask(item));
  expect(asked).toEqual([[1], [2]]);
  letGo();
  expect(await answers[0]).toBe(10);
  await Promise.resolve();
  expect(asked).toEqual([[1], [2], [3, 4, 5]]);
  letGo();
  letGo();
  expect(await Promise.all(answers)).toEqual([10, 20, 30, 40, 50]);
});

test("a batch is bounded: the rest is the next one", async () => {
  const { asked, letGo, batch } = held();
  const answers = Array.from({ length: 302 }, (_, at) => batch.ask(at));
  letGo();
  letGo();
  await Promise.all(answers.slice(0, 2));
  await Promise.resolve();
  expect(asked.map(({ length }) => length)).toEqual([1, 1, 200, 100]);
  letGo();
  letGo();
  expect((await Promise.all(answers)).at(-1)).toBe(3_010);
});

test("one that is refused is refused alone", async () => {
  const sizes: number[] = [];
  const batch = new Batch<number, number>(async (items) => {
    sizes.push(items.length);
    await Promise.resolve();
    if (items.includes(4)) throw new Error("not 4");
    return items;
  });
  const answers = await Promise.allSettled([1, 2, 3, 4, 5].map((item) => batch.ask(item)));
  expect(answers.map(({ status }) => status)).toEqual([
    ...["fulfilled", "fulfilled", "fulfilled", "rejected", "fulfilled"],
  ]);
  expect((answers[3] as PromiseRejectedResult).reason).toEqual(new Error("not 4"));
  expect(sizes).toEqual([1, 1, 3, 1, 1, 1]);
});

test("a database that is away is away for all, and is not asked for each", async () => {
  let count = 0;
  const batch = new Batch<number, number>(async () => {
    count += 1;
    await Promise.resolve();
    throw new UnavailableError(new Error("gone"));
  });
  const answers = await Promise.allSettled([1, 2, 3, 4].map((item) => batch.ask(item)));
  expect(answers.every(({ status }) => status === "rejected")).toBe(true);
  expect(count).toBe(3);
});
