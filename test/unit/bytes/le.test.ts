import fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as le from "../../../src/bytes/le.ts";

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const u16 = fc.integer({ min: 0, max: 0xffff });
/** Odd and even offsets, with room for eight bytes. */
const at = fc.integer({ min: 0, max: 7 });

/** A buffer that isn't zero, and a DataView of it as the twin. */
function make() {
  const bytes = new Uint8Array(16).fill(0xa5);
  return { bytes, view: new DataView(bytes.buffer) };
}

/** Everything outside [from, from + length) is as `make` left it. */
function untouched(bytes: Uint8Array, from: number, length: number): boolean {
  return bytes.every((byte, i) => (i >= from && i < from + length) || byte === 0xa5);
}

describe("loads and stores agree with DataView", () => {
  it.each([
    { name: "Le32", store: le.storeLe32, load: le.loadLe32, little: true },
    { name: "Be32", store: le.storeBe32, load: le.loadBe32, little: false },
  ])("$name", ({ store, load, little }) => {
    fc.assert(
      fc.property(u32, at, (value, offset) => {
        const { bytes, view } = make();
        store(bytes, offset, value);
        expect(view.getUint32(offset, little)).toBe(value);
        expect(load(bytes, offset)).toBe(value);
        expect(untouched(bytes, offset, 4)).toBe(true);
      }),
    );
  });

  it("Be16", () => {
    fc.assert(
      fc.property(u16, at, (value, offset) => {
        const { bytes, view } = make();
        le.storeBe16(bytes, offset, value);
        expect(view.getUint16(offset, false)).toBe(value);
        expect(le.loadBe16(bytes, offset)).toBe(value);
        expect(untouched(bytes, offset, 2)).toBe(true);
      }),
    );
  });

  it("Le64 and Be64 as two halves", () => {
    fc.assert(
      fc.property(u32, u32, at, (hi, lo, offset) => {
        const whole = (BigInt(hi) << 32n) | BigInt(lo);
        const { bytes, view } = make();
        le.storeLe64(bytes, offset, hi, lo);
        expect(view.getBigUint64(offset, true)).toBe(whole);
        expect([le.loadLe64Hi(bytes, offset), le.loadLe64Lo(bytes, offset)]).toEqual([hi, lo]);
        expect(untouched(bytes, offset, 8)).toBe(true);
        le.storeBe64(bytes, offset, hi, lo);
        expect(view.getBigUint64(offset, false)).toBe(whole);
        expect([le.loadBe64Hi(bytes, offset), le.loadBe64Lo(bytes, offset)]).toEqual([hi, lo]);
        expect(untouched(bytes, offset, 8)).toBe(true);
      }),
    );
  });

  it("loads are never negative", () => {
    const ones = new Uint8Array(8).fill(255);
    expect(le.loadLe32(ones, 0)).toBe(0xffff_ffff);
    expect(le.loadBe32(ones, 0)).toBe(0xffff_ffff);
    expect(le.loadBe16(ones, 0)).toBe(0xffff);
  });
});
