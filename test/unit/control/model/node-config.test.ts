import { describe, expect, it } from "vitest";
import { findNic, type Nic } from "../../../../src/control/model/nic.ts";
import { EMPTY_NODE_CONFIG, parseNodeConfig } from "../../../../src/control/model/node-config.ts";
import { refusalsOf } from "../../../../src/control/model/node-config-check.ts";
import { nicBridgeName, planRoles, reservedNics } from "../../../../src/control/model/role-plan.ts";

function nic(name: string, more: Partial<Nic> = {}): Nic {
  return {
    name,
    mac: `02:00:00:00:00:0${name.slice(-1)}`,
    kind: "device",
    mtu: 1500,
    carrier: true,
    up: true,
    addresses: [],
    routes: [],
    gateways: [],
    ...more,
  };
}

const CENSUS: readonly Nic[] = [
  nic("eth0", { bridge: "zos" }),
  nic("eth1"),
  nic("eth2", { carrier: false }),
  nic("zos", {
    kind: "bridge",
    mac: "02:00:00:00:00:00",
    mark: "uplink",
    addresses: ["10.0.0.5/24"],
  }),
];

function reasons(...nics: readonly unknown[]): string[] {
  return refusalsOf(parseNodeConfig({ nics }), CENSUS);
}

const OVERLAY = {
  nic: "eth1",
  roles: ["overlay"],
  addresses: ["192.0.2.7/24", "2001:db8::7/64"],
  gateways: ["192.0.2.1", "fe80::1"],
};

describe("parsing", () => {
  it("nothing is the empty configuration", () => {
    expect(parseNodeConfig({})).toEqual(EMPTY_NODE_CONFIG);
  });

  it.each([
    [{ nics: [{ nic: "eth0", roles: ["boss"] }] }, /nics\.0\.roles\.0: /],
    [{ nics: [{ nic: "eth0", roles: [] }] }, /nics\.0\.roles: has no role/],
    [{ nics: [{ nic: "a/b", roles: ["exit"] }] }, /nics\.0\.nic: is no name or MAC/],
    [
      { nics: [{ nic: "eth0", roles: ["exit"], addresses: ["1.2.3.4"] }] },
      /nics\.0\.addresses\.0: "1\.2\.3\.4" is no address with a prefix length/,
    ],
    [
      { nics: [{ nic: "eth0", roles: ["exit"], gateways: ["router"] }] },
      /nics\.0\.gateways\.0: "router" is no IP address/,
    ],
    [{ nics: [{ nic: "eth0", roles: ["exit"], mtu: 576 }] }, /nics\.0\.mtu: /],
    [{ exitRange: "fd00::/64" }, /exitRange: is no IPv4 range/],
    [{ color: "red" }, /color/],
    ["text", /node configuration: /],
  ])("%j is refused with its place", (value, message) => {
    expect(() => parseNodeConfig(value)).toThrow(message);
  });
});

describe("refusals", () => {
  it("a sound configuration has none", () => {
    expect(reasons({ nic: "eth0", roles: ["management"] }, OVERLAY)).toEqual([]);
  });

  it("a NIC by its MAC address, in any case; the bridge with the same one is not meant", () => {
    expect(findNic(CENSUS, "02:00:00:00:00:00")?.name).toBe("eth0");
    expect(reasons({ ...OVERLAY, nic: "02:00:00:00:00:01".toUpperCase() })).toEqual([]);
  });

  it.each([
    [
      "a missing NIC",
      { ...OVERLAY, nic: "eth9" },
      "eth9: there is no such NIC; there are eth0, eth1, eth2",
    ],
    ["a bridge", { ...OVERLAY, nic: "zos" }, "zos: is a bridge, name its NIC"],
    [
      "a gateway outside the subnet",
      { ...OVERLAY, gateways: ["192.0.3.1"] },
      "eth1: gateway 192.0.3.1 is outside the subnet 192.0.2.0/24",
    ],
    [
      "a gateway of a family without an address",
      { ...OVERLAY, addresses: ["192.0.2.7/24"], gateways: ["192.0.2.1", "2001:db8::1"] },
      "eth1: gateway 2001:db8::1 needs a static IPv6 address",
    ],
    [
      "a gateway that is the NIC itself",
      { ...OVERLAY, gateways: ["192.0.2.7"] },
      "eth1: gateway 192.0.2.7 is the NIC's own address",
    ],
    [
      "two gateways of a family",
      { ...OVERLAY, gateways: ["192.0.2.1", "192.0.2.2"] },
      "eth1: has several IPv4 gateways",
    ],
    ["no gateway", { ...OVERLAY, gateways: [] }, "eth1: static addresses need a gateway"],
    [
      "the subnet's own address",
      { ...OVERLAY, addresses: ["192.0.2.0/24"], gateways: ["192.0.2.1"] },
      "eth1: 192.0.2.0/24 is the subnet itself",
    ],
    [
      "a broadcast address",
      { ...OVERLAY, addresses: ["192.0.2.255/24"], gateways: ["192.0.2.1"] },
      "eth1: 192.0.2.255/24 is a broadcast address",
    ],
    [
      "a multicast address",
      { ...OVERLAY, addresses: ["224.0.0.5/24"], gateways: ["224.0.0.1"] },
      "eth1: 224.0.0.5/24 is no address of a host",
    ],
    [
      "the exit's range",
      { ...OVERLAY, addresses: ["100.127.3.2/24"], gateways: ["100.127.3.1"] },
      "exitRange: 100.127.0.0/16 overlaps 100.127.3.2/24 of eth1",
    ],
    [
      "management without a carrier",
      { nic: "eth2", roles: ["management"] },
      "eth2: would cut off management: the NIC has no carrier",
    ],
    [
      "management without a gateway",
      { nic: "eth0", roles: ["management"], addresses: ["10.0.0.5/24"] },
      "eth0: would cut off management: static addresses without a gateway",
    ],
    [
      "the uplink given away",
      { ...OVERLAY, nic: "eth0" },
      "eth0: would cut off management: it is the uplink; give it, or another NIC, the role management as well",
    ],
  ])("%s", (_name, settings, reason) => {
    expect(reasons(settings)).toContain(reason);
  });

  it("a role on two NICs, a role twice on one, an address twice", () => {
    expect(reasons(OVERLAY, { nic: "eth2", roles: ["overlay"] })).toEqual([
      "the role overlay is given to eth1 and eth2",
    ]);
    const twice = reasons({ nic: "eth1", roles: ["public"] }, { nic: "eth1", roles: ["public"] });
    expect(twice).toEqual(["eth1: has the role public twice"]);
    const addresses = { addresses: ["192.0.2.7/24"], gateways: ["192.0.2.1"] };
    expect(
      reasons(
        { nic: "eth1", roles: ["exit"], ...addresses },
        { nic: "eth2", roles: ["overlay"], ...addresses },
      ),
    ).toEqual(["192.0.2.7 is given twice"]);
  });
});

describe("plan of roles", () => {
  const plan = (...nics: readonly unknown[]): ReturnType<typeof planRoles> =>
    planRoles(parseNodeConfig({ nics }), CENSUS, "zos");

  it("nothing configured is nothing made", () => {
    expect(plan()).toMatchObject({ bridges: [], legs: [], hasExitLeg: false, publicBridges: [] });
  });

  it("NICs of their own have bridges; each role its namespace", () => {
    const result = plan({ nic: "eth0", roles: ["management"] }, OVERLAY, {
      nic: "eth2",
      roles: ["exit", "public"],
    });
    expect(result.bridges.map(({ name, nic: port }) => [name, port])).toEqual([
      ["u-eth1", "eth1"],
      ["u-eth2", "eth2"],
    ]);
    expect(result.legs.map(({ namespace, bridge }) => [namespace, bridge])).toEqual([
      ["wh-overlay", "u-eth1"],
      ["wh-exit", "u-eth2"],
    ]);
    expect(result).toMatchObject({
      overlayNamespace: "wh-overlay",
      hasExitLeg: true,
      publicBridges: ["u-eth2"],
    });
  });

  it("overlay and exit with one address are one leg, in the exit's namespace", () => {
    const result = plan({ ...OVERLAY, roles: ["overlay", "exit"] });
    expect(result.legs).toHaveLength(1);
    expect(result.overlayNamespace).toBe("wh-exit");
  });

  it("one NIC for all: legs are on the uplink bridge, or there are none", () => {
    const management = { nic: "eth0", roles: ["management"] };
    const result = plan(management, { ...OVERLAY, nic: "eth0" });
    expect(result.bridges).toEqual([]);
    expect(result.legs.map(({ bridge }) => bridge)).toEqual(["zos"]);
    const shared = plan({ nic: "eth0", roles: ["management", "overlay", "exit", "public"] });
    expect(shared).toMatchObject({ bridges: [], legs: [], publicBridges: ["zos"] });
  });

  it("NICs with other roles are kept from the uplink, management's are not", () => {
    const config = parseNodeConfig({
      nics: [
        { nic: "eth0", roles: ["management"] },
        { nic: "eth0", roles: ["overlay"] },
        { nic: "eth1", roles: ["exit", "public"] },
      ],
    });
    expect([...reservedNics(config, CENSUS)]).toEqual([["eth1", "exit, public"]]);
  });

  it("bridges' names fit, and differ where NICs do", () => {
    expect(nicBridgeName("eth1")).toBe("u-eth1");
    const long = ["enp0s31f6np0d1x", "enp1s31f6np0d1x"].map(nicBridgeName);
    for (const name of long) expect(name.length).toBeLessThanOrEqual(15);
  });
});
