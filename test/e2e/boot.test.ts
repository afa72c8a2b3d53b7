/** Booting: from bare NICs to the Internet. Items of docs/networkd.md, part A. */
import { expect } from "vitest";
import type { Lab } from "../../src/cli/demo/lab.ts";
import {
  BootMachine,
  Internet,
  REGISTRY4,
  REGISTRY6,
  type RouterOptions,
} from "./harness/boot-machine.ts";
import { labTest } from "./harness/lab-test.ts";

async function oneNic(
  lab: Lab,
  options: RouterOptions = {},
): Promise<{
  internet: Internet;
  machine: BootMachine;
  router: Awaited<ReturnType<Internet["router"]>>;
}> {
  const internet = await Internet.make(lab);
  const router = await internet.router(1, options);
  const machine = await BootMachine.make(lab);
  await machine.plug("eth0", router);
  return { internet, machine, router };
}

labTest("item 1: the kernel command line names farm, registry and uplink", async (lab) => {
  const internet = await Internet.make(lab);
  await internet.startRegistry();
  const machine = await BootMachine.make(lab);
  for (const number of [1, 2]) {
    await machine.plug(`eth${number}`, await internet.router(number));
  }
  const cmdline = `BOOT_IMAGE=/k console=ttyS0 farmer_id=11 runmode=test wirehaul.registry=http://${REGISTRY4}/ wirehaul.uplink=eth2 wirehaul.color=red`;
  machine.start({ cmdline, registry: "http://127.0.0.1:1/" });
  await machine.untilState("online", REGISTRY4);
  const { parameters } = machine.events.find(({ event }) => event === "parameters") as unknown as {
    parameters: { farm: number; mode: string; faults: string[] };
  };
  expect(parameters).toMatchObject({ farm: 11, mode: "test", faults: ["wirehaul.color: unknown"] });
  // Without the operator's word it would be eth1, by name.
  const status = await machine.status();
  expect(status.uplink?.nic).toBe("eth2");
  expect(status.nics[0]?.why).toContain("before eth1 by operator: chosen");
});

labTest(
  "item 3: all NICs are tried at once, and the one that leads to the registry is taken",
  async (lab) => {
    const internet = await Internet.make(lab);
    await internet.startRegistry();
    const machine = await BootMachine.make(lab);
    await machine.plugNothing("eth0");
    await machine.plug("eth1", await internet.router(1, { dhcp: false }));
    await machine.plug("eth2", await internet.router(2, { extra: ["--dhcp-option=3"] }));
    const dead = await internet.router(3);
    await dead.namespace.ip(["link set dev wan down"]);
    await machine.plug("eth3", dead);
    await machine.plug("eth4", await internet.router(4));
    machine.start();
    await machine.untilState("online");
    const status = await machine.status();
    expect(status.uplink).toMatchObject({ nic: "eth4", bridge: "zos", gateway4: "10.4.0.1" });
    const why = Object.fromEntries(
      status.nics.map(({ nic, rank, why: text }) => [nic, `${rank ?? "-"} ${text}`]),
    );
    expect(why["eth0"]).toBe("- no carrier");
    expect(why["eth1"]).toBe("- no address: no DHCP server answers");
    expect(why["eth2"]).toBe("- no default gateway");
    expect(why["eth3"]).toMatch(/^2 after eth4 by registry: registry: no answer/);
    expect(why["eth4"]).toMatch(/^1 before eth3 by registry: registry: answers by IPv4/);
    // All at once: what was asked of the first had not ended when the last began.
    const probing = machine.events.find(
      ({ event, state }) => event === "state" && state === "probing",
    );
    expect(probing?.["why"]).toBe("eth0, eth1, eth2, eth3, eth4");
    // The others are up, so that a cable is noticed, and have no addresses.
    for (const nic of ["eth1", "eth2", "eth3"]) expect(await machine.addresses(nic)).toEqual([]);
    expect(await machine.exec(["ip", "netns", "list"])).toBe("");
  },
);

labTest(
  "items 4, 6, 9: until the registry answers nothing starts, and nothing gives up",
  async (lab) => {
    const { internet, machine } = await oneNic(lab);
    machine.start();
    await machine.untilState("checking", "ECONNREFUSED");
    // A captive portal is no Internet.
    await internet.startRegistry(302);
    await machine.untilState("checking", "captive portal");
    await internet.stopRegistry();
    expect(
      machine.events.filter(({ event }) => event === "internet" || event === "published"),
    ).toEqual([]);
    await internet.startRegistry();
    await machine.untilState("online");
    await machine.until("the census has arrived", () => internet.censuses().length > 0);
    await internet.stopRegistry();
    await machine.untilState("offline");
    await internet.startRegistry();
    await machine.untilState("online");
    const ups = machine.events.filter(({ event }) => event === "internet");
    expect(ups.map(({ isUp }) => isUp)).toEqual([true, false, true]);
  },
);

labTest(
  "items 7, 8: the bridge zos has the NIC's MAC, address and MTU; others may join it",
  async (lab) => {
    const { internet, machine } = await oneNic(lab, { extra: ["--dhcp-option=26,1400"] });
    await internet.startRegistry();
    const before = await machine.link("eth0");
    machine.start();
    await machine.untilState("online");
    const zos = await machine.link("zos");
    expect(zos).toMatchObject({ address: before.address, mtu: 1400, ifalias: "wirehaul:uplink" });
    expect(zos.linkinfo?.info_kind).toBe("bridge");
    expect((await machine.link("eth0")).master).toBe("zos");
    expect(await machine.addresses("eth0")).toEqual([]);
    expect((await machine.addresses("zos"))[0]).toMatch(/^10\.1\.0\./);
    // A public interface of a workload: a leg on zos reaches the router by itself.
    await machine.exec(["ip", "netns", "add", "workload"]);
    await machine.exec(
      "ip link add link zos name pub netns workload type macvlan mode bridge".split(" "),
    );
    await machine.exec("ip -n workload address add 10.1.0.200/24 dev pub".split(" "));
    await machine.exec("ip -n workload link set dev pub up".split(" "));
    await machine.exec(["ping", "-c", "1", "-W", "5", "10.1.0.1"], "workload");
  },
);

labTest("item 3: an IPv6-only network is an uplink", async (lab) => {
  const { internet, machine } = await oneNic(lab, { dhcp: false, ra: true });
  await internet.startRegistry();
  machine.start({ registry: `http://[${REGISTRY6}]/` });
  await machine.untilState("online", "IPv6");
  const { uplink } = await machine.status();
  expect(uplink?.gateway6).toMatch(/^fe80::/);
  expect(uplink?.gateway4).toBeUndefined();
  expect(uplink?.addresses.join()).toContain("2001:db8:1:");
});

labTest("item 3: static addresses in place of DHCP, and a registry by its name", async (lab) => {
  const { internet, machine, router } = await oneNic(lab, { extra: ["--dhcp-ignore=tag:!known"] });
  await internet.startRegistry();
  machine.start({
    registry: "http://registry.test/",
    resolvConf: `${lab.folder}/resolv.conf`,
    uplink: {
      chosen: "eth0",
      addressing: {
        addresses: ["10.1.0.7/24", "2001:db8:1::7/64"],
        gateways: ["10.1.0.1", "2001:db8:1::1"],
        dns: ["10.1.0.1"],
      },
    },
  });
  await machine.untilState("online", "IPv4, IPv6");
  const { uplink } = await machine.status();
  expect(uplink).toMatchObject({ gateway4: "10.1.0.1", gateway6: "2001:db8:1::1" });
  expect(uplink?.addresses).toEqual(["10.1.0.7/24", "2001:db8:1::7/64"]);
  await router.stop();
});
