import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatHex, parseHex, writeHex } from "../../../src/bytes/hex.ts";

const parse = (text: string, length: number): Uint8Array | undefined =>
  parseHex(Buffer.from(text, "latin1"), length);

describe("parseHex", () => {
  it("takes digits of either case", () => {
    expect(parse("00ff7Fa0Af09", 6)).toEqual(Uint8Array.of(0, 255, 0x7f, 0xa0, 0xaf, 9));
    expect(parse("", 0)).toEqual(new Uint8Array(0));
  });

  it("takes the exact length only", () => {
    for (const text of ["", "00", "00".repeat(31), "0".repeat(63), "0".repeat(65)]) {
      expect(parse(text, 32), text).toBeUndefined();
    }
    expect(parse("00".repeat(33), 32)).toBeUndefined();
    expect(parse("00".repeat(32), 32)).toEqual(new Uint8Array(32));
  });

  it("accepts exactly the 22 digits among all bytes, at both places of a pair", () => {
    const accepted: string[] = [];
    for (let code = 0; code < 256; code++) {
      const character = String.fromCharCode(code);
      const first = parse(`${character}0`, 1);
      const second = parse(`0${character}`, 1);
      expect(first === undefined, `code ${code}`).toBe(second === undefined);
      if (first !== undefined) accepted.push(character);
    }
    expect(accepted.join("")).toBe("0123456789ABCDEFabcdef");
  });

  it("gives memory that is not moved, and keeps none of what it read", () => {
    const digits = Buffer.from("ab".repeat(32));
    const bytes = parseHex(digits, 32)!;
    expect(bytes.buffer.byteLength).toBe(32);
    digits.fill(0);
    expect(bytes).toEqual(new Uint8Array(32).fill(0xab));
  });
});

describe("formatHex and writeHex", () => {
  const all = Uint8Array.from({ length: 256 }, (_, i) => i);

  it("write every byte as Node does", () => {
    expect(formatHex(all)).toBe(Buffer.from(all).toString("hex"));
    const out = new Uint8Array(516).fill(1);
    writeHex(out, 2, all);
    expect(out).toEqual(Uint8Array.of(1, 1, ...Buffer.from(formatHex(all)), 1, 1));
  });

  it("are undone by parseHex", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        expect(parse(formatHex(bytes), bytes.length)).toEqual(bytes);
      }),
    );
  });
});
