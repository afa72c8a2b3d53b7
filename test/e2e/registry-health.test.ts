/**
 * What nodes report of their links moves routes: real registries on one PostgreSQL server, asked over HTTP by simulated nodes, each with a key of
 * its own. Time that has to pass is taken from the database's rows, whose clock is the only one.
 */
import { randomBytes } from "node:crypto";
import { expect } from "vitest";
import type { Lab } from "../../src/cli/demo/lab.ts";
import { until } from "../../src/control/linux/command.ts";
import type { NetworkResource } from "../../src/control/model/network-resource.ts";
import type { RegistryClient } from "../../src/control/registry/client.ts";
import type { PeerLink, Standing } from "../../src/control/registry/schemas.ts";
import { Grid, sendRaw } from "./harness/grid.ts";
import { labTest } from "./harness/lab-test.ts";
import { Postgres } from "./harness/postgres.ts";

const NONE: Standing = { kind: "none" };
const HIDDEN: Standing = { kind: "hidden" };
const KINDS = ["r1", "r2", "r3", "a", "b", "c"] as const;
type Name = (typeof KINDS)[number];

interface Sim {
  readonly name: Name;
  readonly at: readonly RegistryClient[];
  readonly publicKey: string;
  readonly address: string | undefined;
}

/** Three public nodes and three hidden ones in a network; each reports to either of two registries. */
class Field {
  readonly urls: readonly string[];
  readonly postgres: Postgres;
  readonly nodes = new Map<Name, Sim>();
  user!: RegistryClient;
  id = "";

  constructor(urls: readonly string[], postgres: Postgres) {
    this.urls = urls;
    this.postgres = postgres;
  }

  static async make(lab: Lab): Promise<Field> {
    const postgres = await Postgres.start(lab);
    const grid = new Grid(lab, { database: await postgres.database("grid") });
    const urls = [(await grid.start()).url, (await grid.start()).url];
    const field = new Field(urls, postgres);
    const [url = ""] = urls;
    const farm = await grid.farm(url);
    for (const [at, name] of KINDS.entries()) {
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
    const client = at[KINDS.indexOf(name) % at.length]!;
    await client.reportLinks(client.keyId, { networks: [{ network: this.id, peers }] });
  }

  async all(except: readonly Name[] = []): Promise<void> {
    for (const name of KINDS) if (!except.includes(name)) await this.report(name, except);
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
}

/** Milliseconds until the node hears of its network at the other registry than the one that is reported to. */
function nextPlan(client: RegistryClient): {
  readonly heard: Promise<number>;
  readonly ready: Promise<void>;
} {
  const controller = new AbortController();
  let isReady: () => void = () => undefined;
  const ready = new Promise<void>((resolve) => {
    isReady = resolve;
  });
  const heard = (async () => {
    for await (const event of client.events(controller.signal)) {
      if (event.kind === "hello") isReady();
      if (event.kind !== "plan") continue;
      controller.abort();
      return performance.now();
    }
    return Number.NaN;
  })();
  return { heard, ready };
}

labTest(
  "a relay dies and comes back: routes go around it at once, it is down by its peers' words, then on probation, then up",
  async (lab) => {
    const field = await Field.make(lab);
    await field.all();
    const relay = (await field.over("a", "b"))!;
    expect(relay).toMatch(/^r/);
    const others = (["r1", "r2", "r3"] as const).filter((name) => name !== relay);
    const before = await field.over("b", "c");

    // The first who misses it: its own routes move, both ways, pushed by both registries.
    const [one, other] = ["a", "b"].map((name) => nextPlan(field.of(name as Name).at[1]!));
    await Promise.all([one!.ready, other!.ready]);
    const start = performance.now();
    await field.report("a", [relay]);
    const took = Math.max(await one!.heard, await other!.heard) - start;
    console.log(`planned around and pushed ${Math.round(took)} ms after the report`);
    expect(others).toContain(await field.over("a", "b"));
    expect(await field.over("b", "a")).toBe(await field.over("a", "b"));
    // Of one voice nobody else's routes move.
    expect(await field.over("b", "c")).toBe(before);
    expect(await field.healths()).toBe("");

    // The others miss it as well: it is down.
    await field.report("b", [relay]);
    await field.report("c", [relay]);
    expect(await field.healths()).toContain("|down");
    for (const [from, to] of [
      ["a", "b"],
      ["b", "c"],
      ["c", "a"],
    ] as const) {
      expect(others).toContain(await field.over(from, to));
    }

    // Its peers still know it, and keep asking: without routes, or with its own prefixes only.
    const trials = (await field.desired("a")).peers.filter(
      ({ publicKey }) => field.nameOf(publicKey) === relay,
    );
    expect(trials).toMatchObject([{ keepalive: 25 }]);
    // An old session is no sign of life, a handshake since then is.
    await field.report("a", [], { handshakeAge: 100, roundTripMs: undefined });
    expect(await field.healths()).toContain("|down");
    await field.postgres.sql(
      "grid",
      `update link_reports set peers = replace(peers::text, '"lostAt": ', '"lostAt": -')::jsonb`,
    );
    for (const name of ["a", "b", "c"] as const) await field.report(name);
    await field.report(others[0]!);
    expect(await field.healths()).toContain("|probation");
    expect(others).toContain(await field.over("a", "b"));

    // Time passes: nobody reports, one of the registries looks.
    await field.postgres.sql(
      "grid",
      "update relay_states set since = since - interval '60 s', due = due - interval '60 s'",
    );
    await until("it is up", async () => (await field.healths()) === "", 30_000);
    expect(await field.over("a", "b")).toBe(relay);
  },
  120_000,
);

labTest(
  "a liar moves its own routes only, whatever it says of others, of itself and of speed",
  async (lab) => {
    const field = await Field.make(lab);
    await field.all();
    const honest = ["r1", "r2", "a", "b", "c"] as const;
    const pairs = honest.flatMap((from) =>
      honest.filter((to) => to !== from).map((to) => [from, to] as const),
    );
    const routes = async (): Promise<string[]> => {
      const all: string[] = [];
      for (const [from, to] of pairs) all.push(`${from} ${to} ${await field.over(from, to)}`);
      return all;
    };
    const before = await routes();
    const through = before.filter((route) => route.endsWith(" r3"));
    const dead: readonly Name[] = ["r1", "r2", "a", "b", "c"];
    await field.report("r3", dead);
    // Those that it carries may go elsewhere; all others stay.
    const after = await routes();
    for (const [at, route] of before.entries()) {
      if (!through.includes(route)) expect(after[at]).toBe(route);
    }
    expect(await field.healths()).toBe("");
    // It claims to be the quickest by far, and well.
    await field.report("r3", [], { roundTripMs: 0.01 });
    const { v4, v6, relay } = (await field.of("r3").at[0]!.node(field.of("r3").at[0]!.keyId))
      .reachability!;
    await field
      .of("r3")
      .at[0]!.reportReachability({ v4, v6, relay: { ...relay, health: "up" }, links: [] });
    expect(await routes()).toEqual(before);
    // Hidden nodes that lie have one voice each.
    await field.report("a", ["r1"]);
    expect(await field.healths()).toBe("");
    expect((await routes()).filter((route) => !/\ba\b/.test(route))).toEqual(
      before.filter((route) => !/\ba\b/.test(route)),
    );
    // It can't report as another, nor of networks that aren't its own.
    const [client] = field.of("r3").at;
    await expect(
      client!.reportLinks(field.of("a").at[0]!.keyId, { networks: [] }),
    ).rejects.toMatchObject({ code: "forbidden" });
    await client!.reportLinks(client!.keyId, { networks: [{ network: "another", peers: [] }] });
    expect(
      await field.postgres.sql(
        "grid",
        "select count(*) from link_reports where network = 'another'",
      ),
    ).toBe("0\n");
    // Dead by everybody's word, it may say of itself what it likes.
    for (const name of ["r1", "r2", "a", "b"] as const) await field.report(name, ["r3"]);
    await field.report("r3");
    expect(await field.healths()).toBe("another|down\n");
  },
  120_000,
);

labTest(
  "figures that differ plan nothing; what is the same is no write; hostile reports are refused",
  async (lab) => {
    const field = await Field.make(lab);
    await field.all();
    const before = await field.revision();
    const rows = (): Promise<string> =>
      field.postgres.sql("grid", "select node, xmin, peers from link_reports order by node");
    const first = await rows();
    await field.all();
    expect(await rows()).toBe(first);
    await field.report("a", [], { handshakeAge: 77, roundTripMs: 23 });
    expect(await rows()).not.toBe(first);
    expect(await rows()).toContain('"handshakeAge": 77');
    expect(await field.revision()).toBe(before);
    const { publicKey } = field.of("r1");
    for (const bad of [
      [{ publicKey: "short" }],
      [{ publicKey, endpoint: "198.51.100.1" }],
      [{ publicKey, endpoint: "[198.51.100.1]:3" }],
      [{ publicKey, loss: 2 }],
      [{ publicKey, handshakeAge: -1 }],
      [{ publicKey }, { publicKey }],
      [{ publicKey, since: 1 } as unknown as PeerLink],
    ]) {
      await expect(field.send("a", bad), JSON.stringify(bad)).rejects.toMatchObject({
        code: "invalid",
      });
    }
    const metrics = (await sendRaw(field.urls[0]!, "GET", "/metrics", {})).body;
    expect(metrics).toContain('wirehaul_registry_links{path="relay"} 3\n');
    expect(metrics).toContain('wirehaul_registry_links{path="v4"} 12\n');
    expect(metrics).toContain('wirehaul_registry_relays{health="up"} 3\n');
    expect(metrics).toMatch(/wirehaul_registry_plan_seconds_count [1-9]/);
  },
  120_000,
);

labTest(
  "missed heartbeats: a relay that nobody hears is down, one that its peers reach stays up; who was away has no voice",
  async (lab) => {
    const field = await Field.make(lab);
    await field.all();
    const silence = (...names: Name[]): Promise<string> =>
      field.postgres.sql(
        "grid",
        `update listening set since = since - interval '100 s';
         update heartbeats set seen = seen - interval '100 s' where node in (${names
           .map((name) => `'${field.of(name).at[0]!.keyId}'`)
           .join()})`,
      );
    const silent = (count: number): Promise<unknown> =>
      until(
        `${count} are silent`,
        async () =>
          (await field.postgres.sql("grid", "select count(*) from heartbeats where silent")) ===
          `${count}\n`,
        30_000,
      );
    await silence("r1");
    await silent(1);
    // The registry marks it, then plans: its peers reach it.
    await field.report("a", ["r1"]);
    expect(await field.healths()).toBe("");
    // All who reach it are silent too: a's word and the silence are enough.
    await silence("r2", "r3", "b", "c");
    await until("it is down", async () => (await field.healths()).includes("r1|down"), 30_000);
    for (const name of KINDS) await field.of(name).at[0]!.heartbeat({ uptime: 2 });
    await silent(0);
    await until(
      "it is on probation",
      async () => (await field.healths()).includes("r1|probation"),
      30_000,
    );
  },
  120_000,
);
