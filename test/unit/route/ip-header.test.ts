import { describe, expect, it } from "vitest";
import {
  BAD_HEADER,
  BAD_LENGTH,
  BAD_VERSION,
  innerLength,
  setEcn,
  tos,
  version,
} from "../../../src/route/ip-header.ts";
import { ipv4, ipv6, onesComplement } from "./packets.ts";

/** The packet behind five bytes that must not matter, followed by padding. */
function shifted(packet: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(5 + packet.length + 64).fill(0xee);
  bytes.set(packet, 5);
  return bytes;
}

describe("innerLength", () => {
  it("is the packet's own length, without the padding", () => {
    for (const packet of [ipv4(), ipv6(), ipv4({ optionWords: 10 })]) {
      const bytes = shifted(packet);
      expect(innerLength(bytes, 5, packet.length)).toBe(packet.length);
      expect(innerLength(bytes, 5, packet.length + 15)).toBe(packet.length);
    }
  });

  it("refuses what is longer than the plaintext", () => {
    for (const packet of [ipv4(), ipv6()]) {
      expect(innerLength(shifted(packet), 5, packet.length - 1)).toBe(BAD_LENGTH);
    }
    const longest = ipv6();
    longest.fill(0xff, 4, 6);
    expect(innerLength(longest, 0, 65_535)).toBe(BAD_LENGTH);
    expect(innerLength(longest, 0, 65_575)).toBe(65_575);
  });

  it("refuses what is shorter than its header", () => {
    const v4 = ipv4();
    expect(innerLength(v4, 0, 0)).toBe(BAD_HEADER);
    expect(innerLength(v4, 0, 19)).toBe(BAD_HEADER);
    expect(innerLength(ipv6(), 0, 39)).toBe(BAD_HEADER);
    v4[0] = 0x44;
    expect(innerLength(v4, 0, 28)).toBe(BAD_HEADER);
    v4[0] = 0x4f;
    expect(innerLength(v4, 0, 28)).toBe(BAD_LENGTH);
    v4[0] = 0x45;
    v4[3] = 19;
    expect(innerLength(v4, 0, 28)).toBe(BAD_LENGTH);
    v4[3] = 20;
    expect(innerLength(v4, 0, 28)).toBe(20);
  });

  it("knows versions 4 and 6 only", () => {
    for (let high = 0; high < 16; high += 1) {
      const bytes = new Uint8Array(100).fill(high << 4, 0, 1);
      const known = high === 4 || high === 6;
      expect(version(bytes, 0)).toBe(high);
      if (!known) expect(innerLength(bytes, 0, 100)).toBe(BAD_VERSION);
    }
  });

  it("takes an IPv6 header alone", () => {
    expect(innerLength(ipv6({ payload: new Uint8Array(0) }), 0, 48)).toBe(40);
  });
});

describe("tos and setEcn", () => {
  it("read the whole byte", () => {
    for (let byte = 0; byte < 256; byte += 1) {
      expect(tos(shifted(ipv4({ tos: byte })), 5)).toBe(byte);
      expect(tos(shifted(ipv6({ tos: byte })), 5)).toBe(byte);
    }
  });

  it("change two bits and keep the IPv4 checksum right, for every byte and codepoint", () => {
    for (let byte = 0; byte < 256; byte += 1) {
      for (let ecn = 0; ecn < 4; ecn += 1) {
        const bytes = shifted(ipv4({ tos: byte, optionWords: byte & 3 }));
        setEcn(bytes, 5, ecn);
        expect(bytes).toEqual(shifted(ipv4({ tos: (byte & 0xfc) | ecn, optionWords: byte & 3 })));
      }
    }
  });

  it("keep it right when the checksum is near its borders", () => {
    for (let id = 0; id < 0x1_0000; id += 1) {
      const packet = ipv4({ tos: 2, payload: new Uint8Array(0) });
      packet[4] = id >>> 8;
      packet[5] = id;
      packet.fill(0, 10, 12);
      const sum = onesComplement(packet);
      packet[10] = sum >>> 8;
      packet[11] = sum;
      setEcn(packet, 0, 3);
      if (onesComplement(packet) !== 0) expect.fail(`identification ${id}`);
    }
  });

  it("change two bits of an IPv6 traffic class and nothing else", () => {
    for (let byte = 0; byte < 256; byte += 1) {
      const bytes = shifted(ipv6({ tos: byte }));
      setEcn(bytes, 5, 3 - (byte & 3));
      expect(bytes).toEqual(shifted(ipv6({ tos: (byte & 0xfc) | (3 - (byte & 3)) })));
    }
  });
});
