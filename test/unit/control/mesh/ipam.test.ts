/** Addresses that networks give out: which, in what order, and what is never given. */
import { describe, expect, test } from "vitest";
import {
  type AddressSpace,
  defaultRange6,
  defaultSubnetLength,
  freeHost,
  freePrefix,
  freeTunnelRange,
  type InUse,
  nextClient,
  nextMember,
  nextMembers,
  TUNNEL_RANGES,
  underlayCollisions,
} from "../../../../src/control/mesh/ipam.ts";
import { parseNetworkResource } from "../../../../src/control/model/network-resource.ts";

const SPACE: AddressSpace = {
  range: "10.20.0.0/16",
  range6: "fd12:3456:789a::/48",
  subnetLength: 24,
  subnetLength6: 64,
  tunnelRanges: TUNNEL_RANGES,
};
const NOTHING: InUse = { members: [], clients: [] };

describe("members", () => {
  test("the first one: the second subnet of each family, and zos's tunnel address", () => {
    expect(nextMember(SPACE, NOTHING, [])).toEqual({
      subnet: "10.20.1.0/24",
      subnet6: "fd12:3456:789a:1::/64",
      tunnelAddresses: ["100.64.20.1/32", "fd12:3456:789a:ffff::1/128"],
    });
  });

  test("the next one has the next, and one that left makes room", () => {
    const members = [nextMember(SPACE, NOTHING, [])];
    members.push(nextMember(SPACE, { members, clients: [] }, []));
    members.push(nextMember(SPACE, { members, clients: [] }, []));
    expect(members.map(({ subnet }) => subnet)).toEqual([
      "10.20.1.0/24",
      "10.20.2.0/24",
      "10.20.3.0/24",
    ]);
    const [first, , third] = members;
    expect(nextMember(SPACE, { members: [first!, third!], clients: [] }, [])).toEqual(members[1]);
  });

  test("what the nodes themselves are in is left out, but for default routes", () => {
    const underlay = ["0.0.0.0/0", "::/0", "10.20.1.0/25", "10.20.2.128/25", "100.64.0.0/16"];
    expect(nextMember(SPACE, NOTHING, underlay)).toMatchObject({
      subnet: "10.20.3.0/24",
      tunnelAddresses: ["100.96.0.1/32", "fd12:3456:789a:ffff::1/128"],
    });
  });

  test("behind a provider with all of 100.64.0.0/10 another tunnel range has to be named", () => {
    expect(() => nextMember(SPACE, NOTHING, ["100.64.0.0/10"])).toThrow(
      "no address is left in 100.64.0.0/16, 100.96.0.0/16, 100.112.0.0/16 (the nodes themselves are in 100.64.0.0/10): remove something, or take another range",
    );
    const space = { ...SPACE, tunnelRanges: ["172.30.0.0/24"] };
    expect(nextMember(space, NOTHING, ["100.64.0.0/10"]).tunnelAddresses[0]).toBe("172.30.0.1/32");
  });

  test("subnets of odd lengths that are there already are gone round", () => {
    const members = [
      { subnet: "10.20.0.0/22", tunnelAddresses: [] },
      { subnet: "10.20.4.64/30", tunnelAddresses: [] },
    ];
    expect(nextMember(SPACE, { members, clients: [] }, []).subnet).toBe("10.20.5.0/24");
  });

  test("a range that is full says so", () => {
    const small = { ...SPACE, range: "10.20.0.0/23", range6: undefined };
    const one = nextMember(small, NOTHING, []);
    expect(() => nextMember(small, { members: [one], clients: [] }, [])).toThrow(
      "no /24 is left in 10.20.0.0/23: remove",
    );
  });

  test("a network resource takes them", () => {
    const { subnet, subnet6, tunnelAddresses } = nextMember(SPACE, NOTHING, []);
    const { range, range6 } = SPACE;
    const resource = {
      id: "n",
      name: "n",
      owner: "o",
      range,
      range6,
      subnet,
      subnet6,
      tunnelAddresses,
    };
    expect(parseNetworkResource(resource).subnet).toBe("10.20.1.0/24");
  });
});

describe("several members at once", () => {
  test("what is named is that one's; the others get the lowest beside it, as one after the other would", () => {
    const three = nextMembers(SPACE, NOTHING, [], [undefined, "10.20.2.0/24", undefined]);
    expect(three.map(({ subnet }) => subnet)).toEqual([
      "10.20.1.0/24",
      "10.20.2.0/24",
      "10.20.3.0/24",
    ]);
    const members = [nextMember(SPACE, NOTHING, [])];
    members.push(nextMember(SPACE, { members, clients: [] }, []));
    members.push(nextMember(SPACE, { members, clients: [] }, []));
    expect(three).toEqual(members);
  });

  test.each([
    ["10.20.0.0/24", "the first is kept"],
    ["10.20.5.0/24", "in use already"],
    ["10.20.9.0/24", "or the nodes' own"],
    ["10.20.1.0/25", "is none of the subnets of 24 bits in 10.20.0.0/16"],
    ["10.20.1.1/24", "is none of the subnets"],
    ["10.21.1.0/24", "is none of the subnets"],
    ["fd00::/24", "is none of the subnets"],
  ])("%s can't be had: %s", (subnet, why) => {
    const members = [{ subnet: "10.20.5.0/24", tunnelAddresses: [] }];
    expect(() => nextMembers(SPACE, { members, clients: [] }, ["10.20.9.9/32"], [subnet])).toThrow(
      why,
    );
    const twice = ["10.20.7.0/24", "10.20.7.0/24"];
    expect(() => nextMembers(SPACE, NOTHING, [], twice)).toThrow("10.20.7.0/24 is in use");
  });

  test("a thousand are no work", () => {
    const space = { ...SPACE, range: "10.0.0.0/8" };
    const all = nextMembers(space, NOTHING, [], Array<undefined>(1_000).fill(undefined));
    expect(
      new Set(all.flatMap(({ subnet, tunnelAddresses }) => [subnet, ...tunnelAddresses])).size,
    ).toBe(3_000);
    expect(all.at(-1)?.subnet).toBe("10.3.232.0/24");
  });
});

test("lengths and tunnel ranges that nobody named", () => {
  expect(
    ["10.0.0.0/8", "10.20.0.0/20", "10.20.0.0/24", "10.1.2.0/28"].map(defaultSubnetLength),
  ).toEqual([24, 24, 28, 30]);
  expect(freeTunnelRange([])).toBe("100.64.0.0/16");
  expect(freeTunnelRange(["100.64.3.7/24", "100.65.0.0/16", "0.0.0.0/0"])).toBe("100.66.0.0/16");
  expect(() => freeTunnelRange(["100.64.0.0/10"])).toThrow("no /16 is left in 100.64.0.0/10");
});

describe("clients", () => {
  test("addresses of both families out of the first subnets, never a subnet's first or last", () => {
    expect(nextClient(SPACE, NOTHING, [])).toEqual(["10.20.0.1/32", "fd12:3456:789a::1/128"]);
    const clients = Array.from({ length: 254 }, (_, at) => ({
      addresses: [`10.20.0.${at + 1}/32`],
    }));
    // The 255th opens another subnet, which is no member's from then on.
    const next = nextClient({ ...SPACE, range6: undefined }, { members: [], clients }, []);
    expect(next).toEqual(["10.20.1.1/32"]);
    const inUse = { members: [], clients: [...clients, { addresses: next }] };
    expect(nextMember(SPACE, inUse, []).subnet).toBe("10.20.2.0/24");
  });

  test("a first subnet that is a member's is not used", () => {
    const members = [{ subnet: "10.20.0.0/24", tunnelAddresses: [] }];
    expect(nextClient({ ...SPACE, range6: undefined }, { members, clients: [] }, [])).toEqual([
      "10.20.1.1/32",
    ]);
  });
});

describe("prefixes and hosts", () => {
  test.each([
    ["10.0.0.0/30", 32, ["10.0.0.0/32"], "10.0.0.1/32"],
    ["10.0.0.7/24", 26, ["10.0.0.3/32", "10.0.0.64/27"], "10.0.0.128/26"],
    ["fd00::/126", 127, ["fd00::1/128"], "fd00::2/127"],
    ["255.255.255.0/24", 25, ["255.255.255.0/25"], "255.255.255.128/25"],
  ] as const)("in %s a /%s beside %s: %s", (range, length, taken, found) => {
    expect(freePrefix(range, length, taken, [])).toBe(found);
  });

  test.each([
    ["10.0.0.0/24", 25, ["10.0.0.0/25", "10.0.0.255/32"]],
    ["255.255.255.255/32", 32, ["0.0.0.0/0"]],
  ] as const)("in %s no /%s is left beside %s", (range, length, taken) => {
    expect(() => freePrefix(range, length, taken, [])).toThrow("is left in");
  });

  test("a length that the range has not", () => {
    expect(() => freePrefix("10.0.0.0/24", 16, [], [])).toThrow(
      "10.0.0.0/24 has no prefixes of length 16",
    );
    expect(() => freePrefix("10.0.0.0/24", 33, [], [])).toThrow(
      "10.0.0.0/24 has no prefixes of length 33",
    );
  });

  test("a /31 and a /32 are hosts to the last", () => {
    expect(freeHost(["10.0.0.0/31"], ["10.0.0.0/32"], [])).toBe("10.0.0.1/32");
    expect(freeHost(["10.0.0.9/32"], [], [])).toBe("10.0.0.9/32");
    expect(() => freeHost(["10.0.0.0/30"], ["10.0.0.1/32", "10.0.0.2/32"], [])).toThrow(
      "no address is left",
    );
  });
});

test("collisions with the underlay are told by node, without default routes", () => {
  const underlays = new Map([
    ["a", ["0.0.0.0/0", "192.168.1.0/24"]],
    ["b", ["100.64.0.0/10"]],
  ]);
  expect(underlayCollisions(["10.0.0.0/8", "100.64.3.1/32", "192.168.0.0/16"], underlays)).toEqual([
    "192.168.0.0/16 overlaps 192.168.1.0/24, a network that node a itself is in",
    "100.64.3.1/32 overlaps 100.64.0.0/10, a network that node b itself is in",
  ]);
});

test("an IPv6 range of a network's own is a /48 of fd00::/8, another one for each", () => {
  expect(defaultRange6("net1")).toMatch(/^fd[0-9a-f]{2}:[0-9a-f:]+::\/48$/);
  expect(defaultRange6("net1")).toBe(defaultRange6("net1"));
  expect(defaultRange6("net1")).not.toBe(defaultRange6("net2"));
});
