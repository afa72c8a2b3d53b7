import { describe, expect, it } from "vitest";
import { backoffMs } from "../../../../src/control/model/backoff.ts";
import { parseBootParameters } from "../../../../src/control/model/boot-parameters.ts";

describe("kernel command line", () => {
  it("zos's words, and ours", () => {
    const text = `initrd=x quiet farmer_id=11 runmode=prod bcdb=https://registry.example/api/v1 wirehaul.uplink="eth1"\n`;
    expect(parseBootParameters(text)).toEqual({
      farm: 11,
      mode: "prod",
      registry: "https://registry.example/api/v1",
      uplink: "eth1",
      faults: [],
    });
  });

  it("what is wrong is said and left out", () => {
    const result = parseBootParameters("farmer_id=-1 bcdb=ftp://x vlan:priv=5 wirehaul.x other=1");
    expect(result.farm).toBeUndefined();
    expect(result.registry).toBeUndefined();
    expect(result.faults).toEqual([
      `farmer_id: "-1" is no farm number`,
      `bcdb: "ftp://x" is no http or https address`,
      "vlan:priv: VLANs are not supported",
      "wirehaul.x: unknown",
    ]);
  });
});

describe("backoff", () => {
  it("doubles to its ceiling, between half and all of it", () => {
    const limits = { baseMs: 100, maxMs: 1_000 };
    expect([1, 2, 3, 4, 5, 99].map((n) => backoffMs(n, 0, limits))).toEqual([
      50, 100, 200, 400, 500, 500,
    ]);
    expect([1, 2, 5].map((n) => backoffMs(n, 0.999_999, limits))).toEqual([100, 200, 1_000]);
    expect(backoffMs(0, 0, limits)).toBe(50);
  });
});
