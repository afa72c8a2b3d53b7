/** Every vector of `vectors/` on every backend: both suites, and both transport ciphers. */
import { describe, expect, it } from "vitest";
import { Slab } from "../../../src/bytes/slab.ts";
import * as kdf from "../../../src/crypto/kdf.ts";
import { nobleSuite } from "../../../src/crypto/noble.ts";
import { nobleCipher } from "../../../src/crypto/noble-cipher.ts";
import { opensslSuite } from "../../../src/crypto/openssl.ts";
import { loadNative } from "../../../src/io/load-native.ts";
import { NativeCipher } from "../../../src/io/native-cipher.ts";
import { nativeSuite } from "../../../src/io/native-suite.ts";
import { type Backend, loadSets } from "../../../vectors/run.mjs";

const slab = new Slab();

function nativeBackend(): Backend {
  const native = loadNative();
  return { cipher: new NativeCipher(native, slab, native.slabAttach(slab.buffer)), slab };
}

/**
 * Each backend, and how many cases of a set it must show, so that a check which skips everything can't pass. Suites show
 * every case; ciphers these, and nothing of other sets.
 */
const byCipher = { chacha20poly1305: 36, "wireguard-handshake": 2, "noise-ikpsk2": 2 };
const backends: { name: string; backend: Backend; shown?: Record<string, number> }[] = [
  { name: "noble suite", backend: { suite: nobleSuite, kdf } },
  { name: "openssl suite", backend: { suite: opensslSuite, kdf } },
  { name: "openssl suite through the addon", backend: { suite: nativeSuite(loadNative()), kdf } },
  { name: "noble cipher", backend: { cipher: nobleCipher, slab }, shown: byCipher },
  { name: "native cipher", backend: nativeBackend(), shown: byCipher },
];

const sets = loadSets();

describe.each(backends)("$name", ({ backend, shown }) => {
  it.each(sets)("$name", (set) => {
    let count = 0;
    for (const vector of set.cases) {
      try {
        if (set.check(backend, vector)) count++;
      } catch (error) {
        throw new Error(`${set.name}, ${vector.name}`, { cause: error });
      }
    }
    expect(count).toBe(shown === undefined ? set.cases.length : (shown[set.name] ?? 0));
  });
});

describe("the checks themselves", () => {
  it("fail when an expected value is wrong", () => {
    const wrong: Record<string, string[]> = {
      x25519: ["shared"],
      chacha20poly1305: ["sealed"],
      xchacha20poly1305: ["sealed"],
      blake2s: ["output"],
      "hmac-blake2s": ["output"],
      kdf: ["t1", "t2", "t3"],
      "wireguard-handshake": ["timestamp", "presharedKey", "initiatorSendKey"],
      "noise-ikpsk2": ["message1", "hash1", "message2", "hash2", "responderSendKey"],
    };
    for (const [name, fields] of Object.entries(wrong)) {
      const set = sets.find((candidate) => candidate.name === name)!;
      for (const field of fields) {
        const vector = structuredClone(set.cases[0]) as unknown as Record<string, string>;
        const digits = vector[field]!;
        vector[field] = (digits[0] === "0" ? "1" : "0") + digits.slice(1);
        const check = () => set.check({ suite: opensslSuite, kdf }, vector as { name: string });
        expect(check, `${name}.${field}`).toThrow();
      }
    }
  });
});
