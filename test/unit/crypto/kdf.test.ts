/** What vectors can't show: temporaries are wiped, inputs are left alone. */
import { describe, expect, it } from "vitest";
import { kdf1, kdf2, kdf3 } from "../../../src/crypto/kdf.ts";
import { nobleSuite } from "../../../src/crypto/noble.ts";
import type { Suite } from "../../../src/crypto/suite.ts";

/** A suite that remembers every array its hmac saw. */
function spying(): { suite: Suite; seen: Set<Uint8Array> } {
  const seen = new Set<Uint8Array>();
  const suite: Suite = {
    ...nobleSuite,
    hmac(out, key, input) {
      for (const bytes of [out, key, input]) seen.add(bytes);
      nobleSuite.hmac(out, key, input);
    },
  };
  return { suite, seen };
}

const fresh = (value: number) => new Uint8Array(32).fill(value);

describe("kdf", () => {
  it("wipes everything it made itself", () => {
    const { suite, seen } = spying();
    const [key, input] = [fresh(1), fresh(2)];
    const outputs = [fresh(0), fresh(0), fresh(0)] as const;
    kdf1(suite, outputs[0], key, input);
    kdf2(suite, outputs[0], outputs[1], key, input);
    kdf3(suite, ...outputs, key, input);
    for (const own of [key, input, ...outputs]) seen.delete(own);
    // Per call t0, and for each output after the first what is hashed for it; and one shared array: the byte 1.
    expect(seen.size).toBe(3 + 1 + 2 + 1);
    const left = [...seen].filter((bytes) => bytes.some((byte) => byte !== 0));
    expect(left).toEqual([Uint8Array.of(1)]);
  });

  it("leaves key and input as they were", () => {
    const [key, input] = [fresh(1), fresh(2)];
    kdf3(nobleSuite, fresh(0), fresh(0), fresh(0), key, input);
    expect(key).toEqual(fresh(1));
    expect(input).toEqual(fresh(2));
  });

  it("gives unlike outputs", () => {
    const [a, b, c] = [fresh(0), fresh(0), fresh(0)];
    kdf3(nobleSuite, a, b, c, fresh(1), fresh(2));
    expect(new Set([a, b, c].map(String)).size).toBe(3);
  });
});
