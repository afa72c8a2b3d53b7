/** What vectors can't show of a suite: refusal of wrong lengths, and outputs that are views into something larger. */
import { describe, expect, it } from "vitest";
import { nobleSuite } from "../../../src/crypto/noble.ts";
import { opensslSuite } from "../../../src/crypto/openssl.ts";
import { SUITE_NAMES, suiteByName } from "../../../src/crypto/select.ts";
import type { Suite } from "../../../src/crypto/suite.ts";
import { loadNative } from "../../../src/io/load-native.ts";
import { nativeSuite } from "../../../src/io/native-suite.ts";

const of = (length: number) => new Uint8Array(length).fill(9);

const addonSuite = { ...nativeSuite(loadNative()), title: "openssl through the addon" };

describe.each([
  { ...nobleSuite, title: "noble" },
  { ...opensslSuite, title: "openssl" },
  addonSuite,
])("$title", (suite: Suite) => {
  it.each<[string, () => unknown]>([
    ["a short secret", () => suite.sharedSecret(of(32), of(31), of(32))],
    ["a long point", () => suite.sharedSecret(of(32), of(32), of(33))],
    ["a short shared secret", () => suite.sharedSecret(of(31), of(32), of(32))],
    ["a short secret for a public key", () => suite.publicKey(of(32), of(31))],
    ["a long public key", () => suite.publicKey(of(33), of(32))],
    ["a short hash", () => suite.hash(of(31), of(0), of(0))],
    ["a mac of 32 bytes", () => suite.mac(of(32), of(32), of(0))],
    ["a mac key of no bytes", () => suite.mac(of(16), of(0), of(0))],
    ["a mac key of 33 bytes", () => suite.mac(of(16), of(33), of(0))],
    ["a short HMAC", () => suite.hmac(of(16), of(32), of(0))],
    ["no room for the tag", () => suite.seal(of(3), of(32), of(3), of(0))],
    ["a short AEAD key", () => suite.seal(of(19), of(31), of(3), of(0))],
    ["a ciphertext shorter than a tag", () => suite.open(of(0), of(32), of(15), of(0))],
    ["too much room for the plaintext", () => suite.open(of(4), of(32), of(19), of(0))],
    ["a short key to open with", () => suite.open(of(3), of(31), of(19), of(0))],
    ["a nonce of 12 bytes", () => suite.xseal(of(19), of(32), of(12), of(3), of(0))],
    ["a nonce of 25 bytes", () => suite.xopen(of(3), of(32), of(25), of(19), of(0))],
  ])("throws on %s", (_, call) => {
    expect(call).toThrow();
  });

  it("writes into views at odd offsets and nowhere else", () => {
    const block = of(200);
    const view = (length: number) => block.subarray(13, 13 + length);
    const around = () => [...block.subarray(0, 13), ...block.subarray(100)];
    const before = around();
    suite.publicKey(view(32), of(32));
    suite.sharedSecret(view(32), of(32), view(32).slice());
    suite.hash(view(32), view(32), of(3));
    suite.mac(view(16), of(32), view(32));
    suite.hmac(view(32), view(32), view(32));
    suite.seal(view(48), of(32), of(32), view(32));
    suite.xseal(view(48), of(32), of(24), of(32), of(5));
    expect(suite.xopen(view(32), of(32), of(24), view(48).slice(), of(5))).toBe(true);
    expect(view(32)).toEqual(of(32));
    expect(around()).toEqual(before);
  });

  it("clamps: the bits that X25519 fixes in a secret don't matter", () => {
    const [plain, changed] = [of(32), of(32)];
    changed[0]! ^= 7;
    changed[31]! ^= 0xc0;
    const [a, b] = [of(32), of(32)];
    suite.publicKey(a, plain);
    suite.publicKey(b, changed);
    expect(a).toEqual(b);
    const point = a.slice();
    expect(suite.sharedSecret(a, plain, point)).toBe(true);
    expect(suite.sharedSecret(b, changed, point)).toBe(true);
    expect(a).toEqual(b);
  });
});

describe("suiteByName", () => {
  it("finds each by its own name and nothing else", () => {
    for (const name of SUITE_NAMES) expect(suiteByName(name)?.name).toBe(name);
    expect(SUITE_NAMES).toEqual(["openssl", "noble"]);
    for (const name of ["", "Noble", "openssl ", "native", "constructor"]) {
      expect(suiteByName(name), name).toBeUndefined();
    }
  });
});
