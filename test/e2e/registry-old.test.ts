/** `/api/v1` and `/explorer` as an old node and an old client speak to them: three signed headers, BCDB's bodies and status codes. */
import { join } from "node:path";
import { expect } from "vitest";
import { Identity } from "../../src/control/registry/client.ts";
import { Grid, sendRaw } from "./harness/grid.ts";
import { labTest } from "./harness/lab-test.ts";
import { hex, oldHeaders, signHash } from "./harness/old-client.ts";

labTest(
  "an old node registers, reports, polls, deploys and deletes",
  async (lab) => {
    const grid = new Grid(lab, { data: join(lab.folder, "registry") });
    const { url } = await grid.start(0, "--old-signatures");
    const admin = grid.client(url);
    const farm = await grid.farm(url);
    const user = await grid.user(url);
    const customer = grid.identityOf(user);
    const { id: tid } = (await user.me()) as unknown as { id: number };
    const node = Identity.generate();
    const ask = async (
      prefix: string,
      method: string,
      path: string,
      body?: unknown,
      who: readonly [Identity, string] = [node, node.keyId],
    ) => {
      const text = body === undefined ? "" : JSON.stringify(body);
      const answer = await sendRaw(url, method, `${prefix}${path}`, oldHeaders(...who), text);
      return { ...answer, value: JSON.parse(answer.body) as Record<string, unknown> };
    };
    const v1 = "/api/v1";
    const registration = {
      node_id: node.keyId,
      farm_id: farm,
      os_version: "1.0.0",
      public_key_hex: hex(node.keyId),
      location: { city: "Ghent", country: "Belgium", longitude: 3.7, latitude: 51 },
      hostname: "zos",
      proofs: [],
    };
    expect(await ask(v1, "POST", "/nodes", { ...registration, farm_id: farm + 9 })).toMatchObject({
      ...{ status: 404, value: { error: expect.stringContaining("there is no farm") } },
    });
    expect(
      await ask(v1, "POST", "/nodes", { ...registration, public_key_hex: hex(customer.keyId) }),
    ).toMatchObject({ status: 400 });
    expect(await ask(v1, "POST", "/nodes", registration)).toMatchObject({
      status: 201,
      value: { node_id: node.keyId, farm_id: farm, approved: false, public_config: null },
    });
    const path = `/nodes/${node.keyId}`;
    expect(await ask(v1, "POST", `${path}/ports`, { ports: [4_000] })).toMatchObject({
      status: 403,
    });
    await admin.approveNode(node.keyId);
    const ifaces = [
      {
        name: "zos",
        addrs: ["10.1.2.3/24"],
        gateway: ["10.1.2.1"],
        macaddress: "aa:bb:cc:dd:ee:ff",
      },
    ];
    expect(await ask("/explorer", "POST", `${path}/interfaces`, ifaces)).toMatchObject({
      status: 201,
      body: "null",
    });
    expect(await ask(v1, "POST", `${path}/ports`, { ports: [4_000, 3_000] })).toMatchObject({
      status: 200,
      body: "null",
    });
    expect(await ask(v1, "POST", `${path}/uptime`, { uptime: 99 })).toMatchObject({ status: 200 });
    const capacity = { cru: 4, mru: 8, hru: 100, sru: 50 };
    expect(
      await ask(v1, "POST", `${path}/capacity`, { capacity, dmi: {}, disks: {} }),
    ).toMatchObject({ status: 200 });
    const config = {
      master: "eth1",
      type: 0,
      ipv4: "185.1.2.3/24",
      ipv6: "2a02::3/64",
      gw4: "185.1.2.1",
      gw6: "fe80::1",
      version: 0,
    };
    expect(await ask(v1, "POST", `${path}/configure_public`, config)).toMatchObject({
      status: 403,
    });
    // The farmer, with a new signature on the old route; all four addresses are needed, of their families.
    const swapped = admin.ask("POST", `${v1}${path}/configure_public`, {
      ...config,
      gw6: "185.1.2.1",
    });
    await expect(swapped).rejects.toThrow("gw6: is no IPv6 address");
    await admin.ask("POST", `${v1}${path}/configure_public`, config);
    const shown = await sendRaw(url, "GET", `${v1}${path}`, {});
    expect(JSON.parse(shown.body)).toMatchObject({
      ...{
        node_id: node.keyId,
        uptime: 99,
        ifaces,
        public_config: config,
        wg_ports: [3_000, 4_000],
      },
      ...{
        total_resources: capacity,
        approved: true,
        deleted: false,
        public_key_hex: hex(node.keyId),
      },
    });
    expect(
      JSON.parse((await sendRaw(url, "GET", `${v1}/nodes?farm=${farm}&size=1&page=2`, {})).body),
    ).toEqual([]);

    // A workload, signed over all of it.
    const key = "ab".repeat(60);
    const data = { pool_id: 0, cus: 1, sus: 1, ipv4u: 0, node_ids: [node.keyId], currencies: [] };
    const json = JSON.stringify(data);
    const pool = { json, data_reservation: data, customer_tid: tid };
    const customer_signature = customer.sign(json).toString("hex");
    const asCustomer = [customer, String(tid)] as const;
    expect(
      await ask(v1, "POST", "/reservations/pools", { ...pool, customer_signature }, asCustomer),
    ).toMatchObject({ status: 201, value: { reservation_id: 1 } });
    const workload = {
      workload_id: 1,
      node_id: node.keyId,
      pool_id: 1,
      reference: "r",
      description: "d",
      metadata: "m",
      customer_tid: tid,
      epoch: 1_600_000_000,
      workload_type: 10,
      name: "net",
      network_iprange: "10.1.0.0/16",
      wireguard_private_key_encrypted: key,
      wireguard_public_key: "cHVibGlj",
      wireguard_listen_port: 5_000,
      iprange: "10.1.1.0/24",
      peers: [
        {
          public_key: "cGVlcg",
          endpoint: "1.2.3.4:5",
          iprange: "10.1.2.0/24",
          allowed_iprange: ["10.1.2.0/24", "100.64.1.2/32"],
        },
      ],
    };
    const challenge = `1${node.keyId}1r${tid}NETWORK_RESOURCE1600000000dmnet10.1.0.0/16${key}cHVibGlj500010.1.1.0/24cGVlcg1.2.3.4:510.1.2.0/2410.1.2.0/24100.64.1.2/32`;
    const signed = { ...workload, customer_signature: signHash(customer, challenge) };
    const place = "/reservations/workloads";
    expect(await ask(v1, "POST", place, { ...signed, name: "other" }, asCustomer)).toMatchObject({
      ...{ status: 400, value: { error: expect.stringContaining("customer_signature") } },
    });
    expect(await ask(v1, "POST", place, signed)).toMatchObject({ status: 403 });
    const made = await ask(v1, "POST", place, signed, asCustomer);
    expect(made).toMatchObject({ status: 201, value: { reservation_id: 1 } });

    // The node's poll: from 0, from the next, and after a deletion.
    const poll = async (
      from: number,
    ): Promise<{ last: string | undefined; list: Record<string, unknown>[] }> => {
      const response = await fetch(
        new URL(`${v1}/reservations/nodes/${node.keyId}/workloads?from=${from}`, url),
        {
          headers: oldHeaders(node, node.keyId),
        },
      );
      expect(response.status).toBe(200);
      return {
        last: response.headers.get("x-last-id") ?? undefined,
        list: (await response.json()) as Record<string, unknown>[],
      };
    };
    expect(await poll(0)).toMatchObject({
      last: "1",
      list: [{ id: 1, next_action: 3, name: "net", peers: workload.peers }],
    });
    expect(await poll(2)).toEqual({ last: "1", list: [] });
    const stranger = Identity.generate();
    const notMine = await ask(
      v1,
      "GET",
      `/reservations/nodes/${node.keyId}/workloads?from=0`,
      undefined,
      [stranger, stranger.keyId],
    );
    expect(notMine.status).toBe(403);
    const result = {
      category: 10,
      workload_id: "1-1",
      data_json: {},
      signature: "",
      state: 1,
      message: "",
      epoch: 1,
      node_id: node.keyId,
    };
    const mine = `/reservations/nodes/${node.keyId}/workloads/1-1`;
    expect(await ask(v1, "PUT", mine, result)).toMatchObject({ status: 201 });
    expect(await ask(v1, "PUT", mine.replace("1-1", "1-2"), result)).toMatchObject({ status: 404 });
    expect((await ask(v1, "GET", "/reservations/nodes/workloads/1-1")).value).toMatchObject({
      result: { state: 1 },
      next_action: 3,
    });
    const erase = (signature: string) =>
      ask(v1, "POST", `${place}/1/sign/delete`, { tid, signature }, asCustomer);
    expect((await erase(signHash(customer, challenge))).status).toBe(401);
    expect((await erase(signHash(customer, `${challenge}delete${tid}`))).status).toBe(201);
    expect(await poll(2)).toMatchObject({ last: "1", list: [{ id: 1, next_action: 4 }] });
    expect(await ask(v1, "DELETE", mine)).toMatchObject({ status: 200 });
    expect(await poll(0)).toEqual({ last: "1", list: [] });
    expect((await ask(v1, "GET", `${place}/1`, undefined, asCustomer)).value).toMatchObject({
      next_action: 6,
    });
  },
  120_000,
);

labTest(
  "old signatures are refused unless the operator wants them, when late, and when forged",
  async (lab) => {
    const grid = new Grid(lab, { data: join(lab.folder, "registry") });
    let { url, process } = await grid.start();
    const node = Identity.generate();
    const registration = {
      ...{
        node_id: node.keyId,
        farm_id: await grid.farm(url),
        os_version: "1",
        public_key_hex: hex(node.keyId),
        location: {},
      },
    };
    const register = (headers: Record<string, string>) =>
      sendRaw(url, "POST", "/api/v1/nodes", headers, JSON.stringify(registration));
    expect((await register(oldHeaders(node, node.keyId))).status).toBe(401);
    process.signal("SIGTERM");
    await process.ended;
    ({ url, process } = await grid.start(0, "--old-signatures"));
    const now = Math.floor(Date.now() / 1000);
    expect((await register(oldHeaders(node, node.keyId, now - 310))).status).toBe(401);
    expect((await register(oldHeaders(Identity.generate(), node.keyId))).status).toBe(401);
    expect((await register({ ...oldHeaders(node, node.keyId), "threebot-id": "1" })).status).toBe(
      401,
    );
    expect((await register({ ...oldHeaders(node, node.keyId), date: "another" })).status).toBe(401);
    expect((await register({ "content-type": "application/json" })).status).toBe(401);
    // Not on the new routes, whatever the operator wants.
    const target = `/api/v2/nodes/${node.keyId}/heartbeat`;
    expect(
      (await sendRaw(url, "POST", target, oldHeaders(node, node.keyId), '{"uptime":1}')).status,
    ).toBe(401);
    expect((await register(oldHeaders(node, node.keyId))).status).toBe(201);
  },
);
