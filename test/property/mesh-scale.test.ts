/**
 * A grid of 10,000 nodes with 1,000 networks: how long its plan takes is printed, how much work a change makes is bounded. Numbers drawn
 * from a fixed seed.
 */
import { describe, expect, test } from "vitest";
import type { Grid, GridNode, Links, Measured, Network } from "../../src/control/mesh/grid.ts";
import { type MeshPlan, planMesh, replanMesh } from "../../src/control/mesh/mesh-plan.ts";
import type { Work } from "../../src/control/mesh/routes.ts";

const NODES = 10_000;
const NETWORKS = 1_000;
const MEMBERS_MAX = 50;

let state = 0x2545f491;

/** xorshift32. */
function draw(below: number): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % below;
}

/** Every fourth node is public; half of the hidden ones sit behind shared addresses; one in ten has IPv6. */
function nodeAt(at: number): GridNode {
  const isPublic = at % 4 === 0;
  const high = at >> 8;
  const address = `198.18.${high}.${at & 0xff}`;
  return {
    id: `node${String(at).padStart(5, "0")}`,
    v4: isPublic
      ? { kind: "public", addresses: [address] }
      : { kind: "hidden", seenAs: at % 2 === 0 ? `203.0.113.${at % 250}` : address },
    v6:
      at % 10 === 0
        ? { kind: "public", addresses: [`2001:db8::${at.toString(16)}`] }
        : { kind: "none" },
    lan: [`192.168.${at % 3}.${(at % 250) + 1}/24`],
    relay: { isAllowed: true, health: "up", load: draw(100) / 100 },
  };
}

function keyAt(at: number): string {
  const bytes = Buffer.alloc(32);
  bytes.writeUInt32LE(at);
  return bytes.toString("base64");
}

function networkAt(at: number, size: number): Network {
  const chosen = new Set<number>();
  while (chosen.size < size) chosen.add(draw(NODES));
  return {
    id: `net${at}`,
    range: "10.1.0.0/16",
    members: [...chosen].map((node, place) => ({
      node: nodeAt(node).id,
      publicKey: keyAt(at * 1_000 + place),
      listenPort: 3_000 + at,
      subnet: `10.1.${place + 1}.0/24`,
      tunnelAddresses: [`100.64.1.${place + 1}/32`],
    })),
    clients: [],
  };
}

function bigGrid(): Grid {
  const nodes = new Map(
    Array.from({ length: NODES }, (_, at) => nodeAt(at)).map((node) => [node.id, node]),
  );
  const networks = new Map(
    Array.from({ length: NETWORKS }, (_, at) => networkAt(at, 2 + draw(MEMBERS_MAX - 1))).map(
      (network) => [network.id, network],
    ),
  );
  // Nodes measured the public ones of their networks.
  const links = new Map<string, Map<string, Measured>>();
  for (const { members } of networks.values()) {
    for (const { node } of members) {
      const row = links.get(node) ?? new Map<string, Measured>();
      links.set(node, row);
      for (const other of members) {
        if (other.node === node || nodes.get(other.node)?.v4.kind !== "public") continue;
        row.set(other.node, { v4: { isReached: draw(50) > 0, latencyMs: draw(200) } });
      }
    }
  }
  return { nodes, networks, links };
}

function fresh(): Work {
  return { networks: 0, pairs: 0, relays: 0 };
}

function pairsIn(grid: Grid, ids: Iterable<string>): number {
  return [...ids].reduce((sum, id) => {
    const size = grid.networks.get(id)!.members.length;
    return sum + (size * (size - 1)) / 2;
  }, 0);
}

describe(`${NODES} nodes, ${NETWORKS} networks of up to ${MEMBERS_MAX}`, () => {
  const grid = bigGrid();
  const work = fresh();
  const started = performance.now();
  const { plan } = planMesh(grid, undefined, work);
  const tookMs = performance.now() - started;

  test("a whole plan looks at each pair once, and at relays only for pairs that don't meet", () => {
    const peers = [...plan.networks.values()].reduce(
      (sum, { members }) => sum + members.reduce((part, member) => part + member.peers.length, 0),
      0,
    );
    console.log(
      `planned ${work.pairs} pairs of ${NETWORKS} networks (${peers} peers, ${work.relays} looks at relays) in ${tookMs.toFixed(0)} ms, ${(process.memoryUsage().heapUsed / 2 ** 20).toFixed(0)} MiB of heap in use`,
    );
    expect(work.networks).toBe(NETWORKS);
    expect(work.pairs).toBe(pairsIn(grid, grid.networks.keys()));
    // A quarter of the members are relays; hidden pairs, both ways, and the few that no single relay joins a second time.
    expect(work.relays).toBeLessThan(2 * 2 * work.pairs * MEMBERS_MAX * 0.5);
    expect([...plan.networks.values()].flatMap(({ faults }) => faults)).toEqual([]);
  });

  function measure(
    name: string,
    changes: Parameters<typeof replanMesh>[2],
    after: Grid,
  ): { readonly work: Work; readonly changed: number; readonly plan: MeshPlan } {
    const counted = fresh();
    const begun = performance.now();
    const renewed = replanMesh(after, plan, changes, counted);
    const ms = performance.now() - begun;
    console.log(
      `${name}: ${counted.networks} networks planned, ${renewed.changed.length} members' parts changed, ${ms.toFixed(1)} ms`,
    );
    return { work: counted, changed: renewed.changed.length, plan: renewed.plan };
  }

  test("a node added to a network plans that network alone", () => {
    const network = grid.networks.get("net0")!;
    const at = network.members.length + 1;
    const newcomer = [...grid.nodes.keys()].find(
      (id) => !network.members.some(({ node }) => node === id),
    )!;
    const members = [
      ...network.members,
      {
        node: newcomer,
        publicKey: keyAt(999_999_999),
        listenPort: 9,
        subnet: `10.1.${at}.0/24`,
        tunnelAddresses: [`100.64.1.${at}/32`],
      },
    ];
    const after: Grid = {
      ...grid,
      networks: new Map([...grid.networks, ["net0", { ...network, members }]]),
    };
    const renewed = measure("a node added", { networks: ["net0"] }, after);
    expect(renewed.work.networks).toBe(1);
    expect(renewed.work.pairs).toBe((at * (at - 1)) / 2);
    for (const [id, before] of plan.networks) {
      if (id !== "net0") expect(renewed.plan.networks.get(id)).toBe(before);
    }
  });

  test("a node's change plans its networks alone, a pair's those that both are in", () => {
    const [id, theirs] = [...plan.networksOf].find(
      ([node, ids]) => ids.size > 3 && grid.nodes.get(node)?.v4.kind === "public",
    )!;
    const node = grid.nodes.get(id)!;
    const dead: Grid = {
      ...grid,
      nodes: new Map([...grid.nodes, [id, { ...node, relay: { ...node.relay, health: "down" } }]]),
    };
    const renewed = measure("a relay down", { nodes: [id] }, dead);
    expect(renewed.work.networks).toBe(theirs.size);
    expect(renewed.work.pairs).toBe(pairsIn(grid, theirs));

    const other = grid.networks
      .get([...theirs][0]!)!
      .members.find((member) => member.node !== id)!.node;
    const common = [...theirs].filter((name) => plan.networksOf.get(other)!.has(name));
    const links: Links = new Map([
      ...grid.links,
      [other, new Map([...(grid.links.get(other) ?? []), [id, { v4: { isReached: false } }]])],
    ]);
    const cut = measure("a pair cut", { pairs: [[id, other]] }, { ...grid, links });
    expect(cut.work.networks).toBe(common.length);
    expect(cut.changed).toBeGreaterThan(0);
  });

  test("nothing new: planned again, nobody has to hear of it", () => {
    expect(planMesh(grid, plan).changed).toEqual([]);
  });
});

test("a node added to a network of 200", () => {
  const grid: Grid = {
    nodes: new Map(
      Array.from({ length: NODES }, (_, at) => nodeAt(at)).map((node) => [node.id, node]),
    ),
    links: new Map(),
    networks: new Map([["big", networkAt(1, 200)]]),
  };
  const before = planMesh(grid).plan;
  const network = grid.networks.get("big")!;
  const smaller: Grid = {
    ...grid,
    networks: new Map([["big", { ...network, members: network.members.slice(1) }]]),
  };
  const begun = performance.now();
  const { changed } = replanMesh(smaller, before, { networks: ["big"] });
  console.log(
    `one of 200 members changed: ${changed.length} members' parts changed, ${(performance.now() - begun).toFixed(1)} ms`,
  );
  const gone = network.members[0]!.node;
  expect(changed.map(({ node }) => node)).toContain(gone);
  expect(JSON.stringify(changed.filter(({ plan }) => plan !== undefined))).not.toContain(
    `"${gone}"`,
  );
});
