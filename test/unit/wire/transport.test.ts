import { describe, expect, it } from "vitest";
import { formatHex } from "../../../src/bytes/hex.ts";
import { paddedLength, writeTransportHeader } from "../../../src/wire/transport.ts";

describe("paddedLength", () => {
  it.each([
    // length, mtu, padded
    [0, 1420, 0],
    [1, 1420, 16],
    [16, 1420, 16],
    [17, 1420, 32],
    [1408, 1420, 1408],
    [1409, 1420, 1420],
    [1420, 1420, 1420],
    [1421, 1420, 1436],
    [2840, 1420, 2840],
    [576, 576, 576],
    [570, 576, 576],
    [8999, 9000, 9000],
    [1409, 0, 1424],
  ])("%i bytes at MTU %i are %i", (length, mtu, padded) => {
    expect(paddedLength(length, mtu)).toBe(padded);
  });

  it("never shortens, never adds more than 15, never passes the MTU", () => {
    for (const mtu of [576, 1280, 1419, 1420, 1421, 9000]) {
      for (let length = 0; length <= mtu; length++) {
        const padded = paddedLength(length, mtu);
        expect(padded >= length && padded - length < 16 && padded <= mtu).toBe(true);
        expect(padded % 16 === 0 || padded === mtu).toBe(true);
      }
    }
  });
});

describe("writeTransportHeader", () => {
  it("is type, receiver index and counter, little-endian", () => {
    const bytes = new Uint8Array(20).fill(0xee);
    writeTransportHeader(new DataView(bytes.buffer), 2, 0xdeadbeef, 0x01020304, 0xa1a2a3a4);
    expect(formatHex(bytes)).toBe("eeee04000000efbeaddea4a3a2a104030201eeee");
  });
});
