import { expect, it } from "vitest";
import { assert } from "../../../src/bytes/assert.ts";

it("throws with what should be true, and only when it isn't", () => {
  expect(() => assert(true, "nothing")).not.toThrow();
  expect(() => assert(1 > 2, "one is above two")).toThrow("assertion failed: one is above two");
});
