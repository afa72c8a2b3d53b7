/** What leaves the table of receiver indexes alone. Whole sequences: test/property/index-table.test.ts. */
import { describe, expect, it } from "vitest";
import { IndexTable } from "../../../src/tunnel/index-table.ts";

describe("IndexTable.delete", () => {
  it("passes over an index that is not there, and one that is another's", () => {
    const table = new IndexTable<object>();
    const [mine, other] = [{}, {}];
    table.set(7, mine);
    table.delete(8, mine);
    table.delete(7, other);
    expect(table.get(7)).toBe(mine);
    expect(table.count).toBe(1);
    table.delete(7, mine);
    expect(table.get(7)).toBeUndefined();
    expect(table.count).toBe(0);
  });
});
