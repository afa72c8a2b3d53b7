/**
 * Who hears of changes at one of two registries of a server: its own at once, the other's as they are read, all in the order of revisions,
 * none twice, none left out, and nothing that was rolled back.
 */
import { expect } from "vitest";
import { Postgres } from "../../src/cli/demo/postgres.ts";
import { until } from "../../src/control/linux/command.ts";
import type { User } from "../../src/control/registry/actor.ts";
import { Changes } from "../../src/control/registry/changes.ts";
import { migrate } from "../../src/control/registry/store/migrations.ts";
import { openDatabase } from "../../src/control/registry/store/open.ts";
import { Store } from "../../src/control/registry/store/store.ts";
import { labTest } from "./harness/lab-test.ts";

const ADMIN: User = { kind: "user", keyId: "key", id: 1, name: "root", role: "admin" };
const WRITER = { actor: "test", action: "test" };
const WRITES = 60;

interface Heard {
  readonly revision: number;
  readonly subject: string;
  readonly node: string | null;
  readonly body?: { readonly text: string };
}

labTest("changes of two registries come in order, once, and one's own at once", async (lab) => {
  const postgres = await Postgres.start(lab);
  const place = { database: await postgres.database("one") };
  const faults: string[] = [];
  const log = (_level: string, text: string): void => void faults.push(text);
  const databases = [await openDatabase(place, log), await openDatabase(place, log)] as const;
  await migrate(databases[0]);
  const stores = [new Store(databases[0]), new Store(databases[1])] as const;
  const changes = stores.map((store) => new Changes(store, log));
  for (const one of changes) await one.start();
  const listen = async (which: number, actor: User | "node", since?: number): Promise<Heard[]> => {
    const heard: Heard[] = [];
    await changes[which]!.subscribe(
      actor === "node" ? { kind: "node", keyId: "n1", farm: 1, state: "approved" } : actor,
      since,
      {
        hello: () => undefined,
        change: (_kind, _revision, text) => void heard.push(JSON.parse(text) as Heard),
        end: () => undefined,
      },
    );
    return heard;
  };
  const write = (which: number, subject: string, count: number): Promise<void> =>
    stores[which]!.write(WRITER, async (one) => {
      for (let at = 0; at < count; at++) {
        const node = at % 2 === 0 ? "n1" : "n2";
        one.change({ kind: "plan", subject: `${subject} ${at}`, node, body: { text: 'ä\n"' } });
      }
    });
  const [admin, other, node] = [
    await listen(0, ADMIN),
    await listen(1, ADMIN),
    await listen(0, "node"),
  ];

  await write(0, "own", 3);
  // Before anybody could have read it.
  expect(admin.map(({ subject }) => subject)).toEqual(["own 0", "own 1", "own 2"]);
  expect(node.map(({ subject, body }) => [subject, body?.text])).toEqual([
    ["own 0", 'ä\n"'],
    ["own 2", 'ä\n"'],
  ]);
  const refused = stores[0].write(WRITER, async (one) => {
    one.change({ kind: "plan", subject: "never", node: "n1" });
    throw new Error("no");
  });
  await expect(refused).rejects.toThrow("no");

  await Promise.all(
    Array.from({ length: WRITES }, (_, at) => write(at % 2, `many ${at}`, 1 + (at % 3))),
  );
  const last = 3 + WRITES * 2;
  await until("both have heard all", () =>
    [admin, other].every((heard) => heard.at(-1)?.revision === last),
  );
  const all = Array.from({ length: last }, (_, at) => at + 1);
  expect(admin.map(({ revision }) => revision)).toEqual(all);
  expect(other.map(({ revision }) => revision)).toEqual(all);
  expect(other).toEqual(admin);
  // As the log has it, for who was away.
  expect(await listen(1, "node", 0)).toEqual(node);
  expect(admin.some(({ subject }) => subject === "never")).toBe(false);
  expect(faults).toEqual([]);
  for (const one of changes) await one.stop();
  for (const database of databases) await database.close();
});
