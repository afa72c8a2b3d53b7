/** The private key is changed while the tunnel runs: the old one is dead at once, the new one works as soon as the peer knows it. */
import { describe, expect } from "vitest";
import { generateKeys, type KeyPair } from "../../src/cli/demo/keys.ts";
import { ping, pingUntil } from "../../src/cli/demo/measure.ts";
import { endpointOf, innerOf, makePair } from "../../src/cli/demo/pair.ts";
import type { WireguardNode } from "../../src/cli/demo/wireguard-node.ts";
import { labTest } from "./harness/lab-test.ts";
import { PAIRS } from "./harness/subject.ts";

async function setKeys(node: WireguardNode, keys: KeyPair): Promise<void> {
  node.keys = keys;
  await node.set(["private-key", node.secret(keys.privateKey)]);
}

for (const { a, b, title } of PAIRS) {
  describe(title, () => {
    for (const which of ["a", "b"] as const) {
      labTest(`the ${which === "a" ? "initiator" : "responder"} changes its key`, async (lab) => {
        const pair = await makePair(lab, { a, b });
        await pingUntil(pair.a.namespace, pair.b.inner4);
        const changed = pair[which];
        const other = pair[which === "a" ? "b" : "a"];
        const oldKeys = changed.node.keys;
        const newKeys = generateKeys();

        await setKeys(changed.node, newKeys);
        const unknown = await ping(changed.namespace, other.inner4, { count: 3, waitSeconds: 1 });
        expect(unknown.received).toBe(0);

        const endpoint = endpointOf(changed, "v4", await changed.node.listenPort());
        await other.node.set([
          ...["peer", oldKeys.publicKey, "remove"],
          ...["peer", newKeys.publicKey, "allowed-ips", innerOf(changed).join(",")],
          ...["endpoint", endpoint],
        ]);
        await pingUntil(other.namespace, changed.inner4, 40_000);
        expect((await ping(changed.namespace, other.inner6)).received).toBe(3);

        await setKeys(changed.node, oldKeys);
        const old = await ping(changed.namespace, other.inner4, { count: 3, waitSeconds: 1 });
        expect(old.received).toBe(0);
        await setKeys(changed.node, newKeys);
        await pingUntil(changed.namespace, other.inner4, 40_000);
      });
    }

    labTest("the key of a peer is set as one's own: that peer goes", async (lab) => {
      const pair = await makePair(lab, { a, b });
      await pingUntil(pair.a.namespace, pair.b.inner4);
      await setKeys(pair.a.node, pair.b.node.keys);
      expect(await pair.a.node.peers()).toEqual([]);
      expect(pair.a.node.program.isRunning).toBe(true);
    });
  });
}
