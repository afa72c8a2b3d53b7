/** The registry's store in a folder and on a server: migrations, uniqueness, audit, revisions, kill -9, backup and restore. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";
import { describe, expect } from "vitest";
import { Postgres } from "../../src/cli/demo/postgres.ts";
import { until } from "../../src/control/linux/command.ts";
import { backUp, restore, TABLES } from "../../src/control/registry/store/backup.ts";
import type { Database } from "../../src/control/registry/store/database.ts";
import { MIGRATIONS, migrate, versionOf } from "../../src/control/registry/store/migrations.ts";
import { type DatabasePlace, openDatabase } from "../../src/control/registry/store/open.ts";
import { CHANNEL, Store } from "../../src/control/registry/store/store.ts";
import { KINDS } from "./harness/database-kinds.ts";
import { labTest } from "./harness/lab-test.ts";

const WRITER = { actor: "test", action: "user.create" };
const WRITING = fileURLToPath(new URL("./harness/registry-writer.mjs", import.meta.url));

async function open(place: DatabasePlace): Promise<Database> {
  return await openDatabase(place, () => undefined);
}

async function addUser(store: Store, name: string): Promise<number> {
  return await store.write(WRITER, async (write) => {
    const [user] = await write.rows<{ id: number }>(
      "insert into users (name, key, role) values ($1, $2, 'user') returning id",
      [name, `key of ${name}`],
    );
    const id = user?.id ?? 0;
    write.change({ kind: "user", subject: name, owner: id });
    return id;
  });
}

/** But for the position of revisions, which a restored database has elsewhere. */
async function contents(database: Database): Promise<Record<string, unknown>> {
  const all: Record<string, unknown> = {};
  for (const table of TABLES.filter((name) => name !== "log_position")) {
    all[table] = await database.rows(`select to_jsonb(t) as row from ${table} t order by 1`);
  }
  return all;
}

describe.each(KINDS)("in %s", (_kind, makes) => {
  labTest("migrations go up once, all or nothing, and never back", async (lab) => {
    const place = await (await makes(lab))("one");
    const database = await open(place);
    expect(await versionOf(database)).toBe(0);
    const broken = [...MIGRATIONS, "create table more (id integer); select 1/0"];
    await expect(migrate(database, broken)).rejects.toThrow("division by zero");
    expect(await versionOf(database)).toBe(0);
    expect(await migrate(database)).toBe(0);
    expect(await migrate(database)).toBe(MIGRATIONS.length);
    await migrate(database, [...MIGRATIONS, "create table more (id integer)"]);
    await expect(migrate(database)).rejects.toThrow(
      `the database has version ${MIGRATIONS.length + 1}, this program knows ${MIGRATIONS.length}`,
    );
    await database.close();
  });

  labTest(
    "what is twice is refused; writes are in the audit log; revisions are told",
    async (lab) => {
      const database = await open(await (await makes(lab))("one"));
      await migrate(database);
      const store = new Store(database);
      const heard: string[] = [];
      await database.listen(CHANNEL, (payload) => heard.push(payload));
      const first = await addUser(store, "ann");
      await expect(addUser(store, "ann")).rejects.toThrow("there is a user of this name already");
      await addUser(store, "bob");
      await until("both revisions are told", () => heard.join(" ") === "1 2");
      expect(await store.position()).toEqual({ revision: 2, pruned: 0 });
      expect(await database.rows("select revision, subject from changes order by 1")).toEqual([
        { revision: 1, subject: "ann" },
        { revision: 2, subject: "bob" },
      ]);
      await store.write({ actor: "test", action: "user.rename" }, (write) =>
        write.rows("update users set name = 'anna' where id = $1", [first]),
      );
      // Nobody goes past it: a write without the program is in it too.
      await database.script("update users set role = 'farmer' where name = 'bob'");
      expect(
        await database.rows(
          "select actor, action, operation, subject, change from audit order by id",
        ),
      ).toMatchObject([
        { actor: "test", action: "user.create", operation: "insert", subject: `${first}` },
        { actor: "test", action: "user.create", operation: "insert", change: { name: "bob" } },
        { action: "user.rename", operation: "update", change: { name: ["ann", "anna"] } },
        { actor: expect.stringMatching(/^database:/), change: { role: ["user", "farmer"] } },
      ]);
      await expect(database.script("delete from audit")).rejects.toThrow("never changed");
      await database.close();
    },
  );

  labTest(
    "a writer that is killed leaves nothing half, and nothing that it said is lost",
    async (lab) => {
      const place = await (await makes(lab))("one");
      const before = await open(place);
      await migrate(before);
      await before.close();
      for (let round = 0; round < 3; round++) {
        const writer = lab.spawn([process.execPath, WRITING, JSON.stringify(place), `${round}`]);
        await writer.waitFor(`wrote ${round}-40\n`);
        writer.signal("SIGKILL");
        const said = (await writer.ended).stdout.trim().split("\n").length;
        const database = await open(place);
        const [count] = await database.rows<Record<string, number>>(
          `select (select count(*) from users where name like $1) as users,
          (select count(*) from farms where name like $1) as farms,
          (select count(*) from changes where subject like $1) as changes,
          (select count(*) from audit where change ->> 'name' like $1) as audit`,
          [`${round}-%`],
        );
        const { users = 0 } = count ?? {};
        expect(users).toBeGreaterThanOrEqual(said);
        expect(count).toEqual({ users, farms: users, changes: users, audit: 2 * users });
        const gaps = await database.rows(
          "select 1 from changes having count(*) <> max(revision) or max(revision) <> (select revision from log_position)",
        );
        expect(gaps).toEqual([]);
        await database.close();
      }
    },
  );

  labTest("backup and restore: the same rows, once, whole files only", async (lab) => {
    const places = await makes(lab);
    const database = await open(await places("one"));
    const file = join(lab.folder, "registry.backup");
    await expect(backUp(database, file)).rejects.toThrow("there is no registry");
    await migrate(database);
    const store = new Store(database);
    for (let n = 0; n < 1200; n++) await addUser(store, `user ${n} "ü\u2028`);
    const { rows } = await backUp(database, file);
    // Users, changes, audit, the position.
    expect(rows).toBe(3 * 1200 + 1);
    const before = await contents(database);
    await expect(restore(database, file)).rejects.toThrow("not empty (there are rows in users)");
    expect(await contents(database)).toEqual(before);
    await database.close();

    const other = await open(await places("two"));
    const whole = readFileSync(file);
    const lines = gunzipSync(whole).toString().trimEnd().split("\n");
    const damaged: readonly (readonly [string, Buffer])[] = [
      ["cut off", whole.subarray(0, whole.length - 30)],
      ["a row less", gzipSync(`${lines.toSpliced(5, 1).join("\n")}\n`)],
      ["another value", gzipSync(`${lines.join("\n").replace("user 7 ", "user x ")}\n`)],
      ["no end", gzipSync(`${lines.slice(0, -1).join("\n")}\n`)],
      ["no backup", Buffer.from("hello")],
      ["newer", gzipSync(`${lines.join("\n").replace('"version":', '"version":9')}\n`)],
    ];
    for (const [what, bytes] of damaged) {
      const path = join(lab.folder, "damaged");
      writeFileSync(path, bytes);
      await expect(restore(other, path), what).rejects.toThrow(
        /no whole backup|the backup has version/,
      );
      expect(await versionOf(other), what).toBe(0);
    }
    expect((await restore(other, file)).rows).toBe(rows);
    expect(await contents(other)).toEqual(before);
    await addUser(new Store(other), "later");
    const [later] = await other.rows<{ id: number }>("select id from users where name = 'later'");
    expect(later?.id).toBe(1201);
    await other.close();
  });
});

labTest("a folder's backup goes into a server, and back", async (lab) => {
  const folder = await open({ data: join(lab.folder, "one") });
  await migrate(folder);
  for (const name of ["ann", "bob"]) await addUser(new Store(folder), name);
  const before = await contents(folder);
  const file = join(lab.folder, "registry.backup");
  await backUp(folder, file);
  await folder.close();
  const postgres = await Postgres.start(lab);
  const server = await open({ database: await postgres.database("one") });
  await restore(server, file);
  expect(await contents(server)).toEqual(before);
  await backUp(server, file);
  await server.close();
  const again = await open({ data: join(lab.folder, "two") });
  await restore(again, file);
  expect(await contents(again)).toEqual(before);
  await again.close();
});

labTest("a folder has one process", async (lab) => {
  const place = { data: join(lab.folder, "one") };
  const first = await open(place);
  await expect(open(place)).rejects.toThrow(`process ${process.pid} serves the state in`);
  await first.close();
  await (await open(place)).close();
});

labTest("a server that goes away and comes back: a clear error, then as before", async (lab) => {
  const postgres = await Postgres.start(lab);
  const database = await open({ database: await postgres.database("one") });
  await migrate(database);
  const store = new Store(database);
  const heard: string[] = [];
  await database.listen(CHANNEL, (payload) => heard.push(payload));
  await addUser(store, "ann");
  await postgres.stop();
  await expect(addUser(store, "bob")).rejects.toThrow("the registry's database does not answer");
  await postgres.resume();
  await until("the registry listens again", () => heard.at(-1) === "");
  await addUser(store, "bob");
  await until("the revision is told", () => heard.at(-1) === "2");
  expect(await database.rows("select name from users order by 1")).toHaveLength(2);
  await database.close();
});
