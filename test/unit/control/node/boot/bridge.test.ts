import { describe, expect, it } from "vitest";
import { OwnMtus } from "../../../../../src/control/node/boot/bridge.ts";
import { legMac } from "../../../../../src/control/node/roles.ts";

describe("a NIC's own MTU", () => {
  it("comes back when no configuration wants another", () => {
    const mtus = new OwnMtus();
    expect(mtus.wanted("eth0", 1500, 9000)).toBe(9000);
    expect(mtus.wanted("eth0", 9000, 1400)).toBe(1400);
    expect(mtus.wanted("eth0", 1400, undefined)).toBe(1500);
    expect(mtus.wanted("eth0", 1500, undefined)).toBe(1500);
  });

  it("is what it is when it was never changed", () => {
    expect(new OwnMtus().wanted("eth0", 1480, undefined)).toBe(1480);
  });
});

describe("a leg's MAC address", () => {
  it("is local and unicast, the same each time, another for each NIC and namespace", () => {
    const macs = [
      legMac("02:00:00:00:00:01", "wh-exit"),
      legMac("02:00:00:00:00:01", "wh-overlay"),
      legMac("02:00:00:00:00:02", "wh-exit"),
    ];
    for (const mac of macs) {
      expect(mac).toMatch(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/);
      expect(Number.parseInt(mac.slice(0, 2), 16) & 3).toBe(2);
    }
    expect(new Set(macs).size).toBe(3);
    expect(legMac("02:00:00:00:00:01", "wh-exit")).toBe(macs[0]);
  });
});
