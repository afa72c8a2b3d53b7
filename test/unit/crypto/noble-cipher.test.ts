/** The noble transport cipher on whole batches; single packets are the vectors'. */
import { beforeEach, describe, expect, it } from "vitest";
import { DATAGRAMS_MAX, RECEIVED_MAX, Slab, slabLayout } from "../../../src/bytes/slab.ts";
import { nobleCipher } from "../../../src/crypto/noble-cipher.ts";

const key = new Uint8Array(32).map((_, i) => i);
const OVERHEAD = 32;
let slab: Slab;

/** Puts packet `counter` with `payload` bytes at `offset` of the slab; datagram `index`. */
function put(index: number, offset: number, payload: number, counter: number): void {
  slab.datagramOffset[index] = offset;
  slab.datagramLength[index] = payload + OVERHEAD;
  slab.bytes.fill(0, offset, offset + 16);
  slab.bytes[offset] = 4;
  slab.view.setUint32(offset + 8, counter, true);
  slab.bytes.fill(counter, offset + 16, offset + 16 + payload);
}

/** Lists datagrams `first` to `first + count - 1` as received. */
function receive(first: number, count: number): void {
  for (let i = first; i < first + count; i++) {
    slab.receivedOffset[i] = slab.datagramOffset[i]!;
    slab.receivedLength[i] = slab.datagramLength[i]!;
  }
}

beforeEach(() => {
  slab = new Slab();
});

describe("nobleCipher", () => {
  const base = slabLayout.inbound.offset;

  it("seals and opens a batch, and only that batch", () => {
    for (let i = 0; i < 8; i++) put(i, base + i * 2000 + i, 100 * i, i + 1);
    const before = slab.bytes.slice();
    nobleCipher.seal(slab, key, 2, 4);
    for (const i of [0, 1, 6, 7]) {
      const [from, to] = [slab.datagramOffset[i]!, slab.datagramOffset[i]! + 1500];
      expect(slab.bytes.subarray(from, to), `datagram ${i}`).toEqual(before.subarray(from, to));
    }
    receive(0, 8);
    slab.opened.fill(-2);
    nobleCipher.open(slab, key, 1, 6);
    expect([...slab.opened.subarray(0, 8)]).toEqual([-2, -1, 200, 300, 400, 500, -1, -2]);
    for (let i = 2; i < 6; i++) {
      const from = slab.datagramOffset[i]! + 16;
      const payload = slab.bytes.subarray(from, from + 100 * i);
      expect(payload, `datagram ${i}`).toEqual(new Uint8Array(100 * i).fill(i + 1));
    }
  });

  it("marks one forged packet without touching its neighbours", () => {
    for (let i = 0; i < 3; i++) put(i, base + i * 100, 48, i);
    nobleCipher.seal(slab, key, 0, 3);
    slab.bytes[base + 100 + 20]! ^= 1;
    receive(0, 3);
    nobleCipher.open(slab, key, 0, 3);
    expect([...slab.opened.subarray(0, 3)]).toEqual([48, -1, 48]);
  });

  it("takes the nonce from each packet: one under another counter isn't authentic", () => {
    put(0, base, 16, 5);
    nobleCipher.seal(slab, key, 0, 1);
    slab.view.setUint32(base + 8, 6, true);
    receive(0, 1);
    nobleCipher.open(slab, key, 0, 1);
    expect(slab.opened[0]).toBe(-1);
    slab.view.setUint32(base + 8, 5, true);
    nobleCipher.open(slab, key, 0, 1);
    expect(slab.opened[0]).toBe(16);
  });

  it("gives -1 for every length below 32, and 0 for a keepalive", () => {
    put(0, base, 0, 1);
    nobleCipher.seal(slab, key, 0, 1);
    for (let length = 0; length < OVERHEAD; length++) {
      slab.receivedOffset[length] = base;
      slab.receivedLength[length] = length;
    }
    slab.receivedOffset[32] = base;
    slab.receivedLength[32] = 32;
    slab.opened.fill(-2);
    nobleCipher.open(slab, key, 0, 33);
    expect([...slab.opened.subarray(0, 33)]).toEqual([...new Array(32).fill(-1), 0]);
    expect(slab.opened[33]).toBe(-2);
  });

  it("reaches the last entries of both lists and the last bytes of the slab", () => {
    const last = slab.bytes.length - 48;
    put(DATAGRAMS_MAX - 1, last, 16, 9);
    nobleCipher.seal(slab, key, DATAGRAMS_MAX - 1, 1);
    slab.receivedOffset[RECEIVED_MAX - 1] = last;
    slab.receivedLength[RECEIVED_MAX - 1] = 48;
    nobleCipher.open(slab, key, RECEIVED_MAX - 1, 1);
    expect(slab.opened[RECEIVED_MAX - 1]).toBe(16);
  });

  it("does nothing for a count of none, and refuses nonsense", () => {
    nobleCipher.seal(slab, key, 0, 0);
    nobleCipher.open(slab, key, 0, 0);
    put(0, base, 16, 1);
    slab.datagramLength[0] = OVERHEAD - 1;
    expect(() => nobleCipher.seal(slab, key, 0, 1)).toThrow("room for header and tag");
    expect(() => nobleCipher.seal(slab, key.subarray(1), 0, 1)).toThrow("a key has 32 bytes");
    expect(() => nobleCipher.open(slab, key.subarray(1), 0, 1)).toThrow("a key has 32 bytes");
  });

  it("only reads the key", () => {
    put(0, base, 16, 1);
    const copy = key.slice();
    nobleCipher.seal(slab, copy, 0, 1);
    nobleCipher.forget();
    expect(copy).toEqual(key);
  });
});
