import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { PLAIN_MAX, Slab, slabLayout } from "../../src/bytes/slab.ts";
import { loadNative } from "../../src/io/load-native.ts";
import { counterNames } from "../../src/io/native.ts";
import {
  ACK,
  build,
  CWR,
  decodeVnet,
  encode,
  FIN,
  GSO,
  leavePartial,
  NEEDS_CSUM,
  type PacketShape,
  PSH,
  put16,
  SYN,
  segment,
  transportStart,
  VNET_BYTES,
  type Vnet,
  verify,
} from "../reference/offload.ts";

const native = loadNative();
const slab = new Slab();
const handle = native.slabAttach(slab.buffer);
const ALL = 0x67; // CSUM, TSO4, TSO6, USO4, USO6
const out = new Uint8Array(4 << 20);

function counter(name: (typeof counterNames)[number]): number {
  const values = new Int32Array(counterNames.length);
  expect(native.slabCounters(handle, values)).toBe(counterNames.length);
  return values[counterNames.indexOf(name)]!;
}

function noise(size: number, seed: number): Uint8Array {
  let state = seed | 1;
  return Uint8Array.from({ length: size }, () => {
    state = Math.imul(state, 1664525) + 1013904223;
    return state >>> 24;
  });
}

const padded = (length: number, mtu: number): number =>
  Math.max(length, Math.min(Math.ceil(length / 16) * 16, Math.max(mtu, length)));

function split(bytes: Uint8Array, mtu = 1420): Uint8Array[] {
  const count = native.probeSplit(handle, bytes, mtu);
  expect(count).toBeGreaterThanOrEqual(0);
  let at = slabLayout.outbound.offset;
  return Array.from({ length: count }, (_, index) => {
    const offset = slab.innerOffset[index]!;
    const length = slab.innerLength[index]!;
    // Back to back: room for the header, packet, padding of zeros, room for the tag.
    expect(offset).toBe(at + 16);
    const end = offset + padded(length, mtu);
    expect(slab.bytes.subarray(offset + length, end).every((byte) => byte === 0)).toBe(true);
    expect(slab.innerRun[index]).toBe(0);
    at = end + 16;
    return slab.bytes.slice(offset, offset + length);
  });
}

function superPacket(shape: PacketShape, gsoSize: number): [Vnet, Uint8Array] {
  const packet = build(shape);
  const start = transportStart(shape);
  leavePartial(packet, shape.tcp ? 6 : 17, start);
  const tcpType = shape.v6 ? GSO.tcpv6 : GSO.tcpv4;
  return [
    {
      flags: NEEDS_CSUM,
      gsoType: shape.tcp ? tcpType : GSO.udp,
      headerLength: packet.length - shape.payload.length,
      gsoSize,
      checksumStart: start,
      checksumOffset: shape.tcp ? 16 : 6,
    },
    packet,
  ];
}

const expectSame = (got: readonly Uint8Array[], wanted: readonly Uint8Array[]): void => {
  expect(got.length).toBe(wanted.length);
  for (const [index, each] of got.entries()) {
    if (!Buffer.from(each).equals(wanted[index]!)) expect(each).toEqual(wanted[index]);
  }
};

const shapes = fc.record({
  v6: fc.boolean(),
  tcp: fc.boolean(),
  flow: fc.integer({ min: 1, max: 100 }),
  size: fc.integer({ min: 1, max: 60_000 }),
  seed: fc.integer(),
  sequence: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  flags: fc.constantFrom(ACK, ACK | PSH, ACK | FIN, ACK | PSH | FIN, ACK | CWR, ACK | CWR | PSH),
  id: fc.integer({ min: 0, max: 65535 }),
  dontFragment: fc.boolean(),
  options: fc.constantFrom(0, 12, 40).map((size) => noise(size, 9)),
  extension: fc.constantFrom(0, 0, 8, 24),
});

/** A super-packet of which some segment's IPv4 header has the checksum zero: its other form, 0xffff, is not what RFC 791 says. */
const zeroHeaderChecksum = {
  ...{ v6: false, tcp: false, flow: 1, size: 37_989, seed: 0, sequence: 0, flags: ACK, id: 9291 },
  ...{ dontFragment: true, options: new Uint8Array(0), extension: 0 as const },
};

describe("split", () => {
  it("gives what the naive twin gives", () => {
    fc.assert(
      fc.property(
        shapes,
        fc.integer({ min: 200, max: 9000 }),
        fc.boolean(),
        ({ size, seed, ...shape }, gsoSize, ecn) => {
          const [vnet, packet] = superPacket({ ...shape, payload: noise(size, seed) }, gsoSize);
          if (ecn && shape.tcp) vnet.gsoType |= GSO.ecn;
          const mtu = packet.length - size + gsoSize;
          const got = split(encode(vnet, packet), mtu);
          expectSame(got, segment(vnet, packet));
          const start = transportStart(shape);
          for (const each of got) expect(verify(each, shape.tcp ? 6 : 17, start)).toBe(true);
        },
      ),
      { numRuns: 300, examples: [[zeroHeaderChecksum, 201, false]] },
    );
  });

  it("completes the checksum of a single packet", () => {
    fc.assert(
      fc.property(shapes, ({ size, seed, ...shape }) => {
        const [vnet, packet] = superPacket({ ...shape, payload: noise(size, seed) }, 0);
        vnet.gsoType = GSO.none;
        const whole = build({ ...shape, payload: noise(size, seed) });
        expectSame(split(encode(vnet, packet)), [whole]);
        expectSame(split(encode({ ...vnet, flags: 0 }, whole)), [whole]);
      }),
      { numRuns: 100 },
    );
  });

  it("splits the worst case of the kernel: 64 KiB at 48 bytes", () => {
    const payload = noise(65_000, 4);
    const [vnet, packet] = superPacket({ v6: false, tcp: true, flow: 1, payload }, 48);
    expectSame(split(encode(vnet, packet)), segment(vnet, packet));
  });

  it("gives what fits of a super-packet with tiny segments, and counts the rest", () => {
    const payload = noise(65_000, 5);
    const [vnet, packet] = superPacket({ v6: true, tcp: true, flow: 1, payload }, 8);
    const before = counter("splitDropped");
    const got = split(encode(vnet, packet));
    expectSame(got, segment(vnet, packet).slice(0, got.length));
    expect(got.length).toBe(2048);
    expect(counter("splitDropped") - before).toBe(65_000 / 8 - 2048);
  });

  const [vnet, packet] = superPacket(
    { v6: false, tcp: true, flow: 1, payload: noise(5000, 1) },
    1000,
  );
  const [vnet6, packet6] = superPacket(
    { v6: true, tcp: true, flow: 1, payload: noise(5000, 1) },
    1000,
  );
  const changed = (bytes: Uint8Array, at: number, value: number): Uint8Array => {
    const copy = bytes.slice();
    copy[at] = value;
    return copy;
  };
  it.each<[string, Vnet, Uint8Array]>([
    ["a segment size of zero", { ...vnet, gsoSize: 0 }, packet],
    ["no checksum to complete", { ...vnet, flags: 0 }, packet],
    ["an unknown type", { ...vnet, gsoType: 3 }, packet],
    ["the other family", { ...vnet, gsoType: GSO.tcpv6 }, packet],
    ["the other family", { ...vnet6, gsoType: GSO.tcpv4 }, packet6],
    ["another protocol", { ...vnet, gsoType: GSO.udp, checksumOffset: 6 }, packet],
    ["a checksum elsewhere", { ...vnet, checksumOffset: 6 }, packet],
    ["a transport header elsewhere", { ...vnet, checksumStart: 24 }, packet],
    ["a transport header past the end", { ...vnet6, checksumStart: 65_000 }, packet6],
    ["a transport header in the IP header", { ...vnet6, checksumStart: 20 }, packet6],
    ["a header length below 20", vnet, changed(packet, 0, 0x44)],
    ["a TCP header below 20", vnet, changed(packet, 32, 0x40)],
    ["a wrong total length", vnet, changed(packet, 3, 1)],
    ["a fragment", vnet, changed(packet, 6, 0x20)],
    ["no payload", vnet, packet.subarray(0, 40)],
    ["half a header", vnet, packet.subarray(0, 30)],
    ["nothing", vnet, packet.subarray(0, 0)],
    ["a single checksum past the end", { ...vnet, gsoType: 0, checksumStart: 5039 }, packet],
    ["a single checksum far past the end", { ...vnet, gsoType: 0, checksumOffset: 65535 }, packet],
  ])("drops and counts: %s", (_, header, bytes) => {
    const before = counter("malformed");
    expect(native.probeSplit(handle, encode(header, bytes), 1420)).toBe(0);
    expect(counter("malformed")).toBe(before + 1);
  });

  it("survives any header on any packet", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 10, maxLength: 10 }),
        fc.uint8Array({ maxLength: 300 }),
        fc.integer({ min: 0, max: 65535 }),
        (header, bytes, mtu) => {
          expect(native.probeSplit(handle, Buffer.concat([header, bytes]), mtu)).toBeLessThan(2049);
        },
      ),
    );
  });
});

/** Lays packets into the plain list from index 0. */
function lay(packets: readonly Uint8Array[]): void {
  let at = slabLayout.inbound.offset + 16;
  for (const [index, packet] of packets.entries()) {
    slab.bytes.set(packet, at);
    slab.plainOffset[index] = at;
    slab.plainLength[index] = packet.length;
    at += packet.length + 47;
  }
}

function merge(packets: readonly Uint8Array[], offload = ALL): [Vnet, Uint8Array][] {
  lay(packets);
  const used = native.probeMerge(handle, 0, packets.length, offload, out);
  expect(used).toBeGreaterThanOrEqual(0);
  const view = new DataView(out.buffer);
  const writes: [Vnet, Uint8Array][] = [];
  for (let at = 0; at < used; ) {
    const length = view.getUint32(at, true);
    const from = at + 4 + VNET_BYTES;
    writes.push([decodeVnet(out.subarray(at + 4, from)), out.slice(from, from + length)]);
    at = from + length;
  }
  return writes;
}

const sizes = (writes: readonly [Vnet, Uint8Array][]): number[] =>
  writes.map(([vnet, packet]) => segment(vnet, packet).length);

/** A run of segments of one flow, as a sender makes them. */
function stream(
  shape: Omit<PacketShape, "payload">,
  payloads: readonly number[],
  idStep = 1,
): Uint8Array[] {
  let sequence = shape.sequence ?? 0xfffff000;
  return payloads.map((size, index) => {
    const packet = build({
      ...shape,
      payload: noise(size, size + index),
      sequence,
      id: ((shape.id ?? 65534) + index * idStep) % 65536,
    });
    sequence = (sequence + size) % 2 ** 32;
    return packet;
  });
}

/** Under DF the identification means nothing (RFC 6864), and segmentation counts it up. */
function comparable(packet: Uint8Array): string {
  const copy = Buffer.from(packet);
  if (copy[0]! >> 4 === 4 && copy[6]! & 0x40) {
    copy.fill(0, 4, 6);
    copy.fill(0, 10, 12);
  }
  return copy.toString("hex");
}

const flowOf = (packet: Uint8Array): string =>
  packet[0]! >> 4 === 4
    ? Buffer.from(packet.subarray(12, 24)).toString("hex") + packet[9]
    : Buffer.from(packet.subarray(8, 44)).toString("hex") + packet[6];

describe("coalesce", () => {
  const families = [
    { name: "TCP over IPv4", v6: false, tcp: true },
    { name: "TCP over IPv6", v6: true, tcp: true },
    { name: "UDP over IPv4", v6: false, tcp: false },
    { name: "UDP over IPv6", v6: true, tcp: false },
  ];

  it.each(families)("merges a run and its shorter end: $name", ({ v6, tcp }) => {
    const packets = stream({ v6, tcp, flow: 3 }, [1000, 1000, 1000, 400, 1000, 1000]);
    const writes = merge(packets);
    expect(sizes(writes)).toEqual([4, 2]);
    expect(writes[0]![0]).toMatchObject({
      flags: NEEDS_CSUM,
      gsoSize: 1000,
      checksumStart: v6 ? 40 : 20,
      headerLength: (v6 ? 40 : 20) + (tcp ? 20 : 8),
    });
    expectSame(
      writes.flatMap((write) => segment(...write)),
      packets,
    );
    // What the kernel gets to complete must be the sum of the pseudo-header.
    for (const [, packet] of writes) {
      const expected = packet.slice();
      leavePartial(expected, tcp ? 6 : 17, v6 ? 40 : 20);
      expect(Buffer.from(packet).equals(expected)).toBe(true);
    }
  });

  it.each(families)("leaves all as it is without the offload: $name", ({ v6, tcp }) => {
    const packets = stream({ v6, tcp, flow: 3 }, [500, 500, 500]);
    const bit = tcp ? (v6 ? 4 : 2) : v6 ? 0x40 : 0x20;
    for (const offload of [0, ALL & ~bit, ALL & ~1]) {
      expect(sizes(merge(packets, offload))).toEqual([1, 1, 1]);
    }
    expectSame(
      merge(packets, 0).map(([, packet]) => packet),
      packets,
    );
    expect(sizes(merge(packets, bit | 1))).toEqual([3]);
  });

  it("merges interleaved flows", () => {
    const flows = [1, 2, 3, 4, 5].map((flow) =>
      stream({ v6: flow % 2 === 0, tcp: flow < 4, flow }, new Array<number>(20).fill(800)),
    );
    const mixed = Array.from({ length: 100 }, (_, i) => flows[i % 5]![Math.floor(i / 5)]!);
    expect(sizes(merge(mixed))).toEqual([20, 20, 20, 20, 20]);
  });

  it("merges at most 65,535 bytes and 64 datagrams", () => {
    const tcp = merge(stream({ v6: false, tcp: true, flow: 1 }, new Array<number>(60).fill(1400)));
    expect(sizes(tcp)).toEqual([46, 14]);
    const six = merge(stream({ v6: true, tcp: true, flow: 1 }, new Array<number>(60).fill(1400)));
    expect(sizes(six)).toEqual([46, 14]);
    const udp = merge(stream({ v6: false, tcp: false, flow: 1 }, new Array<number>(70).fill(100)));
    expect(sizes(udp)).toEqual([64, 6]);
    const many = merge(
      stream({ v6: false, tcp: true, flow: 1 }, new Array<number>(PLAIN_MAX).fill(1)),
    );
    expect(sizes(many)).toEqual([512, 512]);
  });

  const base = { v6: false, tcp: true, flow: 7 };
  const [a, b, c] = stream(base, [600, 600, 600]) as [Uint8Array, Uint8Array, Uint8Array];
  const at = (payload: number, more: Partial<PacketShape>): Uint8Array =>
    build({
      ...base,
      payload: noise(payload, 1),
      sequence: (0xfffff000 + 600) % 2 ** 32,
      id: 65535,
      ...more,
    });
  it.each<[string, Uint8Array[], number[]]>([
    ["PSH ends a group", [a, at(600, { flags: ACK | PSH }), c], [2, 1]],
    ["FIN ends a group", [a, at(600, { flags: ACK | FIN }), c], [2, 1]],
    ["a pure ACK in between", [a, at(0, {}), b, c], [1, 1, 2]],
    ["SYN", [a, at(600, { flags: ACK | SYN }), c], [1, 1, 1]],
    ["CWR", [a, at(600, { flags: ACK | CWR }), c], [1, 1, 1]],
    ["a larger payload", [a, at(601, {}), c], [1, 1, 1]],
    ["another window", [a, at(600, { window: 9 }), c], [1, 1, 1]],
    ["another acknowledgement", [a, at(600, { acknowledgement: 9 }), c], [1, 1, 1]],
    ["another TTL", [a, at(600, { ttl: 9 }), c], [1, 1, 1]],
    ["another TOS", [a, at(600, { tos: 3 }), c], [1, 1, 1]],
    ["another DF", [a, at(600, { dontFragment: true }), c], [1, 1, 1]],
    ["a jump in identification", [a, at(600, { id: 5 }), c], [1, 1, 1]],
    ["options", [a, at(600, { options: noise(12, 3) }), c], [1, 1, 1]],
    ["a gap", [a, c], [1, 1]],
    ["a duplicate", [a, a, b], [1, 2]],
  ])("order and sameness: %s", (_, packets, expected) => {
    const writes = merge(packets);
    expect(sizes(writes)).toEqual(expected);
    expectSame(
      writes.flatMap((write) => segment(...write)),
      packets,
    );
  });

  it("takes a fixed identification only under DF", () => {
    const shape = { ...base, id: 0, dontFragment: true };
    expect(sizes(merge(stream(shape, [500, 500, 500], 0)))).toEqual([3]);
    expect(sizes(merge(stream({ ...shape, dontFragment: false }, [500, 500, 500], 0)))).toEqual([
      1, 1, 1,
    ]);
  });

  it("writes packets with a wrong checksum alone and untouched, and counts them", () => {
    for (const bad of [0, 1, 2]) {
      for (const where of [11, 37, 300]) {
        const packets = stream(base, [600, 600, 600]);
        packets[bad]![where]! ^= 1;
        const before = counter("checksum");
        const writes = merge(packets);
        expect(counter("checksum")).toBeGreaterThan(before);
        expectSame(
          writes.flatMap((write) => segment(...write)),
          packets,
        );
        expect(sizes(writes)).toEqual(
          [
            [1, 2],
            [1, 1, 1],
            [2, 1],
          ][bad],
        );
      }
    }
  });

  it("never merges across what may belong to any flow", () => {
    const fragment = at(600, {});
    put16(fragment, 6, 0x2000);
    expect(sizes(merge([a, fragment, b, c]))).toEqual([1, 1, 2]);
    const icmp = at(20, {});
    icmp[9] = 1;
    expect(sizes(merge([a, icmp, b, c]))).toEqual([3, 1]);
  });

  it("gives back every packet, in the order of its flow, whatever comes", () => {
    const packetOf = fc.record({
      flow: fc.integer({ min: 1, max: 6 }),
      size: fc.constantFrom(0, 1, 300, 300, 300, 300, 300, 299, 301, 1200),
      flags: fc.constantFrom(ACK, ACK, ACK, ACK, ACK, ACK | PSH, ACK | FIN, SYN, ACK | CWR),
      skip: fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 1),
      tos: fc.constantFrom(0, 0, 0, 0, 0, 0, 1),
      damage: fc.option(fc.integer({ min: 0, max: 60 }), { freq: 20 }),
    });
    fc.assert(
      fc.property(
        fc.array(packetOf, { maxLength: 120 }),
        fc.constantFrom(ALL, 7, 3),
        (list, offload) => {
          const sequences = new Map<number, number>();
          const ids = new Map<number, number>();
          const packets = list.map(({ flow, size, flags, skip, tos, damage }, index) => {
            const sequence = (sequences.get(flow) ?? 0xffffff00) + skip;
            const id = (ids.get(flow) ?? 65530) + skip;
            const dontFragment = flow % 3 === 0;
            const packet = build({
              v6: flow > 4,
              tcp: flow % 2 === 1,
              flow,
              payload: noise(size, index),
              sequence: sequence % 2 ** 32,
              flags,
              tos,
              id: dontFragment ? 0 : id % 65536,
              dontFragment,
            });
            if (damage !== null && damage < packet.length) packet[damage]! ^= 0x10;
            sequences.set(flow, sequence + size);
            ids.set(flow, id + 1);
            return packet;
          });
          const writes = merge(packets, offload);
          const back = writes.flatMap((write) => segment(...write));
          const byFlow = (each: readonly Uint8Array[]): Record<string, string[]> => {
            const flows: Record<string, string[]> = {};
            for (const packet of each) {
              flows[flowOf(packet)] ??= [];
              flows[flowOf(packet)]!.push(comparable(packet));
            }
            return flows;
          };
          expect(byFlow(back)).toEqual(byFlow(packets));
          for (const [vnet, packet] of writes) {
            expect(packet.length).toBeLessThanOrEqual(65_535);
            // And the addon's own split gives the same.
            if (vnet.gsoType !== GSO.none)
              expectSame(split(encode(vnet, packet)), segment(vnet, packet));
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

beforeEach(() => {
  slab.bytes.fill(0xaa, slabLayout.outbound.offset, slabLayout.outbound.offset + 200_000);
});
