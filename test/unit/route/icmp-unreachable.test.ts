import { describe, expect, it } from "vitest";
import { parseAddress } from "../../../src/route/address.ts";
import { composeUnreachable } from "../../../src/route/icmp-unreachable.ts";
import { ipv4, ipv6, onesComplement, type PacketOptions } from "./packets.ts";

/** The answer to a packet, which lies in the same buffer as on the packet path; empty: none. */
function answer(packet: Uint8Array, available = packet.length): Uint8Array {
  const bytes = new Uint8Array(3 + 1300 + packet.length + 64).fill(0xcc);
  const at = 3 + 1300;
  bytes.set(packet, at);
  const length = composeUnreachable(bytes, 3, bytes, at, available);
  expect(bytes.subarray(at, at + packet.length)).toEqual(packet);
  expect(bytes.subarray(0, 3)).toEqual(new Uint8Array(3).fill(0xcc));
  return bytes.slice(3, 3 + length);
}

const v4 = (options: PacketOptions): number => answer(ipv4(options)).length;
const v6 = (options: PacketOptions): number => answer(ipv6(options)).length;

describe("ICMP", () => {
  it("host unreachable goes from the destination to the source and quotes the packet", () => {
    const packet = ipv4({ payload: Uint8Array.from({ length: 33 }, (_, i) => i) });
    const got = answer(packet, packet.length + 11);
    expect(got.length).toBe(20 + 8 + packet.length);
    expect([got[0], got[9], got[20], got[21]]).toEqual([0x45, 1, 3, 1]);
    expect(got[2]! * 256 + got[3]!).toBe(got.length);
    expect(got.subarray(12, 16)).toEqual(packet.subarray(16, 20));
    expect(got.subarray(16, 20)).toEqual(packet.subarray(12, 16));
    expect(onesComplement(got.subarray(0, 20))).toBe(0);
    expect(onesComplement(got.subarray(20))).toBe(0);
    expect(got.subarray(24, 28)).toEqual(new Uint8Array(4));
    expect(got.subarray(28)).toEqual(packet);
  });

  it("has at most 576 bytes", () => {
    expect(v4({ payload: new Uint8Array(527) })).toBe(575);
    expect(v4({ payload: new Uint8Array(528) })).toBe(576);
    expect(v4({ payload: new Uint8Array(1400) })).toBe(576);
  });

  it("comes from the address that is given", () => {
    const out = new Uint8Array(600);
    const source = Uint8Array.from([0, 192, 0, 2, 1]);
    const packet = ipv4();
    expect(composeUnreachable(out, 0, packet, 0, packet.length, source, 1)).toBe(56);
    expect(out.subarray(12, 16)).toEqual(source.subarray(1));
    expect(onesComplement(out.subarray(0, 20))).toBe(0);
  });

  it("answers no error messages, but does answer an echo request", () => {
    const about = (type: number): number =>
      v4({ protocol: 1, payload: Uint8Array.of(type, 0, 0, 0, 0, 0, 0, 0), optionWords: 1 });
    for (const type of [3, 4, 5, 11, 12, 19, 255]) expect(about(type), `type ${type}`).toBe(0);
    for (const type of [0, 8, 13, 14]) expect(about(type), `type ${type}`).toBe(60);
    expect(v4({ protocol: 1, payload: new Uint8Array(0) })).toBe(0);
  });

  it("answers the first fragment only", () => {
    expect(v4({ fragment: 0x2000 })).toBe(56);
    expect(v4({ fragment: 0x2001 })).toBe(0);
    expect(v4({ fragment: 0x1fff })).toBe(0);
    expect(v4({ fragment: 0x0100 })).toBe(0);
  });

  it("answers neither to nor about what is not one host", () => {
    for (const source of ["0.0.0.0", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"]) {
      expect(v4({ source }), source).toBe(0);
    }
    for (const destination of ["224.0.0.251", "255.255.255.255", "0.0.0.0"]) {
      expect(v4({ destination }), destination).toBe(0);
    }
  });
});

describe("ICMPv6", () => {
  const pseudo = (packet: Uint8Array): Uint8Array[] => [
    packet.subarray(8, 40),
    Uint8Array.of(0, 0, packet[4]!, packet[5]!, 0, 0, 0, 58),
    packet.subarray(40),
  ];

  it("address unreachable goes from the destination to the source and quotes the packet", () => {
    const packet = ipv6({ payload: Uint8Array.from({ length: 33 }, (_, i) => i) });
    const got = answer(packet, packet.length + 7);
    expect(got.length).toBe(40 + 8 + packet.length);
    expect([got[0], got[6], got[40], got[41]]).toEqual([0x60, 58, 1, 3]);
    expect(got[4]! * 256 + got[5]!).toBe(got.length - 40);
    expect(got.subarray(8, 24)).toEqual(packet.subarray(24, 40));
    expect(got.subarray(24, 40)).toEqual(packet.subarray(8, 24));
    expect(onesComplement(...pseudo(got))).toBe(0);
    expect(got.subarray(48)).toEqual(packet);
  });

  it("has at most 1280 bytes", () => {
    expect(v6({ payload: new Uint8Array(1191) })).toBe(1279);
    const longest = answer(ipv6({ payload: new Uint8Array(1400).fill(0xff) }));
    expect(longest.length).toBe(1280);
    expect(onesComplement(...pseudo(longest))).toBe(0);
  });

  it("comes from the address that is given", () => {
    const out = new Uint8Array(1300);
    const packet = ipv6();
    const source = parseAddress("2001:db8::99")!.bytes;
    const length = composeUnreachable(out, 0, packet, 0, packet.length, source, 0);
    expect(out.subarray(8, 24)).toEqual(source);
    expect(onesComplement(...pseudo(out.subarray(0, length)))).toBe(0);
  });

  it("answers no error messages nor redirects, behind extension headers too", () => {
    const icmp = (type: number): Uint8Array => Uint8Array.of(type, 0, 0, 0, 0, 0, 0, 0);
    for (const type of [1, 2, 3, 4, 127, 137]) {
      expect(v6({ protocol: 58, payload: icmp(type) }), `type ${type}`).toBe(0);
    }
    expect(v6({ protocol: 58, payload: icmp(128) })).toBe(96);
    expect(v6({ protocol: 58, payload: new Uint8Array(0) })).toBe(0);
    // Hop-by-hop of 8 bytes, destination options of 16, then ICMPv6.
    const chain = (type: number): Uint8Array =>
      Uint8Array.of(60, 0, 0, 0, 0, 0, 0, 0, 58, 1, ...new Uint8Array(14), ...icmp(type));
    expect(v6({ protocol: 0, payload: chain(1) })).toBe(0);
    expect(v6({ protocol: 0, payload: chain(129) })).toBe(120);
    // A header that says it goes on beyond the packet.
    expect(v6({ protocol: 0, payload: Uint8Array.of(60, 9, 0, 0, 0, 0, 0, 0) })).toBe(0);
    expect(v6({ protocol: 0, payload: Uint8Array.of(58, 9, 0, 0, 0, 0, 0, 0) })).toBe(0);
  });

  it("answers the first fragment only", () => {
    const fragment = (offset: number): Uint8Array =>
      Uint8Array.of(17, 0, offset >>> 8, offset & 0xff, 0, 0, 0, 1, ...new Uint8Array(8));
    expect(v6({ protocol: 44, payload: fragment(0x0001) })).toBe(104);
    expect(v6({ protocol: 44, payload: fragment(0x0008) })).toBe(0);
    expect(v6({ protocol: 44, payload: fragment(0x0101) })).toBe(0);
  });

  it("answers neither to nor about what is not one host", () => {
    for (const source of ["::", "::1", "ff02::1"]) expect(v6({ source }), source).toBe(0);
    for (const destination of ["::", "ff02::fb"]) expect(v6({ destination })).toBe(0);
    expect(v6({ source: "::2" })).toBe(96);
  });
});

it("does not answer what is no packet", () => {
  expect(answer(new Uint8Array(0)).length).toBe(0);
  expect(answer(ipv4().subarray(0, 19)).length).toBe(0);
  expect(answer(ipv4().subarray(0, 27)).length).toBe(0);
  expect(answer(ipv6().subarray(0, 39)).length).toBe(0);
  expect(answer(new Uint8Array(64)).length).toBe(0);
});
