/**
 * A database of each older version, with rows in all its tables, under this program: every value is there afterwards, and people, nodes and
 * peers go on with what they had.
 */
import { randomBytes } from "node:crypto";
import { describe, expect } from "vitest";
import { Identity, type RegistryClient } from "../../src/control/registry/client.ts";
import { signRequest } from "../../src/control/registry/signature.ts";
import { TABLES } from "../../src/control/registry/store/backup.ts";
import type { Database } from "../../src/control/registry/store/database.ts";
import { MIGRATIONS, migrate, versionOf } from "../../src/control/registry/store/migrations.ts";
import { openDatabase } from "../../src/control/registry/store/open.ts";
import { KINDS } from "./harness/database-kinds.ts";
import { Grid, sendRaw } from "./harness/grid.ts";
import { labTest } from "./harness/lab-test.ts";

const VERSIONS = Array.from({ length: MIGRATIONS.length - 1 }, (_, at) => at + 1);
/** Starts of a database and of a registry for each version. */
const TIMEOUT_MS = 240_000;

const NETWORK = "netofann";
const NONCE = "a-nonce-of-before-the-upgrade";
/** Of version 1 to 4; addresses are the planner's since. */
const DROPPED = ["slot"];
const OLD = "2026-01-02T03:04:05+00:00";

type Row = Readonly<Record<string, unknown>>;

class People {
  readonly admin: Identity = Identity.generate();
  readonly ann: Identity = Identity.generate();
  readonly nodes: readonly Identity[] = Array.from({ length: 3 }, () => Identity.generate());
  readonly keys: readonly string[] = this.nodes.map(() => freshKey());
  readonly laptop: string = freshKey();
}

function freshKey(): string {
  return randomBytes(32).toString("base64");
}

/** A node's part of the network, as it was told. */
function partOf({ keys }: People, at: number): Row {
  return {
    ...{ id: NETWORK, name: "net", owner: "ann", range: "10.20.0.0/16", range6: "fd00:1::/48" },
    ...{ subnet: `10.20.${at + 1}.0/24`, subnet6: `fd00:1:0:${at + 1}::/64` },
    tunnelAddresses: [`100.64.0.${at + 1}/32`, `fd00:1:0:ffff::${at + 1}/128`],
    ...{ listenPort: 2_000, internet: true, lan: [], revision: 1 },
    peers: keys.flatMap((publicKey, other) =>
      other === at
        ? []
        : [
            {
              ...{ publicKey, keepalive: 0, endpoint: `198.51.100.${other + 1}:2000` },
              ...{ allowedIps: [`10.20.${other + 1}.0/24`], subnet: `10.20.${other + 1}.0/24` },
            },
          ],
    ),
  };
}

/** Rows of all tables that there ever were; a version takes the tables and columns that it has. */
function rowsOf(people: People): readonly (readonly [string, readonly Row[]])[] {
  const { admin, ann, nodes, keys, laptop } = people;
  const ids = nodes.map(({ keyId }) => keyId);
  const relay = { isAllowed: true, health: "up", load: 0 };
  const lost = { publicKey: keys[1], isAlive: false, since: 1_767_000_000_000, wasAlive: true };
  return [
    [
      "users",
      [
        { id: 1, name: "root", key: admin.keyId, role: "admin", disabled: false, created: OLD },
        { id: 2, name: "ann", key: ann.keyId, role: "user", disabled: false, created: OLD },
      ],
    ],
    ["farms", [{ id: 1, name: "farm", owner: 1, created: OLD }]],
    [
      "nodes",
      ids.map((id, at) => ({
        ...{ id, farm: 1, name: `node ${at}`, state: "approved", created: OLD, number: at + 1 },
        ...{ hostname: `host${at}`, census: [], used_ports: [22, 80] },
        reachability: {
          v4: { kind: "public", addresses: [`198.51.100.${at + 1}`] },
          ...{ v6: { kind: "none" }, relay, links: [] },
        },
      })),
    ],
    ["heartbeats", ids.map((node) => ({ node, uptime: 77, seen: OLD, silent: false }))],
    ["join_tokens", [{ digest: "d1", farm: 1, creator: 1, expires: OLD, created: OLD }]],
    [
      "networks",
      [
        {
          ...{ id: NETWORK, owner: 2, name: "net", range: "10.20.0.0/16", range6: "fd00:1::/48" },
          ...{ tunnel_range: "100.64.0.0/16", subnet_length: 24, revision: 7, created: OLD },
        },
      ],
    ],
    [
      "port_leases",
      ids.map((node) => ({
        ...{ node, port: 2_000, holder: `network:${NETWORK}`, network: NETWORK },
        ...{ owner: 2, state: "confirmed", created: OLD },
      })),
    ],
    ["port_refusals", [{ node: ids[0], port: 3_000, until: OLD }]],
    [
      "network_nodes",
      ids.map((node, at) => ({
        ...{ network: NETWORK, node, slot: at + 1, port: 2_000, public_key: keys[at] },
        ...{ subnet: `10.20.${at + 1}.0/24`, subnet6: `fd00:1:0:${at + 1}::/64`, created: OLD },
        ...{ tunnel: `100.64.0.${at + 1}`, tunnel6: `fd00:1:0:ffff::${at + 1}` },
      })),
    ],
    [
      "network_clients",
      [
        {
          ...{ network: NETWORK, name: "laptop", public_key: laptop, access: ids[0], slot: 1 },
          ...{ address: "10.20.0.2", address6: "fd00:1::2", created: OLD },
        },
      ],
    ],
    [
      "plans",
      ids.map((node, at) => ({ network: NETWORK, node, plan: partOf(people, at), revision: 1 })),
    ],
    ["plan_revisions", [{ network: NETWORK, revision: 1, stamp: "s" }]],
    ["nonces", [{ key: ann.keyId, nonce: NONCE, expires: "2100-01-01T00:00:00+00:00" }]],
    [
      "changes",
      [1, 2, 3].map((revision) => ({
        ...{ revision, at: new Date().toISOString(), kind: "node", subject: ids[0] },
        node: ids[0],
      })),
    ],
    ["old_nodes", [{ node: ids[0], ifaces: [], public_config: null, free_to_use: false }]],
    [
      "workloads",
      [
        {
          ...{ id: 1, owner: 2, node: ids[0], workload_id: 1, type: 10, next_action: 3 },
          ...{ body: { a: 1 }, created: OLD, signatures_provision: [], signatures_delete: [] },
        },
      ],
    ],
    [
      "link_reports",
      [{ network: NETWORK, node: ids[0], peers: [{ ...lost, isDead: true }], at: OLD }],
    ],
    ["relay_states", [{ network: NETWORK, node: ids[1], health: "probation", since: OLD }]],
    ["network_paths", [{ network: NETWORK, paths: { v4: 3 } }]],
    [
      "plan_differences",
      [
        {
          ...{ network: NETWORK, node: ids[0], revision: 2 },
          body: {
            ...{ base: 1, set: [], remove: [] },
            resource: { ...partOf(people, 0), peers: [], revision: 2, lan: ["later"] },
          },
        },
      ],
    ],
    [
      "rotations",
      [
        {
          ...{ network: NETWORK, node: ids[2], phase: "done", is_key: true, waits: {} },
          ...{ seen_by: [], reason: "", started: OLD, deadline: OLD },
        },
      ],
    ],
    ["sealed_keys", [{ network: NETWORK, node: ids[2], public_key: keys[2] }]],
    ["sealed_boxes", [{ network: NETWORK, node: ids[2], box: "a box" }]],
    ["old_farms", [{ farm: 1, details: { a: 1 } }]],
    ["old_farm_ips", [{ address: "203.0.113.7", farm: 1, gateway: "203.0.113.1" }]],
    ["old_users", [{ id: 2, details: { a: 1 } }]],
    ["pools", [{ id: 1, owner: 2, nodes: [], cus: 1, sus: 2, ipv4us: 3, updated: OLD }]],
  ];
}

async function hasTable(database: Database, table: string): Promise<boolean> {
  const [row] = await database.rows<{ found: boolean }>(
    "select to_regclass($1) is not null as found",
    [table],
  );
  return row?.found === true;
}

async function fill(database: Database, people: People): Promise<void> {
  for (const [table, rows] of rowsOf(people)) {
    if (!(await hasTable(database, table))) continue;
    await database.rows(
      `insert into ${table} select * from jsonb_populate_recordset(null::${table}, $1::jsonb)`,
      [JSON.stringify(rows)],
    );
  }
  await database.script("update log_position set revision = 3");
  for (const [table, column] of [
    ["users", "id"],
    ["farms", "id"],
    ["nodes", "number"],
    ["workloads", "id"],
    ["pools", "id"],
  ] as const) {
    const [there] = await database.rows<{ sequence: string | null }>(
      `select pg_get_serial_sequence(t.name, $2) as sequence from (select $1::text as name) t
       where exists (select from information_schema.columns where table_name = $1 and column_name = $2)`,
      [table, column],
    );
    if (there?.sequence === undefined || there.sequence === null) continue;
    await database.rows(
      `select setval('${there.sequence}', (select max(${column}) from ${table}))`,
    );
  }
}

async function contents(database: Database): Promise<ReadonlyMap<string, readonly Row[]>> {
  const all = new Map<string, readonly Row[]>();
  for (const table of TABLES) {
    if (!(await hasTable(database, table))) continue;
    const rows = await database.rows<{ row: Row }>(
      `select to_jsonb(t) as row from ${table} t order by to_jsonb(t) ->> 'id', to_jsonb(t) ->> 'node', 1`,
    );
    all.set(
      table,
      rows.map(({ row }) => row),
    );
  }
  return all;
}

/** Of this client, what a stranger who has caught it would send again. */
async function replay(url: string, identity: Identity): Promise<string> {
  const target = "/api/v2/networks";
  const parts = { method: "GET", authority: new URL(url).host, target, body: Buffer.alloc(0) };
  const headers = { ...signRequest(identity, parts, Date.now(), NONCE) };
  return (await sendRaw(url, "GET", target, headers)).body;
}

async function goesOn(grid: Grid, people: People, version: number): Promise<void> {
  const { ann, nodes, keys, laptop } = people;
  const { url, process } = await grid.start();
  const [a, b, c] = nodes.map((identity) => grid.client(url, identity)) as [
    RegistryClient,
    RegistryClient,
    RegistryClient,
  ];
  const user = grid.client(url, ann);
  expect(await replay(url, ann)).toContain("replayed");
  expect(await user.networks()).toMatchObject([{ id: NETWORK, revision: 7, nodes: 3 }]);
  const { members, clients } = await user.network(NETWORK);
  expect(members.map(({ publicKey }) => publicKey).toSorted()).toEqual(keys.toSorted());
  expect(clients).toMatchObject([{ name: "laptop", publicKey: laptop, address: "10.20.0.2" }]);
  // What nodes were told is what they are told.
  const [told] = (await a.desired()).networks;
  expect(told).toMatchObject({ subnet: "10.20.1.0/24", listenPort: 2_000 });
  expect(told?.lan).toEqual(version >= 4 ? ["later"] : []);
  expect(told?.peers.map(({ publicKey }) => publicKey)).toEqual([keys[1], keys[2]]);
  expect(await a.desired(2)).toMatchObject({ isWhole: false });
  expect(await b.heartbeat({ uptime: 78 })).toMatchObject({ revision: expect.any(Number) });
  // And changes are planned from there.
  const gone = await user.removeNode(NETWORK, c.keyId, 7);
  expect(gone).toMatchObject({ revision: 8, faults: [] });
  const [now] = (await a.desired()).networks;
  expect(now?.peers.map(({ publicKey }) => publicKey).toSorted()).toEqual(
    [keys[1]!, laptop].toSorted(),
  );
  expect((await c.desired()).networks).toEqual([]);
  const again = await user.addNode(NETWORK, { node: c.keyId });
  expect(again.members.find(({ node }) => node === c.keyId)).toMatchObject({
    subnet: "10.20.3.0/24",
  });
  expect(
    await user.addClient(NETWORK, { name: "phone", publicKey: freshKey(), access: a.keyId }),
  ).toMatchObject({
    clients: expect.arrayContaining([expect.objectContaining({ name: "phone" })]),
  });
  await grid.node(url, await grid.farm(url));
  await grid.user(url);
  process.signal("SIGTERM");
  await process.ended;
}

describe.each(KINDS)("in %s", (_kind, makes) => {
  labTest(
    "each older version is brought up with all that is in it, and the grid goes on",
    async (lab) => {
      const placeOf = await makes(lab);
      for (const version of VERSIONS) {
        const place = await placeOf(`v${version}`);
        const people = new People();
        const database = await openDatabase(place, () => undefined);
        await migrate(database, MIGRATIONS.slice(0, version));
        await fill(database, people);
        const before = await contents(database);
        expect(await migrate(database)).toBe(version);
        expect(await versionOf(database)).toBe(MIGRATIONS.length);
        const after = await contents(database);
        for (const [table, rows] of before) {
          expect(rows.length, `${table} of version ${version}`).toBeGreaterThan(0);
          const kept = rows.map((row) =>
            Object.fromEntries(Object.entries(row).filter(([name]) => !DROPPED.includes(name))),
          );
          expect(after.get(table), `${table} of version ${version}`).toMatchObject(kept);
        }
        await database.close();
        await goesOn(new Grid(lab, place, people.admin), people, version);
      }
    },
    TIMEOUT_MS,
  );
});
