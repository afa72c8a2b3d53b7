import { spawn } from "node:child_process";
import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Slab, slabLayout } from "../../src/bytes/slab.ts";
import { loadNative } from "../../src/io/load-native.ts";
import { NativeCipher } from "../../src/io/native-cipher.ts";

const native = loadNative();

/** SHA-256 of the forty packets below, as the EVP way makes them, which is held against node:crypto further down. */
const SEALED_DIGEST = "128c3fde859b598633905140129ede5622ad72f488435331e4d159aa2420b305";

function nonceOf(counter: bigint): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeBigUInt64LE(counter, 4);
  return nonce;
}

/** Lays datagrams for `payloads` back to back from the outbound region and fills the datagram list from `first`. */
function lay(slab: Slab, payloads: readonly Uint8Array[], counter: bigint, first = 0): void {
  let at = slabLayout.outbound.offset;
  for (const [index, payload] of payloads.entries()) {
    slab.bytes.fill(0xee, at, at + 8);
    slab.view.setBigUint64(at + 8, counter + BigInt(index), true);
    slab.bytes.set(payload, at + 16);
    slab.datagramOffset[first + index] = at;
    slab.datagramLength[first + index] = payload.length + 32;
    at += payload.length + 32;
  }
}

it("calls OpenSSL's primitives directly where the node binary exports them", () => {
  const slab = new Slab();
  const handle = native.slabAttach(slab.buffer);
  // Node's own builds export them; one that is linked with the system's libcrypto does not.
  const isExported = process.config.variables.node_shared_openssl === false;
  expect(native.direct(handle, true)).toBe(isExported ? 1 : 0);
  expect(native.direct(handle, false)).toBe(0);
});

it.each([true, false])(
  "seals alike both ways, and puts the bytes before a packet back (direct: %s)",
  (isDirect) => {
    const slab = new Slab();
    const handle = native.slabAttach(slab.buffer);
    native.direct(handle, isDirect);
    const cipher = new NativeCipher(native, slab, handle);
    const key = new Uint8Array(32).fill(7);
    const sizes = Array.from({ length: 40 }, (_, index) => index * 37);
    slab.bytes.fill(0x33, slabLayout.inbound.offset);
    lay(
      slab,
      sizes.map((size) => new Uint8Array(size).fill(size)),
      0xffff_fffen,
    );
    const before = Buffer.from(slab.bytes.subarray(0, slabLayout.outbound.offset));
    cipher.seal(slab, key, 0, sizes.length);
    expect(before.equals(slab.bytes.subarray(0, slabLayout.outbound.offset))).toBe(true);
    const end = slabLayout.outbound.offset + sizes.reduce((sum, size) => sum + size + 32, 0);
    const digest = createHash("sha256").update(
      slab.bytes.subarray(slabLayout.outbound.offset, end),
    );
    expect(digest.digest("hex")).toBe(SEALED_DIGEST);
  },
);

describe.each(["directly", "through EVP"])("native AEAD %s", (way) => {
  const slab = new Slab();
  const handle = native.slabAttach(slab.buffer);
  native.direct(handle, way === "directly");
  const cipher = new NativeCipher(native, slab, handle);

  it("seals what node:crypto opens, and touches no header", () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 1500 }), { minLength: 1, maxLength: 40 }),
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.bigInt({ min: 0n, max: 2n ** 64n - 41n }),
        (payloads, key, counter) => {
          lay(slab, payloads, counter, 3);
          cipher.seal(slab, key, 3, payloads.length);
          for (const [index, payload] of payloads.entries()) {
            const at = slab.datagramOffset[3 + index]!;
            const decipher = createDecipheriv(
              "chacha20-poly1305",
              key,
              nonceOf(counter + BigInt(index)),
              { authTagLength: 16 },
            );
            const end = at + 16 + payload.length;
            decipher.setAuthTag(slab.bytes.subarray(end, end + 16));
            const plain = Buffer.concat([
              decipher.update(slab.bytes.subarray(at + 16, end)),
              decipher.final(),
            ]);
            expect(plain.equals(payload)).toBe(true);
            expect(slab.bytes.subarray(at, at + 8).every((byte) => byte === 0xee)).toBe(true);
            expect(slab.view.getBigUint64(at + 8, true)).toBe(counter + BigInt(index));
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it("opens what node:crypto seals, and tells forgeries apart", () => {
    const key = randomBytes(32);
    let at = slabLayout.inbound.offset;
    const payloads = [0, 1, 16, 1420, 65, 1420].map((size) => randomBytes(size));
    for (const [index, payload] of payloads.entries()) {
      const cipher = createCipheriv("chacha20-poly1305", key, nonceOf(BigInt(index)), {
        authTagLength: 16,
      });
      slab.view.setBigUint64(at + 8, BigInt(index), true);
      const sealed = Buffer.concat([cipher.update(payload), cipher.final(), cipher.getAuthTag()]);
      slab.bytes.set(sealed, at + 16);
      slab.receivedOffset[index] = at;
      slab.receivedLength[index] = sealed.length + 16;
      at += sealed.length + 16;
    }
    slab.bytes[slab.receivedOffset[3]! + 500]! ^= 1;
    slab.receivedLength[6] = 31;
    slab.receivedOffset[6] = slabLayout.inbound.offset;
    expect(native.open(handle, key, 0, 7)).toBe(5);
    expect([...slab.opened.subarray(0, 7)]).toEqual([0, 1, 16, -1, 65, 1420, -1]);
    for (const index of [1, 2, 4, 5]) {
      const from = slab.receivedOffset[index]! + 16;
      const opened = slab.bytes.subarray(from, from + payloads[index]!.length);
      expect(payloads[index]!.equals(opened)).toBe(true);
    }
  });

  it("works again after forget", () => {
    const key = randomBytes(32);
    lay(slab, [Buffer.from("hello")], 7n);
    cipher.seal(slab, key, 0, 1);
    const sealed = Buffer.from(slab.bytes.subarray(slab.datagramOffset[0]!).subarray(16, 37));
    cipher.forget();
    lay(slab, [Buffer.from("hello")], 7n);
    cipher.seal(slab, key, 0, 1);
    expect(sealed.equals(slab.bytes.subarray(slab.datagramOffset[0]!).subarray(16, 37))).toBe(true);
  });

  // Not under a sanitizer: its shadow memory takes for ever to search.
  it.skipIf(process.env["LD_PRELOAD"])(
    "leaves no copy of the key in memory after forget",
    async () => {
      const child = spawn(process.execPath, [
        ...process.execArgv.filter((argument) => argument.includes("strip-types")),
        fileURLToPath(new URL("./key-holder.mjs", import.meta.url)),
        way,
      ]);
      const key = Buffer.from(Array.from({ length: 32 }, (_, index) => (index * 37 + 11) ^ 0x5a));
      const word = (): Promise<string> =>
        new Promise((resolve) => child.stdout.once("data", (data) => resolve(String(data).trim())));
      try {
        expect(await word()).toBe("sealed");
        const before = countInMemory(child.pid!, key);
        const forgotten = word();
        child.stdin.write("forget\n");
        expect(await forgotten).toBe("forgotten");
        const after = countInMemory(child.pid!, key);
        // The caller's own, and through EVP both contexts.
        if (native.direct(handle, way === "directly") === 1) expect(before).toBe(1);
        else expect(before).toBeGreaterThanOrEqual(3);
        expect(after).toBe(1); // the caller's own
      } finally {
        child.kill("SIGKILL");
      }
    },
  );

  it("refuses another slab", () => {
    expect(() => cipher.seal(new Slab(), randomBytes(32), 0, 0)).toThrow(TypeError);
  });
});

/** How often `needle` stands in the writable memory of a process. */
function countInMemory(pid: number, needle: Buffer): number {
  const memory = openSync(`/proc/${pid}/mem`, "r");
  let found = 0;
  try {
    for (const line of readFileSync(`/proc/${pid}/maps`, "utf8").split("\n")) {
      const match = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line);
      if (match === null) continue;
      const [from, to] = [Number.parseInt(match[1]!, 16), Number.parseInt(match[2]!, 16)];
      const step = 1 << 22;
      const buffer = Buffer.alloc(Math.min(step, to - from) + needle.length);
      for (let at = from; at < to; at += step) {
        let got = 0;
        try {
          const size = Math.min(step + needle.length - 1, to - at);
          got = readSync(memory, buffer, 0, size, at);
        } catch {
          continue; // guard pages and the like
        }
        const chunk = buffer.subarray(0, got);
        for (let i = chunk.indexOf(needle); i >= 0; i = chunk.indexOf(needle, i + 1)) found++;
      }
    }
  } finally {
    closeSync(memory);
  }
  return found;
}
