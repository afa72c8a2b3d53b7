import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { loadBe16, loadLe32, storeBe16 } from "../../../src/bytes/integer.ts";

/** Odd and even offsets, with room for eight bytes. */
const at = fc.integer({ min: 0, max: 7 });

/** A buffer that isn't zero, and a DataView of it as the twin. */
function make() {
  const bytes = new Uint8Array(16).fill(0xa5);
  return { bytes, view: new DataView(bytes.buffer) };
}

describe("loads and stores agree with DataView", () => {
  it("Le32", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), at, (value, offset) => {
        const { bytes, view } = make();
        view.setUint32(offset, value, true);
        expect(loadLe32(bytes, offset)).toBe(value);
      }),
    );
  });

  it("Be16", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff }), at, (value, offset) => {
        const { bytes, view } = make();
        storeBe16(bytes, offset, value);
        expect(view.getUint16(offset, false)).toBe(value);
        expect(loadBe16(bytes, offset)).toBe(value);
        const isOutside = (index: number): boolean => index < offset || index > offset + 1;
        expect(bytes.every((byte, index) => !isOutside(index) || byte === 0xa5)).toBe(true);
      }),
    );
  });

  it("loads are never negative", () => {
    const ones = new Uint8Array(8).fill(255);
    expect([loadLe32(ones, 0), loadBe16(ones, 0)]).toEqual([0xffff_ffff, 0xffff]);
  });
});
