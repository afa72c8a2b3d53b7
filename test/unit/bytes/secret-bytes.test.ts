import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import {
  CONCEALED,
  concealed,
  copySecret,
  secretBytes,
  secretCopy,
} from "../../../src/bytes/secret-bytes.ts";
import { withoutKeys } from "../../../src/bytes/secret-text.ts";

describe("memory for secrets", () => {
  it("is an ArrayBuffer of its own, which V8 does not move", () => {
    for (const bytes of [secretBytes(32), secretCopy(new Uint8Array(32).fill(7))]) {
      expect(bytes.buffer.byteLength).toBe(32);
      // V8 keeps small arrays that are made otherwise in its heap; that has no address to compare, only a length.
      expect(bytes.byteOffset).toBe(0);
    }
    expect(secretCopy(Uint8Array.of(1, 2))).toEqual(Uint8Array.of(1, 2));
  });

  it("is copied to the beginning of what may be longer", () => {
    const to = new Uint8Array(4).fill(9);
    copySecret(to, Uint8Array.of(1, 2));
    expect(to).toEqual(Uint8Array.of(1, 2, 9, 9));
  });
});

describe("concealed memory", () => {
  const key = concealed(secretCopy(new Uint8Array(32).fill(200)));

  it("still is the bytes", () => {
    expect([...key]).toEqual(new Array(32).fill(200));
    expect(Object.keys({ ...key })).toHaveLength(32);
    // Twice, as a snapshot of a snapshot.
    expect(concealed(key)).toBe(key);
  });

  it.each([
    ["inspect", inspect(key)],
    [
      "inspect with everything",
      inspect(key, { showHidden: true, depth: Number.POSITIVE_INFINITY }),
    ],
    ["inspect in an object", inspect({ op: "private_key", key })],
    ["JSON", JSON.stringify({ key })],
    ["a string", String(key)],
    ["a template", `${key}`],
    ["a localised string", key.toLocaleString()],
  ])("is a placeholder by %s", (_way, text) => {
    expect(text).toContain(CONCEALED);
    expect(text).not.toContain("200");
    expect(text).not.toContain("c8");
  });
});

describe("text without keys", () => {
  const hex = "0f".repeat(32);
  const base64 = Buffer.alloc(32, 0x5a).toString("base64");

  it.each([
    [hex, CONCEALED],
    [hex.toUpperCase(), CONCEALED],
    [`${hex}00`, CONCEALED],
    [base64, CONCEALED],
    [`a ${base64}:51820 b`, `a ${CONCEALED}:51820 b`],
    [`${base64},${hex}`, `${CONCEALED},${CONCEALED}`],
  ])("%s", (text, expected) => {
    expect(withoutKeys(text)).toBe(expected);
  });

  it.each([
    "192.0.2.1:51820",
    "wg0",
    "vpn.example.org",
    "/usr/lib/node_modules/wirehaul/native/prebuilds/linux-x64-glibc/wirehaul.node",
    hex.slice(2),
  ])("leaves %s", (text) => {
    expect(withoutKeys(text)).toBe(text);
  });

  it("takes time that grows with the length alone", () => {
    // With the square of it this would take an hour.
    for (const run of ["k", "-"]) {
      const text = `${run.repeat(4_000_000)} end`;
      expect(withoutKeys(text)).toBe(text);
    }
  });
});
