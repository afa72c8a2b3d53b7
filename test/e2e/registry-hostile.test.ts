/** Bodies that a registry gets from anybody who has a key: no JSON, or none to speak of; texts that no database takes; addresses that are none. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { expect } from "vitest";
import { Identity, type RegistryClient } from "../../src/control/registry/client.ts";
import { BODY_BYTES_MAX } from "../../src/control/registry/server.ts";
import { signRequest } from "../../src/control/registry/signature.ts";
import { Grid, sendRaw } from "./harness/grid.ts";
import { labTest } from "./harness/lab-test.ts";

const freshKey = (): string => randomBytes(32).toString("base64");
const freshNonce = (): string => randomBytes(18).toString("base64url");

interface Answer {
  readonly status: number;
  readonly body: string;
}

labTest(
  "bodies that are no JSON, or none to speak of: a clear refusal each time, and nothing of them is there",
  async (lab) => {
    const grid = new Grid(lab, { data: join(lab.folder, "registry") });
    const { url, process: registry } = await grid.start(0, "--rate-per-key", "1000");
    const admin = grid.client(url);
    const farm = await grid.farm(url);
    const send = (
      body: string | Uint8Array,
      type: string | undefined = "application/json",
      target = "/api/v2/farms",
    ): Promise<Answer> => {
      const bytes = Buffer.from(body);
      const parts = { method: "POST", authority: new URL(url).host, target, body: bytes };
      const headers = {
        ...signRequest(grid.admin, parts, Date.now(), freshNonce()),
        ...(type === "" ? {} : { "content-type": type }),
      };
      return sendRaw(url, "POST", target, headers, bytes);
    };
    const codeOf = ({ body }: Answer): string => JSON.parse(body).error?.code ?? "";
    const refuses = async (body: Buffer | string, code: string, what: string): Promise<void> => {
      const answer = await send(body);
      expect([answer.status, codeOf(answer)], what).toEqual([400, code]);
    };
    const bytes = (...values: readonly number[]): Buffer =>
      Buffer.concat([Buffer.from('{"name":"x'), Buffer.from(values), Buffer.from('"}')]);
    const object = Buffer.from('{"name":"x"}');
    for (const [what, body] of [
      ["a byte that begins nothing", bytes(0xff)],
      ["a character that is cut off", bytes(0xe2, 0x82)],
      ["more bytes than needed", bytes(0xc0, 0xaf)],
      ["half a character", bytes(0xed, 0xa0, 0x80)],
      ["beyond all characters", bytes(0xf4, 0x90, 0x80, 0x80)],
      ["two bytes each", Buffer.from('{"name":"x"}', "utf16le")],
    ] as const) {
      await refuses(body, "bad_json", what);
    }
    for (const type of [
      "text/plain",
      "application/x-www-form-urlencoded",
      "multipart/form-data; boundary=x",
      "application/jsonx",
      "",
    ]) {
      const answer = await send(object, type);
      expect([answer.status, codeOf(answer)], type).toEqual([415, "unsupported_type"]);
    }
    // Just as long as it may be, and one byte more.
    const long = (length: number): string => `{"name":"${"x".repeat(length - 11)}"}`;
    expect(codeOf(await send(long(BODY_BYTES_MAX)))).toBe("invalid");
    const over = await send(long(BODY_BYTES_MAX + 1)).catch(
      (error: NodeJS.ErrnoException) => error.code,
    );
    expect(typeof over === "object" ? over.status : over).toSatisfy(
      (end: unknown) => end === 413 || end === "EPIPE" || end === "ECONNRESET",
    );
    for (const [what, body] of [
      [
        "deep in what is not asked for",
        `{"name":"x","more":${'{"a":'.repeat(50_000)}1${"}".repeat(50_000)}}`,
      ],
      ["deep in the name", `{"name":${"[".repeat(100_000)}${"]".repeat(100_000)}}`],
      ["a number beyond all", '{"name":"x","owner":1e999}'],
      ["a number that is none here", '{"name":"x","owner":9007199254740993}'],
      ["a fraction", '{"name":"x","owner":1.5}'],
      ["below nothing", '{"name":"x","owner":-1}'],
      ["no text", '{"name":12}'],
    ] as const) {
      await refuses(body, "invalid", what);
    }
    for (const body of [
      '{"name":"x",}',
      "{'name':'x'}",
      '{"name":"x"}{}',
      "NaN",
      '{"name":"x"',
      '{"name":"\\x"}',
    ]) {
      await refuses(body, "bad_json", body);
    }
    expect((await admin.farms()).map(({ id }) => id)).toEqual([farm]);
    // Of a name that is there twice the last one counts (RFC 8259 4), and it is what was checked.
    expect(codeOf(await send('{"name":"fine","name":"\\u0000"}'))).toBe("invalid");
    expect(JSON.parse((await send('{"name":"one","name":"two"}')).body)).toMatchObject({
      name: "two",
    });

    // What a database does not take, in every text that somebody may send.
    const node = await grid.node(url, farm);
    const user = await grid.user(url);
    const network = await user.createNetwork({
      name: "net",
      cidr: "10.20.0.0/16",
      nodes: [node.keyId],
    });
    const stranger = grid.client(url, Identity.generate());
    const self = `/api/v2/nodes/${node.keyId}`;
    const nic = {
      name: "eth0",
      mac: "02:00:00:00:00:01",
      kind: "device",
      mtu: 1500,
      carrier: true,
      up: true,
    };
    const rest = { addresses: [], gateways: [], routes: [] };
    const standing = {
      v4: { kind: "none" },
      v6: { kind: "none" },
      relay: { isAllowed: false, health: "up", load: 0 },
    };
    const places: readonly (readonly [RegistryClient, string, string, (bad: string) => object])[] =
      [
        [admin, "POST", "/api/v2/users", (name) => ({ name, key: stranger.keyId, role: "user" })],
        [admin, "POST", "/api/v2/users", (key) => ({ name: "x", key, role: "user" })],
        [admin, "POST", "/api/v2/farms", (name) => ({ name })],
        [user, "POST", "/api/v2/networks", (name) => ({ name, cidr: "10.21.0.0/16" })],
        [user, "POST", "/api/v2/networks", (cidr) => ({ name: "x", cidr })],
        [user, "POST", `/api/v2/networks/${network.id}/nodes`, (id) => ({ node: id })],
        [
          user,
          "POST",
          `/api/v2/networks/${network.id}/clients`,
          (name) => ({ name, publicKey: freshKey(), access: node.keyId }),
        ],
        [user, "POST", `${self}/leases`, (holder) => ({ holder })],
        [stranger, "POST", "/api/v2/nodes", (name) => ({ farm, name })],
        [stranger, "POST", "/api/v2/nodes", (hostname) => ({ farm, name: "x", hostname })],
        [stranger, "POST", "/api/v2/nodes", (osVersion) => ({ farm, name: "x", osVersion })],
        [stranger, "POST", "/api/v2/nodes", (city) => ({ farm, name: "x", location: { city } })],
        [node, "PUT", `${self}/census`, (name) => [{ ...nic, ...rest, name }]],
        [node, "PUT", `${self}/census`, (driver) => [{ ...nic, ...rest, driver }]],
        [node, "PUT", `${self}/census`, (to) => [{ ...nic, ...rest, routes: [{ to }] }]],
        [
          node,
          "PUT",
          `${self}/reachability`,
          (seenAs) => ({ ...standing, v4: { kind: "hidden", seenAs } }),
        ],
        [node, "PUT", `${self}/links`, (id) => ({ networks: [{ network: id, peers: [] }] })],
        [node, "POST", `${self}/networks/${network.id}/rotation/refuse`, (reason) => ({ reason })],
        [
          user,
          "PUT",
          `/api/v2/networks/${network.id}/nodes/${node.keyId}/sealed-key`,
          (box) => ({ publicKey: freshKey(), box }),
        ],
      ];
    for (const bad of ["a\u0000b", "\ud800", "a\udc00", "\u0007"]) {
      for (const [client, method, path, make] of places) {
        const said = await client
          .ask(method, path, make(bad) as Readonly<Record<string, unknown>>)
          .then(
            () => "taken",
            ({ code }: { readonly code: string }) => code,
          );
        expect(said, `${method} ${path} ${JSON.stringify(make(bad))}`).toMatch(
          /^(invalid|missing)$/,
        );
      }
    }
    const stored = await (async () => {
      const [farms, users, nodes] = [await admin.farms(), await admin.users(), await admin.nodes()];
      return [farms.length, users.length, nodes.length];
    })();
    expect(stored).toEqual([2, 2, 1]);
    expect(registry.isRunning).toBe(true);
    // Nothing of it was the registry's own fault.
    expect(registry.output).not.toContain('"level":50');
  },
  120_000,
);

labTest(
  "a node that reports what is no address: it is refused, or harms nobody else's network",
  async (lab) => {
    const grid = new Grid(lab, { data: join(lab.folder, "registry") });
    const { url, process: registry } = await grid.start();
    const farm = await grid.farm(url);
    const nodes = await Promise.all(Array.from({ length: 3 }, () => grid.node(url, farm)));
    const [bad, good, other] = nodes as [RegistryClient, RegistryClient, RegistryClient];
    const user = await grid.user(url);
    const ids = nodes.map(({ keyId }) => keyId);
    const { id } = await user.createNetwork({ name: "net", cidr: "10.20.0.0/16", nodes: ids });
    const relay = { isAllowed: true, health: "up", load: 0 } as const;
    const v6 = { kind: "none" } as const;
    for (const [at, node] of nodes.entries()) {
      const v4 = { kind: "public", addresses: [`198.51.100.${at + 1}`] } as const;
      await node.reportReachability({ v4, v6, relay, links: [] });
    }
    const nic = {
      name: "eth0",
      mac: "02:00:00:00:00:01",
      kind: "device",
      mtu: 1500,
      carrier: true,
      up: true,
    };
    const hostile = [
      "",
      "x",
      "0/0",
      "::/0",
      "10.20.0.0/99",
      "1.2.3.4/-1",
      "a".repeat(64),
      "10.0.0.1/8/8",
    ];
    for (const text of hostile) {
      await bad
        .reportCensus([
          { ...nic, addresses: [text], gateways: [text], routes: [{ to: text, via: text }] },
        ])
        .catch(({ code }: { code: string }) => expect(code).toBe("invalid"));
      await bad
        .reportReachability({
          ...{ v4: { kind: "public", addresses: ["198.51.100.1"] }, v6, relay },
          links: [{ node: good.keyId, lan: [{ address: text, isReached: true }] }],
        })
        .catch(({ code }: { code: string }) => expect(code).toBe("invalid"));
      // The others' part goes on.
      for (const node of [good, other]) {
        const [part] = (await node.desired()).networks.filter((one) => one.id === id);
        await node.join(id, { publicKey: freshKey(), port: part?.listenPort ?? 0 });
      }
      const [part] = (await good.desired()).networks.filter((one) => one.id === id);
      expect(part?.peers.length, text).toBeGreaterThan(0);
      expect((await user.networkStatus(id)).nodes).toHaveLength(3);
    }
    const [own] = (await bad.desired()).networks;
    await bad.join(id, { publicKey: freshKey(), port: own?.listenPort ?? 0 });
    const [part] = (await good.desired()).networks;
    expect(part?.peers.length).toBe(2);
    expect(registry.output).not.toContain('"level":50');
  },
  120_000,
);
