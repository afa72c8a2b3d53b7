/** What the registry wants, from the whole and from differences. */
import { describe, expect, it } from "vitest";
import type {
  NetworkPeer,
  NetworkResource,
} from "../../../../../src/control/model/network-resource.ts";
import { isSameNetwork, WantedNetworks } from "../../../../../src/control/node/grid/difference.ts";

function peer(publicKey: string, subnet: string): NetworkPeer {
  return { publicKey, allowedIps: [subnet], keepalive: 0 };
}

function network(id: string, revision: number, peers: readonly NetworkPeer[]): NetworkResource {
  return {
    ...{ id, name: id, owner: "u", range: "10.1.0.0/16", subnet: "10.1.1.0/24", revision, peers },
    ...{ tunnelAddresses: ["100.64.1.1/32"], internet: true, lan: [], listenPort: 2_000 },
  };
}

const A = peer("a", "10.1.2.0/24");
const B = peer("b", "10.1.3.0/24");

function whole(revision: number, ...networks: NetworkResource[]): WantedNetworks {
  const wanted = new WantedNetworks();
  wanted.take({ revision, isWhole: true, networks, removed: [] });
  return wanted;
}

describe("wanted networks", () => {
  it("a difference on its base replaces, adds and removes peers", () => {
    const wanted = whole(10, network("x", 3, [A, B]));
    const moved = peer("a", "10.1.4.0/24");
    const change = {
      base: 3,
      resource: network("x", 4, []),
      set: [moved, peer("c", "10.1.5.0/24")],
      remove: ["b"],
    };
    expect(wanted.change("x", 11, change)).toBe("changed");
    expect(wanted.get("x")).toEqual(network("x", 4, [moved, peer("c", "10.1.5.0/24")]));
    expect(wanted.revision).toBe(11);
  });

  it("a difference on another base changes nothing, the revision among it", () => {
    const wanted = whole(10, network("x", 3, [A]));
    for (const base of [2, 4]) {
      const change = { base, resource: network("x", 5, []), set: [], remove: ["a"] };
      expect(wanted.change("x", 11, change)).toBe("stale");
    }
    expect(wanted.change("y", 11, { base: 1, set: [], remove: [] })).toBe("stale");
    expect(wanted.get("x")).toEqual(network("x", 3, [A]));
    expect(wanted.revision).toBe(10);
  });

  it("what an answer has told already is not done again", () => {
    const wanted = whole(10, network("x", 3, [A]));
    const change = { base: 0, resource: network("x", 3, []), set: [B], remove: [] };
    expect(wanted.change("x", 10, change)).toBe("same");
    expect(wanted.get("x")).toEqual(network("x", 3, [A]));
  });

  it("a network comes with base 0 and goes without a resource", () => {
    const wanted = whole(10);
    const made = { base: 0, resource: network("x", 1, []), set: [A], remove: [] };
    expect(wanted.change("x", 11, made)).toBe("changed");
    expect(wanted.get("x")?.peers).toEqual([A]);
    expect(wanted.change("x", 12, { base: 1, set: [], remove: [] })).toBe("changed");
    expect(wanted.ids()).toEqual([]);
  });

  it("a whole answer takes away what it does not name, a difference only what it removes", () => {
    const wanted = whole(10, network("x", 3, [A]), network("y", 1, []), network("z", 1, []));
    const part = { revision: 12, isWhole: false, networks: [network("y", 2, [])], removed: ["z"] };
    expect(wanted.take(part).sort()).toEqual(["y", "z"]);
    expect(wanted.ids().sort()).toEqual(["x", "y"]);
    // A registry that was restored counts from an older revision on.
    const all = { revision: 4, isWhole: true, networks: [network("y", 2, [])], removed: [] };
    expect(wanted.take(all).sort()).toEqual(["x", "y"]);
    expect(wanted.ids()).toEqual(["y"]);
    expect(wanted.revision).toBe(4);
  });

  it("events about other things count the revision on, never back", () => {
    const wanted = whole(10);
    wanted.pass(12);
    wanted.pass(11);
    expect(wanted.revision).toBe(12);
  });
});

describe("networks that are the same", () => {
  it("the order of parts and peers is nothing, all else is", () => {
    const one = network("x", 3, [A, B]);
    const { peers: _peers, ...rest } = one;
    expect(isSameNetwork(one, { peers: [B, A], ...rest })).toBe(true);
    expect(isSameNetwork(one, { ...one, subnet6: undefined })).toBe(true);
    expect(isSameNetwork(one, { ...one, revision: 4 })).toBe(false);
    expect(isSameNetwork(one, { ...one, listenPort: 2_001 })).toBe(false);
    expect(isSameNetwork(one, { ...one, peers: [A] })).toBe(false);
    // The order of candidates is what it means.
    const [first, second] = ["192.0.2.1:1", "192.0.2.2:1"];
    expect(
      isSameNetwork(
        { ...one, peers: [{ ...A, candidates: [first, second] }] },
        { ...one, peers: [{ ...A, candidates: [second, first] }] },
      ),
    ).toBe(false);
  });
});
