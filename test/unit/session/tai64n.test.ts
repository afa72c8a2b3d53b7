import { describe, expect, it } from "vitest";
import { formatHex } from "../../../src/bytes/hex.ts";
import { isLater, writeTai64n } from "../../../src/session/tai64n.ts";

function stamp(unixMs: number): Uint8Array {
  const out = new Uint8Array(12);
  writeTai64n(out, unixMs);
  return out;
}

describe("TAI64N", () => {
  it("is 2^62 + 10 seconds on from 1970, big-endian", () => {
    expect(formatHex(stamp(0))).toBe("400000000000000a00000000");
    // 2023-11-14 22:13:20 UTC.
    expect(formatHex(stamp(1_700_000_000_000))).toBe("400000006553f10a00000000");
    // Past 2106 the seconds need more than 32 bits.
    expect(formatHex(stamp(2 ** 32 * 1000))).toBe("400000010000000a00000000");
  });

  it("rounds nanoseconds down to 2^24, so as to leak no fine clock", () => {
    expect(formatHex(stamp(999)).slice(16)).toBe("3b000000");
    expect(formatHex(stamp(16)).slice(16)).toBe("00000000");
    expect(formatHex(stamp(17)).slice(16)).toBe("01000000");
  });

  it("never goes back when the clock goes on", () => {
    let last = stamp(1_699_999_999_000);
    for (let ms = 1_699_999_999_000; ms < 1_700_000_002_000; ms += 7) {
      const next = stamp(ms);
      expect(isLater(last, next)).toBe(false);
      last = next;
    }
  });

  it("compares as one big-endian number", () => {
    const a = stamp(1_000);
    for (let at = 0; at < 12; at++) {
      const b = a.slice();
      b[at]! += 1;
      expect([isLater(b, a), isLater(a, b)], `byte ${at}`).toEqual([true, false]);
    }
    expect(isLater(a, a.slice())).toBe(false);
  });
});
