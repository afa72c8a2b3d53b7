/**
 * The addon on real TUN interfaces: two of them, each in a namespace of its own, and this test as the wire between
 * them. What the kernel's own TCP and UDP make of our segments and super-packets is the judge.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { closeSync, existsSync, openSync } from "node:fs";
import { createInterface } from "node:readline";
import { setImmediate } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PLAIN_MAX, Slab } from "../../src/bytes/slab.ts";
import { errnoName } from "../../src/io/errno.ts";
import { loadNative } from "../../src/io/load-native.ts";
import { counterNames } from "../../src/io/native.ts";

const native = loadNative();
const able = process.getuid?.() === 0 && existsSync("/dev/net/tun");
if (!able) console.warn("TUN tests skipped: they need root and /dev/net/tun");

const ip = (...args: string[]): string => execFileSync("ip", args, { encoding: "utf8" });
const ALL = 0x67;
const MTU = 1400;
/** Bytes before the packet in what TUN carries. */
const VNET = 1;

/** One end: a TUN in a namespace, its slab, and what it did. */
class End {
  readonly namespace: string;
  readonly name: string;
  readonly fd: number;
  readonly offload: number;
  readonly slab: Slab = new Slab();
  readonly handle = native.slabAttach(this.slab.buffer);
  reads = 0;
  packets = 0;
  runs = 0;
  refused = 0;

  constructor(index: number, wanted: number) {
    this.namespace = `whtt${process.pid}n${index}`;
    this.name = `wht${process.pid % 100_000}n${index}`;
    ip("netns", "add", this.namespace);
    this.fd = native.tunOpen(this.name, false, -1);
    expect(errnoName(Math.min(this.fd, 0))).toBe("errno 0");
    this.offload = native.tunOffload(this.fd, wanted);
    ip("link", "set", this.name, "netns", this.namespace);
    const inside = (...args: string[]): string => ip("-n", this.namespace, ...args);
    inside("link", "set", "lo", "up");
    inside("address", "add", `10.77.0.${index}/24`, "dev", this.name);
    inside("address", "add", `fd77::${index}/64`, "dev", this.name, "nodad");
    inside("link", "set", this.name, "mtu", String(MTU), "up");
  }

  /** Moves everything that waits in this TUN to the other. */
  pumpTo(other: End): number {
    const count = native.tunRead(this.handle, this.fd, MTU, VNET);
    if (count <= 0) return count;
    this.reads++;
    this.packets += count;
    this.runs += this.slab.innerRun[count - 1]! + 1;
    for (let i = 0; i < count; i++) expect(this.slab.innerLength[i]).toBeLessThanOrEqual(MTU);
    for (let from = 0; from < count; from += PLAIN_MAX) {
      const some = Math.min(PLAIN_MAX, count - from);
      this.slab.plainOffset.set(this.slab.innerOffset.subarray(from, from + some));
      this.slab.plainLength.set(this.slab.innerLength.subarray(from, from + some));
      const refused = native.tunWrite(this.handle, other.fd, 0, some, other.offload, VNET);
      expect(refused).toBeGreaterThanOrEqual(0);
      this.refused += refused;
    }
    return count;
  }

  run(role: string, address: string): ChildProcess {
    const script = fileURLToPath(new URL("./traffic.mjs", import.meta.url));
    const command = ["netns", "exec", this.namespace, process.execPath, script, role, address];
    return spawn("ip", command, { stdio: ["ignore", "pipe", "inherit"] });
  }

  counters(): Record<string, number> {
    const values = new Int32Array(counterNames.length);
    native.slabCounters(this.handle, values);
    return Object.fromEntries(counterNames.map((name, index) => [name, values[index]!]));
  }

  close(): void {
    native.fdClose(this.fd);
    ip("netns", "del", this.namespace);
  }
}

const lines = (child: ChildProcess): AsyncIterator<string> =>
  createInterface({ input: child.stdout! })[Symbol.asyncIterator]();

/** Runs server and client over the wire; gives their last lines. */
async function exchange(a: End, b: End, protocol: string, address: string): Promise<unknown[]> {
  let done = false;
  const wire = (async () => {
    const epoll = native.epollOpen();
    native.epollAdd(epoll, a.fd, 0);
    native.epollAdd(epoll, b.fd, 1);
    const events = new Int32Array(8);
    while (!done) {
      native.epollWait(epoll, events, 1);
      a.pumpTo(b);
      b.pumpTo(a);
      await setImmediate();
    }
    native.fdClose(epoll);
  })();
  const server = b.run(`${protocol}-server`, address);
  try {
    const heard = lines(server);
    expect((await heard.next()).value).toBe("ready");
    const client = a.run(`${protocol}-client`, address);
    const [sent, got] = await Promise.all([lines(client).next(), heard.next()]);
    return [sent.value, got.value].map((line) =>
      line === undefined ? undefined : JSON.parse(line),
    );
  } finally {
    server.kill("SIGKILL");
    done = true;
    await wire;
  }
}

describe.skipIf(!able).each([
  { name: "with all offloads", wanted: ALL },
  { name: "with TCP offloads", wanted: 7 },
  { name: "without offloads", wanted: 0 },
])("a wire between two TUNs, $name", ({ wanted }) => {
  let a: End;
  let b: End;
  beforeAll(() => {
    a = new End(1, wanted);
    b = new End(2, wanted);
  });
  afterAll(() => {
    a.close();
    b.close();
  });

  it("has offloads that were asked for", () => {
    expect(a.offload & ~wanted).toBe(0);
    expect(a.offload & 7).toBe(wanted & 7);
    expect(native.tunFlags(a.fd) & 0x4000).toBe(0x4000); // IFF_VNET_HDR
  });

  it.each(["10.77.0.2", "fd77::2"])("carries a TCP stream to %s", async (address) => {
    const before = { packets: a.packets, runs: a.runs };
    const [sent, got] = await exchange(a, b, "tcp", address);
    expect(got).toEqual(sent);
    const each = (a.packets - before.packets) / (a.runs - before.runs);
    if (wanted !== 0) expect(each).toBeGreaterThan(2);
    else expect(each).toBe(1);
    expect([a.counters(), b.counters()]).toEqual(
      [0, 0].map(() => ({ malformed: 0, splitDropped: 0, receivedDropped: 0, checksum: 0 })),
    );
    expect(a.refused + b.refused).toBe(0);
  });

  it.each(["10.77.0.2", "fd77::2"])("carries datagrams to %s", async (address) => {
    const [, got] = await exchange(a, b, "udp", address);
    expect(got).toEqual({ good: 2000, bad: 0 });
    expect(a.refused + b.refused).toBe(0);
  });
});

describe.skipIf(!able)("TUN interfaces", () => {
  it("refuses a name in use, and numbers a pattern", () => {
    const fd = native.tunOpen("whtx%d", false, -1);
    const name = native.tunName(fd) as string;
    expect(name).toMatch(/^whtx\d+$/);
    expect(errnoName(native.tunOpen(name, false, -1))).toBe("EBUSY");
    expect(native.interfaceName(native.interfaceIndex(name))).toBe(name);
    native.fdClose(fd);
    expect(errnoName(native.tunName(fd) as number)).toBe("EBADF");
  });

  it("opens several queues", () => {
    const first = native.tunOpen("whtq%d", true, -1);
    const name = native.tunName(first) as string;
    const second = native.tunOpen(name, true, -1);
    expect(second).toBeGreaterThan(0);
    expect(native.tunFlags(second) & 0x0100).toBe(0x0100); // IFF_MULTI_QUEUE
    native.fdClose(first);
    native.fdClose(second);
  });

  it("makes an interface in another namespace, with all of its queues, and stays here", () => {
    const space = `whtn${process.pid}`;
    ip("netns", "add", space);
    const namespaceFd = openSync(`/run/netns/${space}`, "r");
    const first = native.tunOpen("whtn0", true, namespaceFd);
    expect(first).toBeGreaterThan(0);
    const second = native.tunOpen("whtn0", true, namespaceFd);
    expect(second).toBeGreaterThan(0);
    expect(ip("-n", space, "-o", "link", "show", "whtn0")).toContain("whtn0");
    expect(native.interfaceIndex("whtn0")).toBeLessThan(0);
    // The same name is free here.
    const twin = native.tunOpen("whtn0", false, -1);
    expect(twin).toBeGreaterThan(0);
    expect(errnoName(native.tunOpen("whtn1", false, 9_999))).toBe("EBADF");
    for (const fd of [first, second, twin]) native.fdClose(fd);
    closeSync(namespaceFd);
    ip("netns", "del", space);
  });

  it("follows its interface: flags, MTU, new name, other namespace, deletion", () => {
    const space = `whtm${process.pid}`;
    ip("netns", "add", space);
    const fd = native.tunOpen("whtl%d", false, -1);
    const slab = new Slab();
    const handle = native.slabAttach(slab.buffer);
    native.tunOffload(fd, ALL);
    const link = native.linkOpen(fd);
    const epoll = native.epollOpen();
    const out = new Int32Array(3);
    const events = new Int32Array(8);
    native.epollAdd(epoll, link, 5);
    try {
      const name = native.tunName(fd) as string;
      expect(native.linkQuery(link, fd, out)).toBe(0);
      expect(out[0]).toBe(native.interfaceIndex(name));
      expect(out[1]! & 1).toBe(0);
      expect(out[2]).toBe(1500);
      expect(native.epollWait(epoll, events, 0)).toBe(0);
      ip("link", "set", name, "up", "mtu", "1300");
      expect(native.epollWait(epoll, events, 1000)).toBe(1);
      expect(events[4]).toBe(5);
      expect(native.linkQuery(link, fd, out)).toBe(0);
      expect(out[1]! & 1).toBe(1);
      expect(out[2]).toBe(1300);
      expect(native.linkSetMtu(link, fd, 1380)).toBe(0);
      expect(errnoName(native.linkSetMtu(link, fd, 1))).toBe("EINVAL");
      expect(native.linkQuery(link, fd, out)).toBe(0);
      expect(out[2]).toBe(1380);

      ip("link", "set", name, "down");
      ip("link", "set", name, "name", `${name}r`);
      expect(native.linkQuery(link, fd, out)).toBe(0);
      expect(native.tunName(fd)).toBe(`${name}r`);

      ip("link", "set", `${name}r`, "netns", space);
      // A stranger with the same name stays behind.
      const stranger = native.tunOpen(`${name}r`, false, -1);
      expect(stranger).toBeGreaterThan(0);
      expect(errnoName(native.linkQuery(link, fd, out))).toBe("ENODEV");
      expect(errnoName(native.linkSetMtu(link, fd, 1400))).toBe("ENODEV");
      native.fdClose(stranger);
      const there = native.linkOpen(fd);
      expect(native.linkQuery(there, fd, out)).toBe(0);
      expect(out[2]).toBe(1380);

      // Down: what is written is refused.
      slab.plainOffset[0] = slab.plainOffset[1] = 200_000;
      slab.plainLength[0] = slab.plainLength[1] = 100;
      slab.bytes[200_000] = 0x45;
      expect(native.tunWrite(handle, fd, 0, 2, ALL, 1)).toBe(2);
      while (native.tunRead(handle, fd, 1400, 1) > 0); // what the kernel said while it was up
      expect(native.tunRead(handle, fd, 1400, 1)).toBe(0);

      ip("-n", space, "link", "del", `${name}r`);
      expect(errnoName(native.linkQuery(there, fd, out))).toBe("EBADFD");
      expect(errnoName(native.tunName(fd) as number)).toBe("EBADFD");
      expect(errnoName(native.tunRead(handle, fd, 1400, 1))).toBe("EBADFD");
      expect(errnoName(native.tunWrite(handle, fd, 0, 2, ALL, 1))).toBe("EBADFD");
      native.fdClose(there);
    } finally {
      for (const each of [fd, link, epoll]) native.fdClose(each);
      ip("netns", "del", space);
    }
  });
});
