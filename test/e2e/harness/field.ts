/**
 * A grid of simulated nodes: two real registries on one PostgreSQL server, asked over HTTP by six nodes with a key each, which report what
 * a test tells them. Time that has to pass is taken from the database's rows, whose clock is the only one.
 */
import { randomBytes } from "node:crypto";
import type { Lab } from "../../../src/cli/demo/lab.ts";
import { Postgres } from "../../../src/cli/demo/postgres.ts";
import { type Background, until } from "../../../src/control/linux/command.ts";
import type { NetworkResource } from "../../../src/control/model/network-resource.ts";
import type { RegistryClient } from "../../../src/control/registry/client.ts";
import type { PeerLink, Standing } from "../../../src/control/registry/schemas.ts";
import { Grid } from "./grid.ts";

const NONE: Standing = { kind: "none" };
const HIDDEN: Standing = { kind: "hidden" };
export const SIMULATED = ["r1", "r2", "r3", "a", "b", "c"] as const;
export type Name = (typeof SIMULATED)[number];

export interface Sim {
  readonly name: Name;
  readonly at: readonly RegistryClient[];
  readonly publicKey: string;
  readonly address: string | undefined;
}

/** Three public nodes and three hidden ones in a network; each reports to either of two registries. */
export class Field {
  readonly urls: readonly string[];
  /** In the order of the URLs. */
  readonly processes: readonly Background[];
  readonly postgres: Postgres;
  readonly grid: Grid;
  readonly nodes: Map<Name, Sim> = new Map();
  readonly #names = new Map<string, string>();
  user!: RegistryClient;
  id = "";

  constructor(
    urls: readonly string[],
    postgres: Postgres,
    grid: Grid,
    processes: readonly Background[],
  ) {
    this.processes = processes;
    this.grid = grid;
    this.urls = urls;
    this.postgres = postgres;
  }

  static async make(lab: Lab): Promise<Field> {
    const postgres = await Postgres.start(lab);
    const grid = new Grid(lab, { database: await postgres.database("grid") });
    const registries = [await grid.start(), await grid.start()];
    const field = new Field(
      registries.map(({ url }) => url),
      postgres,
      grid,
      registries.map(({ process }) => process),
    );
    const { urls } = field;
    const [url = ""] = urls;
    const farm = await grid.farm(url);
    for (const [at, name] of SIMULATED.entries()) {
      const node = await grid.node(url, farm);
      const identity = grid.identityOf(node);
      const address = name.startsWith("r") ? `198.51.100.${at + 1}` : undefined;
      const v4: Standing =
        address === undefined ? HIDDEN : { kind: "public", addresses: [address] };
      const relay = { isAllowed: true, health: "up", load: 0 } as const;
      await node.reportReachability({ v4, v6: NONE, relay, links: [] });
      await node.heartbeat({ uptime: 1 });
      const clients = urls.map((place) => grid.client(place, identity));
      const publicKey = randomBytes(32).toString("base64");
      field.nodes.set(name, { name, at: clients, publicKey, address });
    }
    field.user = await grid.user(url);
    const { id } = await field.user.createNetwork({
      ...{ name: "net", cidr: "10.20.0.0/16" },
      nodes: [...field.nodes.values()].map(({ at }) => at[0]!.keyId),
    });
    field.id = id;
    for (const { id: node, name } of await grid.client(url).nodes()) field.#names.set(node, name);
    for (const { at, publicKey } of field.nodes.values()) {
      const [network] = (await at[0]!.desired()).networks;
      await at[0]!.join(id, { publicKey, port: network!.listenPort! });
    }
    return field;
  }

  of(name: Name): Sim {
    return this.nodes.get(name)!;
  }

  nameOf(publicKey: string): Name {
    return [...this.nodes.values()].find((node) => node.publicKey === publicKey)!.name;
  }

  async desired(name: Name): Promise<NetworkResource> {
    return (await this.of(name).at[0]!.desired()).networks[0]!;
  }

  /** Which peer of the one has the other's subnet. */
  async over(from: Name, to: Name): Promise<Name | undefined> {
    const { subnet } = await this.desired(to);
    const { peers } = await this.desired(from);
    const holder = peers.find(({ allowedIps }) => allowedIps.includes(subnet));
    return holder && this.nameOf(holder.publicKey);
  }

  /** Reports of all the peers that the node has now; those named answer not. */
  async report(
    name: Name,
    dead: readonly Name[] = [],
    figures: Partial<PeerLink> = {},
  ): Promise<void> {
    const { peers } = await this.desired(name);
    await this.send(
      name,
      peers.map((peer): PeerLink => {
        const isDead = dead.includes(this.nameOf(peer.publicKey));
        return {
          publicKey: peer.publicKey,
          handshakeAge: 5,
          endpoint: peer.endpoint ?? "203.0.113.7:4000",
          isAlive: !isDead,
          ...(isDead ? { loss: 1 } : { roundTripMs: 20, loss: 0 }),
          ...figures,
        };
      }),
    );
  }

  /** To one registry, or the other. */
  async send(name: Name, peers: readonly PeerLink[]): Promise<void> {
    const { at } = this.of(name);
    const client = at[SIMULATED.indexOf(name) % at.length]!;
    await client.reportLinks({ networks: [{ network: this.id, peers }] });
  }

  async all(except: readonly Name[] = []): Promise<void> {
    for (const name of SIMULATED) if (!except.includes(name)) await this.report(name, except);
  }

  async healths(): Promise<string> {
    const key = this.of("r1").at[0]!.keyId;
    return await this.postgres.sql(
      "grid",
      `select case when node = '${key}' then 'r1' else 'another' end, health from relay_states order by 1`,
    );
  }

  revision(): Promise<string> {
    return this.postgres.sql("grid", "select revision from plan_revisions");
  }

  /** A node's id. */
  key(name: string): string {
    return this.of(name as Name).at[0]!.keyId;
  }

  /** What its farmer calls it. */
  called(name: Name): string {
    return this.#names.get(this.key(name)) ?? "";
  }

  /** As if these had not been heard for 100 s. */
  async silence(...names: Name[]): Promise<void> {
    await this.postgres.sql(
      "grid",
      `update listening set since = since - interval '100 s';
       update heartbeats set seen = seen - interval '100 s' where node in (${names
         .map((name) => `'${this.key(name)}'`)
         .join()})`,
    );
  }

  async untilSilent(count: number): Promise<void> {
    const asked = "select count(*) from heartbeats where silent";
    await until(
      `${count} are silent`,
      async () => (await this.postgres.sql("grid", asked)) === `${count}\n`,
      30_000,
    );
  }
}
