/** The table of receiver indexes against a Map, with indexes that collide. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { IndexTable } from "../../src/tunnel/index-table.ts";

// Few low words, so that probes run into each other and wrap around; high words differ.
const index = fc
  .tuple(fc.constantFrom(0, 1, 2, 61, 62, 63, 64, 127), fc.nat(40))
  .map(([low, high]) => (low + high * 128) >>> 0);
const step = fc.record({ index, what: fc.constantFrom("set", "set", "delete", "deleteOther") });

describe("IndexTable", () => {
  it("agrees with a Map, over growth and shrinkage", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 600 }), (steps) => {
        const table = new IndexTable<{ readonly index: number }>();
        const expected = new Map<number, { readonly index: number }>();
        for (const { index: key, what } of steps) {
          const owner = expected.get(key);
          if (what === "set" && owner === undefined) {
            const fresh = { index: key };
            table.set(key, fresh);
            expected.set(key, fresh);
          } else if (what === "delete" && owner !== undefined) {
            table.delete(key, owner);
            expected.delete(key);
          } else if (what === "deleteOther") {
            table.delete(key, { index: key });
          }
          expect(table.count).toBe(expected.size);
        }
        for (let low = 0; low < 128; low++) {
          for (let high = 0; high <= 40; high++) {
            const key = low + high * 128;
            expect(table.get(key)).toBe(expected.get(key));
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  it("gives memory back as owners go, and still finds those that stay", () => {
    const table = new IndexTable<{ readonly index: number }>();
    const owners = Array.from({ length: 4_000 }, (_, index) => ({ index: index * 97 }));
    for (const owner of owners) table.set(owner.index, owner);
    const stays = (_owner: object, at: number): boolean => at % 50 === 0;
    for (const [at, owner] of owners.entries()) {
      if (!stays(owner, at)) table.delete(owner.index, owner);
    }
    expect(table.count).toBe(80);
    for (const [at, owner] of owners.entries()) {
      expect(table.get(owner.index)).toBe(stays(owner, at) ? owner : undefined);
    }
    // Whose index it is says the table, not who asks.
    table.delete(0, { index: 0 });
    expect(table.get(0)).toBe(owners[0]);
  });

  it("takes the greatest index and zero", () => {
    const table = new IndexTable<object>();
    const [a, b] = [{}, {}];
    table.set(0xffff_ffff, a);
    table.set(0, b);
    expect([table.get(0xffff_ffff), table.get(0), table.get(1)]).toEqual([a, b, undefined]);
    expect(table.get(0xffff_ffff)).toBe(a);
    table.delete(0xffff_ffff, a);
    expect(table.get(0xffff_ffff)).toBeUndefined();
    expect(table.get(0)).toBe(b);
  });
});
