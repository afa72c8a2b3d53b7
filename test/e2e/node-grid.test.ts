/**
 * Nodes that take their networks from a registry as it runs: joining, networks, removal at once, what comes back without the registry, what
 * was missed, ports that are taken, a node that is deleted.
 */
import { expect } from "vitest";
import { GridLab } from "../../src/cli/demo/grid-lab.ts";
import { addressOf, type GridNode, workloadName } from "../../src/cli/demo/grid-node.ts";
import { publicPlaces } from "../../src/cli/demo/grid-sites.ts";
import type { Lab } from "../../src/cli/demo/lab.ts";
import { statusAnswer } from "../../src/control/api/answers.ts";
import { realClock } from "../../src/control/linux/clock.ts";
import { until } from "../../src/control/linux/command.ts";
import { PingSocket } from "../../src/control/linux/ping.ts";
import { cidrOf } from "../../src/control/model/cidr.ts";
import { Prober } from "../../src/control/node/grid/prober.ts";
import type { NetworkDetails, NodeView } from "../../src/control/registry/client.ts";
import { populate, untilAllReach } from "./harness/grid-workloads.ts";
import { labTest } from "./harness/lab-test.ts";

const LOCAL = {
  id: "mine",
  name: "of this node",
  owner: "1",
  range: "10.99.0.0/16",
  subnet: "10.99.1.0/24",
};

interface Three {
  readonly grid: GridLab;
  readonly a: GridNode;
  readonly b: GridNode;
  readonly c: GridNode;
}

/** Three public nodes: two come by a token, one waits until it is approved. */
async function threeNodes(lab: Lab): Promise<Three> {
  const grid = await GridLab.make(lab, { places: publicPlaces("a", "b", "c") });
  const [a, b, c] = grid.nodes as [GridNode, GridNode, GridNode];
  await a.start(await grid.token());
  await b.start(await grid.token());
  await c.start();
  await until("c waits", async () => (await c.grid()).state === "pending");
  expect((await c.grid()).why).toBe("waits for its farmer's approval");
  await grid.asAdmin("node", "approve", c.id);
  for (const node of [a, b, c]) await node.untilReady();
  return { grid, a, b, c };
}

/** As the admin sees it. */
async function detailsOf(grid: GridLab, { id }: NetworkDetails): Promise<NetworkDetails> {
  return await grid.ask(grid.admin, "network", "show", id);
}

const WATCH = `table inet watch {
 counter asked { }
 counter answered { }
 chain in {
  type filter hook input priority 0;
  icmp type echo-request counter name asked
  icmp type echo-reply counter name answered
 }
}
`;

/** The agents' own echoes go through the tunnel, to the other's tunnel address, and come back. */
async function expectProbes(a: GridNode, b: GridNode, id: string): Promise<void> {
  const namespace = `n-${id}`;
  const counted = async (node: GridNode, name: string): Promise<number> => {
    const text = await node.exec(["nft", "list", "counter", "inet", "watch", name], namespace);
    return Number(/packets (\d+)/.exec(text)?.[1] ?? 0);
  };
  for (const node of [a, b]) await node.exec(["nft", "-f", "-"], namespace, { input: WATCH });
  // Each 10 s, with jitter.
  await until("b is probed", async () => (await counted(b, "asked")) > 0, 30_000);
  await until("a is answered", async () => (await counted(a, "answered")) > 0, 30_000);
  for (const node of [a, b]) {
    await node.exec(["nft", "delete", "table", "inet", "watch"], namespace);
  }
}

const RANGE = "net.ipv4.ping_group_range";

labTest(
  "echoes of both families by one socket each: who answers is alive, who is shut off is not after three misses, and is again",
  async (lab) => {
    const [here, there] = [await lab.namespace("here"), await lab.namespace("there")];
    await lab.cable(
      { namespace: here, name: "e0", addresses: ["192.0.2.1/24", "2001:db8:1::1/64"] },
      { namespace: there, name: "e0", addresses: ["192.0.2.2/24", "2001:db8:1::2/64"] },
    );
    // As a new namespace has it: nobody may.
    expect(() => PingSocket.open(here.name, 4, () => undefined)).toThrow(/EACCES/);
    await here.exec(["sysctl", "-qw", `${RANGE}=0 0`]);
    const peers = ["192.0.2.2/32", "2001:db8:1::2/128", "192.0.2.77/32"].map((address) => ({
      ...{ publicKey: address, allowedIps: [address], keepalive: 0, endpoint: "192.0.2.2:1" },
    }));
    const resource = {
      ...{ id: "x", name: "x", owner: "u", range: "10.0.0.0/8", subnet: "10.1.0.0/24" },
      ...{ tunnelAddresses: [], internet: false, lan: [], peers, revision: 1 },
    };
    let turns = 0;
    const prober = new Prober({
      clock: realClock,
      networks: () => [{ resource, publicKey: "own", problem: undefined }],
      // They are neighbours: each 2 s.
      lans: () => [cidrOf("192.0.2.1/24")],
      open: (_id, family, onMessage) => PingSocket.open(here.name, family, onMessage),
      onTurn: () => {
        turns += 1;
      },
    });
    const states = (): (boolean | undefined)[] =>
      peers.map(({ publicKey }) => prober.recordOf("x", publicKey)?.isAlive);
    const untilStates = (...wanted: readonly (boolean | undefined)[]): Promise<unknown> =>
      until(
        `${wanted}, not ${states()}`,
        () => JSON.stringify(states()) === JSON.stringify(wanted),
        30_000,
      );
    prober.start();
    try {
      await untilStates(true, true, false);
      expect(prober.recordOf("x", "192.0.2.2/32")).toMatchObject({
        roundTripMs: expect.any(Number),
      });
      const drop = "add rule inet f i meta l4proto { icmp, icmpv6 } drop";
      const table = "add table inet f; add chain inet f i { type filter hook input priority 0; };";
      await there.exec(["nft", `${table} ${drop}`]);
      await untilStates(false, false, false);
      await there.exec(["nft", "delete table inet f"]);
      await untilStates(true, true, false);
      expect(turns).toBeGreaterThanOrEqual(3);
    } finally {
      await prober.stop();
    }
  },
  120_000,
);

labTest(
  "nodes join, get a network by the registry's API, and keep it; who is taken out is out at once; nothing that is local is touched",
  async (lab) => {
    const { grid, a, b, c } = await threeNodes(lab);
    await a.wirehaul(["network", "add", "-", "--local"], JSON.stringify(LOCAL));
    const local = await a.untilNetwork(LOCAL.id);

    const network = await grid.create(grid.admin, "shop", "10.20.0.0/16");
    await populate([a, b, c], network);
    await untilAllReach([a, b, c], network);
    await expectProbes(a, b, network.id);
    const before = await a.untilNetwork(network.id);
    const { members } = await detailsOf(grid, network);
    expect(members.find(({ node }) => node === a.id)).toMatchObject({
      publicKey: before.publicKey,
      port: before.listenPort,
    });
    for (const node of await grid.asAdmin<NodeView[]>("node", "list")) {
      expect(node).toMatchObject({ state: "approved", seen: expect.stringMatching(/^20/) });
      expect(node.reachability?.v4).toEqual({ kind: "public", addresses: [expect.anything()] });
      expect(node.reachability?.relay.isAllowed).toBe(true);
    }
    // What it is to a person; the key of the node is in its file and nowhere else.
    const shown = await a.wirehaul(["node", "status"]);
    expect(shown).toMatch(/grid: approved: in the grid\n/);
    expect(shown).toMatch(/networks of the grid: 1; revision \d+, up to date; last heard: 20/);
    expect(statusAnswer.parse(await a.status()).grid).toMatchObject({ node: a.id, networks: 1 });
    const key = (await a.exec(["cat", `${a.folder}/node-key.pem`])).split("\n")[1] ?? "";
    expect(key.length).toBeGreaterThan(40);
    for (const text of [shown, a.output, JSON.stringify(await a.status())]) {
      expect(text).not.toContain(key.slice(16));
    }
    expect(await a.exec(["stat", "-c", "%a", `${a.folder}/node-key.pem`])).toBe("600\n");
    // The registry's networks are changed there.
    await expect(a.wirehaul(["network", "rm", network.id, "--local", "--drain"])).rejects.toThrow(
      /is the registry's: change it there/,
    );

    // Taken out: its peers refuse it at once, and it has nothing of it any more.
    const keyOfB = (await b.untilNetwork(network.id)).publicKey;
    expect(await a.peers(network.id)).toContain(keyOfB);
    await grid.ask(grid.admin, "network", "remove-node", network.id, b.id);
    for (const node of [a, c]) {
      await until(`${node.label} has b no longer`, async () => {
        return !(await node.peers(network.id)).includes(keyOfB);
      });
    }
    await until("b has it no longer", async () => (await b.networks()).length === 0);
    expect(await a.reaches(addressOf(network, b.id), workloadName(network))).toBe(false);
    await untilAllReach([a, c], network);

    // Without the registry: a power cut, and all is back as it was.
    await grid.stopRegistry();
    await a.cutPower();
    await a.start();
    const [back, own] = [await a.untilNetwork(network.id), await a.untilNetwork(LOCAL.id)];
    expect({ ...back, revision: 0 }).toEqual({ ...before, revision: 0 });
    expect(own).toEqual(local);
    await untilAllReach([a, c], network);
    await until("it says that nobody answers", async () => {
      const { state, why, revision } = await a.grid();
      return state === "unregistered" && revision === null && why.includes("does not answer");
    });

    // The registry is back; what changes now reaches those that were there, and one that was away.
    await c.end("SIGTERM");
    await grid.startRegistry();
    await a.untilReady();
    const again = await grid.ask<NetworkDetails>(
      grid.admin,
      ...["network", "add-node", network.id, b.id],
    );
    await b.untilReady();
    await populate([b], again);
    await untilAllReach([a, b], again);
    // What peers report may move the plans of some, so that no node's revision is another's later on.
    const { revision: known } = await a.grid();
    await c.start();
    await c.untilReady();
    await untilAllReach([a, b, c], again);
    expect((await c.grid()).revision).toBeGreaterThanOrEqual(known ?? Number.POSITIVE_INFINITY);
    for (const node of [a, b, c]) {
      expect(await node.wirehaul(["node", "plan"])).toBe("nothing to do\n");
    }
  },
  600_000,
);

/** Has a UDP port of the machine, as another program would. */
const OCCUPY = (port: number): string =>
  `require("node:dgram").createSocket("udp4").bind(${port}, () => console.log("bound"))`;

labTest(
  "a port that is taken on the node is refused and another is leased; a deleted node hears it and gives up what is the grid's",
  async (lab) => {
    const { grid, a, b, c } = await threeNodes(lab);
    await c.end("SIGTERM");
    const network = await grid.create(grid.admin, "shop", "10.20.0.0/16");
    const offered = network.members.find(({ node }) => node === c.id)?.port ?? 0;
    expect(offered).toBeGreaterThan(0);
    const program = c.spawn([process.execPath, "-e", OCCUPY(offered)]);
    await program.waitFor("bound");
    await c.start();
    const made = await c.untilNetwork(network.id);
    expect(made.listenPort).not.toBe(offered);
    await c.untilReady();
    const { members } = await detailsOf(grid, network);
    expect(members.find(({ node }) => node === c.id)).toMatchObject({
      port: made.listenPort,
      publicKey: made.publicKey,
    });
    expect(c.output).toContain(`port ${offered} is in use by another program`);
    await populate([a, b, c], network);
    await untilAllReach([a, b, c], network);

    // A clash with what is local is refused and said here; nothing local changes.
    await b.wirehaul(["network", "add", "-", "--local"], JSON.stringify(LOCAL));
    const local = await b.untilNetwork(LOCAL.id);

    // Deleted while it is away: its peers refuse it at once; when it is back it hears it.
    await b.end("SIGTERM");
    const keyOfB = members.find(({ node }) => node === b.id)?.publicKey ?? "";
    expect(await a.peers(network.id)).toContain(keyOfB);
    await grid.asAdmin("node", "delete", b.id);
    for (const node of [a, c]) {
      await until(`${node.label} has b no longer`, async () => {
        return !(await node.peers(network.id)).includes(keyOfB);
      });
    }
    await b.start();
    await until("b knows", async () => (await b.grid()).state === "deleted");
    await until("b has nothing of the grid", async () => (await b.grid()).networks === 0);
    expect(await b.networks()).toEqual([local]);
    // One that is there hears it at once.
    await grid.asAdmin("node", "delete", c.id);
    await until("c knows", async () => (await c.grid()).state === "deleted");
    await until("c has nothing of the grid", async () => (await c.networks()).length === 0);
    await until("a is alone", async () => (await a.peers(network.id)).length === 0);
  },
  600_000,
);
