/** Signed requests: an independent reading of RFC 9421, and that nothing of a request can be changed, moved or said in two ways. */
import { createHash, createPublicKey, verify } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { toBase58 } from "../../../../src/control/model/base58.ts";
import { Identity, isSignedBy, keyBytes } from "../../../../src/control/registry/key.ts";
import {
  isGenuine,
  isTimely,
  parseSignature,
  type SignedRequest,
  signRequest,
} from "../../../../src/control/registry/signature.ts";

/** RFC 9421 B.1.4. */
const RFC_KEY = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF
-----END PRIVATE KEY-----`;
const RFC_PUBLIC = "JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=";
const NOW = 1_700_000_000_999;
const NONCE = "abcdefghijklmnopqrstuv";
const REQUEST: SignedRequest = {
  method: "POST",
  authority: "Registry.example:8480",
  target: "/api/v2/nodes?limit=3&after=x",
  body: Buffer.from('{"a":1}'),
};

function isAccepted(
  headers: Readonly<Record<string, string>>,
  request: SignedRequest = REQUEST,
): boolean {
  const signature = parseSignature(headers);
  return signature !== undefined && isGenuine(signature, request, headers["content-digest"]);
}

describe("a signed request", () => {
  it("is RFC 9421's with the RFC's key, as written down by hand", () => {
    const identity = Identity.parse(RFC_KEY);
    expect(keyBytes(identity.keyId)?.toString("base64")).toBe(RFC_PUBLIC);
    const headers = signRequest(identity, REQUEST, NOW, NONCE);
    const digest = createHash("sha256").update('{"a":1}').digest("base64");
    const parameters = `("@method" "@authority" "@path" "@query" "content-digest");created=1700000000;nonce="${NONCE}";keyid="${identity.keyId}";alg="ed25519"`;
    const base = [
      '"@method": POST',
      '"@authority": registry.example:8480',
      '"@path": /api/v2/nodes',
      '"@query": ?limit=3&after=x',
      `"content-digest": sha-256=:${digest}:`,
      `"@signature-params": ${parameters}`,
    ].join("\n");
    expect(headers["signature-input"]).toBe(`wirehaul=${parameters}`);
    const der = Buffer.concat([
      Buffer.from("302a300506032b6570032100", "hex"),
      Buffer.from(RFC_PUBLIC, "base64"),
    ]);
    const key = createPublicKey({ key: der, format: "der", type: "spki" });
    const bytes = Buffer.from(headers.signature.slice("wirehaul=:".length, -1), "base64");
    expect(verify(null, Buffer.from(base), key, bytes)).toBe(true);
    expect(isAccepted({ ...headers })).toBe(true);
  });

  it("is refused with any part changed", () => {
    const headers = { ...signRequest(Identity.generate(), REQUEST, NOW, NONCE) };
    const others: readonly Partial<SignedRequest>[] = [
      { method: "PUT" },
      { authority: "other.example:8480" },
      { target: "/api/v2/nodes?limit=3&after=y" },
      { target: "/api/v2/nodes" },
      { target: "/api/v2/farms?limit=3&after=x" },
      { body: Buffer.from('{"a":2}') },
      { body: Buffer.alloc(0) },
    ];
    for (const other of others) expect(isAccepted(headers, { ...REQUEST, ...other })).toBe(false);
    const digest = signRequest(
      Identity.generate(),
      { ...REQUEST, body: Buffer.alloc(1) },
      NOW,
      NONCE,
    )["content-digest"];
    expect(isAccepted({ ...headers, "content-digest": digest })).toBe(false);
    const input = headers["signature-input"] ?? "";
    const otherKey = Identity.generate().keyId;
    for (const changed of [
      input.replace("1700000000", "1700000001"),
      input.replace(NONCE, NONCE.replace("a", "b")),
      input.replace(/keyid="[^"]+"/, `keyid="${otherKey}"`),
      input.replace(' "@query"', ""),
      input.replace('"@method" "@authority"', '"@authority" "@method"'),
      `${input};tag="x"`,
      input.replace("wirehaul=", "other="),
      `${input}, wirehaul=("@method");created=1`,
      input.replace("ed25519", "hmac-sha256"),
      input.replace(NONCE, "short"),
    ]) {
      expect(isAccepted({ ...headers, "signature-input": changed }), changed).toBe(false);
    }
  });

  it("is refused at any flipped bit of the signature, and in any other spelling of it", () => {
    const headers = { ...signRequest(Identity.generate(), REQUEST, NOW, NONCE) };
    const bytes = Buffer.from((headers.signature ?? "").slice("wirehaul=:".length, -1), "base64");
    for (let bit = 0; bit < 512; bit++) {
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3] = flipped[bit >> 3]! ^ (1 << (bit & 7));
      const signature = `wirehaul=:${flipped.toString("base64")}:`;
      expect(isAccepted({ ...headers, signature }), `bit ${bit}`).toBe(false);
    }
    // The two characters before the padding hold four bits that no byte needs.
    const text = bytes.toString("base64");
    const last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const twin = last[last.indexOf(text[85] ?? "") + 1] ?? "B";
    const spelled = `${text.slice(0, 85)}${twin}==`;
    expect(Buffer.from(spelled, "base64")).toEqual(bytes);
    expect(isAccepted({ ...headers, signature: `wirehaul=:${spelled}:` })).toBe(false);
  });

  it("is timely for five minutes, on both sides", () => {
    const headers = { ...signRequest(Identity.generate(), REQUEST, NOW, NONCE) };
    const signature = parseSignature(headers)!;
    const at = (seconds: number): boolean =>
      isTimely(signature, 1_700_000_000_000 + seconds * 1000);
    expect([at(-301), at(-300), at(0), at(300), at(301)]).toEqual([false, true, true, true, false]);
  });

  it("hostile headers are refused and never throw", () => {
    const text = fc.string({ unit: "binary", maxLength: 300 });
    fc.assert(
      fc.property(text, text, text, (input, signature, digest) => {
        const headers = { "signature-input": input, signature, "content-digest": digest };
        expect(isAccepted(headers)).toBe(false);
      }),
    );
    const array = ["a", "b"];
    expect(parseSignature({ "signature-input": array, signature: array })).toBeUndefined();
    expect(parseSignature({})).toBeUndefined();
  });

  it("any request that is signed is accepted", () => {
    const identity = Identity.generate();
    fc.assert(
      fc.property(
        fc.constantFrom("GET", "PUT", "POST", "DELETE"),
        fc.webUrl({ withQueryParameters: true }),
        fc.uint8Array({ maxLength: 200 }),
        (method, url, body) => {
          const { host, pathname, search } = new URL(url);
          const request = { method, authority: host, target: `${pathname}${search}`, body };
          expect(isAccepted({ ...signRequest(identity, request, NOW, NONCE) }, request)).toBe(true);
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe("a key id", () => {
  it("is base58 of 32 bytes, one text for each", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
        expect(keyBytes(toBase58(bytes))).toEqual(Buffer.from(bytes));
      }),
    );
    expect(toBase58(Buffer.from("0000010203", "hex"))).toBe("11Ldp");
    for (const bad of ["", "0".repeat(44), "1".repeat(33), "1".repeat(44), "z".repeat(44), "l"]) {
      expect(keyBytes(bad), bad).toBeUndefined();
    }
  });

  it("a point that is none signs nothing", () => {
    const zero = toBase58(Buffer.from(`02${"00".repeat(31)}`, "hex"));
    expect(isSignedBy(zero, "text", Buffer.alloc(64))).toBe(false);
    expect(isSignedBy(Identity.generate().keyId, "text", Buffer.alloc(63))).toBe(false);
  });

  it("keys of another kind are refused, and none is printed", () => {
    expect(() => Identity.parse("nonsense")).toThrow("this is no private key in PEM");
    const identity = Identity.generate();
    const secret = identity.secretPem().split("\n")[1] ?? "";
    expect(`${JSON.stringify(identity)}${String(identity)}`).not.toContain(secret);
    expect(Identity.parse(identity.secretPem()).keyId).toBe(identity.keyId);
  });
});
