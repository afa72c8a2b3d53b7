/** What is remembered stays within its bound: the least recently used goes. */
import { expect, test } from "vitest";
import { Memory } from "../../../../src/control/registry/store/memory.ts";

test("the least recently used goes first, by weight", () => {
  const memory = new Memory(10);
  memory.set("a", 1, 4);
  memory.set("b", 2, 4);
  expect(memory.get("a")).toBe(1);
  memory.set("c", 3, 4);
  expect([memory.get("a"), memory.get("b"), memory.get("c")]).toEqual([1, undefined, 3]);
  expect(memory.weight).toBe(8);
});

test("what is set again has its new weight; what is too large is not kept, nor what was there before", () => {
  const memory = new Memory(10);
  memory.set("a", 1, 8);
  memory.set("a", 2, 3);
  expect(memory.weight).toBe(3);
  memory.set("a", 3, 11);
  expect(memory.get("a")).toBeUndefined();
  expect(memory.weight).toBe(0);
  memory.delete("b");
  expect(memory.weight).toBe(0);
});
