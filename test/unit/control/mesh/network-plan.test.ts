/** The mesh planner's rules, one by one (docs/mesh.md names them). */
import { describe, expect, test } from "vitest";
import type { Grid } from "../../../../src/control/mesh/grid.ts";
import { planMesh, replanMesh } from "../../../../src/control/mesh/mesh-plan.ts";
import { resourceOf, resourcePeers } from "../../../../src/control/mesh/peers.ts";
import {
  gridOf,
  HIDDEN,
  holderOf,
  keyOf,
  linksOf,
  member,
  membersOf,
  NONE,
  node,
  peerOf,
  peersOf,
  publicAt,
  seenAs,
} from "./grids.ts";

const P1 = node("p1", publicAt("198.51.100.1"));
const P2 = node("p2", publicAt("198.51.100.2"));
const P3 = node("p3", publicAt("198.51.100.3"));
const H1 = node("h1", HIDDEN);
const H2 = node("h2", HIDDEN);

describe("who peers with whom", () => {
  test("public nodes are a full mesh, both with an endpoint and without keepalive", () => {
    const grid = gridOf([P1, P2, P3]);
    for (const { peers } of membersOf(grid).values()) expect(peers).toHaveLength(2);
    expect(peerOf(grid, "p1", "p2")).toEqual({
      kind: "node",
      name: "p2",
      publicKey: keyOf("p2"),
      endpoints: ["198.51.100.2:3002"],
      allowedIps: ["10.1.2.0/24", "100.64.1.2/32"],
      keepalive: 0,
      subnet: "10.1.2.0/24",
      way: "v4",
      carries: [],
    });
  });

  test("a hidden node has every public node as a peer, which waits for it", () => {
    const grid = gridOf([P1, P2, H1]);
    for (const name of ["p1", "p2"]) {
      expect(peerOf(grid, "h1", name)).toMatchObject({ keepalive: "auto", way: "v4" });
      expect(peerOf(grid, name, "h1")).toMatchObject({
        endpoints: [],
        keepalive: 0,
        way: "incoming",
      });
    }
  });

  test("a hidden node has no peer of a public node that it measurably can't reach", () => {
    const links = linksOf(["h1", "p2", { v4: { isReached: false } }]);
    const grid = gridOf([P1, P2, H1], { links });
    expect(peerOf(grid, "h1", "p2")).toBeUndefined();
    expect(peerOf(grid, "p2", "h1")).toBeUndefined();
    expect(holderOf(grid, "h1", 2)).toBe("p1");
    expect(holderOf(grid, "p2", 3)).toBe("p1");
  });

  test("public nodes of which one can't open the way: the other opens it and keeps it open", () => {
    const links = linksOf(["p1", "p2", { v4: { isReached: false } }]);
    const grid = gridOf([P1, P2], { links });
    expect(peerOf(grid, "p1", "p2")).toMatchObject({
      endpoints: [],
      way: "incoming",
      keepalive: 0,
    });
    expect(peerOf(grid, "p2", "p1")).toMatchObject({
      endpoints: ["198.51.100.1:3001"],
      keepalive: "auto",
    });
  });

  test("nodes without any path are told, and nothing is claimed for them", () => {
    const grid = gridOf([H1, H2, node("x", NONE)]);
    for (const { peers, unreached } of membersOf(grid).values()) {
      expect(peers).toEqual([]);
      expect(unreached).toHaveLength(2);
    }
  });
});

describe("relays", () => {
  test("hidden nodes meet through a public node, which alone owns their prefixes at the other", () => {
    const grid = gridOf([H1, H2, P1]);
    expect(peerOf(grid, "h1", "p1")).toMatchObject({
      allowedIps: ["10.1.3.0/24", "100.64.1.3/32", "10.1.2.0/24", "100.64.1.2/32"],
      carries: ["h2"],
    });
    expect(peersOf(grid, "h1", "h2")).toEqual([]);
    expect(peerOf(grid, "p1", "h1")?.carries).toEqual([]);
  });

  const slow = { v4: { isReached: true, latencyMs: 120 } };
  const quick = { v4: { isReached: true, latencyMs: 10 } };

  test("the relay with the least latency of both halves is taken", () => {
    const links = linksOf(
      ["h1", "p1", slow],
      ["h2", "p1", quick],
      ["h1", "p2", quick],
      ["h2", "p2", quick],
    );
    const grid = gridOf([H1, H2, P1, P2], { links });
    expect(holderOf(grid, "h1", 2)).toBe("p2");
    expect(holderOf(grid, "h2", 1)).toBe("p2");
  });

  test("a relay that is nearly full loses to one a little farther", () => {
    const links = linksOf(
      ["h1", "p1", { v4: { isReached: true, latencyMs: 60 } }],
      ["h2", "p1", quick],
      ["h1", "p2", quick],
      ["h2", "p2", quick],
    );
    const busy = { ...P2, relay: { ...P2.relay, load: 0.9 } };
    expect(holderOf(gridOf([H1, H2, P1, busy], { links }), "h1", 2)).toBe("p1");
    const half = { ...P2, relay: { ...P2.relay, load: 0.5 } };
    expect(holderOf(gridOf([H1, H2, P1, half], { links }), "h1", 2)).toBe("p2");
  });

  test("many pairs are spread over relays that are equally good", () => {
    const hidden = Array.from({ length: 40 }, (_, at) => node(`h${at}`, HIDDEN));
    const relays = Array.from({ length: 4 }, (_, at) =>
      node(`p${at}`, publicAt(`198.51.100.${at + 1}`)),
    );
    const parts = membersOf(gridOf([...hidden, ...relays]));
    const share = new Map<string, number>();
    for (const { id } of hidden) {
      for (const { name, carries } of parts.get(id)!.peers)
        share.set(name, (share.get(name) ?? 0) + carries.length);
    }
    const counts = [...share.values()];
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(40 * 39);
    // A fourth each would be 390.
    for (const count of counts) expect(Math.abs(count - 390)).toBeLessThan(200);
    expect(counts).toHaveLength(4);
  });

  test("when a relay dies, what it carried moves, and the others' parts stay as they are", () => {
    const hidden = Array.from({ length: 12 }, (_, at) => node(`h${at}`, HIDDEN));
    const before = gridOf([...hidden, P1, P2, P3]);
    const old = planMesh(before).plan;
    const carriedBy = (
      part: { peers: readonly { name: string; carries: readonly string[] }[] },
      name: string,
    ) => part.peers.find((peer) => peer.name === name)!.carries;
    const dead = { ...P1, relay: { ...P1.relay, health: "down" as const } };
    const after: Grid = { ...before, nodes: new Map([...before.nodes, ["p1", dead]]) };
    const renewed = replanMesh(after, old, { nodes: ["p1"] });
    const parts = new Map(old.networks.get("n")!.members.map((part) => [part.node, part]));
    const concerned = [...parts.values()].filter(
      (part) => part.node.startsWith("h") && carriedBy(part, "p1").length > 0,
    );
    expect(renewed.changed.map((change) => change.node).toSorted()).toEqual(
      concerned.map((part) => part.node).toSorted(),
    );
    for (const { node: id, plan } of renewed.changed) {
      const was = parts.get(id)!;
      expect(plan!.revision).toBe(was.revision + 1);
      // Its own workloads are still expected at it.
      expect(carriedBy(plan!, "p1")).toEqual([]);
      for (const name of ["p2", "p3"]) {
        // Nothing that the others carried has moved.
        expect(carriedBy(plan!, name)).toEqual(expect.arrayContaining([...carriedBy(was, name)]));
      }
    }
  });

  test("a relay on probation carries only what nobody else can", () => {
    const weak = { ...P1, relay: { ...P1.relay, health: "probation" as const } };
    const links = linksOf(["h1", "p2", { v4: { isReached: true, latencyMs: 900 } }]);
    expect(holderOf(gridOf([H1, H2, weak, P2], { links }), "h1", 2)).toBe("p2");
    expect(holderOf(gridOf([H1, H2, weak]), "h1", 2)).toBe("p1");
  });

  test("a node whose farmer doesn't want it carries nothing", () => {
    const unwilling = { ...P1, relay: { ...P1.relay, isAllowed: false } };
    const parts = membersOf(gridOf([H1, H2, unwilling]));
    expect(parts.get("h1")).toMatchObject({ unreached: ["h2"] });
  });

  test("two relays in a row where no single one meets both", () => {
    const four = node("a", HIDDEN);
    const gate4 = node("b", publicAt("198.51.100.1"), { v6: HIDDEN });
    const gate6 = node("c", NONE, { v6: publicAt("2001:db8::1") });
    const six = node("d", NONE, { v6: HIDDEN });
    const grid = gridOf([four, gate4, gate6, six]);
    expect(holderOf(grid, "a", 4)).toBe("b");
    expect(holderOf(grid, "b", 4)).toBe("c");
    expect(holderOf(grid, "c", 1)).toBe("b");
    expect(holderOf(grid, "d", 1)).toBe("c");
  });
});

describe("families", () => {
  const dual = (id: string, at: number) =>
    node(id, publicAt(`198.51.100.${at}`), { v6: publicAt(`2001:db8::${at}`) });

  test("IPv6 first and IPv4 to fall back on, where nothing was measured", () => {
    expect(peerOf(gridOf([dual("a", 1), dual("b", 2)]), "a", "b")).toMatchObject({
      way: "v6",
      endpoints: ["[2001:db8::2]:3002", "198.51.100.2:3002"],
    });
  });

  test("the measurably quicker family first", () => {
    const links = linksOf([
      "a",
      "b",
      { v4: { isReached: true, latencyMs: 20 }, v6: { isReached: true, latencyMs: 80 } },
    ]);
    const grid = gridOf([dual("a", 1), dual("b", 2)], { links });
    const endpoints = ["198.51.100.2:3002", "[2001:db8::2]:3002"];
    expect(peerOf(grid, "a", "b")).toMatchObject({ way: "v4", endpoints });
    expect(peerOf(grid, "b", "a")?.way).toBe("v4");
  });

  test("a proved family before one that nobody has tried", () => {
    const links = linksOf(["a", "b", { v4: { isReached: true } }]);
    expect(peerOf(gridOf([dual("a", 1), dual("b", 2)], { links }), "a", "b")?.way).toBe("v4");
  });

  test("a family that fails is left out", () => {
    const links = linksOf(["a", "b", { v6: { isReached: false } }]);
    const grid = gridOf([dual("a", 1), dual("b", 2)], { links });
    expect(peerOf(grid, "a", "b")?.endpoints).toEqual(["198.51.100.2:3002"]);
  });

  test("a pair meets on the one family that both have", () => {
    const six = node("six", NONE, { v6: publicAt("2001:db8::6") });
    const grid = gridOf([six, node("h", HIDDEN, { v6: HIDDEN }), H1, dual("r", 9)]);
    expect(peerOf(grid, "h", "six")).toMatchObject({ way: "v6", keepalive: "auto" });
    // IPv4 only and IPv6 only: through the one that has both.
    expect(holderOf(grid, "h1", 1)).toBe("r");
  });

  test("each public in another family: each keeps its own way open", () => {
    const a = node("a", publicAt("198.51.100.1"), { v6: HIDDEN });
    const b = node("b", HIDDEN, { v6: publicAt("2001:db8::2") });
    const grid = gridOf([a, b]);
    expect(peerOf(grid, "a", "b")).toMatchObject({
      endpoints: ["[2001:db8::2]:3002"],
      keepalive: "auto",
    });
    expect(peerOf(grid, "b", "a")).toMatchObject({
      endpoints: ["198.51.100.1:3001"],
      keepalive: "auto",
    });
  });
});

describe("LANs", () => {
  const near = { lan: ["192.168.1.5/24"] };
  const a = node("a", seenAs("203.0.113.9"), near);
  const b = node("b", seenAs("203.0.113.9"), { lan: ["192.168.1.6/24"] });

  test("neighbours are tried without routes, while the relay carries them", () => {
    const grid = gridOf([a, b, P1]);
    expect(peersOf(grid, "a", "b")).toEqual([
      {
        kind: "trial",
        name: "b",
        publicKey: keyOf("b"),
        endpoints: ["192.168.1.6:3002"],
        allowedIps: [],
        keepalive: 25,
        way: "lan",
        carries: [],
      },
    ]);
    expect(holderOf(grid, "a", 2)).toBe("p1");
  });

  test("proved by one side, the pair is direct, and the relay has no route of it", () => {
    const links = linksOf(["a", "b", { lan: [{ address: "192.168.1.6", isReached: true }] }]);
    const grid = gridOf([a, b, P1], { links });
    expect(peerOf(grid, "a", "b")).toMatchObject({
      way: "lan",
      endpoints: ["192.168.1.6:3002"],
      keepalive: 25,
    });
    expect(peerOf(grid, "b", "a")).toMatchObject({ way: "lan", endpoints: [] });
    expect(holderOf(grid, "a", 2)).toBe("b");
    expect(holderOf(grid, "b", 1)).toBe("a");
  });

  test("when it fails, the pair is back at the relay, and not tried until that is taken back", () => {
    const failed = { lan: [{ address: "192.168.1.6", isReached: false }] };
    const back = { lan: [{ address: "192.168.1.5", isReached: false }] };
    const grid = gridOf([a, b, P1], { links: linksOf(["a", "b", failed], ["b", "a", back]) });
    expect(peersOf(grid, "a", "b")).toEqual([]);
    expect(holderOf(grid, "a", 2)).toBe("p1");
  });

  test("a proof of an address that the node no longer has is none", () => {
    const links = linksOf(["a", "b", { lan: [{ address: "192.168.1.99", isReached: true }] }]);
    expect(holderOf(gridOf([a, b, P1], { links }), "a", 2)).toBe("p1");
  });

  test("the same prefix behind different addresses is another LAN: nothing is tried", () => {
    const far = node("b", seenAs("203.0.113.10"), near);
    expect(peersOf(gridOf([a, far, P1]), "a", "b")).toEqual([]);
  });

  test("public neighbours that meet already are not tried, and a proved LAN comes first", () => {
    const one = node("a", publicAt("198.51.100.1"), near);
    const two = node("b", publicAt("198.51.100.1"), { lan: ["192.168.1.6/24"] });
    expect(peersOf(gridOf([one, two]), "a", "b")).toHaveLength(1);
    const links = linksOf(["a", "b", { lan: [{ address: "192.168.1.6/24", isReached: true }] }]);
    expect(peerOf(gridOf([one, two], { links }), "a", "b")?.endpoints).toEqual([
      "192.168.1.6:3002",
      "198.51.100.1:3002",
    ]);
  });
});

describe("rotation", () => {
  const NEW = keyOf("new");
  const withKey = (isSwitched: boolean, seenBy: string[]) =>
    gridOf([P1, P2, H1], {
      members: [
        member("p1", 1, { rotation: { publicKey: NEW, isSwitched, seenBy } }),
        member("p2", 2),
        member("h1", 3),
      ],
    });
  const roles = (grid: Grid, from: string) =>
    peersOf(grid, from, "p1").map(({ kind, publicKey, allowedIps, keepalive }) => ({
      kind,
      isNew: publicKey === NEW,
      routes: allowedIps.length,
      keepalive,
    }));

  test("both keys are accepted; the old one has the routes until a handshake of the new one was seen", () => {
    const grid = withKey(false, ["p2"]);
    expect(roles(grid, "h1")).toEqual([
      { kind: "node", isNew: false, routes: 2, keepalive: "auto" },
      { kind: "key", isNew: true, routes: 0, keepalive: 0 },
    ]);
    // The routes move at the peer that has seen it, and nowhere else.
    expect(roles(grid, "p2")).toEqual([
      { kind: "node", isNew: true, routes: 2, keepalive: 0 },
      { kind: "key", isNew: false, routes: 0, keepalive: 0 },
    ]);
  });

  test("once the node says that it has switched, the new key has the routes everywhere", () => {
    const grid = withKey(true, []);
    expect(roles(grid, "h1")[0]).toEqual({
      kind: "node",
      isNew: true,
      routes: 2,
      keepalive: "auto",
    });
    expect(roles(grid, "p2")[0]).toMatchObject({ isNew: true, routes: 2 });
  });

  test("ended, the old key is nobody's", () => {
    const grid = gridOf([P1, P2], {
      members: [member("p1", 1, { publicKey: NEW }), member("p2", 2)],
    });
    expect(roles(grid, "p2")).toEqual([{ kind: "node", isNew: true, routes: 2, keepalive: 0 }]);
  });

  test("a new port is a further candidate, and the first one after the switch", () => {
    const endpoints = (isSwitched: boolean) =>
      peerOf(
        gridOf([P1, H1], {
          members: [member("p1", 1, { portRotation: { port: 9000, isSwitched } }), member("h1", 2)],
        }),
        "h1",
        "p1",
      )?.endpoints;
    expect(endpoints(false)).toEqual(["198.51.100.1:3001", "198.51.100.1:9000"]);
    expect(endpoints(true)).toEqual(["198.51.100.1:9000", "198.51.100.1:3001"]);
  });

  test("the node itself listens on the new port when it is to", () => {
    const portOf = (isSwitched: boolean) => {
      const changed = member("p1", 1, { portRotation: { port: 9000, isSwitched } });
      const grid = gridOf([P1, P2], { members: [changed, member("p2", 2)] });
      return resourceOf(grid.networks.get("n")!, changed, membersOf(grid).get("p1")!).listenPort;
    };
    expect([portOf(false), portOf(true)]).toEqual([3001, 9000]);
  });
});

describe("external clients", () => {
  const client = {
    id: "laptop",
    publicKey: keyOf("laptop"),
    addresses: ["10.1.0.2"],
    access: "p1",
  };

  test("are peers of their access node, and their addresses go there from everywhere", () => {
    const grid = gridOf([P1, P2, H1], { clients: [client] });
    expect(peerOf(grid, "p1", "laptop")).toMatchObject({
      kind: "client",
      endpoints: [],
      allowedIps: ["10.1.0.2/32"],
    });
    for (const from of ["p2", "h1"])
      expect(peerOf(grid, from, "p1")?.allowedIps).toContain("10.1.0.2/32");
  });

  test.each([
    ["h1", "client laptop has no way in: node h1 is not public"],
    ["zz", "client laptop has no way in: node zz is no member"],
  ])("with %s as access node: no route, and it is said", (access, fault) => {
    const grid = gridOf([P1, H1], { clients: [{ ...client, access }] });
    const plan = planMesh(grid).plan.networks.get("n")!;
    expect(plan.faults).toEqual([fault]);
    expect(JSON.stringify(plan.members)).not.toContain("10.1.0.2");
  });
});

describe("what stays", () => {
  test("a network with a fault keeps its plan, but who was removed loses access", () => {
    const good = gridOf([P1, P2, H1]);
    const old = planMesh(good).plan;
    const bad = gridOf([P1, P2, H1], {
      members: [member("p1", 1), member("p2", 1, { publicKey: keyOf("other") })],
    });
    const { plan, changed } = planMesh(bad, old);
    const kept = plan.networks.get("n")!;
    expect(kept.faults).toEqual([
      "10.1.1.0/24 of node p2 overlaps 10.1.1.0/24 of node p1",
      "100.64.1.1 of node p2 overlaps 100.64.1.1 of node p1",
    ]);
    // h1 is no member, and p2's old key was taken back.
    expect(kept.members.map((part) => [part.node, part.peers.map(({ name }) => name)])).toEqual([
      ["p1", []],
      ["p2", ["p1"]],
    ]);
    expect(changed.map((change) => change.node).toSorted()).toEqual(["h1", "p1", "p2"]);
  });

  test("a node that joins is planned when the registry knows it, and only then accepted", () => {
    const late = gridOf([P1, P2], { members: [member("p1", 1), member("p2", 2), member("h1", 3)] });
    const first = planMesh(late).plan;
    expect(first.networks.get("n")!.faults).toEqual(["node h1 is not known: no node accepts it"]);
    const known: Grid = { ...late, nodes: new Map([...late.nodes, ["h1", H1]]) };
    const { changed } = replanMesh(known, first, { nodes: ["h1"] });
    expect(changed.map((change) => change.node).toSorted()).toEqual(["h1", "p1", "p2"]);
  });

  test("a network that was removed leaves nothing behind", () => {
    const grid = gridOf([P1, P2]);
    const old = planMesh(grid).plan;
    const { plan, changed } = replanMesh({ ...grid, networks: new Map() }, old, {
      networks: ["n"],
    });
    expect(plan.networks.size + plan.networksOf.size).toBe(0);
    expect(changed).toEqual([
      { network: "n", node: "p1", plan: undefined },
      { network: "n", node: "p2", plan: undefined },
    ]);
  });

  test("a peer with more prefixes than a node takes is refused, and said", () => {
    const hidden = Array.from({ length: 40 }, (_, at) => node(`h${at}`, HIDDEN));
    const members = [...hidden, P1].map(({ id }, at) =>
      member(id, at + 1, {
        tunnelAddresses: Array.from({ length: 30 }, (_, host) => `100.64.${at}.${host + 1}/32`),
      }),
    );
    const plan = planMesh(gridOf([...hidden, P1], { members })).plan.networks.get("n")!;
    expect(plan.members).toEqual([]);
    expect(plan.faults[0]).toMatch(/^node h0 would have a peer with more than 1024 prefixes/);
  });
});

test("a plan becomes a node's peers: first candidate as endpoint, the others beside it, keys from outside", () => {
  const b = node("b", publicAt("198.51.100.2"), { v6: publicAt("2001:db8::2") });
  const part = membersOf(gridOf([node("a", HIDDEN, { v6: HIDDEN }), b])).get("a")!;
  expect(resourcePeers(part, ({ name }) => keyOf(`psk ${name}`))).toEqual([
    {
      publicKey: keyOf("b"),
      presharedKey: keyOf("psk b"),
      endpoint: "[2001:db8::2]:3002",
      candidates: ["198.51.100.2:3002"],
      allowedIps: ["10.1.2.0/24", "100.64.1.2/32"],
      keepalive: "auto",
      subnet: "10.1.2.0/24",
    },
  ]);
});
