/** A network that its owner makes impossible: what is in force stays, who is removed is out all the same, and it is said everywhere what is wrong. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { expect } from "vitest";
import { ALLOWED_MAX } from "../../src/control/mesh/network-plan.ts";
import type { NetworkResource } from "../../src/control/model/network-resource.ts";
import type { RegistryClient } from "../../src/control/registry/client.ts";
import { Grid, sendRaw } from "./harness/grid.ts";
import { labTest } from "./harness/lab-test.ts";

/** Two of a node's subnets, two of its tunnel addresses. */
const NODE_PREFIXES = 4;
const CLIENT_PREFIXES = 2;
const AT_ONCE = 8;

interface AuditRow {
  readonly id: number;
  readonly action: string;
  readonly relation: string;
  readonly change: { readonly faults?: readonly [readonly string[], readonly string[]] };
}

const freshKey = (): string => randomBytes(32).toString("base64");

async function partOf(node: RegistryClient): Promise<NetworkResource> {
  return (await node.desired()).networks[0]!;
}

async function auditOf(admin: RegistryClient): Promise<AuditRow[]> {
  const all: AuditRow[] = [];
  for (;;) {
    const path = `/api/v2/audit?limit=1000&after=${all.at(-1)?.id ?? 0}`;
    const page = await admin.ask<AuditRow[]>("GET", path);
    if (page.length === 0) return all;
    all.push(...page);
  }
}

labTest(
  "more than a node takes: the plan of before stays in force, a client that is removed is out, a new one is not in",
  async (lab) => {
    const grid = new Grid(lab, { data: join(lab.folder, "registry") });
    const { url } = await grid.start(0, "--rate-per-key", "100000");
    const farm = await grid.farm(url);
    const nodes = await Promise.all(Array.from({ length: 3 }, () => grid.node(url, farm)));
    const [a, b, c] = nodes as [RegistryClient, RegistryClient, RegistryClient];
    const relay = { isAllowed: true, health: "up", load: 0 } as const;
    for (const node of nodes) {
      const v4 =
        node === a
          ? ({ kind: "public", addresses: ["198.51.100.1"] } as const)
          : ({ kind: "hidden" } as const);
      await node.reportReachability({ v4, v6: { kind: "none" }, relay, links: [] });
    }
    const user = await grid.user(url);
    const ids = nodes.map(({ keyId }) => keyId);
    const made = { name: "net", cidr: "10.16.0.0/12", subnetLength: 20, nodes: ids };
    const { id } = await user.createNetwork(made);
    for (const node of nodes) {
      const { listenPort = 0 } = await partOf(node);
      await node.join(id, { publicKey: freshKey(), port: listenPort });
    }
    const add = async (name: string): Promise<readonly string[]> => {
      const client = { name, publicKey: freshKey(), access: a.keyId };
      return (await user.addClient(id, client)).faults;
    };
    // Through a, b has a's own prefixes, c's, and those of all clients.
    const most = (ALLOWED_MAX - 2 * NODE_PREFIXES) / CLIENT_PREFIXES;
    for (let first = 0; first < most; first += AT_ONCE) {
      const count = Math.min(AT_ONCE, most - first);
      const names = Array.from({ length: count }, (_, at) => `c${first + at}`);
      await Promise.all(names.map(add));
    }
    const before = await Promise.all(nodes.map(partOf));
    expect(before[1]?.peers.map(({ allowedIps }) => allowedIps.length)).toEqual([ALLOWED_MAX]);
    expect(await user.network(id)).toMatchObject({ faults: [] });

    const fault = expect.stringMatching(/ would have a peer with more than 1024 prefixes: split/);
    expect(await add("one too many")).toEqual([fault]);
    expect(await Promise.all(nodes.map(partOf))).toEqual(before);
    // As people see it: what is in force, and what is wrong.
    const status = await user.networkStatus(id);
    expect(status.faults).toEqual([fault]);
    expect(status.pairs.map(({ path }) => path).toSorted()).toEqual(["relay", "v4", "v4"]);
    expect(await user.explain(b.keyId, c.keyId)).toMatchObject([
      { path: [b.keyId, a.keyId, c.keyId], ways: ["v4", "incoming"] },
    ]);
    const metrics = async (): Promise<string> => (await sendRaw(url, "GET", "/metrics", {})).body;
    expect(await metrics()).toContain("wirehaul_registry_networks_faulty 1\n");
    expect(await metrics()).toContain('wirehaul_registry_links{path="relay"} 1\n');
    const said = (await auditOf(grid.client(url))).filter(
      ({ change }) => change.faults?.[1]?.length === 1,
    );
    expect(said).toMatchObject([{ action: "network.add-client", relation: "networks" }]);

    // What still can't be planned is taken away all the same.
    await add("two too many");
    const { clients } = await user.network(id);
    const gone = clients.find(({ name }) => name === "c7")!;
    expect((await user.removeClient(id, "c7")).faults).toEqual([fault]);
    const kept = (await partOf(a)).peers.map(({ publicKey }) => publicKey);
    expect(kept).not.toContain(gone.publicKey);
    expect(kept).toHaveLength(before[0]!.peers.length - 1);
    expect((await partOf(b)).peers).toEqual(before[1]?.peers);

    // And once it is possible again, it is as it is wanted.
    const { faults } = await user.removeClient(id, "c8");
    expect(faults).toEqual([]);
    const now = (await partOf(a)).peers.map(({ publicKey }) => publicKey);
    const wanted = (await user.network(id)).clients.map(({ publicKey }) => publicKey);
    expect(now).toEqual(expect.arrayContaining(wanted));
    expect(await metrics()).toContain("wirehaul_registry_networks_faulty 0\n");
  },
  180_000,
);
