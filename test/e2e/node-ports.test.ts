/** Listen ports of networks: unique, leased, published, the same after a reboot. Numbers are those of the mission's checklist. */
import { describe, expect } from "vitest";
import { until } from "../../src/control/linux/command.ts";
import type { PortList } from "../../src/control/node/ports.ts";
import type { NetworkSummary } from "../../src/control/node/view.ts";
import { labTest } from "./harness/lab-test.ts";
import { CABLE, meshResources, twoMachines } from "./harness/mesh.ts";

describe("ports", () => {
  labTest(
    "item 27: unique over all networks, and against sockets of other programs",
    async (lab) => {
      const [a] = await twoMachines(lab);
      await a.start();
      const [first] = await meshResources({ id: "aaa", ports: [3000, 4000] });
      const [second] = await meshResources({ id: "bbb", ports: [3000, 4001] });
      await a.call("apply", first);
      await expect(a.call("apply", second)).rejects.toThrow(
        /the listen port 3000 is network aaa's: choose another/,
      );
      // Somebody listens on IPv6 alone.
      const other = a.spawn([
        "node",
        "-e",
        'const s = require("dgram").createSocket({ type: "udp6", ipv6Only: true }); s.bind(3006, () => console.log("bound"));',
      ]);
      await other.waitFor("bound");
      await expect(a.call("apply", { ...second, listenPort: 3006 })).rejects.toThrow(
        /the listen port 3006 is in use by another program/,
      );
      await expect(a.call("apply", { ...second, listenPort: 443 })).rejects.toThrow(
        /the listen port 443 is reserved/,
      );
      // Without a wish the node chooses, each time another one.
      const chosen = new Set<number>();
      for (const id of ["bbb", "ccc", "ddd"]) {
        const { listenPort: _none, ...wishless } = second as Record<string, unknown>;
        const made = await a.call<NetworkSummary>("apply", { ...wishless, id, owner: id });
        chosen.add(made.listenPort);
        expect(await a.exec(["ss", "-Hlun", "sport", "=", `:${made.listenPort}`])).not.toBe("");
      }
      expect(chosen.size).toBe(3);
      // A network's own port may be asked for again, and changed to a free one.
      await a.call("apply", first);
      await a.call("apply", { ...first, listenPort: 3009 });
      await a.call("apply", { ...second, owner: "bbb", listenPort: 3000 });
      expect(await a.exec(["wg", "show", "all", "listen-port"])).toMatch(/w-aaa\t3009/);
      const { used } = await a.call<PortList>("ports");
      expect(used.map(({ port }) => port)).toHaveLength(4);
    },
  );

  labTest("item 28: listen ports, keys and addresses are the same after a reboot", async (lab) => {
    const machines = await twoMachines(lab);
    const [a, b] = machines;
    await Promise.all(machines.map((machine) => machine.start()));
    const resources = await meshResources({ id: "aaa", ports: [3000, 4000] });
    for (const [side, machine] of machines.entries()) {
      await machine.call("apply", resources[side]);
      await machine.call("attach", "aaa", {
        kind: "join",
        id: "w1",
        namespace: "work",
        addresses: [`10.1.${side + 1}.5`],
      });
    }
    const chosen = await a.call<NetworkSummary>("apply", {
      id: "bbb",
      name: "b",
      owner: "2",
      range: "10.2.0.0/16",
      subnet: "10.2.1.0/24",
      peers: [],
    });
    await a.untilReaches("10.1.2.5", "work");
    const facts = async (): Promise<unknown> => [
      await a.call("list"),
      await a.call("ports"),
      (await a.exec(["wg", "show", "all", "listen-port"])).split("\n").sort(),
      (await a.exec(["wg", "show", "all", "public-key"])).split("\n").sort(),
      (
        await a.exec(["ip", "-o", "address", "show", "dev", "exit", "scope", "global"], "n-bbb")
      ).match(/inet6? \S+/g),
    ];
    const before = await facts();
    await a.reboot([CABLE[0]]);
    expect(await a.namespaces()).toEqual([]);
    await a.start();
    expect(await facts()).toEqual(before);
    expect((await a.call<NetworkSummary[]>("list")).map(({ problem }) => problem)).toEqual([
      null,
      null,
    ]);
    expect(chosen.listenPort).toBeGreaterThan(1023);
    // Nobody told B anything: the mesh is there again.
    await b.untilReaches("10.1.1.5", "work");
    await a.untilReaches("10.1.2.5", "work");
  });

  labTest(
    "item 28: a port that another program has taken meanwhile is got back when it is free; other networks go on",
    async (lab) => {
      const [a] = await twoMachines(lab);
      await a.start();
      for (const [id, port] of [
        ["aaa", 3000],
        ["bbb", 3001],
      ] as const) {
        const [resource] = await meshResources({ id, ports: [port, 4000] });
        await a.call("apply", resource);
      }
      await a.reboot([CABLE[0]]);
      const thief = a.spawn([
        "node",
        "-e",
        'require("dgram").createSocket("udp4").bind(3000, () => console.log("bound"));setInterval(() => {}, 1e6);',
      ]);
      await thief.waitFor("bound");
      await a.start();
      const [first, second] = await a.call<NetworkSummary[]>("list");
      expect(first?.problem).toMatch(/the port 3000 of w-aaa is in use by another program/);
      expect(second?.problem).toBeNull();
      expect(a.node.output).toMatch(/network aaa: the port 3000 .*; next try in/);
      await thief.stop();
      await until("the port is got back", async () => {
        const [network] = await a.call<NetworkSummary[]>("list");
        return network?.problem === null;
      });
      expect(await a.exec(["wg", "show", "all", "listen-port"])).toMatch(/w-aaa\t3000/);
    },
  );

  labTest(
    "item 29: used and leased ports are published; a lease keeps others away and survives a restart",
    async (lab) => {
      const [a] = await twoMachines(lab);
      await a.start();
      const lease = await a.call<{ port: number; expiresMs: number }>("leasePort", "alice", 600);
      const named = await a.call<{ port: number }>("leasePort", "bob", 600, 3100);
      expect(named.port).toBe(3100);
      await expect(a.call("leasePort", "alice", 600, 3100)).rejects.toThrow(/3100 is not free/);
      const [resource] = await meshResources({ id: "aaa", owner: "alice", ports: [3100, 4000] });
      await expect(a.call("apply", resource)).rejects.toThrow(/the listen port 3100 is leased/);
      await a.kill();
      await a.start();
      await expect(a.call("apply", resource)).rejects.toThrow(/the listen port 3100 is leased/);
      await a.call("apply", { ...resource, listenPort: lease.port });
      expect(await a.call<PortList>("ports")).toMatchObject({
        used: [{ port: lease.port, network: "aaa" }],
        leases: [{ port: 3100, holder: "bob" }],
      });
      await a.call("endPortLease", 3100, "bob");
      await a.call("apply", resource);
      expect((await a.call<PortList>("ports")).used).toEqual([{ port: 3100, network: "aaa" }]);
    },
  );
});
