import { describe, expect, it } from "vitest";
import { formatPrefix, parseAddress, parsePrefix } from "../../../src/route/address.ts";
import { AllowedIps, PEER_ID_MAX } from "../../../src/route/allowed-ips.ts";

function insert(trie: AllowedIps, text: string, peer: number): void {
  const { family, bytes, cidr } = parsePrefix(text)!;
  trie.insert(family, bytes, 0, cidr, peer);
}

function remove(trie: AllowedIps, text: string, peer: number): boolean {
  const { family, bytes, cidr } = parsePrefix(text)!;
  return trie.remove(family, bytes, 0, cidr, peer);
}

function lookup(trie: AllowedIps, text: string): number {
  const { family, bytes } = parseAddress(text)!;
  return family === 2 ? trie.lookup4At(bytes, 0) : trie.lookup6At(bytes, 0);
}

function list(trie: AllowedIps, peer: number): string[] {
  return trie.entries(peer).map(({ family, bytes, cidr }) => formatPrefix(family, bytes, cidr));
}

describe("look-ups", () => {
  it("find nothing in an empty table", () => {
    const trie = new AllowedIps();
    expect(lookup(trie, "10.0.0.1")).toBe(-1);
    expect(lookup(trie, "::1")).toBe(-1);
    expect(trie.size).toBe(0);
  });

  it("prefer the longest prefix", () => {
    const trie = new AllowedIps();
    insert(trie, "0.0.0.0/0", 0);
    insert(trie, "10.0.0.0/8", 1);
    insert(trie, "10.1.0.0/16", 2);
    insert(trie, "10.1.2.3/32", 3);
    expect(lookup(trie, "192.0.2.1")).toBe(0);
    expect(lookup(trie, "10.255.255.255")).toBe(1);
    expect(lookup(trie, "10.1.255.255")).toBe(2);
    expect(lookup(trie, "10.1.2.3")).toBe(3);
    expect(lookup(trie, "10.1.2.2")).toBe(2);
  });

  it("do so in IPv6, at every border of a word", () => {
    const trie = new AllowedIps();
    const lengths = [0, 1, 31, 32, 33, 63, 64, 65, 95, 96, 97, 127, 128];
    const ones = new Uint8Array(16).fill(0xff);
    lengths.forEach((cidr, peer) => {
      trie.insert(10, ones, 0, cidr, peer);
    });
    lengths.forEach((cidr, peer) => {
      // The first bit after the prefix differs, so that nothing longer fits.
      const probe = ones.slice();
      if (cidr < 128) probe[cidr >> 3] = 0xff ^ (0x80 >> (cidr & 7));
      expect(trie.lookup6At(probe, 0), `/${cidr}`).toBe(peer);
    });
  });

  it("tell addresses apart that differ in one bit, whichever it is", () => {
    for (const [family, bits] of [
      [2, 32],
      [10, 128],
    ] as const) {
      for (let bit = 0; bit < bits; bit += 1) {
        const trie = new AllowedIps();
        const base = Uint8Array.from({ length: 16 }, (_, i) => (i % 2 === 0 ? 0x33 : 0xcc));
        const other = base.slice();
        other[bit >> 3] = other[bit >> 3]! ^ (0x80 >> (bit & 7));
        trie.insert(family, base, 0, bits, 1);
        trie.insert(family, other, 0, bits, 2);
        const find = (bytes: Uint8Array): number =>
          family === 2 ? trie.lookup4At(bytes, 0) : trie.lookup6At(bytes, 0);
        expect([find(base), find(other)], `bit ${bit} of ${bits}`).toEqual([1, 2]);
      }
    }
  });

  it("keep the families apart", () => {
    const trie = new AllowedIps();
    insert(trie, "0.0.0.0/0", 1);
    expect(lookup(trie, "::1")).toBe(-1);
    insert(trie, "::ffff:0.0.0.0/96", 2);
    expect(lookup(trie, "1.2.3.4")).toBe(1);
    expect(lookup(trie, "::ffff:1.2.3.4")).toBe(2);
  });

  it("take addresses with the high bit as signed or unsigned", () => {
    const trie = new AllowedIps();
    insert(trie, "255.255.255.255/32", 7);
    expect(trie.lookup4(0xffff_ffff)).toBe(7);
    expect(trie.lookup4(-1)).toBe(7);
    expect(trie.lookup4(0x7fff_ffff)).toBe(-1);
  });

  it("do not end at a branch that the address leaves", () => {
    const trie = new AllowedIps();
    insert(trie, "2001:db8::/32", 1);
    insert(trie, "2001:db8:1:1::/64", 2);
    insert(trie, "2001:db8:1:2::/64", 3);
    expect(lookup(trie, "2001:db8:ffff::1")).toBe(1);
    expect(lookup(trie, "2001:db8:1:3::1")).toBe(1);
    expect(lookup(trie, "2001:db8:1:2::1")).toBe(3);
  });
});

describe("the list of a peer", () => {
  it("is in the order of insertion, both families mixed, masked", () => {
    const trie = new AllowedIps();
    for (const text of ["10.1.2.3/8", "fd00::1/64", "10.0.0.0/16", "::/0"]) insert(trie, text, 4);
    expect(list(trie, 4)).toEqual(["10.0.0.0/8", "fd00::/64", "10.0.0.0/16", "::/0"]);
    expect(list(trie, 5)).toEqual([]);
  });

  it("moves a prefix that is given again to its end", () => {
    const trie = new AllowedIps();
    for (const text of ["10.0.0.0/8", "11.0.0.0/8", "10.0.0.0/8"]) insert(trie, text, 0);
    expect(list(trie, 0)).toEqual(["11.0.0.0/8", "10.0.0.0/8"]);
    expect(trie.size).toBe(2);
  });

  it("loses a prefix that goes to another peer", () => {
    const trie = new AllowedIps();
    insert(trie, "10.0.0.0/8", 0);
    insert(trie, "10.9.9.9/8", 1);
    expect(list(trie, 0)).toEqual([]);
    expect(list(trie, 1)).toEqual(["10.0.0.0/8"]);
    expect(trie.size).toBe(1);
  });
});

describe("removal", () => {
  it("needs the very prefix and its owner", () => {
    const trie = new AllowedIps();
    insert(trie, "10.0.0.0/8", 1);
    expect(remove(trie, "10.0.0.0/9", 1)).toBe(false);
    expect(remove(trie, "10.0.0.0/7", 1)).toBe(false);
    expect(remove(trie, "11.0.0.0/8", 1)).toBe(false);
    expect(remove(trie, "10.0.0.0/8", 0)).toBe(false);
    expect(lookup(trie, "10.0.0.1")).toBe(1);
    expect(remove(trie, "10.5.5.5/8", 1)).toBe(true);
    expect(remove(trie, "10.0.0.0/8", 1)).toBe(false);
    expect(lookup(trie, "10.0.0.1")).toBe(-1);
  });

  it("does not remove a branch that nobody owns", () => {
    const trie = new AllowedIps();
    insert(trie, "10.0.0.0/9", 0);
    insert(trie, "10.128.0.0/9", 0);
    expect(remove(trie, "10.0.0.0/8", 0)).toBe(false);
    expect(remove(trie, "10.0.0.0/8", -1)).toBe(false);
    expect(trie.size).toBe(2);
  });

  it("uncovers the shorter prefix and keeps what lies below", () => {
    const trie = new AllowedIps();
    insert(trie, "10.0.0.0/8", 1);
    insert(trie, "10.1.0.0/16", 2);
    insert(trie, "10.1.1.0/24", 3);
    insert(trie, "10.1.2.0/24", 4);
    expect(remove(trie, "10.1.0.0/16", 2)).toBe(true);
    expect(lookup(trie, "10.1.3.1")).toBe(1);
    expect(lookup(trie, "10.1.1.1")).toBe(3);
    expect(lookup(trie, "10.1.2.1")).toBe(4);
  });

  it("by peer leaves the others alone", () => {
    const trie = new AllowedIps();
    for (let i = 0; i < 256; i += 1) insert(trie, `10.${i}.0.0/16`, i % 3);
    trie.removeByPeer(1);
    trie.removeByPeer(9);
    expect(list(trie, 1)).toEqual([]);
    for (let i = 0; i < 256; i += 1) {
      expect(lookup(trie, `10.${i}.0.1`)).toBe(i % 3 === 1 ? -1 : i % 3);
    }
  });

  it("gives the memory back", () => {
    const trie = new AllowedIps();
    const empty = trie.memoryBytes;
    const bytes = new Uint8Array(16);
    for (let i = 0; i < 20_000; i += 1) {
      new DataView(bytes.buffer).setUint32(0, Math.imul(i, 0x9e37_79b1));
      trie.insert(2, bytes, 0, 32, i & 1);
    }
    expect(trie.size).toBe(20_000);
    expect(trie.memoryBytes).toBeGreaterThan(empty * 100);
    trie.removeByPeer(0);
    expect(trie.size).toBe(10_000);
    trie.removeByPeer(1);
    expect(trie.size).toBe(0);
    expect(trie.memoryBytes).toBe(empty);
  });

  it("makes room for what comes next, without growing", () => {
    const trie = new AllowedIps();
    const before = trie.memoryBytes;
    for (let i = 0; i < 10_000; i += 1) {
      insert(trie, `10.${i & 255}.${i >> 8}.0/24`, 1);
      expect(remove(trie, `10.${i & 255}.${i >> 8}.0/24`, 1)).toBe(true);
    }
    expect(trie.memoryBytes).toBe(before);
  });
});

it("refuses prefix lengths and peers out of range", () => {
  const trie = new AllowedIps();
  const bytes = new Uint8Array(16);
  expect(() => trie.insert(2, bytes, 0, 33, 0)).toThrow(RangeError);
  expect(() => trie.insert(10, bytes, 0, 129, 0)).toThrow(RangeError);
  expect(() => trie.insert(2, bytes, 0, -1, 0)).toThrow(RangeError);
  expect(() => trie.insert(2, bytes, 0, 8, -1)).toThrow(RangeError);
  expect(() => trie.insert(2, bytes, 0, 8, PEER_ID_MAX + 1)).toThrow(RangeError);
  trie.insert(2, bytes, 0, 8, PEER_ID_MAX);
  expect(trie.lookup4(1)).toBe(PEER_ID_MAX);
  expect(trie.remove(2, bytes, 0, 8, PEER_ID_MAX)).toBe(true);
});

it("holds 100,000 prefixes and finds each", () => {
  const trie = new AllowedIps();
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  const count = 100_000;
  for (let i = 0; i < count; i += 1) {
    // A bijection on 32 bits: all addresses differ.
    view.setUint32(0, Math.imul(i, 0x9e37_79b1));
    trie.insert(2, bytes, 0, 32, i);
  }
  expect(trie.size).toBe(count);
  let wrong = 0;
  for (let i = 0; i < count; i += 1) {
    if (trie.lookup4(Math.imul(i, 0x9e37_79b1)) !== i) wrong += 1;
  }
  expect(wrong).toBe(0);
  // At most two nodes per prefix, at most twice the room needed, 40 bytes each.
  expect(trie.memoryBytes).toBeLessThan(count * 2 * 2 * 40);
});
