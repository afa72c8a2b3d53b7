/** Network resources on two nodes, with real namespaces, bridges, firewalls and tunnels. Numbers are those of the mission's checklist. */
import { describe, expect } from "vitest";
import { labTest } from "./harness/lab-test.ts";
import { meshResources, twoMachines } from "./harness/mesh.ts";

describe("two tenants on two nodes", () => {
  labTest(
    "items 14, 21, 22, 25: overlapping subnets, each reaches its own workloads and no others",
    async (lab) => {
      const machines = await twoMachines(lab);
      await Promise.all(machines.map((machine) => machine.start()));
      const tenants = ["aaa", "bbb"];
      for (const [index, id] of tenants.entries()) {
        const ports = [3000 + index, 4000 + index] as const;
        const resources = await meshResources({ id, owner: id, ports });
        for (const [side, machine] of machines.entries()) {
          await machine.call("apply", resources[side]);
          await machine.call("attach", id, {
            kind: "join",
            id: "w1",
            namespace: `work-${id}`,
            addresses: [`10.1.${side + 1}.5`, `fd00:1:0:${side + 1}::5`],
          });
        }
      }
      const [a, b] = machines;
      for (const id of tenants) {
        await a.untilReaches("10.1.2.5", `work-${id}`);
        await a.untilReaches("fd00:1:0:2::5", `work-${id}`);
        await b.untilReaches("10.1.1.5", `work-${id}`);
      }
      // What one tenant's workload gets, the other's does not: counted where it arrives.
      await b.exec(["nft", "-f", "-"], "work-bbb", {
        input:
          "table inet watch {\n chain in {\n type filter hook input priority 0\n icmp type echo-request counter\n }\n}\n",
      });
      expect(await a.reaches("10.1.2.5", "work-aaa")).toBe(true);
      expect(await b.exec(["nft", "list", "ruleset"], "work-bbb")).toContain("counter packets 0");
      expect(await a.reaches("10.1.2.5", "work-bbb")).toBe(true);
      expect(await b.exec(["nft", "list", "ruleset"], "work-bbb")).toContain("counter packets 1");
      // Neither reaches the host.
      expect(await a.reaches("192.0.2.1", "work-aaa")).toBe(false);
      const shown = await a.exec(["wg", "show", "w-aaa"]);
      expect(shown).toContain("listening port: 3000");
      for (const { actions } of await a.call<{ actions: string[] }[]>("plan")) {
        expect(actions).toEqual([]);
      }
    },
  );
});
