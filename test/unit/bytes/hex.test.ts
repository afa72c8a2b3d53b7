import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatHex, parseHex } from "../../../src/bytes/hex.ts";

describe("parseHex", () => {
  it("takes digits of either case", () => {
    expect(parseHex("00ff7Fa0Af09", 6)).toEqual(Uint8Array.of(0, 255, 0x7f, 0xa0, 0xaf, 9));
  });

  it("takes any whole number of pairs when no length is asked for", () => {
    expect(parseHex("")).toEqual(new Uint8Array(0));
    expect(parseHex("0a0b")).toEqual(Uint8Array.of(10, 11));
    expect(parseHex("0a0")).toBeUndefined();
  });

  it("refuses another length", () => {
    for (const text of ["", "0", "00", "0000", "00000"]) {
      expect(parseHex(text, 32), text).toBeUndefined();
    }
    expect(parseHex("00".repeat(33), 32)).toBeUndefined();
    expect(parseHex("00".repeat(32), 32)).toEqual(new Uint8Array(32));
  });

  it("accepts exactly the 22 digits among all 65,536 characters, at both places of a pair", () => {
    const accepted: string[] = [];
    for (let code = 0; code < 0x1_0000; code++) {
      const character = String.fromCharCode(code);
      const first = parseHex(`${character}0`, 1);
      const second = parseHex(`0${character}`, 1);
      expect(first === undefined, `code ${code}`).toBe(second === undefined);
      if (first !== undefined) accepted.push(character);
    }
    expect(accepted.join("")).toBe("0123456789ABCDEFabcdef");
  });
});

describe("formatHex", () => {
  it("writes every byte as Node does", () => {
    const all = Uint8Array.from({ length: 256 }, (_, i) => i);
    expect(formatHex(all)).toBe(Buffer.from(all).toString("hex"));
  });

  it("is undone by parseHex", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        expect(parseHex(formatHex(bytes), bytes.length)).toEqual(bytes);
      }),
    );
  });
});
