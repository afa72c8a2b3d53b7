import { describe, expect, it } from "vitest";
import { ENDPOINT_BYTES, endpointLayout, FAMILY_V4, FAMILY_V6 } from "../../../src/bytes/slab.ts";
import { parseAddress } from "../../../src/route/address.ts";
import {
  copySource,
  RateLimit,
  SOURCE_BYTES_MAX,
  SOURCES_MAX,
} from "../../../src/session/rate-limit.ts";

function record(address: string, port = 1): Uint8Array {
  const bytes = new Uint8Array(ENDPOINT_BYTES);
  const view = new DataView(bytes.buffer);
  const parsed = parseAddress(address);
  if (parsed === undefined) throw new Error(`no address: ${address}`);
  view.setUint16(endpointLayout.family, parsed.family === 2 ? FAMILY_V4 : FAMILY_V6, true);
  view.setUint16(endpointLayout.port, port, true);
  bytes.set(parsed.bytes, endpointLayout.address);
  return bytes;
}

function allowed(limit: RateLimit, source: Uint8Array, now: number, tries: number): number {
  let count = 0;
  for (let i = 0; i < tries; i++) if (limit.allow(source, 0, now)) count++;
  return count;
}

describe("RateLimit", () => {
  it("lets five through at once and then one every 50 ms", () => {
    const limit = new RateLimit();
    const source = record("192.0.2.1");
    expect(allowed(limit, source, 1_000, 20)).toBe(5);
    expect(allowed(limit, source, 1_049, 20)).toBe(0);
    expect(allowed(limit, source, 1_050, 20)).toBe(1);
    expect(allowed(limit, source, 1_200, 20)).toBe(3);
    // Never more than five, however long it was quiet.
    expect(allowed(limit, source, 1_900, 20)).toBe(5);
  });

  it("has the rate and burst that it is made with", () => {
    const limit = new RateLimit(100, 20);
    const source = record("192.0.2.1");
    expect(allowed(limit, source, 1_000, 50)).toBe(20);
    expect(allowed(limit, source, 1_009, 50)).toBe(0);
    expect(allowed(limit, source, 1_010, 50)).toBe(1);
  });

  it("tells an IPv4 address from an IPv6 prefix of the same bytes", () => {
    const limit = new RateLimit(1, 1);
    expect(limit.allow(record("0.0.0.0"), 0, 1_000)).toBe(true);
    expect(limit.allow(record("::"), 0, 1_000)).toBe(true);
    expect(limit.allow(record("0:0:0:1::"), 0, 1_000)).toBe(true);
    expect(limit.allow(record("255.255.255.255"), 0, 1_000)).toBe(true);
    expect(limit.size).toBe(4);
  });

  it("gives 20 per second to who keeps trying", () => {
    const limit = new RateLimit();
    const source = record("192.0.2.1");
    let count = 0;
    for (let now = 0; now < 10_000; now += 1) count += allowed(limit, source, now, 1);
    expect(count).toBe(5 + 199);
  });

  it("counts IPv4 by address and IPv6 by /64, whatever the port", () => {
    const limit = new RateLimit();
    expect(allowed(limit, record("192.0.2.1", 1), 0, 5)).toBe(5);
    expect(allowed(limit, record("192.0.2.1", 2), 0, 5)).toBe(0);
    expect(allowed(limit, record("192.0.2.2"), 0, 5)).toBe(5);
    expect(allowed(limit, record("2001:db8:0:1::1"), 0, 5)).toBe(5);
    expect(allowed(limit, record("2001:db8:0:1:ffff::1"), 0, 5)).toBe(0);
    expect(allowed(limit, record("2001:db8:0:2::1"), 0, 5)).toBe(5);
    // The same first bytes in another family are another source.
    expect(allowed(limit, record("c000:201::"), 0, 5)).toBe(5);
  });

  it("remembers a bounded number of sources, and forgets them after a second", () => {
    const limit = new RateLimit();
    const source = record("10.0.0.0");
    for (let i = 0; i < SOURCES_MAX; i++) {
      source[endpointLayout.address + 2] = i >>> 8;
      source[endpointLayout.address + 3] = i & 0xff;
      expect(limit.allow(source, 0, 5)).toBe(true);
    }
    expect(limit.size).toBe(SOURCES_MAX);
    expect(limit.allow(record("203.0.113.1"), 0, 5)).toBe(false);
    expect(limit.allow(record("203.0.113.1"), 0, 1_006)).toBe(true);
    expect(limit.size).toBe(1);
  });
});

describe("copySource", () => {
  it("is the address, then the port in network order", () => {
    const out = new Uint8Array(SOURCE_BYTES_MAX);
    expect([...copySource(out, record("192.0.2.7", 0x1234), 0)]).toEqual([
      192, 0, 2, 7, 0x12, 0x34,
    ]);
    const v6 = copySource(out, record("2001:db8::7", 0x1234), 0);
    expect(v6).toHaveLength(18);
    expect([...v6.subarray(14)]).toEqual([0, 7, 0x12, 0x34]);
  });
});
