/** Two registries on one server, registries that are killed, databases that go away: no port twice, nothing half, nothing missed. */
import { join } from "node:path";
import { describe, expect } from "vitest";
import { generateKeys } from "../../src/cli/demo/keys.ts";
import type { Lab } from "../../src/cli/demo/lab.ts";
import { Postgres } from "../../src/cli/demo/postgres.ts";
import { until } from "../../src/control/linux/command.ts";
import type { RegistryClient, RegistryEvent } from "../../src/control/registry/client.ts";
import { signRequest } from "../../src/control/registry/signature.ts";
import { type DatabasePlace, openDatabase } from "../../src/control/registry/store/open.ts";
import { Grid, sendRaw } from "./harness/grid.ts";
import { labTest } from "./harness/lab-test.ts";

const KINDS: readonly (readonly [string, (lab: Lab) => Promise<DatabasePlace>])[] = [
  ["a folder", async (lab) => ({ data: join(lab.folder, "registry") })],
  ["a server", async (lab) => ({ database: await (await Postgres.start(lab)).database("grid") })],
];

/** Events of a client as they come, until the lab ends. */
function listen(
  client: RegistryClient,
  since?: number,
): { readonly heard: RegistryEvent[]; readonly stop: () => void } {
  const controller = new AbortController();
  const heard: RegistryEvent[] = [];
  void (async () => {
    for await (const event of client.events(controller.signal, since)) heard.push(event);
  })();
  return { heard, stop: () => controller.abort() };
}

labTest(
  "many clients at two registries lease ports at once: none is given twice",
  async (lab) => {
    const postgres = await Postgres.start(lab);
    const grid = new Grid(lab, { database: await postgres.database("grid") });
    const registries = [await grid.start(), await grid.start()];
    const urls = registries.map(({ url }) => url);
    const [url = ""] = urls;
    const farm = await grid.farm(url);
    const nodes = [await grid.node(url, farm), await grid.node(url, farm)];
    const users = await Promise.all(Array.from({ length: 12 }, () => grid.user(url)));
    const asked = users.flatMap((user, at) =>
      nodes.flatMap((node) =>
        Array.from({ length: 8 }, async (_, n) => {
          // Each of them at both, and the same holder at both at once.
          const clients = urls.map((place) => grid.client(place, grid.identityOf(user)));
          const leases = await Promise.all(
            clients.map((client) =>
              client.leasePort(node.keyId, { holder: `h${n}`, seconds: 600 }),
            ),
          );
          expect(leases[0]?.port, `user ${at}`).toBe(leases[1]?.port);
          return `${node.keyId} ${leases[0]?.port}`;
        }),
      ),
    );
    const given = await Promise.all(asked);
    expect(given).toHaveLength(12 * 2 * 8);
    expect(new Set(given).size).toBe(given.length);
    const stored = await postgres.sql(
      "grid",
      "select count(*), count(distinct (node, port)) from port_leases",
    );
    expect(stored).toBe(`${given.length}|${given.length}\n`);
  },
  120_000,
);

labTest(
  "a node with few ports left: each is leased once, then it is said; expired ones come back",
  async (lab) => {
    const postgres = await Postgres.start(lab);
    const grid = new Grid(lab, { database: await postgres.database("grid") });
    const urls = [(await grid.start()).url, (await grid.start()).url];
    const [url = ""] = urls;
    const node = await grid.node(url, await grid.farm(url));
    // All but five.
    const free = [1_500, 1_501, 20_000, 32_766, 32_767];
    const used = Array.from({ length: 32_767 }, (_, at) => at + 1).filter(
      (port) => !free.includes(port),
    );
    await node.reportPorts(used);
    const user = await grid.user(url);
    const identity = grid.identityOf(user);
    const take = (at: number, seconds: number): Promise<number | string> =>
      grid
        .client(urls[at % 2] ?? "", identity)
        .leasePort(node.keyId, { holder: `h${at}`, seconds })
        .then(
          ({ port }) => port,
          (error: Error) => error.message,
        );
    const got = await Promise.all(Array.from({ length: 12 }, (_, at) => take(at, 1)));
    const ports = got.filter((one) => typeof one === "number");
    expect(ports.toSorted((a, b) => a - b)).toEqual(free);
    expect(
      got.filter((one) => typeof one === "string" && one.includes("no free port")),
    ).toHaveLength(7);
    await until(
      "a lease that has expired is given to another",
      async () => typeof (await take(99, 600)) === "number",
    );
  },
);

labTest(
  "what is done at one registry is heard at the other, and a request is good at one of them only",
  async (lab) => {
    const postgres = await Postgres.start(lab);
    const grid = new Grid(lab, { database: await postgres.database("grid") });
    const first = await grid.start();
    const second = await grid.start();
    const farm = await grid.farm(first.url);
    const node = await grid.node(first.url, farm);
    const { heard, stop } = listen(grid.client(second.url, grid.identityOf(node)));
    await until("the stream is there", () => heard[0]?.kind === "hello");
    const user = await grid.user(first.url);
    const network = await user.createNetwork({
      name: "net",
      cidr: "10.20.0.0/16",
      nodes: [node.keyId],
    });
    await until("the node hears of its network", () =>
      heard.some(
        (event) => event.kind === "plan" && "subject" in event && event.subject === network.id,
      ),
    );
    // Of others it hears nothing.
    expect(heard.every((event) => !("node" in event) || event.node === node.keyId)).toBe(true);
    stop();
    // Both behind one name, as with a balancer in front: what one has taken, the other refuses.
    const parts = {
      method: "GET",
      authority: "registry.example",
      target: "/api/v2/me",
      body: Buffer.alloc(0),
    };
    const headers = {
      ...signRequest(grid.admin, parts, Date.now(), "a-nonce-of-this-very-test"),
      host: "registry.example",
    };
    expect((await sendRaw(first.url, "GET", "/api/v2/me", headers)).status).toBe(200);
    const replayed = await sendRaw(second.url, "GET", "/api/v2/me", headers);
    expect([replayed.status, replayed.body]).toEqual([401, expect.stringContaining("replayed")]);
  },
);

labTest(
  "a server that is away: 503, heartbeats go on when it is back, the stream too",
  async (lab) => {
    const postgres = await Postgres.start(lab);
    const grid = new Grid(lab, { database: await postgres.database("grid") });
    const { url, process } = await grid.start();
    const farm = await grid.farm(url);
    const node = await grid.node(url, farm);
    const { heard, stop } = listen(node);
    await until("the stream is there", () => heard[0]?.kind === "hello");
    await postgres.stop();
    await expect(node.heartbeat({ uptime: 1 })).rejects.toMatchObject({ code: "unavailable" });
    expect(process.isRunning).toBe(true);
    await postgres.resume();
    await until("the database is used again", () =>
      node.heartbeat({ uptime: 2 }).then(
        () => true,
        () => false,
      ),
    );
    const user = await grid.user(url);
    await user.createNetwork({ name: "net", cidr: "10.20.0.0/16", nodes: [node.keyId] });
    await until("the node hears of its network", () => heard.some(({ kind }) => kind === "plan"));
    stop();
  },
);

describe.each(KINDS)("in %s", (_kind, makePlace) => {
  labTest(
    "a registry that is killed in the middle of writes: what it answered is there, nothing is half, streams go on",
    async (lab) => {
      const grid = new Grid(lab, await makePlace(lab));
      let { url, process } = await grid.start();
      const port = Number(new URL(url).port);
      const farm = await grid.farm(url);
      const nodes = await Promise.all(Array.from({ length: 3 }, () => grid.node(url, farm)));
      const [node] = nodes;
      const { heard, stop } = listen(node!, 0);
      const user = await grid.user(url);
      const answered: string[] = [];
      for (let round = 0; round < 2; round++) {
        const target = answered.length + 8;
        let isDown = false;
        const writers = Array.from({ length: 4 }, async (_, writer) => {
          for (let n = 0; !isDown; n++) {
            const cidr = "10.20.0.0/16";
            try {
              const made = await user.createNetwork({
                ...{ name: `r${round} w${writer} n${n}`, cidr },
                nodes: nodes.map(({ keyId }) => keyId),
              });
              answered.push(made.id);
            } catch (error) {
              expect(error).toMatchObject({ code: expect.stringMatching(/unreachable|too_many/) });
              isDown ||= (error as { code: string }).code === "unreachable";
            }
          }
        });
        await until("some are made", () => answered.length >= target, 60_000);
        process.signal("SIGKILL");
        await process.ended;
        isDown = true;
        await Promise.all(writers);
        ({ url, process } = await grid.start(port));
      }
      const there = await user.networks({ limit: 1_000 });
      const ids = there.map(({ id }) => id);
      expect(ids).toEqual(expect.arrayContaining(answered));
      expect(there.every((network) => network.nodes === nodes.length)).toBe(true);
      // The node heard of each of them once, in order, over two deaths of the registry.
      const planned = (): string[] =>
        heard.flatMap((event) =>
          event.kind === "plan" && "subject" in event ? [event.subject] : [],
        );
      await until("the node has heard of all networks", () => planned().length >= ids.length);
      expect(planned().toSorted()).toEqual(ids.toSorted());
      const revisions = heard
        .filter(({ kind }) => kind !== "hello")
        .map(({ revision }) => revision);
      expect(revisions).toEqual([...new Set(revisions)].toSorted((a, b) => a - b));
      const metrics = async (): Promise<string> => (await sendRaw(url, "GET", "/metrics", {})).body;
      expect(await metrics()).toContain(`wirehaul_registry_networks ${ids.length}\n`);
      expect(await metrics()).toMatch(/wirehaul_registry_requests_total\{status="200"\} [1-9]/);
      await until("the stream is counted", async () =>
        (await metrics()).includes("wirehaul_registry_streams 1\n"),
      );
      expect((await node!.desired()).networks.map(({ id }) => id).toSorted()).toEqual(
        ids.toSorted(),
      );
      stop();
      process.signal("SIGTERM");
      await process.ended;
      const database = await openDatabase(grid.place, () => undefined);
      const half = await database.rows(
        `select 1 from network_nodes m left join port_leases l on (l.node, l.port) = (m.node, m.port) where l.port is null
       union all select 1 from port_leases l left join network_nodes m on (l.node, l.port) = (m.node, m.port) where m.port is null
       union all select 1 from networks w where (select count(*) from plans p where p.network = w.id) <> ${nodes.length}`,
      );
      expect(half).toEqual([]);
      await database.close();
    },
    180_000,
  );

  labTest(
    "a node that was away gets the difference; one that was away too long is told to look at all",
    async (lab) => {
      const grid = new Grid(lab, await makePlace(lab));
      const { url, process } = await grid.start();
      const node = await grid.node(url, await grid.farm(url));
      const user = await grid.user(url);
      const nodes = [node.keyId];
      const one = await user.createNetwork({ name: "one", cidr: "10.20.0.0/16", nodes });
      const { revision } = await node.desired();
      // Away.
      const two = await user.createNetwork({ name: "two", cidr: "10.21.0.0/16", nodes });
      await user.deleteNetwork(one.id);
      const difference = await node.desired(revision);
      expect(difference).toMatchObject({
        isWhole: false,
        networks: [{ id: two.id }],
        removed: [one.id],
      });
      const { heard, stop } = listen(node, revision);
      await until("both changes came", () => heard.length >= 3);
      expect(heard.map((event) => [event.kind, "subject" in event ? event.subject : ""])).toEqual([
        ...[
          ["hello", ""],
          ["plan", two.id],
          ["plan", one.id],
        ],
      ]);
      stop();
      process.signal("SIGTERM");
      await process.ended;
      const database = await openDatabase(grid.place, () => undefined);
      await database.script("delete from changes; update log_position set pruned = revision");
      await database.close();
      const again = await grid.start();
      const back = grid.client(again.url, grid.identityOf(node));
      expect(await back.desired(revision)).toMatchObject({
        isWhole: true,
        networks: [{ id: two.id }],
        removed: [],
      });
      const later = listen(back, revision);
      await until("it is told", () => later.heard.length > 0);
      expect(later.heard[0]).toMatchObject({ kind: "reset", revision: difference.revision });
      later.stop();
      const { publicKey } = generateKeys();
      await back.join(two.id, {
        publicKey,
        port: (await back.desired()).networks[0]?.listenPort ?? 0,
      });
    },
  );
});
