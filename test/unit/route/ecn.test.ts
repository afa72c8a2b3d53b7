import { expect, it } from "vitest";
import {
  decapsulate,
  ECN_CE,
  ECN_DROP,
  ECN_ECT0,
  ECN_ECT1,
  ECN_NOT_ECT,
  encapsulate,
} from "../../../src/route/ecn.ts";

/** RFC 6040 figure 4: inner, then the result for outer Not-ECT, ECT(0), ECT(1), CE in the figure's order. */
const FIGURE_4 = [
  [ECN_NOT_ECT, [ECN_NOT_ECT, ECN_NOT_ECT, ECN_NOT_ECT, ECN_DROP]],
  [ECN_ECT0, [ECN_ECT0, ECN_ECT0, ECN_ECT1, ECN_CE]],
  [ECN_ECT1, [ECN_ECT1, ECN_ECT1, ECN_ECT1, ECN_CE]],
  [ECN_CE, [ECN_CE, ECN_CE, ECN_CE, ECN_CE]],
] as const;

it("decapsulates by figure 4, whatever the DSCP", () => {
  const outers = [ECN_NOT_ECT, ECN_ECT0, ECN_ECT1, ECN_CE];
  for (const [inner, row] of FIGURE_4) {
    outers.forEach((outer, column) => {
      for (const dscp of [0, 0x04, 0x88, 0xfc]) {
        expect(decapsulate(outer | dscp, inner)).toBe(row[column]);
        expect(decapsulate(outer, inner | dscp)).toBe(row[column]);
      }
    });
  }
});

it("encapsulates by copying the ECN bits and hiding the DSCP", () => {
  for (let tos = 0; tos < 256; tos += 1) expect(encapsulate(tos)).toBe(tos % 4);
});
