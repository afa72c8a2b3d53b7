/** The heap of deadlines against a plain list: whatever is set, moved and removed, the earliest is the earliest. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DeadlineHeap, type Timed } from "../../src/bytes/deadline-heap.ts";

class Item implements Timed {
  heapSlot = -1;
  heapKey: number = Number.POSITIVE_INFINITY;
}

const ITEMS = 40;
const step = fc.record({
  item: fc.nat(ITEMS - 1),
  what: fc.constantFrom("set", "wakeBy", "remove"),
  deadline: fc.oneof(fc.nat(50), fc.constant(Number.POSITIVE_INFINITY)),
});

describe("DeadlineHeap", () => {
  it("agrees with a list", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const items = Array.from({ length: ITEMS }, () => new Item());
        const heap = new DeadlineHeap<Item>();
        const expected = new Map<Item, number>();
        for (const { item: index, what, deadline } of steps) {
          const item = items[index]!;
          const before = expected.get(item) ?? Number.POSITIVE_INFINITY;
          if (what === "remove") {
            heap.remove(item);
            expected.delete(item);
          } else {
            heap[what === "set" ? "set" : "wakeBy"](item, deadline);
            const after = what === "set" ? deadline : Math.min(before, deadline);
            if (after === Number.POSITIVE_INFINITY) expected.delete(item);
            else expected.set(item, after);
          }
          expect(heap.count).toBe(expected.size);
          expect(heap.earliest).toBe(Math.min(...expected.values(), Number.POSITIVE_INFINITY));
          for (const each of items) {
            expect(each.heapKey).toBe(expected.get(each) ?? Number.POSITIVE_INFINITY);
            expect(each.heapSlot >= 0).toBe(expected.has(each));
          }
        }
        const drained: number[] = [];
        for (let first = heap.first; first !== undefined; first = heap.first) {
          drained.push(first.heapKey);
          heap.remove(first);
        }
        expect(drained).toEqual([...expected.values()].sort((a, b) => a - b));
      }),
      { numRuns: 200 },
    );
  });
});
