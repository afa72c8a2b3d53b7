/**
 * Bytes that follow from a secret are compared in a time that depends on lengths alone: by `isEqual` and `isZero`
 * (src/bytes/equal.ts), by noble inside its AEADs, by CRYPTO_memcmp in C. Each other comparison of bytes is listed here, with what
 * makes its operands public; one that is new fails until somebody has thought about it.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Ways to compare bytes, or texts of bytes, that end at the first difference. */
const TYPESCRIPT = new RegExp(
  [
    String.raw`\.equals\(`,
    String.raw`\.compare\(`,
    String.raw`\blocaleCompare\(`,
    // All of an array against another one.
    String.raw`\.(?:every|some|findIndex)\(.*\[`,
    // One element against another.
    String.raw`\w\[[^\]]+\]!? (?:===|!==|==|!=|<|>|<=|>=) [\w.#]+\[`,
    // Texts of keys.
    String.raw`(?:format(?:Hex|Base64Key)|toString)\(.*\) (?:===|!==)`,
  ].join("|"),
);
const C = /(?<!CRYPTO_)\b(?:memcmp|bcmp|strn?cmp)\(/;

/** File, what the line holds, and why it may. */
const PUBLIC: readonly (readonly [string, string, string])[] = [
  ["src/session/tai64n.ts", "a[i]! !== b[i]!", "times; authentic before they are compared"],
  ["src/session/flood-watch.ts", "this.source[", "addresses of senders"],
  ["src/tunnel/endpoint.ts", "endpoint[i]!", "addresses of peers"],
  ["src/io/load-native.ts", "abi[name] !== expected[name]", "sizes of the layout"],
  ["native/coalesce.c", "memcmp(", "headers of packets that go to the TUN next"],
  ["native/message.c", "memcmp(e->source, nowhere", "addresses"],
  ["native/route.c", "memcmp(to.source, nowhere", "addresses"],
  ["native/primitives.c", "memcmp(packet + HEADER", "the self-test, with constants"],
  ["native/primitives.c", "memcmp(out, ", "the self-test, with constants"],
];

interface Line {
  readonly path: string;
  readonly text: string;
}

function linesOf(folder: string, ending: RegExp): Line[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .map((name) => `${folder}/${name}`)
    .filter((path) => ending.test(path) && !/\/(build|test|prebuilds)\//.test(path))
    .flatMap((path) =>
      readFileSync(join(ROOT, path), "utf8")
        .split("\n")
        .filter((text) => !/^\s*(\*|\/\/|\/\*)/.test(text))
        .map((text) => ({ path, text: text.trim() })),
    );
}

function isListed({ path, text }: Line): boolean {
  return PUBLIC.some(([file, part]) => path === file && text.includes(part));
}

const typescript = ["src", "workers"].flatMap((folder) => linesOf(folder, /\.ts$/));
const native = linesOf("native", /\.[ch]$/);

/** Layers that never hold a secret's bytes, or hold them only to pass them on. */
const SECRETS_PASS = /^src\/(bytes|crypto|session|tunnel|lane|uapi|io|engine|index\.ts)|^workers/;

describe("comparisons of bytes", () => {
  const faults = (lines: readonly Line[], pattern: RegExp): string[] =>
    lines
      .filter(({ text }) => pattern.test(text))
      .filter((line) => !isListed(line))
      .map(({ path, text }) => `${path}: ${text}`);

  it("in TypeScript take no shortcut where secrets are", () => {
    const lines = typescript.filter(({ path }) => SECRETS_PASS.test(path));
    expect(lines.length).toBeGreaterThan(2_000);
    expect(faults(lines, TYPESCRIPT)).toEqual([]);
  });

  it("in C take no shortcut either, but CRYPTO_memcmp", () => {
    expect(faults(native, C)).toEqual([]);
    expect(native.some(({ text }) => text.includes("CRYPTO_memcmp(payload + size, tag"))).toBe(
      true,
    );
  });

  it("each exception is still there", () => {
    const all = [...typescript, ...native];
    const gone = PUBLIC.filter(
      ([file, part]) => !all.some(({ path, text }) => path === file && text.includes(part)),
    );
    expect(gone).toEqual([]);
  });

  it.each([
    "return a.every((byte, index) => byte === b[index]);",
    "if (mac.equals(other)) return true;",
    "if (Buffer.compare(a, b) === 0) return true;",
    "for (let i = 0; i < 16; i++) if (mac[i] !== tag[i]) return false;",
    "if (key[at + 1]! === other[at]!) continue;",
    "return formatHex(key) === text;",
  ])("the rule sees: %s", (text) => {
    expect(TYPESCRIPT.test(text)).toBe(true);
  });

  it.each([
    ["src/session/cookie.ts", "return isEqual(this.#mac, message.subarray(at, at + MAC_BYTES));"],
    ["src/session/cookie.ts", "return isEqual(this.#mac, message.subarray(at));"],
    ["src/tunnel/tunnel.ts", "isEqual(before.secret, secret)"],
  ])("in constant time, in %s: %s", (file, part) => {
    expect(typescript.some(({ path, text }) => path === file && text.includes(part))).toBe(true);
  });

  it("and the functions that take no shortcut have no way out of their loops", () => {
    const text = readFileSync(join(ROOT, "src/bytes/equal.ts"), "utf8");
    const loops = [...text.matchAll(/for \(.*\) (.*)$/gm)].map(([, body]) => body);
    expect(loops).toEqual(["difference |= a[i]! ^ b[i]!;", "union |= bytes[i]!;"]);
  });
});
