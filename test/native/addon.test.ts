import { readdirSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import {
  DATAGRAMS_MAX,
  GROUPS_MAX,
  PLAIN_MAX,
  RECEIVED_MAX,
  Slab,
  slabLayout,
} from "../../src/bytes/slab.ts";
import { errnoName } from "../../src/io/errno.ts";
import { abiMismatch, expectedAbi, loadNative, loadNativeFrom } from "../../src/io/load-native.ts";
import type { Native, SlabHandle } from "../../src/io/native.ts";

const native = loadNative();
const key = new Uint8Array(32);

describe("ABI", () => {
  it("is that of slab.ts, number by number", () => {
    expect(native.abi).toEqual(expectedAbi());
    expect(Object.isFrozen(native.abi)).toBe(true);
  });

  it("names what differs", () => {
    const abi = { ...native.abi, "region.inbound": 1 };
    expect(abiMismatch(abi)).toBe(
      `region.inbound is 1 in the addon, ${slabLayout.inbound.offset} here`,
    );
    const { INNER_MAX: _, ...rest } = native.abi;
    expect(abiMismatch(rest)).toBe("INNER_MAX is absent in the addon, 2048 here");
    expect(abiMismatch({ ...native.abi, extra: 4 })).toBe("extra is 4 in the addon, absent here");
    expect(abiMismatch(undefined)).toBe("it reports no abi");
  });

  it("says what to do when it is missing", () => {
    expect(() => loadNativeFrom("/nonexistent/wirehaul.node")).toThrow("npm run build:native");
  });
});

describe("errno", () => {
  it("has names", () => {
    expect(errnoName(-98)).toBe("EADDRINUSE");
    expect(errnoName(98)).toBe("EADDRINUSE");
    expect(errnoName(-77)).toBe("EBADFD");
    expect(errnoName(-11)).toBe("EAGAIN");
    expect(errnoName(-95)).toBe("EOPNOTSUPP");
    expect(errnoName(-4000)).toBe("errno 4000");
  });
});

describe("arguments", () => {
  const slab = new Slab();
  const handle = native.slabAttach(slab.buffer);
  const loose = native as unknown as Record<string, (...args: unknown[]) => unknown>;

  it.each<[string, unknown[]]>([
    ["slabAttach", []],
    ["slabAttach", [new ArrayBuffer(8)]],
    ["slabAttach", [new SharedArrayBuffer(slabLayout.end)]],
    ["slabAttach", [new Uint8Array(slabLayout.end)]],
    ["seal", [{}, key, 0, 0]],
    ["seal", [undefined, key, 0, 0]],
    ["seal", [null, key, 0, 0]],
    // Not Object.create(handle): on Node 24 an external of Node-API as a prototype ends the process, before any code of ours.
    ["seal", [new Proxy(handle, {}), key, 0, 0]],
    ["seal", [handle, new Int8Array(32), 0, 0]],
    ["seal", [handle, "key", 0, 0]],
    ["seal", [handle, key, "0", 0]],
    ["seal", [handle, key, 0.5, 0]],
    ["seal", [handle, key, Number.NaN, 0]],
    ["seal", [handle, key, 2 ** 31, 0]],
    ["seal", [handle, key, Number.POSITIVE_INFINITY, 0]],
    ["seal", [handle, key]],
    ["open", [handle, key, 0n, 0]],
    ["forget", []],
    ["slabCounters", [handle, new Uint8Array(16)]],
    ["tunOpen", ["sixteen-bytes-is", false, -1]],
    ["tunOpen", ["a\0b", false, -1]],
    ["tunOpen", ["€€€€€€", false, -1]],
    ["tunOpen", ["a", 1, -1]],
    ["tunOpen", ["a", false]],
    ["tunRead", [handle, 0, -1, 0]],
    ["udpOpen", [2, 0, -1, -1, false]],
    ["udpOpen", [2, 0, 2 ** 32, -1, false]],
    ["udpSend", [handle, -1, -1, 0, 0, 0]],
    ["epollWait", [0, [], 0]],
    ["epollWait", [0, new Int32Array(2), "1"]],
    ["interfaceIndex", [1]],
    ["peerCredentials", ["1", new Int32Array(3)]],
    ["peerCredentials", [0, new Uint8Array(12)]],
    ["fdClose", []],
  ])("%s refuses arguments of the wrong type (%#)", (name, args) => {
    expect(() => loose[name]!(...args)).toThrow(TypeError);
  });

  it("refuses a handle whose buffer was transferred", () => {
    const other = new Slab();
    const its = native.slabAttach(other.buffer);
    expect(native.seal(its, key, 0, 0)).toBe(0);
    structuredClone(other.buffer, { transfer: [other.buffer] });
    expect(() => native.seal(its, key, 0, 0)).toThrow(TypeError);
  });

  it.each<[string, number, (first: number, count: number) => number]>([
    ["seal", DATAGRAMS_MAX, (first, count) => native.seal(handle, key, first, count)],
    ["open", RECEIVED_MAX, (first, count) => native.open(handle, key, first, count)],
    ["tunWrite", PLAIN_MAX, (first, count) => native.tunWrite(handle, -1, first, count, 0, 1)],
    ["udpSend", GROUPS_MAX, (first, count) => native.udpSend(handle, -1, -1, first, count, true)],
    ["probeMerge", PLAIN_MAX, (first, count) => native.probeMerge(handle, first, count, 7, key)],
  ])("%s refuses ranges outside its list", (_, size, call) => {
    for (const [first, count] of [
      [0, size + 1],
      [size, 1],
      [-1, 1],
      [0, -1],
      [2 ** 31 - 1, 2 ** 31 - 1],
      [1, 2 ** 31 - 1],
      [-(2 ** 31), -(2 ** 31)],
    ] as const) {
      expect(errnoName(call(first, count))).toBe("EINVAL");
    }
    expect(call(size, 0)).toBe(0);
  });

  it("refuses packets outside the data regions", () => {
    for (const [offset, length] of [
      [slabLayout.end - 99, 100],
      [slabLayout.end, 1],
      [-16, 100],
      [0, 100],
      [slabLayout.inbound.offset - 1, 100],
      [slabLayout.inbound.offset, -1],
      [slabLayout.inbound.offset, 2 ** 31 - 1],
      [2 ** 31 - 1, 2 ** 31 - 1],
    ] as const) {
      slab.datagramOffset[5] = slab.receivedOffset[5] = slab.plainOffset[5] = offset;
      slab.datagramLength[5] = slab.receivedLength[5] = slab.plainLength[5] = length;
      expect(errnoName(native.seal(handle, key, 5, 1))).toBe("EINVAL");
      expect(errnoName(native.open(handle, key, 5, 1))).toBe("EINVAL");
      expect(errnoName(native.tunWrite(handle, -1, 5, 1, 0x67, 1))).toBe("EINVAL");
    }
    slab.datagramOffset[5] = slabLayout.outbound.offset;
    slab.datagramLength[5] = 31;
    expect(errnoName(native.seal(handle, key, 5, 1))).toBe("EINVAL");
    expect(errnoName(native.seal(handle, new Uint8Array(31), 0, 0))).toBe("EINVAL");
  });
});

describe("waiting", () => {
  it("reports tags and events, drains, and times out in fractions of a millisecond", () => {
    const [epoll, event, other] = [native.epollOpen(), native.eventOpen(), native.eventOpen()];
    const out = new Int32Array(8);
    const clocks = new Float64Array(out.buffer, 0, 2);
    expect(native.epollAdd(epoll, event, -7)).toBe(0);
    expect(native.epollAdd(epoll, other, 2 ** 31 - 1)).toBe(0);
    expect(errnoName(native.epollAdd(epoll, event, 1))).toBe("EEXIST");
    expect(native.epollWait(epoll, out, 0)).toBe(0);
    native.eventSignal(event);
    native.eventSignal(event);
    expect(native.epollWait(epoll, out, -1)).toBe(1);
    expect([...out.subarray(4, 6)]).toEqual([-7, 1]);
    native.eventSignal(other);
    expect(native.epollWait(epoll, out, 5)).toBe(2);
    native.eventDrain(event);
    expect(native.eventDrain(event)).toBe(0);
    expect(native.epollWait(epoll, out, 5)).toBe(1);
    expect(out[4]).toBe(2 ** 31 - 1);
    native.eventDrain(other);
    const begin = native.bootTimeMs();
    for (let i = 0; i < 20; i++) expect(native.epollWait(epoll, out, 0.2)).toBe(0);
    const took = native.bootTimeMs() - begin;
    expect(took).toBeGreaterThanOrEqual(4);
    expect(took).toBeLessThan(1000);
    // The clocks are those of the end of the last wait.
    expect(clocks[0]).toBeGreaterThanOrEqual(begin + 4);
    expect(clocks[0]).toBeLessThanOrEqual(begin + took);
    expect(Math.abs(clocks[1]! - Date.now())).toBeLessThan(1000);
    expect(errnoName(native.epollWait(epoll, out.subarray(0, 5), 0))).toBe("EINVAL");
    expect(errnoName(native.epollWait(epoll, out.subarray(1), 0))).toBe("EINVAL");
    expect(native.epollRemove(epoll, event)).toBe(0);
    native.eventSignal(event);
    expect(native.epollWait(epoll, out, 0)).toBe(0);
    for (const fd of [epoll, event, other]) expect(native.fdClose(fd)).toBe(0);
    expect(errnoName(native.epollWait(epoll, out, 0))).toBe("EBADF");
  });

  it("leaks no descriptor", () => {
    const descriptors = (): number => readdirSync("/proc/self/fd").length;
    const round = (): void => {
      const fds = [
        native.epollOpen(),
        native.eventOpen(),
        native.udpOpen(2, 0, 0, -1, false),
        native.udpOpen(10, 0, 0, -1, false),
        native.linkOpen(-1),
      ];
      const port = native.udpPort(fds[2]!);
      expect(native.udpOpen(2, port, 0, -1, false)).toBeLessThan(0);
      expect(native.tunName(fds[0]!)).toBeLessThan(0);
      native.tunOpen("lo", false, -1);
      for (const fd of fds) if (fd >= 0) native.fdClose(fd);
    };
    round();
    const before = descriptors();
    for (let i = 0; i < 200; i++) round();
    expect(descriptors()).toBe(before);
  });

  it("knows interfaces by name and number", () => {
    const index = native.interfaceIndex("lo");
    expect(index).toBeGreaterThan(0);
    expect(native.interfaceName(index)).toBe("lo");
    expect(errnoName(native.interfaceIndex("no-such"))).toBe("ENODEV");
    expect(errnoName(native.interfaceName(2 ** 31 - 1) as number)).toBe("ENXIO");
  });

  it("sets and clears close-on-exec", () => {
    const fd = native.eventOpen();
    expect(native.fdCloseOnExec(fd, false)).toBe(0);
    expect(native.fdCloseOnExec(fd, true)).toBe(0);
    native.fdClose(fd);
    expect(errnoName(native.fdCloseOnExec(fd, true))).toBe("EBADF");
  });
});

const worker = (data: unknown): Worker =>
  new Worker(new URL("./worker.mjs", import.meta.url), { workerData: data });
const next = (from: Worker): Promise<unknown> =>
  new Promise((resolve, reject) => {
    from.once("message", resolve);
    from.once("error", reject);
  });

describe("workers", () => {
  it("load it many at a time, each with its own state", async () => {
    const workers = Array.from({ length: 6 }, (_, index) => worker({ task: "seal", index }));
    const results = await Promise.all(workers.map(next));
    expect(results).toEqual(workers.map((_, index) => index));
    await Promise.all(workers.map((each) => each.terminate()));
  });

  it("end while they wait, when woken", async () => {
    for (let round = 0; round < 5; round++) {
      const event = native.eventOpen();
      const waiting = worker({ task: "wait", event });
      expect(await next(waiting)).toBe("waiting");
      const ended = waiting.terminate();
      native.eventSignal(event);
      await ended;
      native.fdClose(event);
    }
  });

  it("free their slabs when they end", async () => {
    const resident = (): number => process.memoryUsage().rss;
    for (let i = 0; i < 3; i++) await next(worker({ task: "attach" }));
    const before = resident();
    for (let i = 0; i < 10; i++) {
      const each = worker({ task: "attach" });
      await next(each);
      await each.terminate();
    }
    expect(resident() - before).toBeLessThan(150 << 20); // ten times forty slabs of 2 MiB would be 800
  });

  it("load it twice in one thread", () => {
    const again: Native = loadNativeFrom(
      process.env["WIREHAUL_NATIVE"] ??
        new URL("../../native/build/wirehaul.node", import.meta.url).pathname,
    );
    const handle: SlabHandle = again.slabAttach(new Slab().buffer);
    expect(again.seal(handle, key, 0, 0)).toBe(0);
  });
});
