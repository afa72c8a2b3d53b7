/**
 * What nodes report of their links moves routes: real registries on one PostgreSQL server, asked over HTTP by simulated nodes, each with a key of
 * its own. Time that has to pass is taken from the database's rows, whose clock is the only one.
 */
import { expect } from "vitest";
import { until } from "../../src/control/linux/command.ts";
import type { RegistryClient } from "../../src/control/registry/client.ts";
import type { PeerLink } from "../../src/control/registry/schemas.ts";
import { Field, type Name, SIMULATED } from "./harness/field.ts";
import { sendRaw } from "./harness/grid.ts";
import { labTest } from "./harness/lab-test.ts";

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
      client!.ask("PUT", `/api/v2/nodes/${field.of("a").at[0]!.keyId}/links`, { networks: [] }),
    ).rejects.toMatchObject({ code: "forbidden" });
    await client!.reportLinks({ networks: [{ network: "another", peers: [] }] });
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
    await field.silence("r1");
    await field.untilSilent(1);
    // The registry marks it, then plans: its peers reach it.
    await field.report("a", ["r1"]);
    expect(await field.healths()).toBe("");
    // All who reach it are silent too: a's word and the silence are enough.
    await field.silence("r2", "r3", "b", "c");
    await until("it is down", async () => (await field.healths()).includes("r1|down"), 30_000);
    for (const name of SIMULATED) await field.of(name).at[0]!.heartbeat({ uptime: 2 });
    await field.untilSilent(0);
    await until(
      "it is on probation",
      async () => (await field.healths()).includes("r1|probation"),
      30_000,
    );
  },
  120_000,
);
