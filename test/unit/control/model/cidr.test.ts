import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Cidr,
  contains,
  formatCidr,
  hostAddress,
  networkOf,
  overlaps,
  parseCidr,
  parseHost,
} from "../../../../src/control/model/cidr.ts";

function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
}

describe("cidr", () => {
  it.each([
    "10.1.2.3/24",
    "0.0.0.0/0",
    "255.255.255.255/32",
    "fd00::1/64",
    "::/0",
    "2001:db8::/128",
  ])("%s comes back as it was", (text) => expect(formatCidr(cidr(text))).toBe(text));

  it.each(["10.1.2.3", "10.1.2/24", "10.1.2.3/33", "fd00::1/129", "fe80::1%eth0/64", "", "x/1"])(
    "%s is none",
    (text) => expect(parseCidr(text)).toBeUndefined(),
  );

  it("hosts have the full length, and no scope", () => {
    expect(parseHost("10.0.0.1")?.length).toBe(32);
    expect(parseHost("fe80::1")?.length).toBe(128);
    expect(parseHost("fe80::1%eth0")).toBeUndefined();
  });

  it("the nth address, within the prefix only", () => {
    expect(hostAddress(cidr("10.1.2.77/24"), 1)).toBe("10.1.2.1");
    expect(hostAddress(cidr("10.1.2.0/24"), 255)).toBe("10.1.2.255");
    expect(hostAddress(cidr("10.1.2.0/24"), 256)).toBeUndefined();
    expect(hostAddress(cidr("10.1.2.0/24"), -1)).toBeUndefined();
    expect(hostAddress(cidr("fd00:1::/64"), 0xffff_ffffn)).toBe("fd00:1::ffff:ffff");
  });

  it("containing and overlapping", () => {
    expect(contains(cidr("10.0.0.0/8"), cidr("10.255.0.1/16"))).toBe(true);
    expect(contains(cidr("10.255.0.0/16"), cidr("10.0.0.0/8"))).toBe(false);
    expect(overlaps(cidr("10.255.0.0/16"), cidr("10.0.0.0/8"))).toBe(true);
    expect(overlaps(cidr("10.0.0.0/24"), cidr("10.0.1.0/24"))).toBe(false);
    expect(overlaps(cidr("0.0.0.0/0"), cidr("::/0"))).toBe(false);
  });

  it("a prefix contains its network, its first and its last address and no more", () => {
    const any = fc.tuple(
      fc.bigInt({ min: 0n, max: (1n << 32n) - 1n }),
      fc.integer({ min: 1, max: 32 }),
    );
    fc.assert(
      fc.property(any, ([address, length]) => {
        const prefix: Cidr = { family: 4, address, length };
        const first = networkOf(prefix).address;
        const size = 1n << BigInt(32 - length);
        const at = (value: bigint): Cidr => ({ family: 4, address: value, length: 32 });
        expect(contains(prefix, at(first))).toBe(true);
        expect(contains(prefix, at(first + size - 1n))).toBe(true);
        if (first > 0n) expect(contains(prefix, at(first - 1n))).toBe(false);
        if (first + size < 1n << 32n) expect(contains(prefix, at(first + size))).toBe(false);
      }),
    );
  });
});
