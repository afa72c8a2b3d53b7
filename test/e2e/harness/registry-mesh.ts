/** A registry in the test's own process, with the real planner, and public nodes in a network of it: what rotations are tested with. */
import { join } from "node:path";
import { expect } from "vitest";
import { generateKeys } from "../../../src/cli/demo/keys.ts";
import type { Lab } from "../../../src/cli/demo/lab.ts";
import { planNetwork } from "../../../src/control/mesh/network-plan.ts";
import type { NetworkPeer } from "../../../src/control/model/network-resource.ts";
import type { RegistryClient, RotationTask } from "../../../src/control/registry/client.ts";
import { insertUser } from "../../../src/control/registry/people.ts";
import { expireRotations } from "../../../src/control/registry/rotation-expiry.ts";
import { LIMITS, RegistryServer } from "../../../src/control/registry/server.ts";
import type { Database } from "../../../src/control/registry/store/database.ts";
import { migrate } from "../../../src/control/registry/store/migrations.ts";
import { openDatabase } from "../../../src/control/registry/store/open.ts";
import { Store } from "../../../src/control/registry/store/store.ts";
import { Grid } from "./grid.ts";

export const refused = (code: string, text = ""): unknown =>
  expect.objectContaining({ code, message: expect.stringContaining(text) });

/** A registry in this process: its database can be looked into, and its clock can be moved. */
export class Registry {
  readonly #lab: Lab;
  readonly faults: string[] = [];
  database!: Database;
  url = "";
  grid: Grid;
  #server: RegistryServer | undefined;

  private constructor(lab: Lab) {
    this.#lab = lab;
    this.grid = new Grid(lab, {});
  }

  static async start(lab: Lab): Promise<Registry> {
    const registry = new Registry(lab);
    await registry.begin();
    await insertUser(new Store(registry.database), "operator", {
      ...{ name: "root", key: registry.grid.admin.keyId, role: "admin" },
    });
    return registry;
  }

  async begin(port = 0): Promise<void> {
    const place = { data: join(this.#lab.folder, "registry") };
    this.database = await openDatabase(place, () => undefined);
    await migrate(this.database);
    this.#server = new RegistryServer({
      ...{ database: this.database, host: "127.0.0.1", port, authorities: [] },
      ...{ oldSignatures: false, planNetwork, limits: LIMITS },
      log: (level, text) => {
        if (level === "error") this.faults.push(text);
      },
    });
    this.url = await this.#server.listen();
  }

  async end(): Promise<void> {
    await this.#server?.close();
    await this.database.close();
  }

  /** All of it goes down and comes up again at the same place. */
  async restart(): Promise<void> {
    await this.end();
    await this.begin(Number(new URL(this.url).port));
  }

  /** As if every phase had taken too long. */
  async expire(): Promise<void> {
    await this.database.script("update rotations set deadline = now() - interval '1 second'");
    await this.look();
  }

  /** What it does every minute. */
  async look(): Promise<void> {
    await expireRotations(new Store(this.database), planNetwork);
  }
}

export const NONE = { kind: "none" } as const;
export const RELAY = { isAllowed: true, health: "up", load: 0 } as const;

/** Public nodes in one network, all of which have taken part; `keys` by node. */
export async function meshOf(
  { grid, url }: Registry,
  count: number,
): Promise<{
  readonly user: RegistryClient;
  readonly network: string;
  readonly nodes: readonly RegistryClient[];
  readonly keys: Map<string, string>;
}> {
  const farm = await grid.farm(url);
  const nodes: RegistryClient[] = [];
  for (let n = 0; n < count; n++) {
    const node = await grid.node(url, farm);
    const v4 = { kind: "public", addresses: [`203.0.113.${n + 1}`] } as const;
    await node.reportReachability({ v4, v6: NONE, relay: RELAY, links: [] });
    await node.heartbeat({ uptime: 1 });
    nodes.push(node);
  }
  const user = await grid.user(url);
  const { id: network } = await user.createNetwork({
    ...{ name: "net", cidr: "10.20.0.0/16", nodes: nodes.map(({ keyId }) => keyId) },
  });
  const keys = new Map<string, string>();
  for (const node of nodes) {
    const { publicKey } = generateKeys();
    keys.set(node.keyId, publicKey);
    await node.join(network, { publicKey, port: await portOf(node) });
  }
  return { user, network, nodes, keys };
}

export async function portOf(node: RegistryClient): Promise<number> {
  return (await node.desired()).networks[0]?.listenPort ?? 0;
}

export async function tasks(node: RegistryClient): Promise<readonly RotationTask[]> {
  return (await node.desired()).rotations ?? [];
}

export async function peerOf(
  node: RegistryClient,
  publicKey: string,
): Promise<NetworkPeer | undefined> {
  const [resource] = (await node.desired()).networks;
  return resource?.peers.find((peer) => peer.publicKey === publicKey);
}

export async function confirmAll(nodes: readonly RegistryClient[]): Promise<void> {
  for (const node of nodes) {
    for (const task of await tasks(node)) {
      if (task.kind !== "confirm") continue;
      const { network, revision } = task;
      await node.reportRotation(network, task.node, { revision });
    }
  }
}
