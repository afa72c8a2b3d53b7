/** What the node tells of itself: only what differs, and only what was measured. */
import { describe, expect, it } from "vitest";
import type { Nic } from "../../../../../src/control/model/nic.ts";
import {
  loadShare,
  type Report,
  Reports,
  reachabilityOf,
} from "../../../../../src/control/node/grid/reports.ts";

const NIC: Nic = {
  ...{ name: "eth0", mac: "02:00:00:00:00:01", kind: "device", mtu: 1_500 },
  ...{ carrier: true, up: true, routes: [], gateways: [] },
  addresses: ["192.168.1.5/24", "fe80::1/64"],
};
const HIDDEN = { verdict: "hidden", address: null, seen: "203.0.113.7:0" } as const;
const UNKNOWN = { verdict: "unknown", address: null, seen: null } as const;
const REPORT: Report = {
  nics: [NIC],
  reachability: {
    ipv4: { verdict: "public", address: "192.0.2.1", seen: "192.0.2.1:0" },
    ipv6: UNKNOWN,
  },
  ports: [3_000, 1_100],
  relay: { isAllowed: true, load: 0.25 },
};

describe("reachability", () => {
  it("a public family has its measured address; one without addresses has no way", () => {
    expect(reachabilityOf(REPORT)).toEqual({
      v4: { kind: "public", addresses: ["192.0.2.1"] },
      v6: { kind: "none" },
      relay: { isAllowed: true, health: "up", load: 0.25 },
      links: [],
    });
  });

  it("hidden ones and those that were not measured begin; they are no relays", () => {
    const global = { ...NIC, addresses: [...NIC.addresses, "2001:db8::5/64"] };
    for (const reachability of [null, { ipv4: HIDDEN, ipv6: UNKNOWN }]) {
      expect(reachabilityOf({ ...REPORT, nics: [global], reachability })).toMatchObject({
        v4: { kind: "hidden" },
        v6: { kind: "hidden" },
        relay: { isAllowed: false },
      });
    }
    // What tells neighbours behind one NAT: the address that others see.
    const seen = { ...HIDDEN, seen: "[2001:db8::5]:0" };
    expect(reachabilityOf({ ...REPORT, reachability: { ipv4: HIDDEN, ipv6: seen } })).toMatchObject(
      {
        v4: { kind: "hidden", seenAs: "203.0.113.7" },
        v6: { kind: "hidden", seenAs: "2001:db8::5" },
      },
    );
    const down = { ...global, up: false };
    expect(reachabilityOf({ ...REPORT, nics: [down], reachability: null })).toMatchObject({
      v4: { kind: "none" },
      v6: { kind: "none" },
    });
  });

  it.each([
    [0.1, 4, 0],
    [1, 4, 0.25],
    [3.9, 4, 0.75],
    [9, 2, 1],
  ])("a load of %d on %d processors is %d", (load, processors, share) => {
    expect(loadShare(load, processors)).toBe(share);
  });
});

describe("reports", () => {
  it("sends what differs from what has arrived, and again what was not taken", async () => {
    const sent: string[] = [];
    let fault: Error | undefined;
    const reports = new Reports({
      reportCensus: async () => void sent.push("census"),
      reportPorts: async (ports) => {
        sent.push(`ports ${ports}`);
        if (fault !== undefined) throw fault;
      },
      reportReachability: async () => void sent.push("reachability"),
    });
    await reports.send(REPORT);
    await reports.send({ ...REPORT, ports: [1_100, 3_000] });
    expect(sent).toEqual(["census", "ports 1100,3000", "reachability"]);
    fault = new Error("away");
    await expect(reports.send({ ...REPORT, ports: [] })).rejects.toThrow("away");
    fault = undefined;
    await reports.send({ ...REPORT, ports: [], reachability: null });
    expect(sent.slice(3)).toEqual(["ports ", "ports ", "reachability"]);
    reports.forget();
    await reports.send(REPORT);
    expect(sent.slice(6)).toEqual(["census", "ports 1100,3000", "reachability"]);
  });
});
