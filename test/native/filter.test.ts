/** What the kernel throws away during a flood, on real sockets. */
import { createSocket, type Socket } from "node:dgram";
import { networkInterfaces } from "node:os";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
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
const slab = new Slab();
const handle = native.slabAttach(slab.buffer);
const COUNT = 2_000;
/** Sent before it is looked at what has arrived: far less than the socket holds. */
const PORTION = 50;

const haveV6 = Object.values(networkInterfaces()).some((list) =>
  list?.some((each) => each.address === "::1"),
);
if (!haveV6) console.warn("shedding over IPv6 skipped: no ::1 on this machine");

let fd = -1;
const senders: Socket[] = [];

afterEach(() => {
  native.fdClose(fd);
  for (const sender of senders.splice(0)) sender.close();
});

function message(type: number, length: number, lastByte = 0): Uint8Array {
  const bytes = new Uint8Array(length);
  bytes[0] = type;
  bytes.fill(0x77, 4, length - 16);
  bytes[length - 1] = lastByte;
  return bytes;
}

const initiation = message(1, 148);

async function senderAt(host: string): Promise<Socket> {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  senders.push(socket);
  await new Promise<void>((resolve) => {
    socket.bind(0, host, resolve);
  });
  return socket;
}

/** How many of `count` arrive. On loopback a datagram is there when its send is done. */
async function arrived(
  sender: Socket,
  to: string,
  bytes: Uint8Array,
  count = COUNT,
): Promise<number> {
  const port = native.udpPort(fd);
  let got = 0;
  for (let sent = 0; sent < count; sent += PORTION) {
    const sends = Array.from(
      { length: Math.min(PORTION, count - sent) },
      () =>
        new Promise<void>((resolve, reject) => {
          sender.send(bytes, port, to, (error) => (error === null ? resolve() : reject(error)));
        }),
    );
    await Promise.all(sends);
    for (;;) {
      const received = native.udpReceive(handle, fd);
      if (received === 0) break;
      got += received;
    }
  }
  return got;
}

/**
 * Which of `parts`, all but the last of one size, arrive `times` times when the kernel gets them as one, as UDP_GRO makes it of
 * what came from one port: on loopback what UDP_SEGMENT sends stays whole.
 */
function arrivedMerged(parts: readonly Uint8Array[], times: number): number {
  const sender = new Slab();
  const sending = native.slabAttach(sender.buffer);
  const from = native.udpOpen(FAMILY_V4, 0, 0, -1, false);
  const record = slabLayout.groupEndpoint.offset;
  sender.bytes.fill(0, record, record + ENDPOINT_BYTES);
  sender.bytes.set([127, 0, 0, 1], record + endpointLayout.address);
  sender.view.setUint16(record + endpointLayout.port, native.udpPort(fd), true);
  sender.bytes[record + endpointLayout.family] = FAMILY_V4;
  let at = slabLayout.composed.offset;
  parts.forEach((part, index) => {
    sender.bytes.set(part, at);
    sender.datagramOffset[index] = at;
    sender.datagramLength[index] = part.length;
    at += part.length;
  });
  sender.groupStart[0] = 0;
  sender.groupCount[0] = parts.length;
  let got = 0;
  for (let sent = 0; sent < times; sent++) {
    expect(native.udpSend(sending, from, -1, 0, 1, true)).toBe(0);
    got += Math.max(0, native.udpReceive(handle, fd));
  }
  native.fdClose(from);
  return got;
}

it("what a full buffer costs is counted", async () => {
  fd = native.udpOpen(FAMILY_V4, 0, 0, -1, false);
  expect(native.udpDropped(fd)).toBe(0);
  const sender = await senderAt("127.0.0.1");
  const large = new Uint8Array(60_000);
  const port = native.udpPort(fd);
  // 60 MB, and 14 are held at most.
  for (let sent = 0; sent < 1_000; sent++) {
    await new Promise<void>((resolve) => {
      sender.send(large, port, "127.0.0.1", () => resolve());
    });
  }
  const dropped = native.udpDropped(fd);
  expect(dropped).toBeGreaterThan(500);
  let got = 0;
  for (let count = native.udpReceive(handle, fd); count > 0; ) {
    got += count;
    count = native.udpReceive(handle, fd);
  }
  expect(got).toBe(1_000 - dropped);
  expect(errnoName(native.udpDropped(9999))).toBe("EBADF");
});

describe("over IPv4", () => {
  beforeEach(() => {
    fd = native.udpOpen(FAMILY_V4, 0, 0, -1, false);
  });

  it("most initiations of the source go, but for a sample; all else stays", async () => {
    const [flood, honest] = [await senderAt("127.0.0.66"), await senderAt("127.0.0.7")];
    const to = "127.0.0.1";
    expect(await arrived(flood, to, initiation)).toBe(COUNT);
    expect(native.udpShed(fd, new Uint8Array([127, 0, 0, 66]))).toBe(0);
    // 31 of 2,000 on average: less than one or more than 100 come once in 10^13 times.
    const sample = await arrived(flood, to, initiation);
    expect(sample).toBeGreaterThan(0);
    expect(sample).toBeLessThan(100);
    expect(native.udpDropped(fd)).toBe(COUNT - sample);
    expect(await arrived(honest, to, initiation)).toBe(COUNT);
    for (const other of [
      message(1, 148, 1),
      message(2, 92),
      message(3, 64),
      message(4, 32),
      message(4, 148),
      message(1, 147),
      new Uint8Array(0),
      new Uint8Array([1]),
    ]) {
      expect(await arrived(flood, to, other, 100)).toBe(100);
    }
    for (const at of [132, 136, 140, 144]) {
      const proven = initiation.slice();
      proven[at] = 1;
      expect(await arrived(flood, to, proven, 100)).toBe(100);
    }
    expect(native.udpShed(fd, new Uint8Array(0))).toBe(0);
    expect(await arrived(flood, to, initiation)).toBe(COUNT);
  });

  it("a new source takes the place of the one before", async () => {
    const [first, second] = [await senderAt("127.0.0.66"), await senderAt("127.0.0.67")];
    native.udpShed(fd, new Uint8Array([127, 0, 0, 66]));
    native.udpShed(fd, new Uint8Array([127, 0, 0, 67]));
    expect(await arrived(first, "127.0.0.1", initiation)).toBe(COUNT);
    expect(await arrived(second, "127.0.0.1", initiation)).toBeLessThan(100);
  });

  it("what the kernel merged is thrown away only if all of it is initiations", () => {
    const [times, transport] = [200, message(4, 96)];
    const mixed = [initiation, initiation, transport];
    expect(arrivedMerged(mixed, times)).toBe(3 * times);
    expect(native.udpShed(fd, new Uint8Array([127, 0, 0, 1]))).toBe(0);
    expect(arrivedMerged(mixed, times)).toBe(3 * times);
    expect(arrivedMerged([initiation, message(2, 92)], times)).toBe(2 * times);
    // Of 200, 3 on average.
    expect(arrivedMerged([initiation, initiation], times)).toBeLessThan(2 * 20);
    // A cookie in the first or the last saves all that came with it.
    const proven = message(1, 148, 1);
    expect(arrivedMerged([initiation, initiation, proven], times)).toBe(3 * times);
    expect(arrivedMerged([proven, initiation], times)).toBe(2 * times);
  });

  it("names what is wrong", () => {
    expect(errnoName(native.udpShed(fd, new Uint8Array(0)))).toBe("ENOENT");
    expect(errnoName(native.udpShed(fd, new Uint8Array(5)))).toBe("EINVAL");
    expect(errnoName(native.udpShed(9999, new Uint8Array(4)))).toBe("EBADF");
    expect(() => native.udpShed(fd, "127.0.0.1" as never)).toThrow(TypeError);
  });
});

describe.skipIf(!haveV6)("over IPv6", () => {
  beforeEach(() => {
    fd = native.udpOpen(FAMILY_V6, 0, 0, -1, false);
  });

  it("the whole address counts: neighbours of the same network stay", async () => {
    const sender = await senderAt("::1");
    const same = new Uint8Array(16);
    same[15] = 1;
    expect(native.udpShed(fd, same)).toBe(0);
    expect(await arrived(sender, "::1", initiation)).toBeLessThan(100);
    expect(await arrived(sender, "::1", message(1, 148, 1), 100)).toBe(100);
    for (const at of [0, 7, 8, 14]) {
      const other = same.slice();
      other[at] = 1;
      expect(native.udpShed(fd, other)).toBe(0);
      expect(await arrived(sender, "::1", initiation, 100)).toBe(100);
    }
  });
});
