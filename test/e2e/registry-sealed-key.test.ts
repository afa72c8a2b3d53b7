/** Private keys that users bring, at a real registry: who can open them, what the registry has of them, and what a node may do. */
import { expect } from "vitest";
import { generateKeys } from "../../src/cli/demo/keys.ts";
import {
  type Identity,
  openSealedKey,
  type RegistryClient,
  sealKey,
} from "../../src/control/registry/client.ts";
import { TABLES } from "../../src/control/registry/store/backup.ts";
import { labTest } from "./harness/lab-test.ts";
import {
  confirmAll,
  meshOf,
  NONE,
  peerOf,
  RELAY,
  Registry,
  refused,
  tasks,
} from "./harness/registry-mesh.ts";

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
