/** All networks planned anew, and many requests at once: threads that die, plans that were lost, one refused among many, one request sent often. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect } from "vitest";
import { ROOT } from "../../src/cli/demo/implementations.ts";
import { generateKeys } from "../../src/cli/demo/keys.ts";
import { Postgres } from "../../src/cli/demo/postgres.ts";
import { run } from "../../src/control/linux/command.ts";
import { planNetwork } from "../../src/control/mesh/network-plan.ts";
import type { RegistryClient } from "../../src/control/registry/client.ts";
import { planAll } from "../../src/control/registry/full-plan.ts";
import { signRequest } from "../../src/control/registry/signature.ts";
import { openDatabase } from "../../src/control/registry/store/open.ts";
import { Store } from "../../src/control/registry/store/store.ts";
import { Grid, PROGRAM, sendRaw } from "./harness/grid.ts";
import { labTest } from "./harness/lab-test.ts";

/** Takes part in whatever it is in. */
async function takePart(node: RegistryClient): Promise<void> {
  for (const { id, listenPort = 0 } of (await node.desired()).networks) {
    await node.join(id, { publicKey: generateKeys().publicKey, port: listenPort });
  }
}

async function networksOf(nodes: readonly RegistryClient[]): Promise<unknown> {
  const all = await Promise.all(nodes.map((node) => node.desired()));
  return all.map(({ networks }) =>
    networks.map(({ id, peers }) => ({
      id,
      peers: peers.toSorted((a, b) => (a.publicKey < b.publicKey ? -1 : 1)),
    })),
  );
}

labTest(
  "all networks planned anew: plans that were lost are there again, also when a thread dies; then nothing differs",
  async (lab) => {
    const postgres = await Postgres.start(lab);
    const url = await postgres.database("grid");
    const grid = new Grid(lab, { database: url });
    const { url: registry } = await grid.start();
    const farm = await grid.farm(registry);
    const nodes: RegistryClient[] = [];
    for (let at = 0; at < 4; at++) {
      const node = await grid.node(registry, farm);
      await node.reportReachability({
        ...{ v4: { kind: "public", addresses: [`198.51.100.${at + 1}`] }, v6: { kind: "none" } },
        ...{ relay: { isAllowed: true, health: "up", load: 0 }, links: [] },
      });
      nodes.push(node);
    }
    const user = await grid.user(registry);
    for (let at = 0; at < 20; at++) {
      await user.createNetwork({
        ...{ name: `net ${at}`, cidr: `10.${at + 1}.0.0/16` },
        nodes: nodes.map(({ keyId }) => keyId),
      });
    }
    for (const node of nodes) await takePart(node);
    const whole = await networksOf(nodes);
    expect(JSON.stringify(whole).split("publicKey").length - 1).toBe(20 * 4 * 3);

    const lose = async (): Promise<void> => {
      await postgres.sql(
        "grid",
        `delete from plan_differences; update plan_revisions set stamp = null;
         update plans set plan = jsonb_set(plan, '{peers}', '[]')`,
      );
      expect(await networksOf(nodes)).not.toEqual(whole);
    };
    await lose();
    const plan = [process.execPath, PROGRAM, "registry", "plan", "--database", url];
    expect(await run(plan)).toBe("20 networks planned, 20 differ\n");
    expect(await networksOf(nodes)).toEqual(whole);
    expect(await run(plan)).toBe("20 networks planned, 0 differ\n");

    await lose();
    const marker = join(lab.folder, "died");
    const dying = pathToFileURL(join(ROOT, "test/e2e/harness/dying-plan-thread.mjs"));
    const real = pathToFileURL(join(ROOT, "dist/src/cli/registry/plan-thread.js")).href;
    // Threads inherit it.
    Object.assign(process.env, { MARKER: marker, REAL: real });
    const database = await openDatabase({ database: url }, () => undefined);
    try {
      const planned = await planAll({
        ...{ store: new Store(database), url, planNetwork, entry: dying.href, threads: 2 },
      });
      expect(planned).toEqual({ networks: 20, changed: 20 });
    } finally {
      await database.close();
    }
    expect(existsSync(marker)).toBe(true);
    expect(await networksOf(nodes)).toEqual(whole);
  },
  120_000,
);

labTest(
  "many heartbeats at once: one of a deleted node is refused, the others are answered; one request sent often is good once",
  async (lab) => {
    const postgres = await Postgres.start(lab);
    const grid = new Grid(lab, { database: await postgres.database("grid") });
    const { url } = await grid.start();
    const farm = await grid.farm(url);
    const nodes: RegistryClient[] = [];
    for (let at = 0; at < 12; at++) nodes.push(await grid.node(url, farm));
    const [gone, twice] = nodes;
    await grid.client(url).deleteNode(gone!.keyId);
    // A node that beats twice at once is one row.
    const beats = [...nodes, twice!].map((node, at) => node.heartbeat({ uptime: 100 + at }));
    const answers = await Promise.allSettled(beats);
    expect(answers.map(({ status }) => status)).toEqual([
      "rejected",
      ...Array.from({ length: 12 }, () => "fulfilled"),
    ]);
    expect((answers[0] as PromiseRejectedResult).reason).toMatchObject({ code: "forbidden" });
    const stored = "select count(*), count(distinct node), max(uptime) >= 111 from heartbeats";
    expect(await postgres.sql("grid", stored)).toBe("11|11|t\n");

    const path = `/api/v2/nodes/${twice!.keyId}/heartbeat`;
    const body = JSON.stringify({ uptime: 1_000 });
    const signed = {
      ...{ method: "POST", authority: new URL(url).host, target: path, body: Buffer.from(body) },
    };
    const headers = {
      ...signRequest(grid.identityOf(twice!), signed, Date.now(), "n".repeat(24)),
      "content-type": "application/json",
    };
    const same = await Promise.all(
      Array.from({ length: 20 }, () => sendRaw(url, "POST", path, headers, body)),
    );
    expect(same.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(same.filter((answer) => answer.body.includes('"replayed"'))).toHaveLength(19);
  },
);
