/** The interface may go to another namespace at any moment; the UDP socket stays where the program was started. */
import { describe, expect } from "vitest";
import type { Lab, Namespace } from "../../src/cli/demo/lab.ts";
import { ping, pingUntil } from "../../src/cli/demo/measure.ts";
import { makePair, type Pair, type PairEnd } from "../../src/cli/demo/pair.ts";
import { WireguardNode } from "../../src/cli/demo/wireguard-node.ts";
import { until } from "../../src/control/linux/command.ts";
import { labTest } from "./harness/lab-test.ts";
import { PAIRS, type Roles } from "./harness/subject.ts";

async function moveTo(node: WireguardNode, target: Namespace): Promise<void> {
  await node.namespace.ip([`link set dev ${node.name} netns ${target.name}`]);
  node.namespace = target;
}

/** Replaces A's node by one whose interface is moved in the first moment that it can be seen. */
async function makeMovedAtOnce(lab: Lab, roles: Roles, target: Namespace): Promise<Pair> {
  const pair = await makePair(lab, roles);
  await pair.a.node.stop();
  const node = WireguardNode.launch(lab, {
    implementation: roles.a,
    namespace: pair.a.namespace,
    label: "mw",
  });
  const move = ["ip", "-n", pair.a.namespace.name, "link", "set", node.name, "netns", target.name];
  // One shell that tries without a pause: nothing is closer to "at once" from outside.
  await pair.a.namespace.exec(["sh", "-c", `until ${move.join(" ")} 2>/dev/null; do :; done`], {
    limitMs: 20_000,
  });
  node.namespace = target;
  const a: PairEnd = { ...pair.a, node };
  return { ...pair, a };
}

async function configure(pair: Pair): Promise<void> {
  const { a, b } = pair;
  await b.node.set([
    "peer",
    a.node.keys.publicKey,
    "allowed-ips",
    `${a.inner4}/32,${a.inner6}/128`,
  ]);
  await a.node.configure([
    {
      publicKey: b.node.keys.publicKey,
      allowedIps: [`${b.inner4}/32`, `${b.inner6}/128`],
      endpoint: `${b.outer4}:51820`,
    },
  ]);
  await a.node.up([`${a.inner4}/24`, `${a.inner6}/64`]);
}

for (const roles of PAIRS.filter(({ a }) => a !== "wireguard-go")) {
  describe(roles.title, () => {
    labTest("moved at once after the start", async (lab) => {
      const target = await lab.namespace("tn");
      const pair = await makeMovedAtOnce(lab, roles, target);
      await pair.a.node.waitUntilReady();
      await configure(pair);
      await pingUntil(target, pair.b.inner4);
      expect((await ping(target, pair.b.inner6)).received).toBe(3);
      expect((await ping(pair.b.namespace, pair.a.inner4)).received).toBe(3);
      expect((await pair.b.node.peer(pair.a.node.keys.publicKey)).endpoint).toMatch(
        /^192\.0\.2\.1:/,
      );
      expect(await pair.a.namespace.hasLink(pair.a.node.name)).toBe(false);
    });
  });
}

for (const roles of PAIRS) {
  describe(roles.title, () => {
    labTest("moved while running, and back", async (lab) => {
      const target = await lab.namespace("tn");
      const { a, b } = await makePair(lab, roles);
      await pingUntil(a.namespace, b.inner4);
      for (const next of [target, a.namespace]) {
        await moveTo(a.node, next);
        // A move takes the addresses away and brings the interface down.
        await a.node.up([`${a.inner4}/24`, `${a.inner6}/64`]);
        await until(`traffic flows from ${next.name}`, async () => {
          const result = await ping(next, b.inner4, { count: 1, waitSeconds: 1 });
          return result.received === 1;
        });
        expect((await ping(b.namespace, a.inner6)).received).toBe(3);
      }
    });
  });
}
