/**
 * Bad conditions of the registry that are nobody's own: people who change one thing at once, a database that goes in the middle of it, clocks
 * that are off, requests that are caught, a registry that is restored.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { expect } from "vitest";
import type { Lab } from "../../src/cli/demo/lab.ts";
import { Postgres } from "../../src/cli/demo/postgres.ts";
import { type Background, run, until } from "../../src/control/linux/command.ts";
import { Identity, RegistryClient, type RegistryEvent } from "../../src/control/registry/client.ts";
import { signRequest } from "../../src/control/registry/signature.ts";
import { openDatabase } from "../../src/control/registry/store/open.ts";
import { FakeClock } from "./harness/fake-clock.ts";
import { Field, type Name } from "./harness/field.ts";
import { Grid, PROGRAM, placeFlags, sendRaw } from "./harness/grid.ts";
import { labTest } from "./harness/lab-test.ts";

const freshKey = (): string => randomBytes(32).toString("base64");
const freshNonce = (): string => randomBytes(18).toString("base64url");

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** Two registries on one server. */
async function two(lab: Lab): Promise<{ postgres: Postgres; grid: Grid; urls: [string, string] }> {
  const postgres = await Postgres.start(lab);
  const grid = new Grid(lab, { database: await postgres.database("grid") });
  return { postgres, grid, urls: [(await grid.start()).url, (await grid.start()).url] };
}

labTest(
  "two who change one network at once, at two registries: one wins, the other is told and loses nothing",
  async (lab) => {
    const { grid, urls } = await two(lab);
    const [url] = urls;
    const farm = await grid.farm(url);
    const nodes = await Promise.all(Array.from({ length: 12 }, () => grid.node(url, farm)));
    const second = Identity.generate();
    await grid.client(url).addUser({ name: "second", key: second.keyId, role: "admin" });
    const admins = [grid.client(urls[0]), grid.client(urls[1], second)] as const;
    const user = await grid.user(url);
    const { id } = await user.createNetwork({ name: "net", cidr: "10.20.0.0/16" });
    const wanted = nodes.map(({ keyId }) => keyId);
    for (let round = 0; round < wanted.length / 2; round++) {
      const pair = wanted.slice(2 * round, 2 * round + 2);
      const seen = (await user.network(id)).revision;
      const done = await Promise.allSettled(
        admins.map((admin, at) => admin.addNode(id, { node: pair[at]!, revision: seen })),
      );
      const lost = done.flatMap((one, at) => (one.status === "rejected" ? [[at, one.reason]] : []));
      expect(lost).toHaveLength(1);
      const [loser, reason] = lost[0] as [number, Error];
      expect(reason).toMatchObject({
        code: "conflict",
        message: `network ${id} has revision ${seen + 1}, not ${seen}: somebody changed it; look at it again`,
      });
      // It looks again, sees what the other one did, and does its own.
      const now = await admins[loser]!.network(id);
      expect(now.members.map(({ node }) => node)).toContain(pair[1 - loser]);
      await admins[loser]!.addNode(id, { node: pair[loser]!, revision: now.revision });
    }
    const { members, revision } = await user.network(id);
    expect(members.map(({ node }) => node).toSorted()).toEqual(wanted.toSorted());
    expect(new Set(members.map(({ subnet }) => subnet)).size).toBe(wanted.length);
    expect(revision).toBe(wanted.length + 1);

    // Who names no revision is served in turn: no address is given twice, none is lost.
    const added = await Promise.all(
      Array.from({ length: 24 }, (_, at) =>
        admins[at % 2]!.addClient(id, {
          ...{ name: `c${at}`, publicKey: freshKey(), access: wanted[at % wanted.length]! },
        }),
      ),
    );
    expect(added).toHaveLength(24);
    const { clients } = await user.network(id);
    expect(new Set(clients.map(({ address }) => address)).size).toBe(24);
    // By the command line it is as clear.
    const key = lab.file("second.pem", second.secretPem());
    const flags = ["--registry", url, "--key", key, "--revision", "1"];
    await expect(
      run([process.execPath, PROGRAM, "network", "remove-node", id, wanted[0]!, ...flags]),
    ).rejects.toThrow("somebody changed it; look at it again");
  },
  120_000,
);

labTest(
  "a database that dies in the middle of writes, twice: what was answered is there, nothing is half, who waits goes on",
  async (lab) => {
    const { postgres, grid, urls } = await two(lab);
    const [url] = urls;
    const farm = await grid.farm(url);
    const nodes = await Promise.all(Array.from({ length: 3 }, () => grid.node(url, farm)));
    const user = await grid.user(url);
    const identity = grid.identityOf(user);
    const controller = new AbortController();
    const heard: RegistryEvent[] = [];
    void (async () => {
      for await (const event of nodes[0]!.events(controller.signal, 0)) heard.push(event);
    })();
    const answered: string[] = [];
    const refused: string[] = [];
    let isOver = false;
    const writers = [0, 1, 2, 3].map(async (writer) => {
      const client = grid.client(urls[writer % 2]!, identity);
      for (let n = 0; !isOver; n++) {
        try {
          const made = await client.createNetwork({
            ...{ name: `w${writer} n${n}`, cidr: "10.20.0.0/16" },
            nodes: nodes.map(({ keyId }) => keyId),
          });
          answered.push(made.id);
        } catch (error) {
          const { code, message } = error as { code: string; message: string };
          // Nobody but the database is at fault, and nothing of it is told that is not for them.
          expect(code).toMatch(/^(unavailable|too_many)$/);
          if (code === "unavailable") {
            expect(message).toMatch(/^the registry's database does not answer \(.*\): try again$/);
            refused.push(message);
          }
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      }
    });
    for (let death = 1; death <= 2; death++) {
      const target = answered.length + 8;
      await until("some are made", () => answered.length >= target, 60_000);
      const before = refused.length;
      // Once with all its connections broken off, once without a word.
      if (death === 1) await postgres.stop();
      else await postgres.kill();
      await until("it is said", () => refused.length > before + 4, 60_000);
      await postgres.resume();
    }
    const target = answered.length + 8;
    await until("it goes on", () => answered.length >= target, 60_000);
    isOver = true;
    await Promise.all(writers);
    const there = await user.networks({ limit: 1_000 });
    const ids = there.map(({ id }) => id);
    expect(ids).toEqual(expect.arrayContaining(answered));
    expect(there.every((network) => network.nodes === nodes.length)).toBe(true);
    const half = await postgres.sql(
      "grid",
      `select 1 from network_nodes m left join port_leases l on (l.node, l.port) = (m.node, m.port) where l.port is null
       union all select 1 from port_leases l left join network_nodes m on (l.node, l.port) = (m.node, m.port) where m.port is null
       union all select 1 from networks w where (select count(*) from plans p where p.network = w.id) <> ${nodes.length}
       union all select 1 from changes having count(*) <> max(revision)`,
    );
    expect(half).toBe("");
    const planned = (): string[] =>
      heard.flatMap((event) =>
        event.kind === "plan" && "subject" in event ? [event.subject] : [],
      );
    await until("the node has heard of all", () => planned().length >= ids.length, 60_000);
    expect(planned().toSorted()).toEqual(ids.toSorted());
    controller.abort();
  },
  240_000,
);

labTest(
  "a registry that is killed in the middle of a plan: another one makes it, or the same one when it is back",
  async (lab) => {
    const field = await Field.make(lab);
    await field.all();
    const { grid, postgres, processes, urls } = field;
    const database = await openDatabase(grid.place, () => undefined);
    const relay = (await field.over("a", "b"))!;
    /** Reports at the second registry, which dies with its plan begun; so do others, if they are named. */
    const dieIn = async (all: readonly Background[], dead: readonly Name[]): Promise<void> => {
      let reported: Promise<unknown> = Promise.resolve();
      await database.transaction(async (queries) => {
        await queries.rows("select pg_advisory_xact_lock(hashtextextended($1, 30568))", [field.id]);
        reported = field.report("a", dead, { handshakeAge: 0 }).catch(() => undefined);
        const asked = "select count(*) from link_reports where due <= now()";
        await until("it is kept, and to be planned", async () => {
          return (await postgres.sql("grid", asked)) === "1\n";
        });
        for (const process of all) process.signal("SIGKILL");
        await Promise.all(all.map((process) => process.ended));
      });
      await reported;
    };
    await dieIn([processes[1]!], [relay]);
    await until("the other one has planned it", async () => {
      return (await field.over("a", "b")) !== relay;
    });
    // Now nobody is left to do it: the next start does.
    const port = Number(new URL(urls[1]!).port);
    const again = await grid.start(port);
    await dieIn([again.process, processes[0]!], []);
    await grid.start(Number(new URL(urls[0]!).port));
    await until("the next one has planned it", async () => {
      return (await field.over("a", "b")) === relay;
    });
    await database.close();
  },
  120_000,
);

labTest(
  "clocks: who is off by more than five minutes is told by how much; a registry whose clock is off takes no request twice",
  async (lab, context) => {
    const postgres = await Postgres.start(lab);
    const grid = new Grid(lab, { database: await postgres.database("grid") });
    const right = await grid.start();
    const clock = new FakeClock(lab, context, "wall");
    clock.shift(-1_200);
    grid.environment = clock.environment;
    const behind = await grid.start();
    for (const path of FakeClock.leftovers(behind.process.pid)) lab.leftover(path);
    const user = await grid.user(right.url);
    const identity = grid.identityOf(user);
    const at = (url: string, offSeconds: number): RegistryClient =>
      new RegistryClient({ url, identity, now: () => Date.now() + offSeconds * 1_000 });
    for (const off of [-290, -60, 60, 290]) {
      expect(await at(right.url, off).networks()).toEqual([]);
    }
    for (const [off, said] of [
      [
        -320,
        /^the request was signed 3[12]\d s ago, 300 s are allowed: set the clock, the registry's time is 20/,
      ],
      [320, /^the request was signed 3[12]\d s in the future, 300 s are allowed: set the clock/],
      [-86_400 * 365, /^the request was signed 3153\d{4} s ago/],
    ] as const) {
      await expect(at(right.url, off).networks()).rejects.toMatchObject({
        ...{ code: "unsigned", message: expect.stringMatching(said) },
      });
    }
    // The other registry's clock is behind: who has the right time is told, and by its time a request is good once.
    await expect(at(behind.url, 0).networks()).rejects.toMatchObject({
      message: expect.stringMatching(/^the request was signed 1(19|20)\d s in the future/),
    });
    const send = (created: number, nonce: string): Promise<Answer> => {
      const authority = new URL(behind.url).host;
      const parts = { method: "GET", authority, target: "/api/v2/networks", body: Buffer.alloc(0) };
      const headers = { ...signRequest(identity, parts, created, nonce) };
      return sendRaw(behind.url, "GET", parts.target, headers);
    };
    const [created, nonce] = [Date.now() - 1_200_000, freshNonce()];
    expect((await send(created, nonce)).status).toBe(200);
    // As the registry sweeps, by the database's clock.
    await postgres.sql("grid", "delete from nonces where expires < now()");
    const again = await send(created, nonce);
    expect([again.status, again.body]).toEqual([401, expect.stringContaining('"replayed"')]);
  },
  120_000,
);

labTest(
  "a key that is stolen: once it is disabled nothing is good that it signed, nor what it listens to",
  async (lab) => {
    const grid = new Grid(lab, { data: join(lab.folder, "registry") });
    const { url } = await grid.start();
    const admin = grid.client(url);
    const user = await grid.user(url);
    const [{ id } = { id: 0 }] = (await admin.users()).filter(({ key }) => key === user.keyId);
    const faults: string[] = [];
    const controller = new AbortController();
    let isThere = false;
    void (async () => {
      const events = user.events(controller.signal, undefined, ({ code }) => faults.push(code));
      for await (const { kind } of events) isThere ||= kind === "hello";
    })();
    await until("the stream is there", () => isThere);
    // Caught before, and kept.
    const target = "/api/v2/networks";
    const body = JSON.stringify({ name: "net", cidr: "10.20.0.0/16" });
    const parts = { method: "POST", authority: new URL(url).host, target, body: Buffer.from(body) };
    const caught = {
      ...signRequest(grid.identityOf(user), parts, Date.now(), freshNonce()),
      "content-type": "application/json",
    };
    await admin.disableUser(id);
    await expect(user.networks()).rejects.toMatchObject({
      code: "forbidden",
      message: expect.stringContaining("is disabled"),
    });
    expect(await sendRaw(url, "POST", target, caught, body)).toMatchObject({ status: 403 });
    await until("the stream has ended, and there is no other", () => faults.includes("forbidden"));
    controller.abort();
    expect(await admin.networks()).toEqual([]);
  },
);

labTest(
  "a registry that was restored: who knows what came after the backup is told all, also once there are as many changes again",
  async (lab) => {
    const grid = new Grid(lab, { data: join(lab.folder, "registry") });
    const first = await grid.start();
    const node = await grid.node(first.url, await grid.farm(first.url));
    const user = await grid.user(first.url);
    const nodes = [node.keyId];
    const create = (client: RegistryClient, name: string): Promise<{ readonly id: string }> =>
      client.createNetwork({ name, cidr: "10.20.0.0/16", nodes });
    const kept = await create(user, "kept");
    first.process.signal("SIGTERM");
    await first.process.ended;
    const file = join(lab.folder, "backup");
    const registry = (...args: readonly string[]): Promise<string> =>
      run([process.execPath, PROGRAM, "registry", ...args]);
    await registry("backup", file, ...placeFlags(grid.place));
    const later = await grid.start();
    await create(grid.client(later.url, grid.identityOf(user)), "lost");
    const { revision } = await grid.client(later.url, grid.identityOf(node)).desired();
    later.process.signal("SIGTERM");
    await later.process.ended;

    const other = new Grid(lab, { data: join(lab.folder, "other") }, grid.admin);
    await registry("restore", file, ...placeFlags(other.place));
    const { url } = await other.start();
    const [owner, back] = [
      other.client(url, grid.identityOf(user)),
      other.client(url, grid.identityOf(node)),
    ];
    const fresh = await create(owner, "fresh");
    for (let n = 0; n < 8; n++) await create(owner, `more ${n}`);
    const ids = (await owner.networks()).map(({ id }) => id).toSorted();
    expect(ids).toEqual(expect.arrayContaining([kept.id, fresh.id]));
    const desired = await back.desired(revision);
    expect(desired.isWhole).toBe(true);
    expect(desired.networks.map(({ id }) => id).toSorted()).toEqual(ids);
    const controller = new AbortController();
    const { value } = await back.events(controller.signal, revision).next();
    expect(value).toMatchObject({ kind: "reset" });
    controller.abort();
  },
  120_000,
);
