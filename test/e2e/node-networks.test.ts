/**
 * Network resources on nodes, with real namespaces, bridges, firewalls and tunnels. Numbers are those of the mission's checklist
 * (docs/networkd.md).
 */
import { describe, expect } from "vitest";
import { generateKeys } from "../../src/cli/demo/keys.ts";
import { until } from "../../src/control/linux/command.ts";
import { macOf } from "../../src/control/model/names.ts";
import type { NetworkDetails } from "../../src/control/node/view.ts";
import { labTest } from "./harness/lab-test.ts";
import type { Machine } from "./harness/machine.ts";
import { meshResources, OUTER, twoMachines } from "./harness/mesh.ts";

async function expectNothingToDo(machine: Machine): Promise<void> {
  for (const { network, actions } of await machine.call<
    { readonly network: string; readonly actions: readonly string[] }[]
  >("plan")) {
    expect(actions, network).toEqual([]);
  }
}

/** The network of a side, with one workload. */
async function build(machine: Machine, resource: object, side: number): Promise<void> {
  const { id } = resource as { readonly id: string };
  await machine.call("apply", resource);
  await machine.call("attach", id, {
    kind: "join",
    id: "w1",
    namespace: `work-${id}`,
    addresses: [`10.1.${side + 1}.5`, `fd00:1:0:${side + 1}::5`],
  });
}

async function mesh(
  machines: readonly Machine[],
  id: string,
  ports: readonly [number, number],
): Promise<readonly [object, object]> {
  const resources = await meshResources({ id, owner: id, ports });
  for (const [side, machine] of machines.entries()) await build(machine, resources[side]!, side);
  return resources;
}

const ECHO_COUNTER =
  "table inet watch {\n chain in {\n type filter hook input priority 0\n icmp type echo-request counter\n }\n}\n";

describe("two tenants on two nodes", () => {
  labTest(
    "items 14, 15, 21, 22, 25: subnets that overlap; each tenant reaches its own workloads and no others",
    async (lab) => {
      const machines = await twoMachines(lab);
      const [a, b] = machines;
      await Promise.all(machines.map((machine) => machine.start()));
      await mesh(machines, "aaa", [3000, 4000]);
      await mesh(machines, "bbb", [3001, 4001]);
      for (const id of ["aaa", "bbb"]) {
        await a.untilReaches("10.1.2.5", `work-${id}`);
        await a.untilReaches("fd00:1:0:2::5", `work-${id}`);
        await b.untilReaches("10.1.1.5", `work-${id}`);
        // The other end of the tunnel itself.
        await a.untilReaches("100.64.1.2", `work-${id}`);
      }
      // What one tenant's workload gets, the other's does not: counted where it arrives.
      await b.exec(["nft", "-f", "-"], "work-bbb", { input: ECHO_COUNTER });
      const counted = async (): Promise<string> =>
        (await b.exec(["nft", "list", "table", "inet", "watch"], "work-bbb")).match(
          /packets \d+/,
        )?.[0] ?? "";
      expect(await a.reaches("10.1.2.5", "work-aaa")).toBe(true);
      expect(await counted()).toBe("packets 0");
      expect(await a.reaches("10.1.2.5", "work-bbb")).toBe(true);
      expect(await counted()).toBe("packets 1");
      expect(await a.exec(["wg", "show", "w-aaa"])).toContain("listening port: 3000");
      for (const machine of machines) await expectNothingToDo(machine);
    },
  );

  labTest(
    "item 23: what leaves a node for another in the same LAN is WireGuard and nothing else",
    async (lab) => {
      const machines = await twoMachines(lab);
      const [a, b] = machines;
      await Promise.all(machines.map((machine) => machine.start()));
      await mesh(machines, "aaa", [3000, 4000]);
      await a.untilReaches("10.1.2.5", "work-aaa");
      await b.exec(["nft", "-f", "-"], undefined, {
        input: `table netdev watch {
 chain in {
  type filter hook ingress device up1 priority 0
  ip saddr ${OUTER[0]} udp dport 4000 counter
  ip saddr ${OUTER[0]} udp dport != 4000 counter
  ip saddr ${OUTER[0]} meta l4proto != udp counter
  ip saddr 10.0.0.0/8 counter
 }
}
`,
      });
      for (let ping = 0; ping < 5; ping++)
        expect(await a.reaches("10.1.2.5", "work-aaa")).toBe(true);
      const rules = await b.exec(["nft", "list", "table", "netdev", "watch"]);
      const counts = [...rules.matchAll(/packets (\d+)/g)].map((match) => Number(match[1]));
      expect(counts[0]).toBeGreaterThanOrEqual(5);
      expect(counts.slice(1)).toEqual([0, 0, 0]);
    },
  );
});

describe("changes", () => {
  labTest("item 25: a change of one peer leaves the sessions of the others", async (lab) => {
    const machines = await twoMachines(lab);
    const [a] = machines;
    await Promise.all(machines.map((machine) => machine.start()));
    const [resource] = await mesh(machines, "aaa", [3000, 4000]);
    await a.untilReaches("10.1.2.5", "work-aaa");
    const details = async (): Promise<NetworkDetails> =>
      await a.call<NetworkDetails>("show", "aaa");
    const before = (await details()).device?.peers[0];
    expect(before?.sessions).toContain("current");
    const { peers } = resource as { readonly peers: readonly object[] };
    const third = {
      publicKey: generateKeys().publicKey,
      allowedIps: ["10.1.3.0/24"],
      keepalive: 0,
    };
    await a.call("apply", { ...resource, peers: [...peers, third] });
    await a.call("apply", {
      ...resource,
      peers: [...peers, { ...third, allowedIps: ["10.1.4.0/24"] }],
    });
    const after = await details();
    expect(after.device?.peers).toHaveLength(2);
    expect(await a.exec(["wg", "show", "w-aaa", "allowed-ips"])).toContain("10.1.4.0/24");
    await a.call("apply", resource);
    expect((await details()).device?.peers).toHaveLength(1);
    const last = (await details()).device?.peers[0];
    expect([last?.handshakes, last?.lastHandshakeMs]).toEqual([
      before?.handshakes,
      before?.lastHandshakeMs,
    ]);
    expect(await a.reaches("10.1.2.5", "work-aaa")).toBe(true);
    await expectNothingToDo(a);
  });

  for (const lanes of [1, 2]) {
    labTest(
      `sockets move to another namespace and back, ${lanes} lanes; sessions stay`,
      async (lab) => {
        const machines = await twoMachines(lab);
        const [a, b] = machines;
        // A second way between the machines that ends in a namespace of A's.
        await Promise.all(machines.map((machine) => machine.start({ lanes })));
        await a.exec(["ip", "netns", "add", "overlay"]);
        await lab.cable(
          { namespace: a.host, name: "ov0", addresses: [] },
          { namespace: b.host, name: "ov1", addresses: ["198.51.100.2/24"] },
        );
        await a.exec(["ip", "link", "set", "ov0", "netns", "overlay"]);
        await a.exec(["ip", "-n", "overlay", "address", "add", "198.51.100.1/24", "dev", "ov0"]);
        await a.exec(["ip", "-n", "overlay", "link", "set", "ov0", "up"]);
        const [resource] = await mesh(machines, "aaa", [3000, 4000]);
        await a.untilReaches("10.1.2.5", "work-aaa");
        const { peers } = resource as { readonly peers: readonly Record<string, unknown>[] };
        const handshakes = async (): Promise<number | undefined> =>
          (await a.call<NetworkDetails>("show", "aaa")).device?.peers[0]?.handshakes;
        const before = await handshakes();
        // Where the port is taken they stay, work, and follow when it is free.
        const thief = a.spawn(
          [
            "node",
            "-e",
            'require("dgram").createSocket("udp4").bind(3000, () => console.log("bound"));',
          ],
          "overlay",
        );
        await thief.waitFor("bound");
        await a.call("moveSockets", "overlay");
        expect(a.node.output).toMatch(
          /the sockets of w-aaa cannot be opened in overlay: EADDRINUSE; next try in/,
        );
        expect(await a.reaches("10.1.2.5", "work-aaa")).toBe(true);
        await thief.stop();
        await until("the sockets have followed", async () => {
          const [network] = await a.call<{ problem: string | null }[]>("list");
          return network?.problem === null;
        });
        await a.call("apply", {
          ...resource,
          peers: [{ ...peers[0], endpoint: "198.51.100.2:4000" }],
        });
        expect(await a.exec(["ss", "-Hlun", "sport", "=", ":3000"], "overlay")).toContain(":3000");
        expect(await a.exec(["ss", "-Hlun", "sport", "=", ":3000"])).toBe("");
        await a.untilReaches("10.1.2.5", "work-aaa");
        expect(await b.exec(["wg", "show", "w-aaa", "endpoints"])).toContain("198.51.100.1:3000");
        await a.call("moveSockets");
        await a.call("apply", resource);
        await a.untilReaches("10.1.2.5", "work-aaa");
        expect(await b.exec(["wg", "show", "w-aaa", "endpoints"])).toContain("192.0.2.1:3000");
        expect(await handshakes()).toBe(before);
        await expectNothingToDo(a);
      },
    );
  }

  labTest("no secret is in what is shown, planned or logged", async (lab) => {
    const machines = await twoMachines(lab);
    const [a] = machines;
    await a.start();
    const presharedKey = generateKeys().privateKey;
    const [resource] = await meshResources({ id: "aaa", ports: [3000, 4000] });
    const { privateKey, peers } = resource as {
      readonly privateKey: string;
      readonly peers: object[];
    };
    await a.call("apply", { ...resource, peers: [{ ...peers[0], presharedKey }] });
    const bad = { ...resource, privateKey: `${privateKey.slice(0, 40)}==`, nonsense: 1 };
    const refusal = await a.call("apply", bad).then(String, String);
    expect(refusal).toMatch(/privateKey: is no WireGuard key/);
    const texts = [
      JSON.stringify(await a.call("show", "aaa")),
      JSON.stringify(await a.call("list")),
      JSON.stringify(await a.call("plan")),
      refusal,
      a.node.output,
    ].join("\n");
    expect(texts).toContain('"hasPresharedKey":true');
    for (const secret of [privateKey.slice(0, 40), presharedKey])
      expect(texts).not.toContain(secret);
    const mode = await a.exec(["stat", "-c", "%a", `${a.folder}/networks/aaa.json`]);
    expect(mode.trim()).toBe("600");
  });
});

describe("what is there", () => {
  labTest("removed: nothing is left; with workloads only if they are drained", async (lab) => {
    const machines = await twoMachines(lab);
    const [a] = machines;
    await a.start();
    const links = await a.links();
    const [resource] = await meshResources({ id: "aaa", ports: [3000, 4000] });
    await build(a, resource, 0);
    await expect(a.call("remove", "aaa")).rejects.toThrow(/has workloads \(w1\)/);
    await a.call("remove", "aaa", { drain: true });
    expect(await a.links()).toEqual(links);
    expect(await a.namespaces()).toEqual([]);
    expect(await a.call("list")).toEqual([]);
    expect((await a.call<{ used: unknown[] }>("ports")).used).toEqual([]);
  });

  labTest("a create that fails half-way leaves nothing", async (lab) => {
    const machines = await twoMachines(lab);
    const [a] = machines;
    await a.start();
    const [first] = await meshResources({ id: "aaa", ports: [3000, 4000] });
    await a.call("apply", first);
    const links = await a.links();
    // Somebody else has the address that the network's leg will have: it cannot come up.
    const mac = macOf("exit bbb");
    await a.exec([
      "ip",
      "link",
      "add",
      "link",
      "br-exit",
      "name",
      "thief",
      "address",
      mac,
      "type",
      "macvlan",
      "mode",
      "bridge",
    ]);
    await a.exec(["ip", "link", "set", "thief", "up"]);
    const [second] = await meshResources({ id: "bbb", ports: [3001, 4001] });
    await expect(a.call("apply", second)).rejects.toThrow(
      /"ip link set dev exit up" in namespace n-bbb was refused/,
    );
    expect(await a.links()).toEqual([...links, "thief"].sort());
    expect(await a.namespaces()).toEqual(["n-aaa", "wh-exit"]);
    expect((await a.call<{ id: string }[]>("list")).map(({ id }) => id)).toEqual(["aaa"]);
    await a.exec(["ip", "link", "delete", "thief"]);
    await a.call("apply", second);
    await expectNothingToDo(a);
  });

  labTest("a change that fails is taken back", async (lab) => {
    const machines = await twoMachines(lab);
    const [a, b] = machines;
    await Promise.all(machines.map((machine) => machine.start()));
    await mesh(machines, "aaa", [3000, 4000]);
    const publicWorkload = {
      kind: "public",
      id: "p",
      bridge: "nobridge",
      namespace: "work-aaa",
      addresses: ["203.0.113.5/24"],
    };
    await expect(a.call("attach", "aaa", publicWorkload)).rejects.toThrow(/nobridge/);
    await a.untilReaches("10.1.2.5", "work-aaa");
    await b.untilReaches("10.1.1.5", "work-aaa");
    expect(JSON.stringify(await a.call("show", "aaa"))).not.toContain("nobridge");
    expect((await a.links()).filter((name) => name.startsWith("p-"))).toEqual([]);
    await expectNothingToDo(a);
  });

  labTest("what others made is never touched, and is named where it is in the way", async (lab) => {
    const machines = await twoMachines(lab);
    const [a] = machines;
    await a.exec(["ip", "link", "add", "b-aaa", "type", "bridge"]);
    await a.exec(["ip", "netns", "add", "n-bbb"]);
    await a.exec(["ip", "-n", "n-bbb", "link", "set", "lo", "up"]);
    await a.exec(["ip", "netns", "add", "mine"]);
    await a.exec(["ip", "-n", "mine", "link", "add", "br0", "type", "bridge"]);
    await a.exec(["nft", "add", "table", "inet", "mine"]);
    const before = await a.links();
    await a.start();
    const refuse = async (id: string): Promise<string> => {
      const [resource] = await meshResources({ id, ports: [3000, 4000] });
      return await a.call("apply", resource).then(String, String);
    };
    expect(await refuse("aaa")).toMatch(/the interface b-aaa exists and was not made by Wirehaul/);
    expect(await refuse("bbb")).toMatch(/the namespace n-bbb exists and is not this network's/);
    expect(await a.links()).toEqual(before);
    // A namespace of somebody else can take a workload, and keeps all that is its own.
    const [third] = await meshResources({ id: "ccc", ports: [3000, 4000] });
    await a.call("apply", third);
    const join = { kind: "join", id: "w", namespace: "mine", addresses: ["10.1.1.7"] };
    await a.call("attach", "ccc", join);
    expect(await a.reaches("10.1.1.1", "mine")).toBe(true);
    await expect(
      a.call("attach", "ccc", { ...join, id: "v", addresses: ["10.1.1.8"], interface: "br0" }),
    ).rejects.toThrow(/the interface br0 in mine exists and was not made by Wirehaul/);
    // Not even one in which nothing was done yet.
    await a.exec(["ip", "netns", "add", "bare"]);
    const bare = { ...join, id: "u", namespace: "bare", addresses: ["10.1.1.9"] };
    await a.call("attach", "ccc", bare);
    expect(await a.reaches("10.1.1.1", "bare")).toBe(true);
    await a.call("remove", "ccc", { drain: true });
    expect(await a.namespaces()).toEqual(["bare", "mine", "n-bbb"]);
    expect(await a.exec(["ip", "-n", "mine", "-br", "link"])).toMatch(/br0/);
    expect(await a.exec(["ip", "-n", "mine", "-br", "link"])).not.toMatch(/eth0/);
    expect(await a.exec(["nft", "list", "tables"])).toBe("table inet mine\n");
    expect(await a.links()).toEqual(before);
  });

  labTest("what is broken from outside is mended", async (lab) => {
    const machines = await twoMachines(lab);
    const [a] = machines;
    await Promise.all(machines.map((machine) => machine.start()));
    await mesh(machines, "aaa", [3000, 4000]);
    await a.untilReaches("10.1.2.5", "work-aaa");
    // The engine sees its interface go by itself.
    await a.exec(["ip", "-n", "n-aaa", "link", "delete", "w-aaa"]);
    await until("the tunnel is back", async () => {
      const [network] = await a.call<{ problem: string | null }[]>("list");
      return network?.problem === null && (await a.reaches("10.1.2.5", "work-aaa"));
    });
    await a.exec(["ip", "link", "delete", "b-aaa"]);
    await a.exec(["nft", "delete", "table", "inet", "wirehaul"], "n-aaa");
    await a.exec(["ip", "-n", "work-aaa", "route", "flush", "proto", "157"]);
    await a.call("reconcile");
    await a.untilReaches("10.1.2.5", "work-aaa");
    await expectNothingToDo(a);
  });
});
