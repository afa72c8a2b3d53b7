/**
 * Rotation of keys and ports at a real registry with the real planner; clients with nodes' identities do what
 * docs/registry.md asks of a node. What a node's interface does with it is not here.
 */
import { expect } from "vitest";
import { generateKeys } from "../../src/cli/demo/keys.ts";
import type { Lab } from "../../src/cli/demo/lab.ts";
import { until } from "../../src/control/linux/command.ts";
import type { NetworkPeer } from "../../src/control/model/network-resource.ts";
import type {
  NetworkChange,
  RegistryClient,
  RotationTask,
} from "../../src/control/registry/client.ts";
import { labTest } from "./harness/lab-test.ts";
import {
  confirmAll,
  meshOf,
  peerOf,
  portOf,
  Registry,
  refused,
  tasks,
} from "./harness/registry-mesh.ts";

/** A registry with three nodes in a network, and what the first of them has before anything changes. */
async function threeOf(lab: Lab) {
  const registry = await Registry.start(lab);
  const mesh = await meshOf(registry, 3);
  const [a, b, c] = mesh.nodes as [RegistryClient, RegistryClient, RegistryClient];
  const [oldKey, oldPort] = [mesh.keys.get(a.keyId) ?? "", await portOf(a)];
  return { registry, ...mesh, a, b, c, oldKey, oldPort };
}

labTest(
  "a key and a port change step by step, with a restart after each",
  async (lab) => {
    const { registry, user, network, keys, a, b, c, oldKey, oldPort } = await threeOf(lab);
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
        { kind: "watch", network, node: a.keyId, publicKey: newKey, oldKey },
      ]);
    }
    expect(await tasks(a)).toEqual([{ kind: "keep", network, publicKey: newKey, port: newPort }]);
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
    const { registry, user, network, nodes, a, b, c, oldKey, oldPort } = await threeOf(lab);
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
    await registry.look();
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
    await registry.look();
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

labTest("what peers report of two keys of one node moves no route", async (lab) => {
  const { registry, user, network, keys, a, b, c, oldKey } = await threeOf(lab);
  const { publicKey: newKey } = generateKeys();
  const wayTo = async (key: string): Promise<unknown> => {
    const { endpoint, allowedIps } = (await peerOf(b, key)) ?? {};
    return { endpoint, allowedIps };
  };
  const report = (oldAnswers: boolean, newAnswers: boolean): Promise<void> =>
    b.reportLinks({
      networks: [
        {
          network,
          peers: [
            { ...{ publicKey: oldKey, endpoint: "203.0.113.1:3000" }, ...seen(oldAnswers) },
            { ...{ publicKey: newKey, endpoint: "203.0.113.1:3000" }, ...seen(newAnswers) },
            {
              ...{ publicKey: keys.get(c.keyId) ?? "", endpoint: "203.0.113.3:3000" },
              ...seen(true),
            },
          ],
        },
      ],
    });
  const seen = (isAlive: boolean) => (isAlive ? { isAlive, handshakeAge: 1 } : { isAlive });
  /** As if all had been so for long. */
  const age = (): Promise<void> =>
    registry.database.script(
      `update link_reports set peers = (select jsonb_agg(jsonb_set(p, '{since}', '0')) from jsonb_array_elements(peers) p)`,
    );
  const rotate = async (): Promise<void> => {
    await user.startRotation(network, a.keyId, { key: true, port: false });
    await a.answerRotation(network, { publicKey: newKey });
  };
  const direct = await wayTo(oldKey);
  expect(direct).toMatchObject({ endpoint: expect.stringContaining("203.0.113.1:") });
  await rotate();
  // The new key has not been used for long enough to believe that it never will: nobody is lost.
  await report(true, false);
  await age();
  await report(true, false);
  expect(await wayTo(oldKey)).toEqual(direct);
  await confirmAll([b, c]);
  // It is in use, which the peer has not said yet.
  await report(false, true);
  expect(await wayTo(oldKey)).toEqual(direct);
  await report(true, false);
  await age();
  await report(true, false);
  await a.switchedRotation(network);
  expect(await wayTo(newKey)).toEqual(direct);
  expect(await peerOf(b, oldKey)).toBeUndefined();
  // From now on the one key is judged as any.
  await report(false, false);
  expect(await wayTo(newKey)).toMatchObject({ endpoint: undefined });
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
