import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatBase64Key, parseBase64Key } from "../../../src/bytes/base64.ts";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const keys = fc.uint8Array({ minLength: 32, maxLength: 32 });

describe("formatBase64Key", () => {
  it("writes what Node writes", () => {
    fc.assert(
      fc.property(keys, (key) => {
        expect(formatBase64Key(key)).toBe(Buffer.from(key).toString("base64"));
      }),
    );
  });

  it("takes 32 bytes only", () => {
    expect(() => formatBase64Key(new Uint8Array(31))).toThrow("a key has 32 bytes");
    expect(() => formatBase64Key(new Uint8Array(33))).toThrow("a key has 32 bytes");
  });
});

describe("parseBase64Key", () => {
  it("undoes formatBase64Key", () => {
    fc.assert(
      fc.property(keys, (key) => {
        expect(parseBase64Key(formatBase64Key(key))).toEqual(key);
      }),
    );
  });

  it("accepts exactly the alphabet among all 65,536 characters", () => {
    const accepted = new Set<string>();
    for (let code = 0; code < 0x1_0000; code++) {
      const character = String.fromCharCode(code);
      const key = parseBase64Key(`${character}${"A".repeat(42)}=`);
      if (key === undefined) continue;
      accepted.add(character);
      expect(key[0]! >> 2, character).toBe(ALPHABET.indexOf(character));
    }
    expect(accepted).toEqual(new Set(ALPHABET));
  });

  it("refuses a bad character at each place", () => {
    const good = formatBase64Key(new Uint8Array(32).fill(0xfb));
    for (let at = 0; at < 43; at++) {
      const bad = `${good.slice(0, at)}-${good.slice(at + 1)}`;
      expect(parseBase64Key(bad), `place ${at}`).toBeUndefined();
    }
  });

  it("refuses other lengths, white space and missing padding", () => {
    const good = "A".repeat(43);
    expect(parseBase64Key(`${good}=`)).toEqual(new Uint8Array(32));
    for (const bad of ["", good, `${good}A`, `${good}==`, `${good}= `, ` ${good}=`, `${good}\n`]) {
      expect(parseBase64Key(bad), JSON.stringify(bad)).toBeUndefined();
    }
  });

  it("refuses a second spelling of a key: unused bits that are not zero", () => {
    const good = [];
    for (const last of ALPHABET) {
      if (parseBase64Key(`${"A".repeat(42)}${last}=`) !== undefined) good.push(last);
    }
    expect(good.join("")).toBe("AEIMQUYcgkosw048");
  });
});
