import { describe, expect, it } from "vitest";
import { isEqual, isZero } from "../../../src/bytes/equal.ts";

describe("isEqual", () => {
  it("finds a difference of one bit anywhere", () => {
    const a = Uint8Array.from({ length: 32 }, (_, i) => i);
    expect(isEqual(a, a.slice())).toBe(true);
    for (let bit = 0; bit < 256; bit++) {
      const b = a.slice();
      b[bit >> 3]! ^= 1 << (bit & 7);
      expect(isEqual(a, b), `bit ${bit}`).toBe(false);
      expect(isEqual(b, a), `bit ${bit}`).toBe(false);
    }
  });

  it("is false for different lengths, also where one begins the other", () => {
    expect(isEqual(Uint8Array.of(1, 2), Uint8Array.of(1, 2, 0))).toBe(false);
    expect(isEqual(new Uint8Array(0), Uint8Array.of(0))).toBe(false);
    expect(isEqual(new Uint8Array(0), new Uint8Array(0))).toBe(true);
  });

  it("isn't fooled by differences that cancel out", () => {
    expect(isEqual(Uint8Array.of(1, 1), Uint8Array.of(0, 0))).toBe(false);
  });
});

describe("isZero", () => {
  it("finds one bit anywhere", () => {
    expect(isZero(new Uint8Array(32))).toBe(true);
    expect(isZero(new Uint8Array(0))).toBe(true);
    for (let bit = 0; bit < 256; bit++) {
      const bytes = new Uint8Array(32);
      bytes[bit >> 3] = 1 << (bit & 7);
      expect(isZero(bytes), `bit ${bit}`).toBe(false);
    }
  });
});
