/** `wirehaul registry run` as nodes, users and strangers find it, on both databases: roles, joining, leases, networks, hostile input. */
import { execFileSync } from "node:child_process";
import { connect } from "node:net";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { generateKeys } from "../../src/cli/demo/keys.ts";
import type { Lab } from "../../src/cli/demo/lab.ts";
import { Postgres } from "../../src/cli/demo/postgres.ts";
import { run } from "../../src/control/linux/command.ts";
import type { Nic } from "../../src/control/model/nic.ts";
import { Identity, RegistryClient } from "../../src/control/registry/client.ts";
import { digestOf, signRequest } from "../../src/control/registry/signature.ts";
import type { DatabasePlace } from "../../src/control/registry/store/open.ts";
import { Grid, PROGRAM, placeFlags, sendRaw } from "./harness/grid.ts";
import { labTest } from "./harness/lab-test.ts";

const KINDS: readonly (readonly [string, (lab: Lab) => Promise<DatabasePlace>])[] = [
  ["a folder", async (lab) => ({ data: join(lab.folder, "registry") })],
  ["a server", async (lab) => ({ database: await (await Postgres.start(lab)).database("grid") })],
];

/** Some thirty programs, one after the other. */
const COMMANDS_MS = 240_000;

const refused = (code: string, message = ""): object =>
  expect.objectContaining({ code, message: expect.stringContaining(message) });

let nonces = 0;

function signed(
  url: string,
  identity: Identity,
  [method, target, body]: readonly [string, string, string],
  now = Date.now(),
): Record<string, string> {
  const parts = { method, authority: new URL(url).host, target, body: Buffer.from(body) };
  const nonce = `nonce-of-a-test-${String(nonces++).padStart(8, "0")}`;
  return { ...signRequest(identity, parts, now, nonce), "content-type": "application/json" };
}

const NIC: Nic = {
  ...{ name: "eth0", mac: "02:00:00:00:00:01", kind: "device", mtu: 1500, carrier: true, up: true },
  ...{ addresses: ["192.0.2.7/24"], gateways: [], routes: [{ to: "192.0.2.0/24" }] },
};

describe.each(KINDS)("in %s", (_kind, makePlace) => {
  labTest("joining, roles, leases, networks, the audit log", async (lab) => {
    const grid = new Grid(lab, await makePlace(lab));
    const { url } = await grid.start();
    const admin = grid.client(url);
    const user = await grid.user(url);
    const farm = await grid.farm(url);

    await expect(user.addFarm({ name: "mine" })).rejects.toEqual(
      refused("forbidden", "for admins"),
    );
    await expect(user.users()).rejects.toEqual(refused("forbidden"));
    await expect(user.addToken(farm, 600)).rejects.toEqual(refused("forbidden", "is not user"));
    const stranger = grid.client(url, Identity.generate());
    await expect(stranger.networks()).rejects.toEqual(refused("forbidden", "no user has the key"));

    // By a token: once. Without: not before a farmer says so.
    const { token } = await admin.addToken(farm, 600);
    const a = grid.client(url, Identity.generate());
    expect(await a.register({ farm, name: "a", token })).toMatchObject({ state: "approved" });
    const b = grid.client(url, Identity.generate());
    await expect(b.register({ farm, name: "b", token })).rejects.toEqual(
      refused("forbidden", "spent"),
    );
    await expect(b.register({ farm: farm + 1, name: "b" })).rejects.toEqual(refused("missing"));
    await expect(b.register({ farm, name: "a" })).rejects.toEqual(
      refused("conflict", "of this name"),
    );
    expect(await b.register({ farm, name: "b" })).toMatchObject({ state: "pending" });
    await expect(b.heartbeat({ uptime: 1 })).rejects.toEqual(refused("forbidden", "approval"));
    await expect(b.approveNode(b.keyId)).rejects.toEqual(refused("forbidden"));
    await expect(user.leasePort(b.keyId, { holder: "x", seconds: 60 })).rejects.toEqual(
      refused("missing"),
    );
    await admin.approveNode(b.keyId);
    await expect(a.reportPorts.call(undefined, [70_000])).rejects.toEqual(
      refused("invalid", "ports.0"),
    );
    await expect(a.ask("PUT", `/api/v2/nodes/${b.keyId}/ports`, { ports: [] })).rejects.toEqual(
      refused("forbidden", "only node"),
    );

    // What the node says of itself.
    await a.reportCensus([NIC]);
    await a.reportPorts([2_000, 3_000]);
    await a.heartbeat({ uptime: 77 });
    expect(await user.node(a.keyId)).toMatchObject({ name: "a", census: null });
    await expect(stranger.node(a.keyId)).rejects.toEqual(refused("forbidden", "no approved node"));
    await expect(stranger.nodes()).rejects.toEqual(refused("forbidden", "no approved node"));
    expect(await admin.node(a.keyId)).toMatchObject({
      census: [NIC],
      usedPorts: [2_000, 3_000],
      uptime: 77,
    });

    // A lease: the same for the same holder, another for another.
    const lease = await user.leasePort(a.keyId, { holder: "x", seconds: 60 });
    expect(lease).toMatchObject({ node: a.keyId, state: "offered" });
    expect((await user.leasePort(a.keyId, { holder: "x", seconds: 60 })).port).toBe(lease.port);
    expect((await admin.leasePort(a.keyId, { holder: "x", seconds: 60 })).port).not.toBe(
      lease.port,
    );
    expect(await a.confirmLease(lease.port)).toMatchObject({ state: "confirmed" });
    const other = await a.refuseLease(lease.port);
    expect(other).toMatchObject({ holder: lease.holder, state: "offered" });
    expect(other.port).not.toBe(lease.port);
    await expect(b.refuseLease(other.port)).rejects.toEqual(refused("missing"));
    expect(await user.leases(a.keyId)).toHaveLength(1);
    expect(await a.leases(a.keyId)).toHaveLength(2);
    await user.endLease(a.keyId, other.port);
    for (let n = 0; n < 100; n++) await user.leasePort(b.keyId, { holder: `${n}`, seconds: 600 });
    await expect(user.leasePort(b.keyId, { holder: "more", seconds: 600 })).rejects.toEqual(
      refused("too_many"),
    );
    expect(await user.leases(b.keyId)).toHaveLength(100);
    await expect(a.confirmLease(other.port)).rejects.toEqual(refused("missing"));

    // A network over both.
    const bad = user.createNetwork({ name: "net", cidr: "192.0.2.0/25", nodes: [a.keyId] });
    await expect(bad).rejects.toEqual(refused("conflict", "192.0.2.7/24, a network that node"));
    const nodes = [a.keyId, { node: b.keyId, subnet: "10.20.7.0/24" }];
    const network = await user.createNetwork({ name: "net", cidr: "10.20.0.0/16", nodes });
    const again = user.createNetwork({ name: "net", cidr: "10.20.0.0/16" });
    await expect(again).rejects.toEqual(refused("conflict", "a network of this name"));
    expect(network.members.map(({ subnet }) => subnet).toSorted()).toEqual([
      "10.20.1.0/24",
      "10.20.7.0/24",
    ]);
    await expect((await grid.user(url)).network(network.id)).rejects.toEqual(refused("missing"));
    const { networks, revision, isWhole } = await a.desired();
    expect({ networks, isWhole }).toMatchObject({
      isWhole: true,
      networks: [{ id: network.id, range: "10.20.0.0/16" }],
    });
    const { publicKey } = generateKeys();
    const offered = networks[0]?.listenPort ?? 0;
    await expect(a.join(network.id, { publicKey, port: offered + 1 })).rejects.toEqual(
      refused("conflict"),
    );
    const moved = await a.refuseLease(offered);
    await a.join(network.id, { publicKey, port: moved.port });
    expect(await user.network(network.id)).toMatchObject({
      members: expect.arrayContaining([
        expect.objectContaining({ node: a.keyId, publicKey, port: moved.port }),
      ]),
    });
    const difference = await a.desired(revision);
    expect(difference).toMatchObject({
      isWhole: false,
      networks: [{ listenPort: moved.port }],
      removed: [],
    });
    expect(await a.desired(difference.revision)).toMatchObject({ networks: [], removed: [] });

    // Two who change it at once.
    const seen = await user.network(network.id);
    await user.removeNode(network.id, b.keyId, seen.revision);
    await expect(user.deleteNetwork(network.id, seen.revision)).rejects.toEqual(
      refused("conflict", "somebody changed it"),
    );
    expect((await b.desired()).networks).toEqual([]);
    await user.addClient(network.id, {
      name: "laptop",
      publicKey: generateKeys().publicKey,
      access: a.keyId,
    });
    await expect(user.removeNode(network.id, a.keyId)).rejects.toEqual(
      refused("conflict", "client laptop"),
    );

    // A node that is deleted is gone everywhere, and does not come back.
    await admin.deleteNode(a.keyId);
    expect(await user.network(network.id)).toMatchObject({ members: [], clients: [] });
    await expect(a.desired()).rejects.toEqual(refused("forbidden", "deleted"));
    await expect(a.register({ farm, name: "a" })).rejects.toEqual(
      refused("forbidden", "a new key"),
    );
    await user.deleteNetwork(network.id);
    expect(await user.networks()).toEqual([]);

    const audit = await admin.ask<{ action: string; actor: string }[]>(
      "GET",
      "/api/v2/audit?limit=1000",
    );
    const actions = new Set(audit.map(({ action }) => action));
    for (const action of [
      "user.add",
      "farm.add",
      "token.add",
      "node.register",
      "node.approve",
      "node.delete",
      "node.census",
      "lease.take",
      "lease.confirm",
      "lease.refuse",
      "lease.end",
      "network.create",
      "network.join",
      "network.remove-node",
      "network.add-client",
      "network.delete",
    ]) {
      expect(actions, action).toContain(action);
    }
    expect(audit.find(({ action }) => action === "network.join")?.actor).toBe(a.keyId);
    expect(JSON.stringify(audit)).not.toContain(token);
    await expect(user.ask("GET", "/api/v2/audit")).rejects.toEqual(refused("forbidden"));
  });

  labTest(
    "requests that are forged, replayed, late, or nonsense are refused and change nothing",
    async (lab) => {
      const grid = new Grid(lab, await makePlace(lab));
      const { url } = await grid.start();
      const good = ["POST", "/api/v2/farms", '{"name":"one"}'] as const;
      const headers = signed(url, grid.admin, good);
      expect(
        await sendRaw(url, ...(good.slice(0, 2) as [string, string]), {}, good[2]),
      ).toMatchObject({ status: 401 });
      // Another body, another path, another method, under the same signature.
      for (const [method, path, body] of [
        ["POST", "/api/v2/farms", '{"name":"two"}'],
        ["POST", "/api/v2/users", '{"name":"one"}'],
        ["PUT", "/api/v2/farms", '{"name":"one"}'],
        ["POST", "/api/v2/farms?after=1", '{"name":"one"}'],
      ] as const) {
        const { status } = await sendRaw(url, method, path, headers, body);
        expect([401, 404], `${method} ${path} ${body}`).toContain(status);
      }
      const swapped = { ...headers, "content-digest": digestOf(Buffer.from('{"name":"two"}')) };
      expect(await sendRaw(url, "POST", "/api/v2/farms", swapped, '{"name":"two"}')).toMatchObject({
        status: 401,
      });
      expect(await grid.client(url).farms()).toEqual([]);
      expect(await sendRaw(url, "POST", "/api/v2/farms", headers, good[2])).toMatchObject({
        status: 200,
      });
      const replayed = await sendRaw(url, "POST", "/api/v2/farms", headers, good[2]);
      expect(replayed).toMatchObject({ status: 401, body: expect.stringContaining('"replayed"') });
      for (const off of [-310_000, 310_000]) {
        const late = signed(url, grid.admin, good, Date.now() + off);
        const answer = await sendRaw(url, "POST", "/api/v2/farms", late, good[2]);
        expect(answer).toMatchObject({
          status: 401,
          body: expect.stringContaining("set the clock"),
        });
      }
      const long = "x".repeat(1024 * 1024 + 1);
      const hostile: readonly (readonly [string, number, string])[] = [
        ["", 400, "bad_json"],
        ["{", 400, "bad_json"],
        ['{"__proto__":{"role":"admin"},"name":"x"}', 400, "bad_json"],
        ['{"name":"x","constructor":{"prototype":{}}}', 400, "bad_json"],
        ['{"name":"x","more":1}', 400, "invalid"],
        ['{"name":{"$ne":1}}', 400, "invalid"],
        ["[]", 400, "invalid"],
        ["null", 400, "invalid"],
        [`{"name":"${"x".repeat(65)}"}`, 400, "invalid"],
        ['{"name":"a\\u0000b"}', 400, "invalid"],
        ['{"name":"x","owner":1e400}', 400, "invalid"],
        [`${"[".repeat(100_000)}${"]".repeat(100_000)}`, 400, "invalid"],
        [`{"name":"${long}"}`, 413, "too_large"],
      ];
      for (const [body, status, code] of hostile) {
        const answer = await sendRaw(
          url,
          "POST",
          "/api/v2/farms",
          signed(url, grid.admin, ["POST", "/api/v2/farms", body]),
          body,
        ).catch(
          // A body that is too long may be cut off before all of it is sent.
          (error: NodeJS.ErrnoException) => {
            expect([error.code, code]).toEqual([
              expect.stringMatching(/EPIPE|ECONNRESET/),
              "too_large",
            ]);
            return undefined;
          },
        );
        if (answer === undefined) continue;
        expect([answer.status, JSON.parse(answer.body).error.code], body.slice(0, 60)).toEqual([
          status,
          code,
        ]);
      }
      const paths: readonly (readonly [string, number])[] = [
        ["/api/v2/farms?limit=1001", 400],
        ["/api/v2/farms?limit=0", 400],
        ["/api/v2/farms?limit=1;drop table users", 400],
        ["/api/v2/farms?other=1", 400],
        ["/api/v2/nodes?farm=1'--", 400],
        ["/api/v2/nodes/'; drop table nodes; --", 404],
        ["/api/v2/nodes/%00", 404],
        ["/api/v2/users/99999999999999999999/disable", 404],
        ["/api/v2/../../etc/passwd", 404],
      ];
      for (const [path, status] of paths) {
        const target = encodeURI(path).replace("%2500", "%00");
        const answer = await sendRaw(
          url,
          "GET",
          target,
          signed(url, grid.admin, [
            "GET",
            new URL(target, url).pathname + new URL(target, url).search,
            "",
          ]),
          "",
        );
        expect(answer.status, `${path}: ${answer.body}`).toBe(status);
      }
      const { port } = new URL(url);
      const raw = await new Promise<string>((resolve) => {
        const socket = connect(Number(port), "127.0.0.1", () => socket.write("GARBAGE\r\n\r\n"));
        let text = "";
        socket.on("data", (piece) => {
          text += piece.toString();
        });
        socket.on("close", () => resolve(text));
      });
      expect(raw).toContain("400 Error");
      expect(await grid.client(url).farms()).toHaveLength(1);
      expect(await sendRaw(url, "GET", "/openapi.json", {}, "")).toMatchObject({ status: 200 });
    },
  );
});

labTest("who asks too much is told to wait, others are not", async (lab) => {
  const grid = new Grid(lab, { data: join(lab.folder, "registry") });
  const { url } = await grid.start(0, "--rate-per-key", "5", "--rate-per-address", "10000");
  const user = await grid.user(url);
  const codes = await Promise.all(
    Array.from({ length: 400 }, () =>
      user.me().then(
        () => "done",
        (error: { code: string }) => error.code,
      ),
    ),
  );
  expect(codes.filter((code) => code === "done").length).toBeGreaterThanOrEqual(20);
  expect(codes).toContain("too_many");
  expect(await grid.client(url).me()).toMatchObject({ kind: "user", role: "admin" });
  const controller = new AbortController();
  const streams = Array.from({ length: 4 }, () => grid.client(url).events(controller.signal));
  for (const stream of streams)
    expect((await stream.next()).value).toMatchObject({ kind: "hello" });
  let code = "";
  const fifth = grid.client(url).events(controller.signal, undefined, (fault) => {
    code = fault.code;
    controller.abort();
  });
  await fifth.next();
  expect(code).toBe("too_many");
});

labTest("TLS by certificate files; other names are refused", async (lab) => {
  const [cert, key] = [join(lab.folder, "cert.pem"), join(lab.folder, "key.pem")];
  const subject = [
    "-subj",
    "/CN=localhost",
    "-addext",
    "subjectAltName=DNS:localhost,IP:127.0.0.1",
  ];
  const options = [
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-days",
    "2",
  ];
  await run(["openssl", "req", "-x509", ...options, "-keyout", key, "-out", cert, ...subject]);
  const grid = new Grid(lab, { data: join(lab.folder, "registry") });
  const { url } = await grid.start(
    0,
    "--tls-cert",
    cert,
    "--tls-key",
    key,
    "--authority",
    "registry.example",
  );
  expect(url).toMatch(/^https:/);
  const curl = [
    "-s",
    "--cacert",
    cert,
    "-w",
    " %{http_code}",
    "--connect-to",
    `localhost:443:127.0.0.1:${new URL(url).port}`,
  ];
  expect(
    execFileSync("curl", [...curl, "https://localhost/health"], { encoding: "utf8" }),
  ).toContain(" 200");
  const headers = signed("https://localhost", grid.admin, ["GET", "/api/v2/farms", ""]);
  const flags = Object.entries(headers).flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
  const answer = execFileSync("curl", [...curl, ...flags, "https://localhost/api/v2/farms"], {
    encoding: "utf8",
  });
  expect(answer).toContain('the request is for \\"localhost\\", this is registry.example');
  const named = signed("https://registry.example", grid.admin, ["GET", "/api/v2/farms", ""]);
  const right = Object.entries(named).flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
  expect(
    execFileSync(
      "curl",
      [...curl, ...right, "-H", "Host: registry.example", "https://localhost/api/v2/farms"],
      { encoding: "utf8" },
    ),
  ).toBe("[] 200");
});

labTest(
  "the commands: keys, tokens, users, farms, nodes, networks, backup and restore",
  async (lab) => {
    const grid = new Grid(lab, { data: join(lab.folder, "registry") });
    const started = await grid.start();
    const { url } = started;
    const key = lab.file("admin.pem", grid.admin.secretPem());
    const wirehaul = (...args: readonly string[]): Promise<string> =>
      run([process.execPath, PROGRAM, "registry", ...args]);
    const ask = (...args: readonly string[]): Promise<string> =>
      wirehaul(...args, "--registry", url, "--key", key);
    const newKey = join(lab.folder, "new.pem");
    const keyId = (await wirehaul("key", "new", newKey)).trim();
    await expect(wirehaul("key", "new", newKey)).rejects.toThrow("EEXIST");
    expect(await ask("user", "add", "ann", keyId, "--role", "farmer")).toContain("ann farmer");
    const mine = ["--registry", url, "--key", newKey];
    expect(await wirehaul("farm", "add", "barn", ...mine)).toBe("farm 1 barn\n");
    const token = (await wirehaul("token", "add", "1", ...mine)).trim();
    expect(await wirehaul("token", "list", "1", ...mine)).toMatch(/^[0-9a-f]{64} until /);
    const node = new RegistryClient({ url, identity: Identity.generate() });
    await node.register({ farm: 1, name: "ox", token });
    expect(await wirehaul("token", "list", "1", ...mine)).toBe("");
    expect(await wirehaul("node", "list", ...mine)).toContain(`${node.keyId} farm 1 ox approved`);
    const network = (...args: readonly string[]): Promise<string> =>
      run([process.execPath, PROGRAM, "network", ...args, "--registry", url, "--key", newKey]);
    const created = await network("create", "net", "--cidr", "10.20.0.0/16");
    const [id = ""] = created.split(" ");
    expect(await network("add-node", id, node.keyId, "--revision", "1")).toContain(
      `node ${node.keyId}: 10.20.1.0/24`,
    );
    await network("delete", id);
    const file = join(lab.folder, "backup");
    await expect(wirehaul("backup", file, ...placeFlags(grid.place))).rejects.toThrow(
      "serves the state in",
    );
    started.process.signal("SIGTERM");
    expect((await started.process.ended).code).toBe(0);
    expect(started.process.output).not.toContain(token);
    await wirehaul("backup", file, ...placeFlags(grid.place));
    const other = new Grid(lab, { data: join(lab.folder, "other") }, grid.admin);
    await wirehaul("restore", file, ...placeFlags(other.place));
    await expect(wirehaul("restore", file, ...placeFlags(other.place))).rejects.toThrow(
      "is not empty",
    );
    const again = await other.start();
    expect(await other.client(again.url).nodes()).toMatchObject([{ id: node.keyId, name: "ox" }]);
  },
  COMMANDS_MS,
);
