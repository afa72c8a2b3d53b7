/** Power cuts at any step, a broken state on the disk, a full disk: nothing is lost that was promised, nothing is left over. */
import { appendFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import type { Lab } from "../../src/cli/demo/lab.ts";
import type { NetworkSummary } from "../../src/control/node/view.ts";
import { labTest } from "./harness/lab-test.ts";
import { Machine } from "./harness/machine.ts";
import { meshResources, twoMachines } from "./harness/mesh.ts";

const JOIN = { kind: "join", id: "w1", namespace: "work", addresses: ["10.1.1.5"] };
const TAP = { kind: "tap", id: "vm" };

type Work = (machine: Machine) => Promise<void>;

/** Everything is as it should be, or nothing is there. */
async function expectConverged(machine: Machine, links: readonly string[]): Promise<void> {
  const plans = await machine.call<{ network: string; actions: string[] }[]>("plan");
  for (const { network, actions } of plans) expect(actions, network).toEqual([]);
  const networks = await machine.call<NetworkSummary[]>("list");
  expect(networks.filter(({ problem }) => problem !== null)).toEqual([]);
  if (networks.length > 0) return;
  expect(await machine.links()).toEqual(links);
  expect(await machine.namespaces()).toEqual([]);
}

/** Cuts the power before each action of `work` in turn, starts again, and looks; `prepare` is done before without a cut. */
async function cutEverywhere(lab: Lab, prepare: Work, work: Work): Promise<number> {
  const machine = await Machine.create(lab, "mc");
  const links = await machine.links();
  const options = { stepsAtOnce: 1 };
  await machine.start(options);
  const begin = async (): Promise<void> => {
    for (const { id } of await machine.call<NetworkSummary[]>("list")) {
      await machine.call("remove", id, { drain: true });
    }
    expect(await machine.links()).toEqual(links);
    await prepare(machine);
  };
  let count = 0;
  // Counted the second time: kernel settings of the host stay as they were set the first time.
  for (const _round of [1, 2]) {
    await begin();
    const before = await machine.call<number>("countActions");
    await work(machine);
    count = (await machine.call<number>("countActions")) - before;
  }
  for (let at = 0; at < count; at++) {
    await begin();
    await machine.call("killAfter", at);
    await expect(work(machine), `cut ${at}`).rejects.toThrow();
    await machine.node.ended;
    await machine.start(options);
    await expectConverged(machine, links);
  }
  await prepare(machine);
  await work(machine);
  await expectConverged(machine, links);
  return count;
}

describe("a power cut before each step", () => {
  labTest(
    "of creating a network with its workloads",
    async (lab) => {
      const [resource] = await meshResources({ id: "aaa", ports: [3000, 4000] });
      const count = await cutEverywhere(
        lab,
        async () => undefined,
        async (machine) => {
          await machine.call("apply", resource);
          await machine.call("attach", "aaa", JOIN);
          await machine.call("attach", "aaa", TAP);
          expect(await machine.reaches("10.1.1.1", "work")).toBe(true);
        },
      );
      expect(count).toBeGreaterThan(40);
    },
    400_000,
  );

  labTest(
    "of changing and removing it",
    async (lab) => {
      const [resource] = await meshResources({ id: "aaa", ports: [3000, 4000] });
      const changed = {
        ...resource,
        internet: false,
        mtu: 1400,
        subnet6: "fd00:1:0:7::/64",
        listenPort: 3007,
      };
      const count = await cutEverywhere(
        lab,
        async (machine) => {
          await machine.call("apply", resource);
          await machine.call("attach", "aaa", JOIN);
        },
        async (machine) => {
          await machine.call("apply", changed);
          await machine.call("detach", "aaa", "w1");
          await machine.call("remove", "aaa", { drain: true });
        },
      );
      expect(count).toBeGreaterThan(10);
    },
    400_000,
  );
});

describe("the disk", () => {
  labTest(
    "a second node on the same state is refused; after a kill the next one is not",
    async (lab) => {
      const [a] = await twoMachines(lab);
      await a.start();
      const first = a.node;
      const second = a.launch();
      expect((await second.ended).stderr).toMatch(
        new RegExp(`process ${first.pid} serves the state in .* already: end it first`),
      );
      first.signal("SIGKILL");
      await first.ended;
      await a.start();
      await a.node.stop();
      await a.start();
    },
  );

  labTest(
    "a file that is corrupt is put aside, and the one before it is used; other networks don't notice",
    async (lab) => {
      const [a] = await twoMachines(lab);
      await a.start();
      for (const [id, port] of [
        ["aaa", 3000],
        ["bbb", 3001],
      ] as const) {
        const [resource] = await meshResources({ id, ports: [port, 4000] });
        await a.call("apply", resource);
        await a.call("apply", { ...resource, name: "second", revision: 2 });
      }
      await a.kill();
      const file = join(a.folder, "networks", "aaa.json");
      writeFileSync(file, readFileSync(file, "utf8").replace("second", "sec0nd"));
      await a.start();
      expect(await a.call("list")).toMatchObject([
        { id: "aaa", name: "net aaa", problem: null },
        { id: "bbb", name: "second", problem: null },
      ]);
      expect(a.node.output).toMatch(
        /error: .*aaa\.json cannot be used \(its checksum is wrong\): put aside as/,
      );
      const aside = readdirSync(join(a.folder, "networks")).filter((name) =>
        name.includes("corrupt"),
      );
      expect(aside).toHaveLength(1);
      // Without any good one: what runs of it stays, and nobody gets its name.
      await a.kill();
      for (const name of readdirSync(join(a.folder, "networks"))) {
        if (name.startsWith("bbb") && !name.includes("corrupt")) {
          appendFileSync(join(a.folder, "networks", name), "x");
        }
      }
      await a.start();
      expect(a.node.output).toMatch(/network bbb cannot be read from the disk/);
      expect(await a.namespaces()).toEqual(["n-aaa", "n-bbb", "wh-exit"]);
      expect((await a.call<NetworkSummary[]>("list")).map(({ id }) => id)).toEqual(["aaa"]);
    },
  );

  labTest("a full disk: a clear error, and what was there stays", async (lab) => {
    const [a] = await twoMachines(lab);
    await a.exec(["mkdir", "-p", a.folder]);
    await a.exec(["mount", "-t", "tmpfs", "-o", "size=64k", "none", a.folder]);
    await a.start();
    const [resource] = await meshResources({ id: "aaa", ports: [3000, 4000] });
    await a.call("apply", resource);
    await a.attempt(["dd", "if=/dev/zero", `of=${a.folder}/filler`, "bs=1k"]);
    const [second] = await meshResources({ id: "bbb", ports: [3001, 4001] });
    await expect(a.call("apply", second)).rejects.toThrow(
      /the disk is full: make room and try again/,
    );
    await expect(a.call("apply", { ...resource, name: "other" })).rejects.toThrow(
      /the disk is full/,
    );
    expect(await a.call("list")).toMatchObject([{ id: "aaa", name: "net aaa", problem: null }]);
    expect(await a.namespaces()).toEqual(["n-aaa", "wh-exit"]);
    await a.exec(["rm", `${a.folder}/filler`]);
    await a.call("apply", second);
    await a.kill();
    await a.start();
    expect((await a.call<NetworkSummary[]>("list")).map(({ id }) => id)).toEqual(["aaa", "bbb"]);
  });

  labTest(
    "what a node left on the machine of a network that its disk doesn't know is collected",
    async (lab) => {
      const [a] = await twoMachines(lab);
      const links = await a.links();
      await a.start();
      const [resource] = await meshResources({ id: "aaa", ports: [3000, 4000] });
      await a.call("apply", resource);
      await a.call("attach", "aaa", JOIN);
      await a.call("attach", "aaa", TAP);
      await a.kill();
      await a.exec(["rm", "-r", a.folder]);
      await a.exec(["ip", "netns", "add", "mine"]);
      await a.start();
      expect(await a.links()).toEqual(links);
      expect(await a.namespaces()).toEqual(["mine"]);
    },
  );
});
