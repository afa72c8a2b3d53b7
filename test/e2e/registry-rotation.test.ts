/**
 * Rotation of keys and ports, and keys that users bring, at a real registry with the real planner; clients with nodes' identities do what
 * docs/registry.md asks of a node. What a node's interface does with it is not here.
 */
import { join } from "node:path";
import { expect } from "vitest";
import { generateKeys } from "../../src/cli/demo/keys.ts";
import type { Lab } from "../../src/cli/demo/lab.ts";
import { until } from "../../src/control/linux/command.ts";
import { planNetwork } from "../../src/control/mesh/network-plan.ts";
import type { NetworkPeer } from "../../src/control/model/network-resource.ts";
import {
  type Identity,
  type NetworkChange,
  openSealedKey,
  type RegistryClient,
  type RotationTask,
  sealKey,
} from "../../src/control/registry/client.ts";
import { insertUser } from "../../src/control/registry/people.ts";
import { expireRotations } from "../../src/control/registry/rotations.ts";
import { LIMITS, RegistryServer } from "../../src/control/registry/server.ts";
import { TABLES } from "../../src/control/registry/store/backup.ts";
import type { Database } from "../../src/control/registry/store/database.ts";
import { migrate } from "../../src/control/registry/store/migrations.ts";
import { openDatabase } from "../../src/control/registry/store/open.ts";
import { Store } from "../../src/control/registry/store/store.ts";
import { Grid } from "./harness/grid.ts";
import { labTest } from "./harness/lab-test.ts";

const refused = (code: string, text = ""): unknown =>
  expect.objectContaining({ code, message: expect.stringContaining(text) });

/** A registry in this process: its database can be looked into, and its clock can be moved. */
class Registry {
  readonly #lab: Lab;
  readonly faults: string[] = [];
  database!: Database;
  url = "";
  grid: Grid;
  #server: RegistryServer | undefined;

  private constructor(lab: Lab) {
    this.#lab = lab;
    this.grid = new Grid(lab, {});
  }

  static async start(lab: Lab): Promise<Registry> {
    const registry = new Registry(lab);
    await registry.begin();
    await insertUser(new Store(registry.database), "operator", {
      ...{ name: "root", key: registry.grid.admin.keyId, role: "admin" },
    });
    return registry;
  }

  async begin(port = 0): Promise<void> {
    const place = { data: join(this.#lab.folder, "registry") };
    this.database = await openDatabase(place, () => undefined);
    await migrate(this.database);
    this.#server = new RegistryServer({
      ...{ database: this.database, host: "127.0.0.1", port, authorities: [] },
      ...{ oldSignatures: false, planNetwork, limits: LIMITS },
      log: (level, text) => {
        if (level === "error") this.faults.push(text);
      },
    });
    this.url = await this.#server.listen();
  }

  async end(): Promise<void> {
    await this.#server?.close();
    await this.database.close();
  }

  /** All of it goes down and comes up again at the same place. */
  async restart(): Promise<void> {
    await this.end();
    await this.begin(Number(new URL(this.url).port));
  }

  /** As if every phase had taken too long. */
  async expire(): Promise<void> {
    await this.database.script("update rotations set deadline = now() - interval '1 second'");
    await expireRotations(new Store(this.database), planNetwork);
  }
}

const NONE = { kind: "none" } as const;
const RELAY = { isAllowed: true, health: "up", load: 0 } as const;

/** Public nodes in one network, all of which have taken part; `keys` by node. */
async function meshOf(
  { grid, url }: Registry,
  count: number,
): Promise<{
  readonly user: RegistryClient;
  readonly network: string;
  readonly nodes: readonly RegistryClient[];
  readonly keys: Map<string, string>;
}> {
  const farm = await grid.farm(url);
  const nodes: RegistryClient[] = [];
  for (let n = 0; n < count; n++) {
    const node = await grid.node(url, farm);
    const v4 = { kind: "public", addresses: [`203.0.113.${n + 1}`] } as const;
    await node.reportReachability({ v4, v6: NONE, relay: RELAY, links: [] });
    await node.heartbeat({ uptime: 1 });
    nodes.push(node);
  }
  const user = await grid.user(url);
  const { id: network } = await user.createNetwork({
    ...{ name: "net", cidr: "10.20.0.0/16", nodes: nodes.map(({ keyId }) => keyId) },
  });
  const keys = new Map<string, string>();
  for (const node of nodes) {
    const { publicKey } = generateKeys();
    keys.set(node.keyId, publicKey);
    await node.join(network, { publicKey, port: await portOf(node) });
  }
  return { user, network, nodes, keys };
}

async function portOf(node: RegistryClient): Promise<number> {
  return (await node.desired()).networks[0]?.listenPort ?? 0;
}

async function tasks(node: RegistryClient): Promise<readonly RotationTask[]> {
  return (await node.desired()).rotations;
}

async function peerOf(node: RegistryClient, publicKey: string): Promise<NetworkPeer | undefined> {
  const [resource] = (await node.desired()).networks;
  return resource?.peers.find((peer) => peer.publicKey === publicKey);
}

async function confirmAll(nodes: readonly RegistryClient[]): Promise<void> {
  for (const node of nodes) {
    for (const task of await tasks(node)) {
      if (task.kind !== "confirm") continue;
      const { network, revision } = task;
      await node.reportRotation(network, task.node, { revision });
    }
  }
}

labTest(
  "a key and a port change step by step, with a restart after each",
  async (lab) => {
    const registry = await Registry.start(lab);
    const { user, network, nodes, keys } = await meshOf(registry, 3);
    const [a, b, c] = nodes as [RegistryClient, RegistryClient, RegistryClient];
    const oldKey = keys.get(a.keyId) ?? "";
    const oldPort = await portOf(a);
    const { publicKey: newKey } = generateKeys();
    await expect(user.startRotation(network, a.keyId, { key: false, port: false })).rejects.toEqual(
      refused("invalid", "neither key nor port"),
    );
    const stranger = await registry.grid.user(registry.url);
    await expect(
      stranger.startRotation(network, a.keyId, { key: true, port: true }),
    ).rejects.toEqual(refused("missing"));
    const asked = await user.startRotation(network, a.keyId, { key: true, port: true });
    const newPort = asked.port ?? 0;
    expect(asked).toMatchObject({ phase: "making", isKey: true, publicKey: null, waitsFor: [] });
    expect(newPort).not.toBe(oldPort);
    await expect(user.startRotation(network, a.keyId, { key: true, port: false })).rejects.toEqual(
      refused("conflict", "under way already (making)"),
    );
    await registry.restart();

    // Nobody else knows yet; the node is asked, and answers. Another node can't for it.
    const make = { kind: "make", network, isKey: true, port: newPort };
    expect(await tasks(a)).toEqual([make]);
    expect(await tasks(b)).toEqual([]);
    expect(await peerOf(b, oldKey)).toMatchObject({ endpoint: `203.0.113.1:${oldPort}` });
    const path = `/api/v2/nodes/${a.keyId}/networks/${network}/rotation`;
    await expect(b.ask("PUT", path, { publicKey: newKey, port: newPort })).rejects.toEqual(
      refused("forbidden"),
    );
    await expect(a.answerRotation(network, { publicKey: newKey })).rejects.toEqual(
      refused("conflict", `${newPort} is`),
    );
    await expect(a.answerRotation(network, { port: newPort })).rejects.toEqual(
      refused("invalid", "a new key is asked for"),
    );
    await expect(
      a.answerRotation(network, { publicKey: keys.get(b.keyId) ?? "", port: newPort }),
    ).rejects.toEqual(refused("conflict", "the public key is another's"));
    await a.answerRotation(network, { publicKey: newKey, port: newPort });
    await a.answerRotation(network, { publicKey: newKey, port: newPort });
    await registry.restart();

    // Its peers have both keys and both ports; the old ones still carry everything.
    for (const peer of [b, c]) {
      const [old, fresh] = [await peerOf(peer, oldKey), await peerOf(peer, newKey)];
      expect(old?.allowedIps.length).toBeGreaterThan(2);
      expect(fresh?.allowedIps).toEqual([]);
      expect(old).toMatchObject({
        endpoint: `203.0.113.1:${oldPort}`,
        candidates: [`203.0.113.1:${newPort}`],
      });
      expect(await tasks(peer)).toEqual([
        { kind: "confirm", network, node: a.keyId, revision: expect.any(Number) },
        { kind: "watch", network, node: a.keyId, publicKey: newKey },
      ]);
    }
    expect(await tasks(a)).toEqual([]);
    await expect(a.switchedRotation(network)).rejects.toEqual(refused("conflict", "when told"));
    await expect(a.reportRotation(network, a.keyId, { revision: 999 })).rejects.toEqual(
      refused("missing", "is no peer"),
    );
    await b.reportRotation(network, a.keyId, { revision: 1 });
    expect((await user.rotation(network, a.keyId)).waitsFor).toEqual([b.keyId, c.keyId].sort());
    await confirmAll([b]);
    expect(await user.rotation(network, a.keyId)).toMatchObject({
      ...{ phase: "spreading", waitsFor: [c.keyId] },
    });
    await registry.restart();
    await confirmAll([c]);

    // All know: the node may switch. Its own plan has the new port.
    expect(await tasks(a)).toEqual([{ kind: "switch", network, publicKey: newKey, port: newPort }]);
    expect(await portOf(a)).toBe(newPort);
    await registry.restart();
    // One peer sees the new key before the node can say so: the routes move there, and only there.
    await b.reportRotation(network, a.keyId, { publicKey: oldKey });
    expect((await peerOf(b, newKey))?.allowedIps).toEqual([]);
    await b.reportRotation(network, a.keyId, { publicKey: newKey });
    expect((await peerOf(b, newKey))?.allowedIps.length).toBeGreaterThan(2);
    expect((await peerOf(b, oldKey))?.allowedIps).toEqual([]);
    expect((await peerOf(c, newKey))?.allowedIps).toEqual([]);
    expect(await tasks(b)).toEqual([]);
    await a.switchedRotation(network);
    await a.switchedRotation(network);
    await registry.restart();

    // Over: the old key is nobody's, the old port is free, and the node is known by the new ones.
    for (const peer of [b, c]) {
      expect(await peerOf(peer, oldKey)).toBeUndefined();
      const fresh = await peerOf(peer, newKey);
      expect(fresh?.allowedIps.length).toBeGreaterThan(2);
      expect(fresh).toMatchObject({ endpoint: `203.0.113.1:${newPort}` });
      expect(fresh?.candidates).toBeUndefined();
      expect(await tasks(peer)).toEqual([]);
    }
    expect(await user.rotation(network, a.keyId)).toMatchObject({ phase: "done", reason: "" });
    expect(
      (await user.network(network)).members.find(({ node }) => node === a.keyId),
    ).toMatchObject({
      ...{ publicKey: newKey, port: newPort },
    });
    expect((await a.leases(a.keyId)).map(({ port, state }) => [port, state])).toEqual([
      [newPort, "confirmed"],
    ]);
    await a.join(network, { publicKey: newKey, port: newPort });
    // And again, now the port alone.
    const { port } = await user.startRotation(network, a.keyId, { key: false, port: true });
    await a.answerRotation(network, { port: port ?? 0 });
    await confirmAll([b, c]);
    expect(await tasks(a)).toEqual([{ kind: "switch", network, port }]);
    await a.switchedRotation(network);
    expect(await peerOf(b, newKey)).toMatchObject({ endpoint: `203.0.113.1:${port}` });
    expect(registry.faults).toEqual([]);
    await registry.end();
  },
  120_000,
);

labTest(
  "who never answers, never confirms or never switches: undone, and said",
  async (lab) => {
    const registry = await Registry.start(lab);
    const { user, network, nodes, keys } = await meshOf(registry, 3);
    const [a, b, c] = nodes as [RegistryClient, RegistryClient, RegistryClient];
    const oldKey = keys.get(a.keyId) ?? "";
    const oldPort = await portOf(a);
    const isAsBefore = async (reason: string): Promise<void> => {
      expect(await user.rotation(network, a.keyId)).toMatchObject({ phase: "undone", reason });
      for (const node of nodes) expect(await tasks(node)).toEqual([]);
      for (const peer of [b, c]) {
        const [resource] = (await peer.desired()).networks;
        expect(resource?.peers).toHaveLength(2);
        const old = await peerOf(peer, oldKey);
        expect(old).toMatchObject({ endpoint: `203.0.113.1:${oldPort}` });
        expect(old?.allowedIps.length).toBeGreaterThan(2);
      }
      expect(await portOf(a)).toBe(oldPort);
      expect((await a.leases(a.keyId)).map(({ port }) => port)).toEqual([oldPort]);
    };
    const begin = async (): Promise<{ publicKey: string; port: number }> => {
      const { port } = await user.startRotation(network, a.keyId, { key: true, port: true });
      return { publicKey: generateKeys().publicKey, port: port ?? 0 };
    };

    await begin();
    await expireRotations(new Store(registry.database), planNetwork);
    expect(await user.rotation(network, a.keyId)).toMatchObject({ phase: "making" });
    await registry.expire();
    await isAsBefore(`node ${a.keyId} did not answer`);

    await a.answerRotation(network, await begin());
    await confirmAll([b]);
    await registry.expire();
    await isAsBefore(`not confirmed by ${c.keyId}`);

    await a.answerRotation(network, await begin());
    await confirmAll([b, c]);
    expect(await portOf(a)).not.toBe(oldPort);
    await registry.expire();
    await isAsBefore(`node ${a.keyId} did not switch`);

    await a.answerRotation(network, await begin());
    await a.refuseRotation(network, "no room for a second key");
    await isAsBefore(`node ${a.keyId} refused: no room for a second key`);

    await a.answerRotation(network, await begin());
    await user.endRotation(network, a.keyId);
    await isAsBefore("its owner has ended it");
    await expect(a.switchedRotation(network)).rejects.toEqual(refused("conflict", "undone"));

    // A peer that is away is not waited for longer than that; one that has been taken out not at all.
    const away = await begin();
    await a.answerRotation(network, away);
    await confirmAll([b]);
    await registry.database.rows(
      "update heartbeats set seen = now() - interval '91 s' where node = $1",
      [c.keyId],
    );
    await registry.expire();
    expect(await user.rotation(network, a.keyId)).toMatchObject({ phase: "switching" });
    // Somebody has seen the new key: the node has switched, and nothing is undone behind its back.
    await b.reportRotation(network, a.keyId, { publicKey: away.publicKey });
    await registry.expire();
    expect(await user.rotation(network, a.keyId)).toMatchObject({ phase: "switching" });
    // It says so at last, as it would after a reboot: by joining with what it uses.
    await a.join(network, away);
    expect(await user.rotation(network, a.keyId)).toMatchObject({ phase: "done" });
    expect(await peerOf(c, oldKey)).toBeUndefined();

    const left = await begin();
    await a.answerRotation(network, left);
    await confirmAll([b]);
    await user.removeNode(network, c.keyId);
    await expireRotations(new Store(registry.database), planNetwork);
    expect(await tasks(a)).toMatchObject([{ kind: "switch", publicKey: left.publicKey }]);
    await user.removeNode(network, a.keyId);
    await expect(user.rotation(network, a.keyId)).rejects.toEqual(refused("missing"));
    expect(await tasks(b)).toEqual([]);
    expect(await a.leases(a.keyId)).toEqual([]);
    expect(registry.faults).toEqual([]);
    await registry.end();
  },
  120_000,
);

labTest("a port that is taken is exchanged before peers know it, not after", async (lab) => {
  const registry = await Registry.start(lab);
  const { user, network, nodes } = await meshOf(registry, 2);
  const [a, b] = nodes as [RegistryClient, RegistryClient];
  const oldPort = await portOf(a);
  const { port } = await user.startRotation(network, a.keyId, { key: false, port: true });
  const other = await a.refuseLease(port ?? 0);
  expect([port, oldPort]).not.toContain(other.port);
  expect(await tasks(a)).toEqual([{ kind: "make", network, isKey: false, port: other.port }]);
  expect(await portOf(a)).toBe(oldPort);
  await expect(a.answerRotation(network, { port: port ?? 0 })).rejects.toEqual(refused("conflict"));
  await a.answerRotation(network, { port: other.port });
  await expect(a.refuseLease(other.port)).rejects.toEqual(
    refused("conflict", "refuse the rotation instead"),
  );
  await confirmAll([b]);
  await a.switchedRotation(network);
  expect(await portOf(a)).toBe(other.port);
  expect(registry.faults).toEqual([]);
  await registry.end();
});

/** A node that believes its stream only, and whose handshakes are seen by whoever has its key and is asked. */
class Player {
  readonly client: RegistryClient;
  readonly world: Map<string, string>;
  /** Keys that it accepts. */
  readonly peers = new Map<string, NetworkPeer>();
  tasks: readonly RotationTask[] = [];
  revision = 0;
  next = "";
  readonly #controller = new AbortController();
  readonly faults: unknown[] = [];

  constructor(client: RegistryClient, world: Map<string, string>) {
    this.client = client;
    this.world = world;
    this.#listen().catch((error: unknown) => this.faults.push(error));
  }

  stop(): void {
    this.#controller.abort();
  }

  async #listen(): Promise<void> {
    for await (const event of this.client.events(this.#controller.signal, 0)) {
      if (event.kind === "plan" && "body" in event) {
        const { resource, set, remove } = event.body as NetworkChange;
        for (const key of remove) this.peers.delete(key);
        for (const peer of set) this.peers.set(peer.publicKey, peer);
        this.revision = resource?.revision ?? 0;
      } else if (event.kind === "rotation" && "body" in event) {
        this.tasks = (event.body as { readonly tasks: readonly RotationTask[] }).tasks;
      } else continue;
      // A plan changes nothing of what was asked, but may be what was waited for.
      for (const task of this.tasks) {
        if (event.kind === "rotation" || task.kind === "confirm") await this.#do(task);
      }
    }
  }

  async #do(task: RotationTask): Promise<void> {
    const { network } = task;
    if (task.kind === "make") {
      // Asked again, it has the same answer.
      if (this.next === "") this.next = generateKeys().publicKey;
      await this.client.answerRotation(network, { publicKey: this.next, port: task.port });
    } else if (task.kind === "confirm") {
      if (this.revision < task.revision) return;
      await this.client.reportRotation(network, task.node, { revision: this.revision });
    } else if (task.kind === "switch") {
      expect(task.publicKey).toBe(this.next);
      this.world.set(this.client.keyId, this.next);
      await this.client.switchedRotation(network);
    }
  }
}

labTest(
  "nodes that do what they hear, all at once: at no time is a node's key unknown to a peer",
  async (lab) => {
    const registry = await Registry.start(lab);
    const { user, network, nodes, keys } = await meshOf(registry, 5);
    const before = new Map(keys);
    const players = nodes.map((node) => new Player(node, keys));
    await until("all have heard of all", () => players.every(({ peers }) => peers.size === 4));
    const gaps: string[] = [];
    const watch = setInterval(() => {
      for (const player of players) {
        for (const [node, key] of keys) {
          if (node !== player.client.keyId && !player.peers.has(key)) {
            gaps.push(`${player.client.keyId} does not know the key of ${node}`);
          }
        }
      }
    }, 2);
    for (const { keyId } of nodes) {
      await user.startRotation(network, keyId, { key: true, port: true });
    }
    await until("all have rotated", async () => {
      const all = await Promise.all(nodes.map(({ keyId }) => user.rotation(network, keyId)));
      return all.every(({ phase }) => phase === "done");
    });
    await until("the old keys are gone", () =>
      players.every(({ peers }) => [...before.values()].every((key) => !peers.has(key))),
    );
    clearInterval(watch);
    for (const player of players) player.stop();
    expect(gaps).toEqual([]);
    expect(players.flatMap(({ faults }) => faults)).toEqual([]);
    for (const { client, peers } of players) {
      const others = [...keys].filter(([node]) => node !== client.keyId).map(([, key]) => key);
      expect([...peers.keys()].sort()).toEqual(others.sort());
    }
    expect(registry.faults).toEqual([]);
    await registry.end();
  },
  60_000,
);

labTest(
  "a key that a user brings is sealed: only its node can open it, the registry never has it",
  async (lab) => {
    const registry = await Registry.start(lab);
    const { user, network, nodes, keys } = await meshOf(registry, 2);
    const [a, b] = nodes as [RegistryClient, RegistryClient];
    const late = await registry.grid.node(registry.url, await registry.grid.farm(registry.url));
    const identity = (client: RegistryClient): Identity => registry.grid.identityOf(client);
    const secrets = [generateKeys(), generateKeys(), generateKeys()];
    const [first, second, third] = secrets as [
      (typeof secrets)[0],
      (typeof secrets)[0],
      (typeof secrets)[0],
    ];

    // Before the node has taken part: it has no choice.
    const v4 = { kind: "public", addresses: ["203.0.113.9"] } as const;
    await late.reportReachability({ v4, v6: NONE, relay: RELAY, links: [] });
    await user.addNode(network, { node: late.keyId });
    const box = sealKey(first.privateKey, { network, node: late.keyId });
    const path = `/api/v2/networks/${network}/nodes/${late.keyId}/sealed-key`;
    for (const clear of [first.privateKey, `${first.privateKey}${first.privateKey}`, ""]) {
      const put = user.ask("PUT", path, { publicKey: first.publicKey, box: clear });
      await expect(put).rejects.toEqual(refused("invalid", "is no sealed key"));
      await expect(put).rejects.not.toThrow(first.privateKey);
    }
    const stranger = await registry.grid.user(registry.url);
    await expect(stranger.bringKey(network, late.keyId, box)).rejects.toEqual(refused("missing"));
    await expect(late.ask("PUT", path, { ...box })).rejects.toEqual(refused("forbidden"));
    const taken = { ...box, publicKey: keys.get(a.keyId) ?? "" };
    await expect(user.bringKey(network, late.keyId, taken)).rejects.toEqual(
      refused("conflict", "the public key is another's"),
    );
    await user.bringKey(network, late.keyId, box);
    const [part] = (await late.desired()).networks;
    expect(part?.sealedKey).toEqual(box);
    expect((await a.desired()).networks[0]?.sealedKey).toBeUndefined();
    const port = part?.listenPort ?? 0;
    await expect(late.join(network, { publicKey: generateKeys().publicKey, port })).rejects.toEqual(
      refused("conflict", "has brought the key"),
    );
    expect(openSealedKey(identity(late), network, part!.sealedKey!)).toBe(first.privateKey);
    await late.join(network, { publicKey: first.publicKey, port });
    expect(await peerOf(a, first.publicKey)).toBeDefined();
    await expect(
      user.startRotation(network, late.keyId, { key: true, port: false }),
    ).rejects.toEqual(refused("conflict", "was brought by you"));

    // To a node that has a key: a rotation to the one that is brought.
    const forA = sealKey(second.privateKey, { network, node: a.keyId });
    expect(() => openSealedKey(identity(b), network, forA)).toThrow("can't be opened");
    await user.bringKey(network, a.keyId, forA);
    const [task] = await tasks(a);
    expect(task).toEqual({ kind: "make", network, isKey: true, sealedKey: forA });
    await expect(
      a.answerRotation(network, { publicKey: generateKeys().publicKey }),
    ).rejects.toEqual(refused("conflict", "has brought the key"));
    expect(openSealedKey(identity(a), network, forA)).toBe(second.privateKey);
    await a.answerRotation(network, { publicKey: second.publicKey });
    await confirmAll([b, late]);
    await a.switchedRotation(network);
    expect(await peerOf(b, second.publicKey)).toBeDefined();

    // A box for another node is passed on as it is, since the registry can't know; its node can't open it, refuses, and keeps its key.
    const forB = sealKey(third.privateKey, { network, node: late.keyId });
    await user.bringKey(network, b.keyId, forB);
    expect(() => openSealedKey(identity(b), network, forB)).toThrow("can't be opened");
    await b.refuseRotation(network, "the sealed key can't be opened");
    expect(await peerOf(a, keys.get(b.keyId) ?? "")).toBeDefined();
    await user.takeKeyBack(network, b.keyId);
    await user.startRotation(network, b.keyId, { key: true, port: false });

    // Whatever the registry keeps: no key in clear, and no box in the log that is kept for ever.
    let text = "";
    for (const table of TABLES) {
      text += JSON.stringify(
        await registry.database.rows(`select to_jsonb(t) as r from ${table} t`),
      );
    }
    expect(text).toContain(box.box);
    for (const { privateKey } of secrets) {
      const bytes = Buffer.from(privateKey, "base64");
      for (const form of [privateKey, bytes.toString("hex"), bytes.toString("base64url")]) {
        expect(text.includes(form)).toBe(false);
      }
    }
    const audit = JSON.stringify(await registry.database.rows("select change from audit"));
    expect(audit).toContain(first.publicKey);
    for (const sealed of [box, forA, forB]) expect(audit).not.toContain(sealed.box);
    expect(registry.faults).toEqual([]);
    await registry.end();
  },
  60_000,
);
