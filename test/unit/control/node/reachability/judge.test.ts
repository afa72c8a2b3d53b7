import { describe, expect, it } from "vitest";
import { type Finding, judge } from "../../../../../src/control/node/reachability/judge.ts";

const SEEN = { address: "198.51.100.7", port: 4_711 };
const finding = (more: Partial<Finding>): Finding => ({
  responder: "r1:3479",
  seen: SEEN,
  isReached: undefined,
  fault: undefined,
  ...more,
});
const OPEN = finding({ isReached: true });
const SHUT = finding({ responder: "r2:3479", isReached: false });
const MUTE = finding({ responder: "r3:3479", seen: undefined, fault: "no answer" });

describe("verdict", () => {
  it("item 30: public takes all responders that tried", () => {
    expect(judge([OPEN, MUTE], 2_000)).toMatchObject({ verdict: "public", seen: SEEN });
    expect(judge([OPEN], 2_000).why).toContain(
      "r1:3479 that nobody asked for arrived on port 2000",
    );
  });

  it("item 30: one that fails is enough for hidden: the other may stand inside", () => {
    for (const findings of [[OPEN, SHUT], [SHUT, OPEN, MUTE], [SHUT]]) {
      expect(judge(findings, 2_000)).toMatchObject({ verdict: "hidden", seen: SEEN });
    }
    expect(judge([OPEN, SHUT], 2_000).why).toContain("though one from r1:3479 did");
  });

  it("item 30: without anybody who tried nothing is known, whatever the addresses look like", () => {
    expect(judge([], 0)).toMatchObject({ verdict: "unknown", seen: undefined });
    expect(judge([MUTE], 0).why).toBe("r3:3479: no answer");
    const refused = finding({ fault: "it refused" });
    expect(judge([MUTE, refused], 0)).toMatchObject({ verdict: "unknown", seen: SEEN });
  });
});
