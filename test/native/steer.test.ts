/** The program that steers datagrams among sockets that share a port, on real sockets. */
import { createSocket, type Socket } from "node:dgram";
import { networkInterfaces } from "node:os";
import { afterEach, describe, expect, it } from "vitest";
import { FAMILY_V4, FAMILY_V6, Slab } from "../../src/bytes/slab.ts";
import { errnoName } from "../../src/io/errno.ts";
import { loadNative } from "../../src/io/load-native.ts";
import { laneOfIndex } from "../../src/tunnel/siblings.ts";

const native = loadNative();
const slab = new Slab();
const handle = native.slabAttach(slab.buffer);
const WITHIN_MS = 2_000;

const haveV6 = Object.values(networkInterfaces()).some((list) =>
  list?.some((each) => each.address === "::1"),
);
if (!haveV6) console.warn("steering over IPv6 skipped: no ::1 on this machine");

let opened: number[] = [];
let sender: Socket | undefined;

afterEach(() => {
  for (const fd of opened) native.fdClose(fd);
  opened = [];
  sender?.close();
  sender = undefined;
});

/** Sockets that share a port, steered. */
function group(family: number, lanes: number): number[] {
  const first = native.udpOpen(family, 0, 0, -1, true);
  opened.push(first);
  expect(native.udpSteer(first, lanes)).toBe(0);
  while (opened.length < lanes) {
    opened.push(native.udpOpen(family, native.udpPort(first), 0, -1, true));
  }
  return opened;
}

function message(type: number, length: number, indexAt: number, index: number): Uint8Array {
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, 0xdddd_dddd, true);
  view.setUint32(indexAt, index, true);
  return bytes;
}

/** On which of the sockets it arrives. */
async function landing(fds: readonly number[], bytes: Uint8Array, host: string): Promise<number> {
  const socket = sender ?? createSocket(host === "::1" ? "udp6" : "udp4");
  sender = socket;
  await new Promise<void>((resolve, reject) => {
    socket.send(bytes, native.udpPort(fds[0]!), host, (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
  const end = Date.now() + WITHIN_MS;
  while (Date.now() < end) {
    const lane = fds.findIndex((fd) => native.udpReceive(handle, fd) === 1);
    if (lane >= 0) return lane;
  }
  throw new Error("it did not arrive");
}

describe.each([
  { name: "IPv4", family: FAMILY_V4, host: "127.0.0.1", skip: false },
  { name: "IPv6", family: FAMILY_V6, host: "::1", skip: !haveV6 },
])("over $name", ({ family, host, skip }) => {
  const run = it.skipIf(skip);

  run.each([2, 3, 7])(
    "each type goes to the lane of its receiver index, with %i lanes",
    async (lanes) => {
      const fds = group(family, lanes);
      for (const least of [0, 1, 2, 3, 5, 127, 128, 254, 255]) {
        const index = (0xa1b2_c300 | least) >>> 0;
        const lane = laneOfIndex(index, lanes);
        expect(await landing(fds, message(2, 92, 8, index), host)).toBe(lane);
        expect(await landing(fds, message(3, 64, 4, index), host)).toBe(lane);
        expect(await landing(fds, message(4, 32, 4, index), host)).toBe(lane);
        expect(await landing(fds, message(1, 148, 4, index), host)).toBe(0);
      }
    },
  );

  run("what is too short for an index goes to the first", async () => {
    const fds = group(family, 4);
    for (const bytes of [[], [4], [2, 0, 0, 0, 9, 9, 9, 9], [4, 0, 0, 0]]) {
      expect(await landing(fds, new Uint8Array(bytes), host)).toBe(0);
    }
  });
});

it("names what is wrong", () => {
  const [fd = -1] = group(FAMILY_V4, 1);
  expect(errnoName(native.udpSteer(fd, 0))).toBe("EINVAL");
  expect(errnoName(native.udpSteer(fd, 65))).toBe("EINVAL");
  expect(errnoName(native.udpSteer(9999, 2))).toBe("EBADF");
  const alone = native.udpOpen(FAMILY_V4, 0, 0, -1, false);
  opened.push(alone);
  expect(native.udpSteer(alone, 2)).toBeLessThan(0);
});
