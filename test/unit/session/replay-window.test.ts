import { describe, expect, it } from "vitest";
import { ReplayWindow } from "../../../src/session/replay-window.ts";

/** The kernel self-test's numbered cases are vectors/replay-counter.json. */
describe("replay window", () => {
  it("crosses 2^32 and reaches the protocol's last counter", () => {
    const window = new ReplayWindow();
    expect(window.accept(0, 0xffff_ffff)).toBe(true);
    expect(window.accept(1, 0)).toBe(true);
    expect(window.accept(1, 0)).toBe(false);
    expect(window.accept(0, 0xffff_ffff)).toBe(false);
    expect(window.accept(0, 0xffff_ff00)).toBe(true);
    expect(window.accept(1, 31)).toBe(true);
    expect(window.accept(1, 32)).toBe(true);
    expect(window.accept(1, 33)).toBe(true);
    expect(window.accept(0xffff_ffff, 0xffff_dffe)).toBe(true);
    expect(window.accept(0xffff_ffff, 0xffff_dffe)).toBe(false);
    expect(window.accept(1, 33)).toBe(false);
  });
});
