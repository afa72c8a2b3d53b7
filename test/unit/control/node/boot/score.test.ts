import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Nic } from "../../../../../src/control/model/nic.ts";
import {
  isMatch,
  PHYSICAL,
  selectCandidates,
} from "../../../../../src/control/node/boot/candidates.ts";
import {
  isBetter,
  type ProbeResult,
  scoreNics,
} from "../../../../../src/control/node/boot/score.ts";

function result(nic: string, more: Partial<ProbeResult> = {}): ProbeResult {
  return {
    nic,
    carrier: true,
    addresses: ["10.0.0.5/24"],
    gateway4: "10.0.0.1",
    registry: [4],
    hosts: [],
    sources: ["dhcp"],
    ...more,
  };
}

const order = (list: readonly ProbeResult[], chosen?: string): string[] =>
  scoreNics(list, chosen).flatMap(({ nic, rank }) => (rank === undefined ? [] : [nic]));

describe("score", () => {
  it("the operator's choice is before what the registry says, if it has a gateway", () => {
    const list = [result("eth0"), result("eth1", { registry: [] })];
    expect(order(list)).toEqual(["eth0", "eth1"]);
    expect(order(list, "eth1")).toEqual(["eth1", "eth0"]);
    const without = result("eth1", { gateway4: undefined, registry: [] });
    expect(order([result("eth0"), without], "eth1")).toEqual(["eth0"]);
  });

  it("then the registry, other hosts, family, speed, name", () => {
    const list = [
      result("eth9", { gateway6: "fe80::1" }),
      result("eth8", { speedMbps: 1000 }),
      result("eth7", { speedMbps: 100 }),
      result("eth10"),
      result("eth2"),
      result("eth3", { gateway4: undefined, gateway6: "fe80::1", registry: [6] }),
      result("eth0", { registry: [], hosts: [4] }),
      result("eth1", { registry: [] }),
    ];
    const sorted = ["eth9", "eth8", "eth7", "eth2", "eth10", "eth3", "eth0", "eth1"];
    expect(order(list)).toEqual(sorted);
  });

  it("an IPv6-only NIC counts", () => {
    const only6 = result("eth1", { gateway4: undefined, gateway6: "fe80::1", registry: [6] });
    expect(order([result("eth0", { registry: [] }), only6])[0]).toBe("eth1");
  });

  it("every NIC has its reason", () => {
    const scores = scoreNics([
      result("eth0"),
      result("eth1", { speedMbps: 1000 }),
      result("eth2", { carrier: false }),
      result("eth3", { gateway4: undefined, addresses: [], fault: "no DHCP server answers" }),
    ]);
    expect(scores.map(({ nic, why }) => [nic, why])).toEqual([
      ["eth1", "before eth0 by speed: 1000 Mbit/s, against unknown speed"],
      ["eth0", "after eth1 by speed: unknown speed, against 1000 Mbit/s"],
      ["eth2", "no carrier"],
      ["eth3", "no address: no DHCP server answers"],
    ]);
  });

  it("the order of the probes does not matter", () => {
    const nic = fc.record({
      carrier: fc.boolean(),
      gateway4: fc.option(fc.constant("10.0.0.1"), { nil: undefined }),
      gateway6: fc.option(fc.constant("fe80::1"), { nil: undefined }),
      registry: fc.constantFrom<readonly (4 | 6)[]>([], [4], [6], [4, 6]),
      speedMbps: fc.constantFrom(undefined, 100, 1000),
    });
    const list = fc
      .array(nic, { maxLength: 6 })
      .map((all) => all.map((more, index) => result(`eth${index}`, more)));
    fc.assert(
      fc.property(
        list,
        fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
        (nics, dice) => {
          const shuffled = nics
            .map((one) => [dice.next().value ?? 0, one] as const)
            .sort(([a], [b]) => a - b)
            .map(([, one]) => one);
          expect(order(shuffled, "eth1")).toEqual(order(nics, "eth1"));
        },
      ),
    );
  });

  it("another NIC is better only if more answers, or there is a gateway where there was none", () => {
    const dead = result("eth0", { registry: [] });
    expect(isBetter(result("eth1"), dead)).toBe(true);
    expect(isBetter(result("eth1", { registry: [], speedMbps: 9999 }), dead)).toBe(false);
    expect(isBetter(result("eth1", { registry: [] }), { ...dead, gateway4: undefined })).toBe(true);
    expect(isBetter(result("eth1", { registry: [] }), { ...dead, carrier: false })).toBe(true);
  });
});

describe("candidates", () => {
  const nic = (name: string, more: Partial<Nic> = {}): Nic => ({
    name,
    mac: "02:00:00:00:00:01",
    kind: "device",
    mtu: 1500,
    carrier: false,
    up: false,
    addresses: [],
    routes: [],
    gateways: [],
    ...more,
  });
  const select = (nics: readonly Nic[], chosen?: string): ReturnType<typeof selectCandidates> =>
    selectCandidates(nics, {
      match: PHYSICAL,
      bridge: "zos",
      chosen,
      reserved: new Map([["eth5", "overlay"]]),
    });

  it("physical NICs that nobody uses, and the uplink bridge's port", () => {
    const found = select([
      nic("docker0", { kind: "bridge" }),
      nic("eth0", { bridge: "zos" }),
      nic("eth1", { bridge: "br0" }),
      nic("eth2", { addresses: ["192.168.1.2/24"] }),
      nic("eth3", { addresses: ["fe80::1/64", "2001:db8::5/64"] }),
      nic("eth4", { mark: "leg" }),
      nic("eth5"),
      nic("veth1", { kind: "veth" }),
    ]);
    expect(found.names).toEqual(["eth0", "eth3"]);
    expect([...found.excluded]).toEqual([
      ["eth1", "is a port of br0"],
      ["eth2", "has the address 192.168.1.2/24, which Wirehaul did not set"],
      ["eth5", "has the role overlay"],
    ]);
  });

  it("the operator may name one that has addresses, or one that isn't there", () => {
    const nics = [nic("eth2", { addresses: ["192.168.1.2/24"] })];
    expect(select(nics, "eth2").names).toEqual(["eth2"]);
    expect([...select(nics, "eth9").excluded.keys()]).toContain("eth9");
  });

  it("a match by name", () => {
    const match = { kinds: ["veth"], names: "eth*" };
    expect(isMatch(match, { kind: "veth", name: "eth12" })).toBe(true);
    expect(isMatch(match, { kind: "veth", name: "xeth1" })).toBe(false);
    expect(isMatch(match, { kind: "device", name: "eth1" })).toBe(false);
    expect(isMatch({ kinds: ["veth"], names: "e.h*" }, { kind: "veth", name: "eth1" })).toBe(false);
  });
});
