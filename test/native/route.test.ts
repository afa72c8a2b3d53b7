/** Routes: which interface a packet would leave by, and the word that they have changed, in a namespace with two cables. */
import { execFileSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ENDPOINT_BYTES, endpointLayout } from "../../src/bytes/slab.ts";
import { errnoName } from "../../src/io/errno.ts";
import { loadNative } from "../../src/io/load-native.ts";
import { parseAddress } from "../../src/route/address.ts";

const native = loadNative();

/** An endpoint record that goes to an address, and from one. */
function record(target: string, source?: string): Uint8Array {
  const bytes = new Uint8Array(ENDPOINT_BYTES);
  const to = parseAddress(target)!;
  new DataView(bytes.buffer).setUint16(endpointLayout.family, to.family, true);
  bytes.set(to.bytes, endpointLayout.address);
  if (source !== undefined) bytes.set(parseAddress(source)!.bytes, endpointLayout.source);
  return bytes;
}

describe("arguments", () => {
  it("are checked", () => {
    const fd = native.routesOpen(-1, false);
    expect(fd).toBeGreaterThan(0);
    expect(errnoName(native.routeInterface(fd, new Uint8Array(47), 0))).toBe("EINVAL");
    const nowhere = new Uint8Array(ENDPOINT_BYTES);
    expect(errnoName(native.routeInterface(fd, nowhere, 0))).toBe("EAFNOSUPPORT");
    expect(native.routeInterface(fd, record("127.0.0.1"), 0)).toBe(native.interfaceIndex("lo"));
    expect(errnoName(native.routeInterface(9999, record("127.0.0.1"), 0))).toBe("EBADF");
    expect(errnoName(native.routesDrain(9999))).toBe("EBADF");
    expect(errnoName(native.routesOpen(9999, true))).toBe("EBADF");
    native.fdClose(fd);
  });
});

const root = process.getuid?.() === 0;
if (!root) console.warn("tests of routes in a namespace skipped: they need root");
describe.skipIf(!root)("in a namespace with two cables", () => {
  const name = `whrt${process.pid}`;
  const ip = (text: string): string =>
    execFileSync("ip", ["-n", name, ...text.split(" ")], { encoding: "utf8" });
  const indexOf = (link: string): number =>
    (JSON.parse(ip(`-j link show dev ${link}`)) as { ifindex: number }[])[0]!.ifindex;
  let namespaceFd = -1;
  let asking = -1;
  let watching = -1;
  let one = 0;
  let two = 0;
  const ask = (target: string, source?: string, mark = 0): number =>
    native.routeInterface(asking, record(target, source), mark);

  beforeAll(() => {
    execFileSync("ip", ["netns", "add", name]);
    for (const number of [1, 2]) {
      ip(`link add c${number} type veth peer name d${number}`);
      ip(`address add 192.0.${number}.1/24 dev c${number}`);
      ip(`address add 2001:db8:${number}::1/64 dev c${number} nodad`);
      for (const end of ["c", "d"]) ip(`link set ${end}${number} up`);
    }
    namespaceFd = openSync(`/run/netns/${name}`, "r");
    asking = native.routesOpen(namespaceFd, false);
    watching = native.routesOpen(namespaceFd, true);
    [one, two] = [indexOf("c1"), indexOf("c2")];
  });
  afterAll(() => {
    for (const fd of [asking, watching]) native.fdClose(fd);
    closeSync(namespaceFd);
    execFileSync("ip", ["netns", "del", name]);
  });

  it("names the interface by target, metric, source and mark", () => {
    expect([one, two].includes(0) || one === two).toBe(false);
    expect(ask("192.0.1.9")).toBe(one);
    expect(ask("2001:db8:2::9")).toBe(two);
    expect(errnoName(ask("198.51.100.1"))).toBe("ENETUNREACH");
    expect(errnoName(ask("2001:db8:f::1"))).toBe("ENETUNREACH");
    for (const [family, gateway] of [
      ["-4", "192.0.N.9"],
      ["-6", "2001:db8:N::9"],
    ] as const) {
      const target = family === "-4" ? "198.51.100.1" : "2001:db8:f::1";
      const [own1, own2] =
        family === "-4" ? ["192.0.1.1", "192.0.2.1"] : ["2001:db8:1::1", "2001:db8:2::1"];
      const via = (cable: number): string =>
        `via ${gateway.replace("N", `${cable}`)} dev c${cable}`;
      ip(`${family} route add default ${via(2)} metric 200`);
      expect(ask(target)).toBe(two);
      ip(`${family} route add default ${via(1)} metric 100`);
      expect(ask(target)).toBe(one);
      // The address is no rule for the way out, but where there is one.
      expect(ask(target, own2)).toBe(one);
      ip(`${family} route add default ${via(2)} table 7`);
      ip(`${family} rule add from ${own2} table 7`);
      expect([ask(target, own2), ask(target, own1), ask(target)]).toEqual([two, one, one]);
      ip(`${family} rule add fwmark 5 table 7`);
      expect([ask(target, own1, 5), ask(target, own1, 6)]).toEqual([two, one]);
      ip(`${family} route add blackhole ${target}`);
      expect(ask(target)).toBeLessThan(0);
    }
    expect(ask("192.0.1.9", "203.0.113.7")).toBeLessThan(0);
  });

  it.each([
    ["IPv4 route", "-4 route add 203.0.113.1 dev c1", "-4 route del 203.0.113.1 dev c1"],
    ["IPv6 route", "-6 route add 2001:db8:e::/64 dev c1", "-6 route del 2001:db8:e::/64 dev c1"],
    ["IPv4 rule", "-4 rule add fwmark 9 table 9", "-4 rule del fwmark 9 table 9"],
    ["IPv6 rule", "-6 rule add fwmark 9 table 9", "-6 rule del fwmark 9 table 9"],
  ])("tells of a change: %s", (_, add, remove) => {
    const epoll = native.epollOpen();
    const out = new Int32Array(8);
    expect(native.epollAdd(epoll, watching, 3)).toBe(0);
    expect(native.routesDrain(watching)).toBe(0);
    expect(native.epollWait(epoll, out, 0)).toBe(0);
    for (const change of [add, remove]) {
      ip(change);
      expect(native.epollWait(epoll, out, 5_000)).toBe(1);
      expect(native.routesDrain(watching)).toBe(0);
      expect(native.epollWait(epoll, out, 0)).toBe(0);
    }
    native.fdClose(epoll);
  });

  it("tells of one change that did not fit the buffer", () => {
    const lines = Array.from(
      { length: 4_000 },
      (_, i) => `route add 10.${i >> 8}.${i & 255}.0/24 dev c1`,
    );
    execFileSync("ip", ["-n", name, "-batch", "-"], { input: lines.join("\n") });
    expect(native.routesDrain(watching)).toBe(0);
    expect(ask("10.3.7.1")).toBe(one);
  });
});
