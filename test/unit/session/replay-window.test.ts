import { describe, expect, it } from "vitest";
import { REPLAY_WINDOW, ReplayWindow } from "../../../src/session/replay-window.ts";

/** The kernel self-test's numbered cases (selftest/counter.c), with its T_LIM written as W + 1. */
const W = REPLAY_WINDOW;
const T_LIM = W + 1;

describe("replay window: the numbered cases of the kernel's self-test", () => {
  it("cases 1 to 32", () => {
    const window = new ReplayWindow();
    const T = (counter: number, expected: boolean): void =>
      expect(window.accept(0, counter), `counter ${counter}`).toBe(expected);
    T(0, true);
    T(1, true);
    T(1, false);
    T(9, true);
    T(8, true);
    T(7, true);
    T(7, false);
    T(T_LIM, true);
    T(T_LIM - 1, true);
    T(T_LIM - 1, false);
    T(T_LIM - 2, true);
    T(2, true);
    T(2, false);
    T(T_LIM + 16, true);
    T(3, false);
    T(T_LIM + 16, false);
    T(T_LIM * 4, true);
    T(T_LIM * 4 - (T_LIM - 1), true);
    T(10, false);
    T(T_LIM * 4 - T_LIM, false);
    T(T_LIM * 4 - (T_LIM + 1), false);
    T(T_LIM * 4 - (T_LIM - 2), true);
    T(T_LIM * 4 + 1 - T_LIM, false);
    T(0, false);
  });

  it("bulk, up and down, with one repeated and one too old", () => {
    const up = new ReplayWindow();
    for (let i = 1; i <= W; i++) expect(up.accept(0, i)).toBe(true);
    expect(up.accept(0, 0)).toBe(true);
    expect(up.accept(0, 0)).toBe(false);

    const shifted = new ReplayWindow();
    for (let i = 2; i <= W + 1; i++) expect(shifted.accept(0, i)).toBe(true);
    expect(shifted.accept(0, 1)).toBe(true);
    expect(shifted.accept(0, 0)).toBe(false);

    const down = new ReplayWindow();
    for (let i = W + 1; i-- > 0; ) expect(down.accept(0, i)).toBe(true);

    const offset = new ReplayWindow();
    for (let i = W + 2; i-- > 1; ) expect(offset.accept(0, i)).toBe(true);
    expect(offset.accept(0, 0)).toBe(false);

    const back = new ReplayWindow();
    for (let i = W + 1; i-- > 1; ) expect(back.accept(0, i)).toBe(true);
    expect(back.accept(0, W + 1)).toBe(true);
    expect(back.accept(0, 0)).toBe(false);
  });

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
