/** noble and OpenSSL give equal bytes for equal input, whatever the input: every operation of {@link Suite}. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nobleSuite } from "../../src/crypto/noble.ts";
import { opensslSuite } from "../../src/crypto/openssl.ts";
import type { Suite } from "../../src/crypto/suite.ts";
import { loadNative } from "../../src/io/load-native.ts";
import { nativeSuite } from "../../src/io/native-suite.ts";

const addonSuite = nativeSuite(loadNative());

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const text = fc.uint8Array({ maxLength: 300 });
const key = bytes(32);

/** Not zeros, so that an output left unwritten shows. */
const output = (length: number) => new Uint8Array(length).fill(0xa5);

/** Runs `operation` on both and compares everything it returns. */
function same<T>(operation: (suite: Suite) => T): T {
  const result = operation(nobleSuite);
  expect(operation(opensslSuite)).toEqual(result);
  expect(operation(addonSuite)).toEqual(result);
  return result;
}

describe("noble and OpenSSL agree on", () => {
  it("sharedSecret and publicKey", () => {
    fc.assert(
      fc.property(key, key, (secret, point) => {
        same((suite) => {
          const [shared, ours] = [output(32), output(32)];
          const ok = suite.sharedSecret(shared, secret, point);
          suite.publicKey(ours, secret);
          return { ok, shared, ours };
        });
      }),
      { numRuns: 200 },
    );
  });

  it("a key exchange, and both sides with each other", () => {
    fc.assert(
      fc.property(key, key, (a, b) => {
        const publicA = output(32);
        const publicB = output(32);
        nobleSuite.publicKey(publicA, a);
        opensslSuite.publicKey(publicB, b);
        const [left, right] = [output(32), output(32)];
        expect(nobleSuite.sharedSecret(left, a, publicB)).toBe(true);
        expect(opensslSuite.sharedSecret(right, b, publicA)).toBe(true);
        expect(left).toEqual(right);
      }),
      { numRuns: 50 },
    );
  });

  it("points at the edges of the field", () => {
    const p = 2n ** 255n - 19n;
    const near = fc.tuple(fc.constantFrom(0n, p, 2n ** 255n, 2n ** 255n + p), fc.bigInt(-20n, 20n));
    const point = near.map(([base, delta]) => {
      const value = BigInt.asUintN(256, base + delta);
      return Uint8Array.from({ length: 32 }, (_, i) => Number((value >> BigInt(8 * i)) & 255n));
    });
    fc.assert(
      fc.property(key, point, (secret, u) => {
        same((suite) => {
          const shared = output(32);
          return { ok: suite.sharedSecret(shared, secret, u), shared };
        });
      }),
      { numRuns: 200 },
    );
  });

  it("hash, mac and hmac", () => {
    const macKey = fc.uint8Array({ minLength: 1, maxLength: 32 });
    fc.assert(
      fc.property(text, text, macKey, (a, b, k) => {
        same((suite) => {
          const [hash, mac, hmac] = [output(32), output(16), output(32)];
          suite.hash(hash, a, b);
          suite.mac(mac, k, a);
          suite.hmac(hmac, a, b);
          return { hash, mac, hmac };
        });
      }),
      { numRuns: 300 },
    );
  });

  it("seal and xseal, and each opens what the other sealed", () => {
    fc.assert(
      fc.property(key, bytes(24), text, text, (k, nonce, plaintext, ad) => {
        const { sealed, xsealed } = same((suite) => {
          const [one, other] = [output(plaintext.length + 16), output(plaintext.length + 16)];
          suite.seal(one, k, plaintext, ad);
          suite.xseal(other, k, nonce, plaintext, ad);
          return { sealed: one, xsealed: other };
        });
        const opened = same((suite) => {
          const [one, other] = [output(plaintext.length), output(plaintext.length)];
          const authentic = suite.open(one, k, sealed, ad);
          return { authentic, one, xauthentic: suite.xopen(other, k, nonce, xsealed, ad), other };
        });
        expect(opened).toEqual({
          authentic: true,
          one: plaintext,
          xauthentic: true,
          other: plaintext,
        });
      }),
      { numRuns: 300 },
    );
  });

  it("open and xopen of anything else: refused, and the output zeroed", () => {
    const sealed = fc.uint8Array({ minLength: 16, maxLength: 300 });
    fc.assert(
      fc.property(key, bytes(24), sealed, text, (k, nonce, ciphertext, ad) => {
        const result = same((suite) => {
          const [one, other] = [output(ciphertext.length - 16), output(ciphertext.length - 16)];
          const authentic = suite.open(one, k, ciphertext, ad);
          return {
            authentic,
            one,
            xauthentic: suite.xopen(other, k, nonce, ciphertext, ad),
            other,
          };
        });
        const zeros = new Uint8Array(ciphertext.length - 16);
        expect(result).toEqual({ authentic: false, one: zeros, xauthentic: false, other: zeros });
      }),
      { numRuns: 200 },
    );
  });

  it("outputs that are their own input, as the handshake has them", () => {
    fc.assert(
      fc.property(key, text, (initial, input) => {
        const { hash, hmac, expectedHash, expectedHmac } = same((suite) => {
          const [inHash, inHmac] = [initial.slice(), initial.slice()];
          const [expectedA, expectedB] = [output(32), output(32)];
          suite.hash(inHash, inHash, input);
          suite.hmac(inHmac, inHmac, input);
          suite.hash(expectedA, initial, input);
          suite.hmac(expectedB, initial, input);
          return { hash: inHash, hmac: inHmac, expectedHash: expectedA, expectedHmac: expectedB };
        });
        expect(hash).toEqual(expectedHash);
        expect(hmac).toEqual(expectedHmac);
      }),
      { numRuns: 100 },
    );
  });

  it("inputs left as they were", () => {
    const inputs = [output(32), output(32), output(24), output(40), output(7)] as const;
    const [secret, point, nonce, plaintext, ad] = inputs;
    for (const suite of [nobleSuite, opensslSuite, addonSuite]) {
      suite.sharedSecret(output(32), secret, point);
      suite.publicKey(output(32), secret);
      suite.hash(output(32), plaintext, ad);
      suite.mac(output(16), secret, plaintext);
      suite.hmac(output(32), secret, plaintext);
      suite.seal(output(56), secret, plaintext, ad);
      suite.open(output(24), secret, plaintext, ad);
      suite.xseal(output(56), secret, nonce, plaintext, ad);
      suite.xopen(output(24), secret, nonce, plaintext, ad);
    }
    for (const input of inputs) expect(input).toEqual(output(input.length));
  });
});
