/**
 * From intent to what each node has to do, with a planner of the test's own (all ready members are peers): differences add up to the whole, only
 * those concerned hear, who is deleted is gone at its peers. The real planner's rules are tested where it is.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { expect } from "vitest";
import { generateKeys } from "../../src/cli/demo/keys.ts";
import { until } from "../../src/control/linux/command.ts";
import type { NetworkPeer, NetworkResource } from "../../src/control/model/network-resource.ts";
import { parseNetworkResource } from "../../src/control/model/network-resource.ts";
import {
  Identity,
  type NetworkChange,
  type RegistryClient,
} from "../../src/control/registry/client.ts";
import { insertUser } from "../../src/control/registry/people.ts";
import type { PlanNetwork } from "../../src/control/registry/planning.ts";
import { LIMITS, RegistryServer } from "../../src/control/registry/server.ts";
import { migrate } from "../../src/control/registry/store/migrations.ts";
import { openDatabase } from "../../src/control/registry/store/open.ts";
import { Store } from "../../src/control/registry/store/store.ts";
import { Grid } from "./harness/grid.ts";
import { labTest } from "./harness/lab-test.ts";

const PLAIN = { way: "v4", carries: [] } as const;
const everybody: PlanNetwork = ({ members, clients }, { nodes }) => ({
  ...{ faults: [], isKept: false },
  members: members.map(({ node }) => ({
    ...{ node, revision: 1, unreached: [] },
    peers: [
      ...members
        .filter((other) => other.node !== node)
        .map((other) => {
          const standing = nodes.get(other.node)?.v4;
          return {
            ...{ ...PLAIN, kind: "node" as const, name: other.node },
            publicKey: other.publicKey,
            endpoints:
              standing?.kind === "public"
                ? standing.addresses.map((address) => `${address}:${other.listenPort}`)
                : [],
            allowedIps: [other.subnet, other.subnet6 ?? "", ...other.tunnelAddresses],
            keepalive: 25,
            subnet: other.subnet,
          };
        }),
      ...clients
        .filter(({ access }) => access === node)
        .map(({ id, publicKey, addresses }) => ({
          ...{ ...PLAIN, kind: "client" as const, name: id },
          ...{ publicKey, endpoints: [], allowedIps: addresses, keepalive: 0 },
        })),
    ],
  })),
});

/** A node that believes its stream only. */
class Believer {
  readonly client: RegistryClient;
  readonly networks = new Map<string, NetworkResource>();
  heard = 0;
  readonly #controller = new AbortController();

  constructor(client: RegistryClient) {
    this.client = client;
    void this.#listen();
  }

  stop(): void {
    this.#controller.abort();
  }

  async #listen(): Promise<void> {
    for await (const event of this.client.events(this.#controller.signal, 0)) {
      if (event.kind !== "plan" || !("subject" in event)) continue;
      this.heard += 1;
      const { base, resource, set, remove } = event.body as NetworkChange;
      const before = this.networks.get(event.subject);
      if ((before?.revision ?? 0) !== base)
        throw new Error(`it builds on ${base}, not ${before?.revision}`);
      if (resource === undefined) {
        this.networks.delete(event.subject);
        continue;
      }
      const peers = new Map<string, NetworkPeer>(
        before?.peers.map((peer) => [peer.publicKey, peer]),
      );
      for (const key of remove) expect(peers.delete(key)).toBe(true);
      for (const peer of set) peers.set(peer.publicKey, peer);
      this.networks.set(event.subject, { ...resource, peers: [...peers.values()] });
    }
  }
}

const sorted = (networks: Iterable<NetworkResource>): unknown[] =>
  [...networks]
    .map((network) => ({
      ...network,
      peers: [...network.peers].sort((a, b) => (a.publicKey < b.publicKey ? -1 : 1)),
    }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));

labTest(
  "differences add up to the whole; only those concerned hear; a deleted node is gone at its peers",
  async (lab) => {
    const database = await openDatabase({ data: join(lab.folder, "registry") }, () => undefined);
    await migrate(database);
    const admin = Identity.generate();
    await insertUser(new Store(database), "operator", {
      name: "root",
      key: admin.keyId,
      role: "admin",
    });
    const faults: string[] = [];
    const server = new RegistryServer({
      ...{ database, host: "127.0.0.1", port: 0, authorities: [], oldSignatures: false },
      ...{ planNetwork: everybody, limits: LIMITS },
      log: (level, text) => {
        if (level === "error") faults.push(text);
      },
    });
    const url = await server.listen();
    const grid = new Grid(lab, {}, admin);
    const farm = await grid.farm(url);
    const nodes: Believer[] = [];
    for (let n = 0; n < 6; n++) nodes.push(new Believer(await grid.node(url, farm)));
    const user = await grid.user(url);
    const ids = nodes.map(({ client }) => client.keyId);
    /** Each takes part in whatever it is in. */
    const takePart = async (among = nodes): Promise<void> => {
      for (const { client } of among) {
        for (const { id, listenPort, ...rest } of (await client.desired()).networks) {
          expect(parseNetworkResource({ id, listenPort, ...rest })).toBeDefined();
          const key = keys.get(`${client.keyId} ${id}`) ?? generateKeys().publicKey;
          keys.set(`${client.keyId} ${id}`, key);
          await client.join(id, { publicKey: key, port: listenPort ?? 0 });
        }
      }
    };
    const keys = new Map<string, string>();
    const agree = async (among = nodes): Promise<void> => {
      for (const believer of among) {
        const { networks } = await believer.client.desired();
        await until("the stream says what the registry says", () =>
          // In whatever order the parts of its JSON are.
          isDeepStrictEqual(sorted(believer.networks.values()), sorted(networks)),
        );
      }
    };

    const first = await user.createNetwork({
      name: "first",
      cidr: "10.20.0.0/16",
      nodes: ids.slice(0, 3),
    });
    const second = await user.createNetwork({
      name: "second",
      cidr: "10.20.0.0/16",
      nodes: ids.slice(2, 4),
    });
    await takePart();
    await agree();
    // What nodes say is no change of what its owner wants: nobody's request is refused for it.
    expect((await user.network(first.id)).revision).toBe(first.revision);
    const peersOf = (at: number, id: string): string[] =>
      nodes[at]?.networks
        .get(id)
        ?.peers.map(({ publicKey }) => publicKey)
        .toSorted() ?? [];
    const keyOf = (at: number, id: string): string => keys.get(`${ids[at]} ${id}`) ?? "";
    expect(peersOf(0, first.id)).toEqual([keyOf(1, first.id), keyOf(2, first.id)].toSorted());
    expect(peersOf(3, second.id)).toEqual([keyOf(2, second.id)]);
    expect(peersOf(3, first.id)).toEqual([]);

    // One more in the second: the first network's hear nothing.
    const before = nodes.map(({ heard }) => heard);
    await user.addNode(second.id, { node: ids[4] ?? "" });
    await takePart();
    await agree();
    const hears = nodes.map(({ heard }, at) => heard - (before[at] ?? 0));
    expect([hears[0], hears[1], hears[5]]).toEqual([0, 0, 0]);
    expect(Math.min(...hears.slice(2, 5))).toBeGreaterThan(0);

    // A measured address moves: the peers get the endpoint, the node itself nothing of its own.
    const none = { kind: "none" } as const;
    const relay = { isAllowed: true, health: "up", load: 0 } as const;
    const standing = { kind: "public", addresses: ["203.0.113.7"] } as const;
    await nodes[0]?.client.reportReachability({ v4: standing, v6: none, relay, links: [] });
    await agree();
    expect(
      nodes[1]?.networks
        .get(first.id)
        ?.peers.find(({ publicKey }) => publicKey === keyOf(0, first.id))?.endpoint,
    ).toMatch(/^203\.0\.113\.7:\d+$/);
    const heard = nodes.map((node) => node.heard);
    await nodes[0]?.client.reportReachability({ v4: standing, v6: none, relay, links: [] });
    await nodes[0]?.client.heartbeat({ uptime: 1 });
    expect(nodes.map((node) => node.heard)).toEqual(heard);

    // A client outside the grid is its access node's peer.
    const { publicKey } = generateKeys();
    await user.addClient(first.id, { name: "laptop", publicKey, access: ids[1] ?? "" });
    await agree();
    expect(peersOf(1, first.id)).toContain(publicKey);
    expect(peersOf(0, first.id)).not.toContain(publicKey);

    // Deleted while it is away.
    nodes[2]?.stop();
    const gone = [keyOf(2, first.id), keyOf(2, second.id)];
    await grid.client(url).deleteNode(ids[2] ?? "");
    await agree(nodes.filter((_node, at) => at !== 2));
    for (const at of [0, 1, 3, 4]) {
      const all = [...peersOf(at, first.id), ...peersOf(at, second.id)];
      expect(
        all.filter((key) => gone.includes(key)),
        `node ${at}`,
      ).toEqual([]);
    }

    // A random series of changes.
    const others = [0, 1, 3, 4, 5];
    for (let step = 0; step < 25; step++) {
      const [which = 0, who = 0] = randomBytes(2);
      const { id } = which % 2 === 0 ? first : second;
      const node = ids[others[who % others.length] ?? 0] ?? "";
      const { members, clients } = await user.network(id);
      if (clients.some(({ access }) => access === node)) continue;
      if (members.some((member) => member.node === node)) await user.removeNode(id, node);
      else await user.addNode(id, { node });
      if (step % 3 === 0) await takePart(others.map((at) => nodes[at]!));
    }
    await agree(others.map((at) => nodes[at]!));
    await user.deleteNetwork(first.id);
    await agree(others.map((at) => nodes[at]!));
    expect(nodes[0]?.networks.has(first.id)).toBe(false);
    for (const node of nodes) node.stop();
    await server.close();
    await database.close();
    expect(faults).toEqual([]);
  },
  120_000,
);
