import fc from "fast-check";
import { expect, it } from "vitest";
import { AllowedIps } from "../../src/route/allowed-ips.ts";
import { LinearAllowedIps } from "../reference/linear-allowed-ips.ts";

type Family = 2 | 10;

/** Few values per octet, so that prefixes nest, neighbour and meet again; sometimes any. */
const octet = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(0, 1, 0x7f, 0x80, 0xff) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 255 }) },
);
/** Mostly zeros, so that IPv6 addresses agree far beyond the first word. */
const address: fc.Arbitrary<Uint8Array> = fc
  .tuple(fc.array(octet, { minLength: 16, maxLength: 16 }), fc.integer({ min: 0, max: 15 }))
  .map(([octets, zeros]) => Uint8Array.from(octets.fill(0, 0, zeros)));
const family: fc.Arbitrary<Family> = fc.constantFrom(2, 10);
const prefix = family.chain((of) =>
  fc.record({
    family: fc.constant(of),
    bytes: address,
    cidr: fc.oneof(
      fc.constantFrom(0, 1, 8, 31, 32, ...(of === 10 ? [33, 63, 64, 65, 96, 97, 127, 128] : [])),
      fc.integer({ min: 0, max: of === 2 ? 32 : 128 }),
    ),
  }),
);
const peer = fc.integer({ min: 0, max: 5 });
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("insert" as const), prefix, peer }) },
  // Which of the prefixes inserted so far to take, or one at random.
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("remove" as const), prefix, peer, of: fc.nat() }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("clear" as const), peer }) },
);

function lookup(trie: AllowedIps, of: Family, bytes: Uint8Array): number {
  // At an odd offset: the bytes around must not matter.
  const buffer = new Uint8Array(24).fill(0xa5);
  buffer.set(bytes, 3);
  if (of === 10) return trie.lookup6At(buffer, 3);
  const found = trie.lookup4At(buffer, 3);
  expect(trie.lookup4(new DataView(buffer.buffer).getUint32(3))).toBe(found);
  return found;
}

it("agrees with a linear list on look-ups, order and size, whatever is inserted and removed", () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 200 }),
      fc.array(fc.tuple(family, address), { minLength: 20, maxLength: 20 }),
      (steps, probes) => {
        const trie = new AllowedIps();
        const twin = new LinearAllowedIps();
        const inserted: { family: Family; bytes: Uint8Array; cidr: number; peer: number }[] = [];
        for (const one of steps) {
          if (one.kind === "insert") {
            const { family: of, bytes, cidr } = one.prefix;
            trie.insert(of, bytes, 0, cidr, one.peer);
            twin.insert(of, bytes, cidr, one.peer);
            inserted.push({ ...one.prefix, peer: one.peer });
          } else if (one.kind === "remove") {
            const { family: of, bytes, cidr } = inserted[one.of % 40] ?? one.prefix;
            const owner = inserted[one.of % 40]?.peer ?? one.peer;
            expect(trie.remove(of, bytes, 0, cidr, owner)).toBe(
              twin.remove(of, bytes, cidr, owner),
            );
          } else {
            trie.removeByPeer(one.peer);
            twin.removeByPeer(one.peer);
          }
        }
        expect(trie.size).toBe(twin.size);
        for (let id = 0; id <= 5; id += 1) expect(trie.entries(id)).toEqual(twin.entries(id));
        for (const [of, bytes] of probes) {
          expect(lookup(trie, of, bytes)).toBe(twin.lookup(of, bytes));
        }
        for (const { family: of, bytes } of inserted) {
          expect(lookup(trie, of, bytes)).toBe(twin.lookup(of, bytes));
        }
      },
    ),
    { numRuns: 400 },
  );
});

it("agrees with it after many changes, when nodes have been moved several times", () => {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const random = generator(seed);
      const trie = new AllowedIps();
      const twin = new LinearAllowedIps();
      const known: { of: Family; bytes: Uint8Array; cidr: number; owner: number }[] = [];
      for (let i = 0; i < 3_000; i += 1) {
        const of = random(2) === 0 ? 2 : 10;
        const bytes = Uint8Array.from({ length: 16 }, () => (random(3) === 0 ? random(256) : 0));
        const cidr = random(of === 2 ? 33 : 129);
        const owner = random(40);
        trie.insert(of, bytes, 0, cidr, owner);
        twin.insert(of, bytes, cidr, owner);
        known.push({ of, bytes, cidr, owner });
      }
      for (let i = 0; i < 36; i += 1) {
        trie.removeByPeer(i);
        twin.removeByPeer(i);
      }
      for (const { of, bytes, cidr, owner } of known.slice(0, 2_500)) {
        expect(trie.remove(of, bytes, 0, cidr, owner)).toBe(twin.remove(of, bytes, cidr, owner));
      }
      for (const { of, bytes } of known) {
        expect(lookup(trie, of, bytes)).toBe(twin.lookup(of, bytes));
      }
      for (let i = 36; i < 40; i += 1) expect(trie.entries(i)).toEqual(twin.entries(i));
    }),
    { numRuns: 3 },
  );
});

/** Numbers below a bound from a seed (xorshift32). */
function generator(seed: number): (below: number) => number {
  let state = seed | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}
