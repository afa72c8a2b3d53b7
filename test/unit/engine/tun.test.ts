import { describe, expect, it } from "vitest";
import { nameProblem } from "../../../src/engine/tun.ts";

describe("the name of an interface", () => {
  it.each(["wg0", "wg%d", "a", "x".repeat(15), "wg-0.1_ü", "\u3000"])("may be %j", (name) => {
    expect(nameProblem(name)).toBeUndefined();
  });

  it.each([
    ["", "is empty"],
    ["x".repeat(16), "has 16 bytes, Linux allows 15"],
    ["üüüüüüüü", "has 16 bytes, Linux allows 15"],
    [".", "is a dot"],
    ["..", "is a dot"],
    ["a/b", 'it holds "/"'],
    ["a:b", 'it holds "/", ":"'],
    ["a b", "white space"],
    ["a\0b", "cannot be an interface name"],
    // The kernel takes bytes one by one, and 0xa0, of "à" in UTF-8, for a space.
    ["à", "white space"],
    ["a%s", 'only one "%d"'],
    ["%d%d", 'only one "%d"'],
  ])("may not be %j", (name, problem) => {
    expect(nameProblem(name)).toContain(problem);
  });
});
