/** The shared way out to the Internet, and what it keeps apart. Numbers are those of the mission's checklist. */
import { describe, expect } from "vitest";
import { generateKeys } from "../../src/cli/demo/keys.ts";
import type { Lab, Namespace } from "../../src/cli/demo/lab.ts";
import { until } from "../../src/control/linux/command.ts";
import { labTest } from "./harness/lab-test.ts";
import { Machine } from "./harness/machine.ts";

const INTERNET4 = "203.0.113.9";
const INTERNET6 = "2001:db8:9::9";
/** The router in the node's LAN, and another machine there. */
const ROUTER = "192.168.7.1";

interface Site {
  readonly machine: Machine;
  readonly router: Namespace;
  readonly internet: Namespace;
}

/** A node in a LAN behind a router, and a machine in the Internet that knows the node's LAN addresses. */
async function makeSite(lab: Lab, mtu = 1500): Promise<Site> {
  const machine = await Machine.create(lab, "ma");
  const router = await lab.namespace("rt");
  const internet = await lab.namespace("in");
  await lab.cable(
    { namespace: machine.host, name: "up0", addresses: ["192.168.7.2/24", "2001:db8:7::2/64"] },
    { namespace: router, name: "lan", addresses: [`${ROUTER}/24`, "2001:db8:7::1/64"] },
    mtu,
  );
  await lab.cable(
    { namespace: router, name: "wan", addresses: ["203.0.113.1/24", "2001:db8:9::1/64"] },
    { namespace: internet, name: "eth0", addresses: [`${INTERNET4}/24`, `${INTERNET6}/64`] },
  );
  await router.exec(["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]);
  await machine.host.ip([
    "route add default via 192.168.7.1",
    "route add default via 2001:db8:7::1",
  ]);
  await internet.ip([
    "route add 192.168.7.0/24 via 203.0.113.1",
    "route add 2001:db8:7::/64 via 2001:db8:9::1",
  ]);
  return { machine, router, internet };
}

function resource(id: string, more: object = {}): object {
  return {
    id,
    name: id,
    owner: "1",
    range: "10.1.0.0/16",
    subnet: "10.1.1.0/24",
    subnet6: "fd00:1:0:1::/64",
    peers: [{ publicKey: generateKeys().publicKey, allowedIps: ["10.1.2.0/24"] }],
    ...more,
  };
}

async function build(machine: Machine, id: string, more: object = {}): Promise<string> {
  await machine.call("apply", resource(id, more));
  const namespace = `work-${id}`;
  await machine.call("attach", id, {
    kind: "join",
    id: "w",
    namespace,
    addresses: ["10.1.1.5", "fd00:1:0:1::5"],
  });
  return namespace;
}

/** Sources of the pings that arrive, as tcpdump names them. */
async function sourceOfPing(site: Site, namespace: string, target: string): Promise<string> {
  const filter = target.includes(":") ? "icmp6 and ip6[40] == 128" : "icmp[icmptype] == icmp-echo";
  const watch = site.internet.spawn([
    "tcpdump",
    "-Z",
    "root",
    "-n",
    "-l",
    "-c",
    "1",
    "-i",
    "eth0",
    filter,
  ]);
  await watch.waitFor("listening on");
  await site.machine.untilReaches(target, namespace);
  return /IP6? (\S+) > /.exec((await watch.ended).stdout)?.[1] ?? "";
}

const PING_COUNTER =
  "table inet watch {\n chain out {\n type filter hook postrouting priority 300\n oifname up0 icmp type echo-request counter\n }\n}\n";

describe("the way out", () => {
  labTest(
    "item 13: workloads reach the Internet behind the node's own address, IPv4 and IPv6, without a lease of their own",
    async (lab) => {
      const site = await makeSite(lab);
      await site.machine.start();
      const namespace = await build(site.machine, "aaa");
      expect(await sourceOfPing(site, namespace, INTERNET4)).toBe("192.168.7.2");
      expect(await sourceOfPing(site, namespace, INTERNET6)).toBe("2001:db8:7::2");
      for (const { actions } of await site.machine.call<{ actions: string[] }[]>("plan")) {
        expect(actions).toEqual([]);
      }
    },
  );

  labTest(
    "nothing passes into the node's LAN, the node itself or another network, unless a network is allowed to",
    async (lab) => {
      const { machine } = await makeSite(lab);
      await machine.start();
      const first = await build(machine, "aaa");
      const second = await build(machine, "bbb", { internet: false, lan: [`${ROUTER}/32`] });
      await machine.untilReaches(INTERNET4, first);
      await machine.untilReaches(ROUTER, second);
      // In order: the router, the node in the LAN, its end of the inner link, the other network's leg, in both families.
      const refused = async (namespace: string, targets: readonly string[]): Promise<void> => {
        const answers = await Promise.all(
          targets.map((target) => machine.reaches(target, namespace)),
        );
        expect(answers, namespace).toEqual(targets.map(() => false));
      };
      const node = ["192.168.7.2", "2001:db8:7::2", "100.127.255.253"];
      await refused(first, [ROUTER, "2001:db8:7::1", ...node, "100.127.0.3", "fd77:6878:6974::3"]);
      await refused(second, [INTERNET4, INTERNET6, ...node, "100.127.0.2", "fd77:6878:6974::2"]);
      await machine.call("apply", resource("aaa", { lan: [`${ROUTER}/32`] }));
      await machine.untilReaches(ROUTER, first);
      await machine.call("apply", resource("aaa"));
      await until("the LAN is closed again", async () => !(await machine.reaches(ROUTER, first)));
      expect(await machine.reaches(INTERNET4, first)).toBe(true);
    },
  );

  labTest("nothing comes in that was not asked for", async (lab) => {
    const { machine, internet } = await makeSite(lab);
    await machine.start();
    const namespace = await build(machine, "aaa");
    await machine.untilReaches(INTERNET4, namespace);
    await internet.ip([
      "route add 100.127.0.0/16 via 203.0.113.1",
      "route add 10.1.0.0/16 via 203.0.113.1",
    ]);
    for (const target of ["100.127.0.1", "100.127.0.2", "10.1.1.5"]) {
      const command = ["ping", "-n", "-c", "1", "-W", "1", target];
      expect((await internet.attempt(command)).code, target).not.toBe(0);
    }
    // Not even from the node's LAN, by somebody who takes the node for a router.
    const host = machine.host;
    for (const target of ["100.127.0.2", "10.1.1.5"]) {
      const command = ["ping", "-n", "-c", "1", "-W", "1", target];
      expect((await host.attempt(command)).code, target).not.toBe(0);
    }
  });

  labTest("item 17: with a NIC of its own, and back, live", async (lab) => {
    const site = await makeSite(lab);
    const { machine, internet } = site;
    await lab.cable(
      { namespace: machine.host, name: "nic1", addresses: [] },
      { namespace: internet, name: "eth1", addresses: ["198.51.100.1/24"] },
    );
    await internet.ip(["address add 198.18.0.1/32 dev lo"]);
    await machine.start();
    const namespace = await build(machine, "aaa");
    // Pings alone: the link's own multicast is on it whatever happens.
    await machine.exec(["nft", "-f", "-"], undefined, { input: PING_COUNTER });
    expect(await sourceOfPing(site, namespace, INTERNET4)).toBe("192.168.7.2");
    const exit = { range: "100.127.0.0/16", range6: "fd77:6878:6974::/64" };
    const nic = { parent: "nic1", addresses: ["198.51.100.2/24"], gateway4: "198.51.100.1" };
    const carried = async (): Promise<number> => {
      const rules = await machine.exec(["nft", "list", "table", "inet", "watch"]);
      return Number(/packets (\d+)/.exec(rules)?.[1]);
    };
    expect(await carried()).toBeGreaterThan(0);
    await machine.call("setExit", { ...exit, nic });
    await machine.untilReaches("198.18.0.1", namespace);
    const before = await carried();
    for (let ping = 0; ping < 5; ping++)
      expect(await machine.reaches("198.18.0.1", namespace)).toBe(true);
    expect(await carried()).toBe(before);
    await machine.call("setExit", exit);
    expect(await sourceOfPing(site, namespace, INTERNET4)).toBe("192.168.7.2");
    expect((await machine.links()).filter((name) => name.startsWith("wh-"))).toEqual([
      "wh-legs",
      "wh-out",
    ]);
  });

  labTest("MTU follows the underlay's, and TCP is told", async (lab) => {
    const { machine, internet } = await makeSite(lab, 1400);
    await machine.start();
    const namespace = await build(machine, "aaa");
    expect(await machine.exec(["ip", "link", "show", "w-aaa"], "n-aaa")).toContain("mtu 1320");
    await machine.untilReaches(INTERNET4, namespace);
    // Of the SYN that arrives: 1400 less 40 of headers.
    const watch = internet.spawn([
      "tcpdump",
      "-Z",
      "root",
      "-n",
      "-l",
      "-v",
      "-c",
      "1",
      "-i",
      "eth0",
      "tcp[tcpflags] & tcp-syn != 0",
    ]);
    await watch.waitFor("listening on");
    const connect = `require("net").connect(80, "${INTERNET4}").on("error", () => {})`;
    await machine.attempt([process.execPath, "-e", connect], namespace);
    expect((await watch.ended).stdout).toContain("mss 1360");
    await machine.host.ip(["link set dev up0 mtu 1500"]);
    await machine.call("reconcile");
    expect(await machine.exec(["ip", "link", "show", "w-aaa"], "n-aaa")).toContain("mtu 1420");
    for (const { actions } of await machine.call<{ actions: string[] }[]>("plan")) {
      expect(actions).toEqual([]);
    }
  });
});
