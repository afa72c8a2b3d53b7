import { describe, expect, it } from "vitest";
import {
  formatAddress,
  formatEndpointText,
  formatPrefix,
  parseAddress,
  parseDecimal,
  parseEndpointText,
  parsePrefix,
} from "../../../src/route/address.ts";

/** What Go 1.26's netip.ParseAddr(...).String() gives, "-" for an error. */
const ADDRESSES: readonly (readonly [string, string])[] = [
  ["1.2.3.4", "1.2.3.4"],
  ["0.0.0.0", "0.0.0.0"],
  ["255.255.255.255", "255.255.255.255"],
  ["256.0.0.1", "-"],
  ["01.2.3.4", "-"],
  ["1.2.3.00", "-"],
  ["1.2.3", "-"],
  ["1.2.3.4.5", "-"],
  ["1.2.3.", "-"],
  [".1.2.3", "-"],
  ["1..2.3", "-"],
  ["1.2.3.4%eth0", "-"],
  [" 1.2.3.4", "-"],
  ["0x1.2.3.4", "-"],
  ["", "-"],
  ["16909060", "-"],
  ["::", "::"],
  ["::1", "::1"],
  ["1::", "1::"],
  ["2001:DB8::0001", "2001:db8::1"],
  ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
  ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
  ["1:0:3:4:5:6:7:8", "1:0:3:4:5:6:7:8"],
  ["0:0:3:4:5:6:7:8", "::3:4:5:6:7:8"],
  ["1:2:3:4:5:6:0:0", "1:2:3:4:5:6::"],
  ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
  ["::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"],
  ["1:2:3:4:5:6:7:8::", "-"],
  ["1::2:3:4:5:6:7:8", "-"],
  ["1:2:3:4:5:6:7", "-"],
  ["1:2:3:4:5:6:7:8:9", "-"],
  ["1::2::3", "-"],
  [":::", "-"],
  [":1", "-"],
  ["1:", "-"],
  ["12345::", "-"],
  ["g::", "-"],
  ["::ffff:1.2.3.4", "::ffff:1.2.3.4"],
  ["::ffff:102:304", "::ffff:1.2.3.4"],
  ["::1.2.3.4", "::102:304"],
  ["1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"],
  ["1:2:3:4:5:1.2.3.4", "-"],
  ["1:2:3:4:5:6:7:1.2.3.4", "-"],
  ["::1.2.3.04", "-"],
  ["::1.2.3.4:5", "-"],
  ["fe80::1%eth0", "fe80::1%eth0"],
  ["fe80::1%3", "fe80::1%3"],
  ["fe80::1%a%b", "fe80::1%a%b"],
  ["fe80::1%", "-"],
  ["%eth0", "-"],
  ["[::1]", "-"],
];

const PREFIXES: readonly (readonly [string, string])[] = [
  ["10.0.0.0/8", "10.0.0.0/8"],
  ["10.1.2.3/8", "10.1.2.3/8"],
  ["0.0.0.0/0", "0.0.0.0/0"],
  ["1.2.3.4/32", "1.2.3.4/32"],
  ["1.2.3.4/33", "-"],
  ["1.2.3.4/", "-"],
  ["1.2.3.4", "-"],
  ["1.2.3.4/08", "-"],
  ["1.2.3.4/00", "-"],
  ["1.2.3.4/+8", "-"],
  ["1.2.3.4/-0", "-"],
  ["1.2.3.4/8 ", "-"],
  ["1.2.3.4/8/8", "-"],
  ["1.2.3.4/99999999999999999999", "-"],
  ["/8", "-"],
  ["::/0", "::/0"],
  ["2001:db8::1/64", "2001:db8::1/64"],
  ["::1/128", "::1/128"],
  ["::1/129", "-"],
  ["::ffff:1.2.3.4/120", "::ffff:1.2.3.4/120"],
  ["fe80::1%eth0/64", "-"],
];

const ENDPOINTS: readonly (readonly [string, string])[] = [
  ["1.2.3.4:51820", "1.2.3.4:51820"],
  ["1.2.3.4:0", "1.2.3.4:0"],
  ["1.2.3.4:00080", "1.2.3.4:80"],
  ["1.2.3.4:65536", "-"],
  ["1.2.3.4:+1", "-"],
  ["1.2.3.4:", "-"],
  ["1.2.3.4", "-"],
  [":51820", "-"],
  ["[1.2.3.4]:51820", "-"],
  ["[::1]:51820", "[::1]:51820"],
  ["::1:51820", "-"],
  ["[::1:51820", "-"],
  ["[]:51820", "-"],
  ["[:51820", "-"],
  ["[::1]51820", "-"],
  ["[fe80::1%eth0]:1", "[fe80::1%eth0]:1"],
  ["[fe80::1%3]:1", "[fe80::1%3]:1"],
  ["[::ffff:1.2.3.4%x]:1", "[::ffff:1.2.3.4%x]:1"],
  ["example.com:51820", "-"],
];

describe("text of addresses, prefixes and endpoints is that of Go's netip", () => {
  it.each(ADDRESSES)("address %j", (text, want) => {
    const parsed = parseAddress(text);
    const scope = parsed?.scope === undefined ? "" : `%${parsed.scope}`;
    const got = parsed && formatAddress(parsed.family, parsed.bytes) + scope;
    expect(got ?? "-").toBe(want);
  });

  it.each(PREFIXES)("prefix %j", (text, want) => {
    const parsed = parsePrefix(text);
    expect(parsed ? formatPrefix(parsed.family, parsed.bytes, parsed.cidr) : "-").toBe(want);
  });

  it.each(ENDPOINTS)("endpoint %j", (text, want) => {
    const parsed = parseEndpointText(text);
    expect(parsed ? formatEndpointText(parsed) : "-").toBe(want);
  });
});

it("gives 16 bytes in network order, IPv4 first and zeros after it", () => {
  const v4 = parseAddress("1.2.3.4")!;
  expect(v4).toEqual({ family: 2, bytes: Uint8Array.from([1, 2, 3, 4, ...Array(12).fill(0)]) });
  const v6 = parseAddress("102:304::f%wg0")!;
  expect(v6).toEqual({
    family: 10,
    bytes: Uint8Array.from([1, 2, 3, 4, ...Array(11).fill(0), 15]),
    scope: "wg0",
  });
  expect(parseAddress("::1")).not.toHaveProperty("scope");
});

it("formats at an offset", () => {
  const bytes = Uint8Array.from([9, 9, 1, 2, 3, 4, ...Array(12).fill(0), 9]);
  expect(formatAddress(2, bytes, 2)).toBe("1.2.3.4");
  expect(formatAddress(10, bytes, 2)).toBe("102:304::");
  expect(formatPrefix(2, bytes, 24, 2)).toBe("1.2.3.4/24");
});

it("parses decimal numbers as Go's ParseUint with base 10", () => {
  expect(parseDecimal("0", 5)).toBe(0);
  expect(parseDecimal("0000000000000000000000005", 5)).toBe(5);
  expect(parseDecimal("6", 5)).toBe(-1);
  expect(parseDecimal("4294967295", 0xffff_ffff)).toBe(0xffff_ffff);
  expect(parseDecimal("4294967296", 0xffff_ffff)).toBe(-1);
  for (const bad of ["", "+1", "-1", " 1", "1 ", "1_0", "0x1", "1.0", "1e1", "１"]) {
    expect(parseDecimal(bad, 0xffff), bad).toBe(-1);
  }
});
