/** Attach points of workloads: namespaces, TAPs, public addresses that can't be forged. */
import { describe, expect } from "vitest";
import type { Lab, Namespace } from "../../src/cli/demo/lab.ts";
import { until } from "../../src/control/linux/command.ts";
import { labTest } from "./harness/lab-test.ts";
import { Machine } from "./harness/machine.ts";

const NETWORK = {
  id: "aaa",
  name: "a",
  owner: "1",
  range: "10.1.0.0/16",
  subnet: "10.1.1.0/24",
  subnet6: "fd00:1:0:1::/64",
  peers: [],
};

interface Site {
  readonly machine: Machine;
  readonly outside: Namespace;
}

/** A node whose bridge `pub` has a cable to the outside. */
async function makeSite(lab: Lab): Promise<Site> {
  const machine = await Machine.create(lab, "ma");
  const outside = await lab.namespace("ou");
  await lab.cable(
    { namespace: machine.host, name: "nic1", addresses: [] },
    { namespace: outside, name: "eth0", addresses: ["203.0.113.1/24", "2001:db8:9::1/64"] },
  );
  await machine.host.ip([
    "link add pub type bridge",
    "link set nic1 master pub",
    "link set pub up",
  ]);
  await machine.start();
  await machine.call("apply", NETWORK);
  return { machine, outside };
}

const PUBLIC = {
  kind: "public",
  id: "p",
  bridge: "pub",
  namespace: "work",
  addresses: ["203.0.113.5/24", "2001:db8:9::5/64"],
  gateway4: "203.0.113.1",
  gateway6: "2001:db8:9::1",
};

describe("workloads", () => {
  labTest(
    "one in a namespace and one on a TAP share the network; detached, nothing is left",
    async (lab) => {
      const { machine } = await makeSite(lab);
      const before = await machine.links();
      await machine.call("attach", "aaa", {
        kind: "join",
        id: "w",
        namespace: "work",
        addresses: ["10.1.1.5"],
      });
      await machine.call("attach", "aaa", { kind: "tap", id: "vm" });
      const tap = (await machine.links()).find((name) => name.startsWith("t-")) ?? "";
      // The virtual machine: a program that holds the TAP, a bridge of its own would answer for it.
      expect(await machine.exec(["ip", "-d", "link", "show", tap])).toMatch(
        /master b-aaa.*\n.*\n?.*tun type tap/,
      );
      expect(await machine.reaches("10.1.1.1", "work")).toBe(true);
      await expect(
        machine.call("attach", "aaa", {
          kind: "join",
          id: "x",
          namespace: "other",
          addresses: ["10.1.1.5"],
        }),
      ).rejects.toThrow(/the address 10\.1\.1\.5 is workload w's already/);
      await expect(
        machine.call("attach", "aaa", {
          kind: "join",
          id: "x",
          namespace: "other",
          addresses: ["10.2.1.5"],
        }),
      ).rejects.toThrow(/10\.2\.1\.5 is not inside the network's subnet/);
      await machine.call("detach", "aaa", "vm");
      await machine.call("detach", "aaa", "w");
      expect(await machine.links()).toEqual(before);
      expect(await machine.namespaces()).toEqual(["n-aaa", "wh-exit"]);
      await expect(machine.call("detach", "aaa", "w")).rejects.toThrow(/has no workload w/);
    },
  );

  labTest(
    "a public address is reached from outside, and its workload reaches its network too",
    async (lab) => {
      const { machine, outside } = await makeSite(lab);
      await machine.call("attach", "aaa", {
        kind: "join",
        id: "w",
        namespace: "work",
        addresses: ["10.1.1.5"],
      });
      await machine.call("attach", "aaa", PUBLIC);
      const ping = async (target: string): Promise<boolean> =>
        (await outside.attempt(["ping", "-n", "-c", "1", "-W", "1", target])).code === 0;
      await until("the public address answers", () => ping("203.0.113.5"));
      await until("and in IPv6", () => ping("2001:db8:9::5"));
      expect(await machine.reaches("10.1.1.1", "work")).toBe(true);
      expect(await machine.exec(["ip", "route", "get", "198.51.100.1"], "work")).toContain(
        "dev public",
      );
      for (const { actions } of await machine.call<{ actions: string[] }[]>("plan")) {
        expect(actions).toEqual([]);
      }
      await machine.call("detach", "aaa", "p");
      expect(await machine.exec(["nft", "list", "tables", "bridge"])).toBe("");
      expect(await machine.exec(["ip", "route", "get", "198.51.100.1"], "work")).toContain(
        "dev eth0",
      );
    },
  );

  labTest(
    "what is forged at a public address doesn't leave: IPv4, ARP, IPv6, neighbour advertisements, MAC",
    async (lab) => {
      const { machine, outside } = await makeSite(lab);
      await machine.call("attach", "aaa", PUBLIC);
      await machine.untilReaches("203.0.113.1", "work");
      await machine.untilReaches("2001:db8:9::1", "work");
      // All that arrives outside, by what it claims; the true ones must arrive, so that the count means something.
      await outside.exec(["nft", "-f", "-"], {
        input: `table netdev watch {
 chain in {
  type filter hook ingress device eth0 priority 0
  ip saddr 203.0.113.5 counter comment "true4"
  ip saddr 203.0.113.77 counter comment "forged4"
  arp saddr ip 203.0.113.77 counter comment "forgedArp"
  ip6 saddr 2001:db8:9::5 counter comment "true6"
  ip6 saddr 2001:db8:9::77 counter comment "forged6"
  icmpv6 type nd-neighbor-advert @th,64,128 0x20010db8000900000000000000000077 counter comment "forgedNa"
  ether saddr 02:00:00:00:00:77 counter comment "forgedMac"
 }
}
`,
      });
      const counts = async (): Promise<Record<string, number>> => {
        const text = await outside.exec(["nft", "list", "table", "netdev", "watch"]);
        const found = [...text.matchAll(/packets (\d+) bytes \d+ comment "(\w+)"/g)];
        return Object.fromEntries(found.map(([, count, name]) => [name, Number(count)]));
      };
      const forge = async (script: string): Promise<void> => {
        await machine.exec(["sh", "-ec", script], "work");
      };
      await forge("ping -n -c 1 -W 1 203.0.113.1; ping -n -c 1 -W 1 2001:db8:9::1");
      // As its root a workload can give itself what it likes.
      await forge(
        "ip address add 203.0.113.77/32 dev public; ip address add 2001:db8:9::77/128 dev public nodad",
      );
      const forgeAll = async (): Promise<void> => {
        await forge(
          "ip neigh flush dev public; ping -n -c 1 -W 1 -I 203.0.113.77 203.0.113.1 || true; " +
            "ping -n -c 1 -W 1 -I 2001:db8:9::77 2001:db8:9::1 || true",
        );
        // It asks anew who has them.
        await outside.exec(["ip", "neigh", "flush", "dev", "eth0"]);
        for (const target of ["2001:db8:9::77", "203.0.113.77"]) {
          await outside.attempt(["ping", "-n", "-c", "1", "-W", "1", target]);
        }
        await forge(
          "mac=$(cat /sys/class/net/public/address); " +
            "ip link set public address 02:00:00:00:00:77; ping -n -c 1 -W 1 203.0.113.1 || true; " +
            "ip link set public address $mac",
        );
      };
      await forgeAll();
      const { true4 = 0, true6 = 0, ...forged } = await counts();
      expect(true4).toBeGreaterThan(0);
      expect(true6).toBeGreaterThan(0);
      expect(forged).toEqual({ forged4: 0, forgedArp: 0, forged6: 0, forgedNa: 0, forgedMac: 0 });
      // With the guard gone all of it arrives.
      await machine.exec(["nft", "delete", "table", "bridge", "wirehaul_aaa"]);
      await forgeAll();
      const { true4: _true4, true6: _true6, ...arrived } = await counts();
      expect(Object.entries(arrived).filter(([, count]) => count === 0)).toEqual([]);
    },
  );
});
