import { execFileSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { afterAll, describe, expect, it } from "vitest";
import {
  ENDPOINT_BYTES,
  endpointLayout,
  FAMILY_V4,
  FAMILY_V6,
  Slab,
  slabLayout,
} from "../../src/bytes/slab.ts";
import { errnoName } from "../../src/io/errno.ts";
import { loadNative } from "../../src/io/load-native.ts";

const native = loadNative();

interface Endpoint {
  family: number;
  port: number;
  address: readonly number[];
  scope?: number;
  source?: readonly number[];
  sourceInterface?: number;
}

const V4_LOOPBACK = [127, 0, 0, 1];
const V6_LOOPBACK = [...new Array<number>(15).fill(0), 1];

function writeEndpoint(slab: Slab, group: number, endpoint: Endpoint): void {
  const at = slabLayout.groupEndpoint.offset + group * ENDPOINT_BYTES;
  slab.bytes.fill(0, at, at + ENDPOINT_BYTES);
  slab.view.setUint16(at + endpointLayout.family, endpoint.family, true);
  slab.view.setUint16(at + endpointLayout.port, endpoint.port, true);
  slab.view.setUint32(at + endpointLayout.scope, endpoint.scope ?? 0, true);
  slab.bytes.set(endpoint.address, at + endpointLayout.address);
  slab.bytes.set(endpoint.source ?? [], at + endpointLayout.source);
  slab.view.setUint32(at + endpointLayout.sourceInterface, endpoint.sourceInterface ?? 0, true);
}

function readEndpoint(slab: Slab, message: number): Required<Endpoint> {
  const at = slabLayout.messageEndpoint.offset + message * ENDPOINT_BYTES;
  const family = slab.view.getUint16(at + endpointLayout.family, true);
  const size = family === FAMILY_V4 ? 4 : 16;
  const bytes = (offset: number): number[] => [
    ...slab.bytes.subarray(at + offset, at + offset + size),
  ];
  return {
    family,
    port: slab.view.getUint16(at + endpointLayout.port, true),
    scope: slab.view.getUint32(at + endpointLayout.scope, true),
    address: bytes(endpointLayout.address),
    source: bytes(endpointLayout.source),
    sourceInterface: slab.view.getUint32(at + endpointLayout.sourceInterface, true),
  };
}

/** Fills group `group` with datagrams of `sizes`, each filled with its index; contiguous or with gaps of `gap` bytes. */
function fill(slab: Slab, group: number, start: number, sizes: readonly number[], gap = 0): void {
  let at = slabLayout.composed.offset + start * 64;
  for (const [index, size] of sizes.entries()) {
    slab.bytes.fill(start + index, at, at + size);
    slab.datagramOffset[start + index] = at;
    slab.datagramLength[start + index] = size;
    at += size + gap;
  }
  slab.groupStart[group] = start;
  slab.groupCount[group] = sizes.length;
  slab.groupTos[group] = 0;
}

class Peer {
  readonly slab: Slab = new Slab();
  readonly handle = native.slabAttach(this.slab.buffer);
  readonly fd: number;
  readonly port: number;
  constructor(family: number, namespaceFd = -1) {
    this.fd = native.udpOpen(family, 0, 0, namespaceFd, false);
    expect(errnoName(Math.min(this.fd, 0))).toBe("errno 0");
    this.port = native.udpPort(this.fd);
    expect(this.port).toBeGreaterThan(0);
  }
  /** Everything that arrives within a short while: [fill byte, length, message's TOS]. */
  receive(expected: number): { byte: number; length: number; tos: number; from: Endpoint }[] {
    const got: { byte: number; length: number; tos: number; from: Endpoint }[] = [];
    for (let turn = 0; turn < 2000 && got.length < expected; turn++) {
      const count = native.udpReceive(this.handle, this.fd);
      expect(count).toBeGreaterThanOrEqual(0);
      for (let i = 0; i < count; i++) {
        const at = this.slab.receivedOffset[i]!;
        const length = this.slab.receivedLength[i]!;
        const byte = length > 0 ? this.slab.bytes[at]! : -1;
        expect(this.slab.bytes.subarray(at, at + length).every((each) => each === byte)).toBe(true);
        const message = this.slab.receivedMessage[i]!;
        const tos = this.slab.messageTos[message]!;
        got.push({ byte, length, tos, from: readEndpoint(this.slab, message) });
      }
    }
    expect(native.udpReceive(this.handle, this.fd)).toBe(0);
    return got;
  }
  close(): void {
    expect(native.fdClose(this.fd)).toBe(0);
  }
}

const haveV6 = Object.values(networkInterfaces()).some((list) =>
  list?.some((each) => each.address === "::1"),
);
if (!haveV6) console.warn("IPv6 tests skipped: no ::1 on this machine");

describe.each([
  { name: "IPv4", family: FAMILY_V4, loopback: V4_LOOPBACK, skip: false },
  { name: "IPv6", family: FAMILY_V6, loopback: V6_LOOPBACK, skip: !haveV6 },
])("UDP over $name", ({ family, loopback, skip }) => {
  const run = it.skipIf(skip);

  run.each([
    { name: "segmented, contiguous", segment: true, gap: 0 },
    { name: "segmented, scattered", segment: true, gap: 24 },
    { name: "one by one", segment: false, gap: 8 },
  ])("carries groups: $name", ({ segment, gap }) => {
    const [a, b] = [new Peer(family), new Peer(family)];
    const sizes = [1000, 1000, 1000, 1000, 300];
    const endpoint = { family, port: b.port, address: loopback };
    fill(a.slab, 2, 0, sizes, gap);
    fill(a.slab, 3, 100, [700], gap);
    fill(a.slab, 4, 180, [0], gap);
    for (const group of [2, 3, 4]) writeEndpoint(a.slab, group, endpoint);
    a.slab.groupTos[3] = 0x2e << 2;
    a.slab.groupStatus.fill(7);
    const [fd4, fd6] = family === FAMILY_V4 ? [a.fd, -1] : [-1, a.fd];
    expect(native.udpSend(a.handle, fd4, fd6, 2, 3, segment)).toBe(0);
    expect([...a.slab.groupStatus.subarray(1, 6)]).toEqual([7, 0, 0, 0, 7]);
    const got = b.receive(7);
    expect(got.map((each) => [each.byte, each.length, each.tos])).toEqual([
      [0, 1000, 0],
      [1, 1000, 0],
      [2, 1000, 0],
      [3, 1000, 0],
      [4, 300, 0],
      [100, 700, 0x2e << 2],
      [-1, 0, 0],
    ]);
    for (const each of got) {
      expect(each.from).toMatchObject({ family, port: a.port, address: loopback });
      expect(each.from.source).toEqual(loopback);
      expect(each.from.sourceInterface).toBe(native.interfaceIndex("lo"));
    }
    a.close();
    b.close();
  });

  run("carries many groups in one call", () => {
    const [a, b] = [new Peer(family), new Peer(family)];
    const endpoint = { family, port: b.port, address: loopback };
    for (let group = 0; group < 150; group++) {
      fill(a.slab, group, group * 2, [48, 48]);
      writeEndpoint(a.slab, group, endpoint);
    }
    expect(native.udpSend(a.handle, a.fd, a.fd, 0, 150, true)).toBe(0);
    expect(b.receive(300).length).toBe(300);
    expect(native.udpSend(a.handle, a.fd, a.fd, 0, 150, false)).toBe(0);
    expect(b.receive(300).length).toBe(300);
    a.close();
    b.close();
  });

  run("has segmentation on this kernel, or says that it has not", () => {
    const a = new Peer(family);
    expect([0, 1]).toContain(native.udpSegments(a.fd));
    expect(native.udpMark(a.fd, 0)).toBe(0);
    a.close();
  });
});

describe("UDP", () => {
  it("sends from the source address it is told", () => {
    const [a, b] = [new Peer(FAMILY_V4), new Peer(FAMILY_V4)];
    fill(a.slab, 0, 0, [64]);
    writeEndpoint(a.slab, 0, {
      family: FAMILY_V4,
      port: b.port,
      address: [127, 0, 0, 3],
      source: [127, 0, 0, 2],
    });
    expect(native.udpSend(a.handle, a.fd, -1, 0, 1, true)).toBe(0);
    const [got] = b.receive(1);
    expect(got?.from).toMatchObject({ address: [127, 0, 0, 2], source: [127, 0, 0, 3] });
    a.close();
    b.close();
  });

  it("reports the error of each group and goes on", () => {
    const [a, b] = [new Peer(FAMILY_V4), new Peer(FAMILY_V4)];
    const good = { family: FAMILY_V4, port: b.port, address: V4_LOOPBACK };
    for (let group = 0; group < 6; group++) {
      fill(a.slab, group, group * 2, [64, 64]);
      writeEndpoint(a.slab, group, good);
    }
    writeEndpoint(a.slab, 1, { ...good, source: [8, 8, 8, 8] }); // not ours
    writeEndpoint(a.slab, 2, { family: FAMILY_V6, port: 9, address: V6_LOOPBACK });
    writeEndpoint(a.slab, 3, { family: 0, port: 9, address: [] });
    a.slab.datagramOffset[9] = slabLayout.end - 10; // group 4
    expect(native.udpSend(a.handle, a.fd, -1, 0, 6, true)).toBe(4);
    const names = [...a.slab.groupStatus.subarray(0, 6)].map(errnoName);
    expect(["EINVAL", "ENETUNREACH", "EADDRNOTAVAIL"]).toContain(names[1]);
    expect(names).toEqual([
      "errno 0",
      names[1],
      "EAFNOSUPPORT",
      "EAFNOSUPPORT",
      "EINVAL",
      "errno 0",
    ]);
    expect(b.receive(4).length).toBe(4);
    a.close();
    b.close();
  });

  it("maps errors of opening", () => {
    const a = new Peer(FAMILY_V4);
    expect(errnoName(native.udpOpen(FAMILY_V4, a.port, 0, -1, false))).toBe("EADDRINUSE");
    expect(errnoName(native.udpOpen(7, 0, 0, -1, false))).toBe("EAFNOSUPPORT");
    expect(errnoName(native.udpOpen(FAMILY_V4, 70_000, 0, -1, false))).toBe("EINVAL");
    expect(errnoName(native.udpOpen(FAMILY_V4, 0, 0, 9999, false))).toBe("EBADF");
    expect(errnoName(native.udpPort(9999))).toBe("EBADF");
    expect(errnoName(native.fdClose(9999))).toBe("EBADF");
    a.close();
    expect(errnoName(native.udpReceive(a.handle, a.fd))).toBe("EBADF");
  });

  it("shares a port when told so", () => {
    const a = native.udpOpen(FAMILY_V4, 0, 0, -1, true);
    const b = native.udpOpen(FAMILY_V4, native.udpPort(a), 0, -1, true);
    expect(b).toBeGreaterThan(0);
    native.fdClose(a);
    native.fdClose(b);
  });

  const root = process.getuid?.() === 0;
  if (!root) console.warn("test of another network namespace skipped: needs root");
  describe.skipIf(!root)("in another network namespace", () => {
    const name = `whnt${process.pid}`;
    const ip = (...args: string[]): string => execFileSync("ip", args, { encoding: "utf8" });
    afterAll(() => {
      ip("netns", "del", name);
    });

    it("opens there and stays here", () => {
      ip("netns", "add", name);
      ip("-n", name, "link", "set", "lo", "up");
      const namespaceFd = openSync(`/run/netns/${name}`, "r");
      const [inside, inside2, here] = [
        new Peer(FAMILY_V4, namespaceFd),
        new Peer(FAMILY_V4, namespaceFd),
        new Peer(FAMILY_V4),
      ];
      closeSync(namespaceFd);
      // The same port is free here, though the one inside has it.
      const twin = native.udpOpen(FAMILY_V4, inside.port, 0, -1, false);
      if (inside.port !== here.port) expect(twin).toBeGreaterThan(0);
      if (twin > 0) native.fdClose(twin);
      fill(inside2.slab, 0, 0, [64]);
      writeEndpoint(inside2.slab, 0, {
        family: FAMILY_V4,
        port: inside.port,
        address: V4_LOOPBACK,
      });
      expect(native.udpSend(inside2.handle, inside2.fd, -1, 0, 1, true)).toBe(0);
      expect(inside.receive(1).length).toBe(1);
      expect(ip("netns", "identify", String(process.pid)).trim()).toBe("");
      for (const peer of [inside, inside2, here]) peer.close();
    });
  });
});
