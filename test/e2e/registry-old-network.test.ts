/** The old API beyond one node and one workload: networks over nodes, who has to agree, pools, farms with their addresses, users. */
import { join } from "node:path";
import { expect } from "vitest";
import { Identity } from "../../src/control/registry/client.ts";
import { Grid } from "./harness/grid.ts";
import { labTest } from "./harness/lab-test.ts";
import { askOld, hex, type OldReply, signHash } from "./harness/old-client.ts";

const v1 = "/api/v1";
const place = `${v1}/reservations/workloads`;
type Signer = readonly [Identity, string];

/** A customer, two nodes of one farm and one of another, and a pool over the two. */
async function begin(lab: ConstructorParameters<typeof Grid>[0]) {
  const grid = new Grid(lab, { data: join(lab.folder, "registry") });
  const { url } = await grid.start(0, "--old-signatures");
  const farm = await grid.farm(url);
  const other = await grid.farm(url);
  const nodes: Signer[] = [];
  for (const of of [farm, farm, other]) {
    const node = await grid.node(url, of);
    nodes.push([grid.identityOf(node), node.keyId]);
  }
  const people: Signer[] = [];
  for (let n = 0; n < 3; n++) {
    const user = await grid.user(url);
    const { id } = (await user.me()) as unknown as { id: number };
    people.push([grid.identityOf(user), String(id)]);
  }
  const ask = (who: Signer, method: string, path: string, body?: unknown): Promise<OldReply> =>
    askOld(url, who, method, path, body);
  const pool = async (who: Signer, data: object, signer = who[0]): Promise<OldReply> => {
    const json = JSON.stringify(data);
    return await ask(who, "POST", `${v1}/reservations/pools`, {
      ...{ json, data_reservation: data, customer_tid: Number(who[1]) },
      customer_signature: signer.sign(json).toString("hex"),
    });
  };
  return { grid, url, farm, other, nodes, people, ask, pool };
}

const units = { cus: 10, sus: 20, ipv4u: 0, currencies: ["FreeTFT"] };
const key = "ab".repeat(60);
const partOf = (node: string, n: number) => ({
  node_id: node,
  wireguard_private_key_encrypted: key,
  wireguard_public_key: `public${n}`,
  wireguard_listen_port: 5_000 + n,
  iprange: `10.1.${n}.0/24`,
  peers: [
    {
      ...{ public_key: "peer", endpoint: "1.2.3.4:5", iprange: "10.1.9.0/24" },
      allowed_iprange: ["10.1.9.0/24", "100.64.1.9/32"],
    },
  ],
});

labTest(
  "a network is for each of its nodes, and one thing to its customer",
  async (lab) => {
    const { nodes, people, ask, pool } = await begin(lab);
    const [a, b, c] = nodes as [Signer, Signer, Signer];
    const [customer, second, third] = people as [Signer, Signer, Signer];
    const tid = Number(customer[1]);
    const made = await pool(customer, { ...units, pool_id: 0, node_ids: [a[1], b[1]] });
    expect(made).toMatchObject({
      status: 201,
      value: { reservation_id: 1, escrow_information: { address: "", asset: "", amount: 0 } },
    });
    const network = (pool_id: number, ids: readonly string[], more: object = {}) => {
      const body = {
        ...{ workload_id: 1, pool_id, reference: "r", description: "d", metadata: "m" },
        ...{ customer_tid: tid, epoch: 1_600_000_000, workload_type: 3, name: "net" },
        iprange: "10.1.0.0/16",
        stats_aggregator: [],
        farmer_tid: 0,
        network_resources: ids.map(partOf),
        ...more,
      };
      const parts = ids.map(
        (id, n) =>
          `${id}${key}public${n}${5_000 + n}10.1.${n}.0/24peer1.2.3.4:510.1.9.0/2410.1.9.0/24100.64.1.9/32`,
      );
      const challenge = `1${pool_id}r${tid}NETWORK1600000000dmnet10.1.0.0/16${parts.join("")}`;
      return { challenge, body: { ...body, customer_signature: signHash(customer[0], challenge) } };
    };
    const add = (body: object) => ask(customer, "POST", place, body);
    const poll = async ([identity, id]: Signer, from = 0) =>
      (await ask([identity, id], "GET", `${v1}/reservations/nodes/${id}/workloads?from=${from}`))
        .value as unknown as Record<string, unknown>[];

    // Pools: there, one's own, and for these nodes.
    expect(await add(network(9, [a[1], b[1]]).body)).toMatchObject({
      ...{ status: 404, value: { error: "pool does not exist" } },
    });
    expect(await add(network(1, [a[1], c[1]]).body)).toMatchObject({ status: 403 });
    const theirs = await pool(second, { ...units, pool_id: 0, node_ids: [a[1], b[1]] });
    expect(await add(network(theirs.value["reservation_id"] as number, [a[1]]).body)).toMatchObject(
      {
        status: 403,
      },
    );
    const { body, challenge } = network(1, [a[1], b[1]]);
    expect(await add({ ...body, name: "other" })).toMatchObject({ status: 400 });
    expect(await add(network(1, [a[1], a[1]]).body)).toMatchObject({ status: 400 });
    expect(await add({ ...body, workload_type: 2 })).toMatchObject({ status: 400 });
    expect(await add(body)).toMatchObject({ status: 201, value: { reservation_id: 1 } });

    // Each node gets all of it under a number of its own, and finds itself by its id.
    for (const [at, node] of [a, b].entries()) {
      expect(await poll(node)).toMatchObject([
        ...[
          {
            id: at + 1,
            node_id: node[1],
            workload_type: 3,
            next_action: 3,
            iprange: "10.1.0.0/16",
          },
        ],
      ]);
      expect((await poll(node))[0]?.["network_resources"]).toHaveLength(2);
    }
    expect(await poll(c)).toEqual([]);
    const show = async () => (await ask(customer, "GET", `${place}/1`)).value;
    const mine = (await ask(customer, "GET", place)).value as unknown as unknown[];
    expect(mine).toHaveLength(1);
    expect(await ask(second, "GET", `${place}/1`)).toMatchObject({ status: 404 });
    const result = (state: number) => ({
      ...{ category: 3, workload_id: "", signature: "" },
      state,
    });
    const answer = ([identity, id]: Signer, row: number, state: number) =>
      ask(
        [identity, id],
        "PUT",
        `${v1}/reservations/nodes/${id}/workloads/${row}-1`,
        result(state),
      );
    expect(await answer(a, 2, 1)).toMatchObject({ status: 404 });
    expect(await answer(a, 1, 1)).toMatchObject({ status: 201 });
    expect(await show()).toMatchObject({ next_action: 3, result: {} });
    expect((await show())["result"]).toEqual({});
    expect(await answer(b, 2, 1)).toMatchObject({ status: 201 });
    expect(await show()).toMatchObject({ next_action: 3, result: { state: 1 } });
    expect((await ask(customer, "GET", `${v1}/reservations/pools/1`)).value).toMatchObject({
      ...{ pool_id: 1, cus: 10, sus: 20, customer_tid: tid, active_workload_ids: [1] },
      node_ids: [a[1], b[1]],
    });

    // One deletion for all; it has gone when it has gone everywhere.
    const erase = (signature: string) =>
      ask(customer, "POST", `${place}/1/sign/delete`, { tid, signature });
    expect(await erase(signHash(customer[0], `${challenge}provision${tid}`))).toMatchObject({
      status: 401,
    });
    expect(await erase(signHash(customer[0], `${challenge}delete${tid}`))).toMatchObject({
      ...{ status: 201, body: "null" },
    });
    const gone = ([identity, id]: Signer, row: number) =>
      ask([identity, id], "DELETE", `${v1}/reservations/nodes/${id}/workloads/${row}-1`);
    expect(await poll(b, 5)).toMatchObject([{ id: 2, next_action: 4 }]);
    expect(await gone(a, 1)).toMatchObject({ status: 200 });
    expect(await show()).toMatchObject({ next_action: 4 });
    expect(await gone(b, 2)).toMatchObject({ status: 200 });
    expect(await show()).toMatchObject({ next_action: 6 });
    expect((await ask(customer, "GET", `${v1}/reservations/pools/1`)).value).toMatchObject({
      active_workload_ids: [],
    });

    // A node that fails: all others shall delete it.
    const again = await add(network(1, [a[1], b[1]]).body);
    const row = again.value["reservation_id"] as number;
    expect(await answer(b, row + 1, 0)).toMatchObject({ status: 201 });
    expect(await poll(a)).toMatchObject([{ id: row, next_action: 4 }]);
    expect((await ask(customer, "GET", `${place}/${row}`)).value).toMatchObject({
      ...{ next_action: 4, result: { state: 0 } },
    });

    // Two of three have to agree before any node hears of it.
    const signers = [tid, Number(second[1]), Number(third[1])];
    const guarded = network(1, [a[1]], {
      signing_request_provision: { signers, quorum_min: 2 },
      signing_request_delete: { signers: [Number(second[1])], quorum_min: 1 },
    });
    expect(
      await add({ ...guarded.body, signing_request_provision: { signers, quorum_min: 4 } }),
    ).toMatchObject({ status: 400 });
    const id = (await add(guarded.body)).value["reservation_id"] as number;
    const sign = (who: Signer, what: string, by = who[0]) =>
      ask(who, "POST", `${place}/${id}/sign/${what}`, {
        ...{ tid: Number(who[1]), signature: signHash(by, `${guarded.challenge}${what}${who[1]}`) },
      });
    const heard = async () => (await poll(a)).map((one) => one["id"]);
    expect(await heard()).not.toContain(id);
    expect(await sign(second, "provision", third[0])).toMatchObject({ status: 401 });
    expect(await sign(second, "provision")).toMatchObject({ status: 201, body: "null" });
    expect(await sign(second, "provision")).toMatchObject({ status: 201 });
    expect(await heard()).not.toContain(id);
    expect((await ask(customer, "GET", `${place}/${id}`)).value).toMatchObject({
      ...{ next_action: 1, signatures_provision: [{ tid: Number(second[1]) }] },
    });
    expect(await sign(third, "provision")).toMatchObject({ status: 201 });
    expect(await heard()).toContain(id);
    expect(await sign(customer, "provision")).toMatchObject({
      ...{ status: 401, value: { error: "workload not expecting signatures" } },
    });
    expect(await sign(customer, "delete")).toMatchObject({ status: 401 });
    expect(await sign(third, "delete")).toMatchObject({ status: 404 });
    expect(await sign(second, "delete")).toMatchObject({ status: 201 });
    expect((await ask(customer, "GET", `${place}/${id}`)).value).toMatchObject({ next_action: 4 });
  },
  120_000,
);

labTest(
  "pools, farms and their addresses, users, what a node uses",
  async (lab) => {
    const { grid, url, farm, other, nodes, people, ask, pool } = await begin(lab);
    const [a, b, c] = nodes as [Signer, Signer, Signer];
    const [customer, second] = people as [Signer, Signer, Signer];
    const admin = [grid.admin, "1"] as const;
    const nobody = [Identity.generate(), a[1]] as const;

    // Pools.
    const wish = { ...units, pool_id: 0, node_ids: [a[1], b[1]] };
    expect(await pool(customer, wish, second[0])).toMatchObject({ status: 400 });
    expect(await pool(customer, { ...wish, node_ids: [a[1], a[1]] })).toMatchObject({
      status: 409,
    });
    expect(await pool(customer, { ...wish, node_ids: [a[1], c[1]] })).toMatchObject({
      ...{ status: 400, value: { error: expect.stringContaining("one farm") } },
    });
    expect(await pool(customer, { ...wish, node_ids: ["x"] })).toMatchObject({ status: 400 });
    const other_json = JSON.stringify({ ...wish, cus: 99 });
    expect(
      await ask(customer, "POST", `${v1}/reservations/pools`, {
        ...{ json: other_json, data_reservation: wish, customer_tid: Number(customer[1]) },
        customer_signature: customer[0].sign(other_json).toString("hex"),
      }),
    ).toMatchObject({ status: 400, value: { error: "json is not what data_reservation says" } });
    const id = (await pool(customer, wish)).value["reservation_id"] as number;
    expect(await pool(customer, { ...wish, pool_id: id })).toMatchObject({
      ...{ status: 201, value: { reservation_id: id } },
    });
    expect(await pool(second, { ...wish, pool_id: id })).toMatchObject({ status: 400 });
    const owned = await ask(customer, "GET", `${v1}/reservations/pools/owner/${customer[1]}`);
    expect(owned.value).toMatchObject([{ pool_id: id, cus: 20, sus: 40, ipv4us: 0 }]);
    expect(await ask(customer, "GET", `${v1}/reservations/pools/999`)).toMatchObject({
      status: 404,
    });

    // Farms.
    const at = `${v1}/farms/${farm}`;
    const details = {
      ...{ name: "Farm of old", threebot_id: 999, email: "farm@example.com", prefix_zero: "" },
      location: { city: "Ghent", country: "Belgium" },
      wallet_addresses: [{ asset: "TFT", address: "GABC" }],
    };
    expect(await ask(customer, "PUT", at, details)).toMatchObject({ status: 403 });
    expect(await ask(nobody, "PUT", at, details)).toMatchObject({ status: 401 });
    expect(await ask(admin, "PUT", at, details)).toMatchObject({ status: 200, body: "null" });
    const ips = [
      { address: "185.1.2.10/24", gateway: "185.1.2.1" },
      { address: "2a02::10/64", gateway: "2a02::1" },
    ];
    expect(await ask(customer, "POST", `${at}/ip`, ips)).toMatchObject({ status: 403 });
    expect(await ask(admin, "POST", `${at}/ip`, [{ ...ips[0], gateway: "x" }])).toMatchObject({
      status: 400,
    });
    expect(await ask(admin, "POST", `${at}/ip`, ips)).toMatchObject({ status: 200, body: "null" });
    expect(await ask(admin, "POST", `${v1}/farms/${other}/ip`, [ips[0]])).toMatchObject({
      ...{ status: 409, value: { error: "the address is a farm's already" } },
    });
    const shown = { id: farm, name: "Farm of old", threebot_id: 1, location: details.location };
    expect((await ask(customer, "GET", at)).value).toMatchObject({
      ...{ ...shown, email: "farm@example.com", wallet_addresses: details.wallet_addresses },
      ipaddresses: ips.map((ip) => ({ ...ip, reservation_id: 0 })),
    });
    expect((await ask(nobody, "GET", at)).value).toMatchObject({ ...shown, email: "" });
    expect(await ask(admin, "DELETE", `${at}/ip`, [ips[0]?.address])).toMatchObject({
      status: 200,
    });
    expect(await ask(admin, "DELETE", `${at}/ip`, [ips[0]?.address])).toMatchObject({
      status: 404,
    });
    expect((await ask(customer, "GET", at)).value["ipaddresses"]).toHaveLength(1);

    // What a node uses, and what its farmer gives away.
    const node = `${v1}/nodes/${a[1]}`;
    const used = { cru: 1, mru: 2, hru: 3, sru: 4 };
    const counters = { network: 5, volume: 0 };
    expect(await ask(b, "POST", `${node}/used_resources`, { ...used, ...counters })).toMatchObject({
      status: 403,
    });
    expect(await ask(a, "POST", `${node}/used_resources`, { ...used, ...counters })).toMatchObject({
      ...{ status: 200, body: "null" },
    });
    expect(await ask(a, "POST", `${node}/configure_free`, { free_to_use: true })).toMatchObject({
      status: 403,
    });
    expect(await ask(admin, "POST", `${node}/configure_free`, { free_to_use: true })).toMatchObject(
      {
        ...{ status: 200, body: "null" },
      },
    );
    expect((await ask(customer, "GET", node)).value).toMatchObject({
      ...{ used_resources: used, workloads: counters, free_to_use: true },
    });

    // A node leaves its farm, and that farm only.
    const remove = (who: Signer, of: number) => ask(who, "DELETE", `${v1}/farms/${of}/${a[1]}`);
    expect(await remove(customer, farm)).toMatchObject({ status: 403 });
    expect(await remove(admin, other)).toMatchObject({ status: 403 });
    expect(await remove(admin, farm)).toMatchObject({ status: 200, body: "null" });
    expect(await remove(admin, farm)).toMatchObject({ status: 404 });
    expect((await ask(customer, "GET", node)).value).toMatchObject({ deleted: true });
    expect(await ask(a, "POST", `${node}/uptime`, { uptime: 1 })).toMatchObject({ status: 403 });

    // Users.
    const fresh = Identity.generate();
    const body = { name: "old user", pubkey: hex(fresh.keyId), email: "a@example.com" };
    expect(await ask(customer, "POST", `${v1}/users`, body)).toMatchObject({ status: 403 });
    const made = await ask(admin, "POST", `${v1}/users`, body);
    expect(made).toMatchObject({ status: 201, value: { id: expect.any(Number) } });
    const self = [fresh, String(made.value["id"])] as const;
    const who = `${v1}/users/${self[1]}`;
    expect(await ask(customer, "PUT", who, { description: "x" })).toMatchObject({ status: 403 });
    expect(await ask(self, "PUT", who, { description: "me" })).toMatchObject({ status: 200 });
    expect((await ask(nobody, "GET", `${v1}/users?name=old%20user`)).value).toMatchObject([
      { ...body, id: made.value["id"], description: "me" },
    ]);
    const proof = { payload: "hello", signature: fresh.sign("hello").toString("hex") };
    const isValid = async (value: object) =>
      (await ask(nobody, "POST", `${who}/validate`, value)).value;
    expect(await isValid(proof)).toEqual({ is_valid: true });
    expect(await isValid({ ...proof, payload: "other" })).toEqual({ is_valid: false });
    expect(url).toContain("127.0.0.1");
  },
  120_000,
);
