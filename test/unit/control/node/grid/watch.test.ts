/** Handshakes of peers' new keys: told once seen, again only if the task stays, and what the registry did not take is tried again. */
import { expect, it } from "vitest";
import type { WatchTask } from "../../../../../src/control/node/grid/rotation.ts";
import { Watch } from "../../../../../src/control/node/grid/watch.ts";
import { RegistryFault } from "../../../../../src/control/registry/client.ts";
import type { PeerStatus } from "../../../../../src/lane/status.ts";

it("tells what it sees, once, and again where the task stays", async () => {
  let now = 0;
  let fault: Error | undefined;
  let looks = 0;
  const handshakes = new Map([["new", 0]]);
  const task: WatchTask = { kind: "watch", network: "x", node: "n", publicKey: "new" };
  let tasks: WatchTask[] = [task, { ...task, node: "o", publicKey: "another" }];
  const told: string[] = [];
  const moved: string[] = [];
  const watch = new Watch({
    clock: { now: () => now, wait: async () => undefined, random: () => 0 },
    tasks: () => tasks,
    statusOf: async () => {
      looks += 1;
      const peers = [...handshakes].map(([publicKey, lastHandshakeMs]) => {
        return { publicKey, lastHandshakeMs } as PeerStatus;
      });
      return { peers };
    },
    onSeen: (network) => moved.push(network),
    report: async (network, node, { publicKey }) => {
      if (fault !== undefined) throw fault;
      told.push(`${network} ${node} ${publicKey}`);
    },
    log: () => undefined,
  });
  await watch.look();
  expect([told, looks]).toEqual([[], 1]);
  handshakes.set("new", 1);
  fault = new RegistryFault("unreachable", "nobody there");
  await expect(watch.look()).rejects.toThrow("nobody there");
  // The routes don't wait for the registry.
  expect([moved, watch.seen("x"), watch.seen("y")]).toEqual([["x"], [task], []]);
  fault = undefined;
  await watch.look();
  await watch.look();
  expect(told).toEqual(["x n new"]);
  now = 10_000;
  await watch.look();
  expect(told).toEqual(["x n new", "x n new"]);
  // Over for the registry: nothing to be tried again.
  now = 20_000;
  fault = new RegistryFault("missing", "no rotation");
  await watch.look();
  fault = undefined;
  await watch.look();
  expect(told).toHaveLength(2);
  // Another rotation of the same key's node is another matter.
  tasks = [];
  await watch.look();
  expect(watch.seen("x")).toEqual([]);
  tasks = [task];
  await watch.look();
  expect(told).toHaveLength(3);
  expect(moved).toEqual(["x", "x"]);
});
