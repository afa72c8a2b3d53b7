import { describe, expect, it } from "vitest";
import { markOf, networkOfMark, SHARED_MARK } from "../../../../src/control/model/names.ts";

describe("networkOfMark", () => {
  it("knows a network by its mark", () => {
    expect(networkOfMark(markOf("aaa"))).toBe("aaa");
    expect(networkOfMark(markOf("probe"))).toBe("probe");
  });

  it.each([
    undefined,
    "",
    "aaa",
    "wirehaul:",
    SHARED_MARK,
    "wirehaul:/probe",
    "wirehaul:/overlay",
    "wirehaul:uplink",
    "wirehaul:nic-bridge",
    "wirehaul:leg zos",
    "wirehaul:aaaaaaaaaaaaaa",
  ])("takes %s for no network's", (mark) => {
    expect(networkOfMark(mark)).toBeUndefined();
  });
});
