/** Prefixes as values, against plain arithmetic. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  addressText,
  cidrOf,
  contains,
  formatCidr,
  hostOf,
  isNetwork,
  networkOf,
  overlaps,
  parseCidr,
  sizeOf,
} from "../../../../src/control/model/cidr.ts";

const v4 = fc.tuple(fc.nat(0xffff_ffff), fc.integer({ min: 0, max: 32 }));

function text([address, length]: readonly [number, number]): string {
  const bytes = [24, 16, 8, 0].map((shift) => (address >>> shift) & 255);
  return `${bytes.join(".")}/${length}`;
}

/** First and last address. */
function span([address, length]: readonly [number, number]): readonly [number, number] {
  const size = 2 ** (32 - length);
  const first = Math.floor(address / size) * size;
  return [first, first + size - 1];
}

describe("prefixes", () => {
  it("contain and overlap as spans of addresses do", () => {
    fc.assert(
      fc.property(v4, v4, (a, b) => {
        const [one, two] = [cidrOf(text(a)), cidrOf(text(b))];
        const [[firstA, lastA], [firstB, lastB]] = [span(a), span(b)];
        expect(contains(one, two)).toBe(firstA <= firstB && lastA >= lastB);
        expect(overlaps(one, two)).toBe(firstA <= lastB && firstB <= lastA);
        expect(isNetwork(one)).toBe(a[0] === firstA);
        expect(formatCidr(networkOf(one))).toBe(text([firstA, a[1]]));
        expect(sizeOf(one)).toBe(lastA - firstA + 1);
      }),
    );
  });

  it("number their hosts", () => {
    expect(formatCidr(hostOf(cidrOf("10.1.2.9/24"), 1))).toBe("10.1.2.1/24");
    expect(formatCidr(hostOf(cidrOf("100.127.0.0/16"), 65_535))).toBe("100.127.255.255/16");
    expect(formatCidr(hostOf(cidrOf("fd00::/64"), 0x1_0002))).toBe("fd00::1:2/64");
    expect(() => hostOf(cidrOf("10.1.2.0/24"), 256)).toThrow(
      /10\.1\.2\.0\/24 has no host number 256/,
    );
  });

  it("are refused where they are none; an address alone has its full length", () => {
    for (const bad of ["", "10.0.0.0/33", "10.0.0/8", "fd00::/129", "fe80::1%eth0", "x"]) {
      expect(parseCidr(bad), bad).toBeUndefined();
    }
    expect(formatCidr(cidrOf("10.0.0.1"))).toBe("10.0.0.1/32");
    expect(addressText(cidrOf("FD00:0::1/64"))).toBe("fd00::1");
    expect(contains(cidrOf("0.0.0.0/0"), cidrOf("fd00::/64"))).toBe(false);
  });
});
