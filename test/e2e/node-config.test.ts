/** Two-phase configuration and several NICs. Items of docs/networkd.md, parts C and D. */
import { expect } from "vitest";
import type { Lab, Namespace } from "../../src/cli/demo/lab.ts";
import {
  BootMachine,
  Internet,
  REGISTRY4,
  REGISTRY6,
  type Router,
} from "./harness/boot-machine.ts";
import { labTest } from "./harness/lab-test.ts";

interface Scene {
  readonly internet: Internet;
  readonly machine: BootMachine;
  /** By NIC: eth1, eth2, eth3. */
  readonly routers: readonly Router[];
}

/** A machine with three NICs that all lead to the Internet, eth1 being the uplink. */
async function threeNics(lab: Lab): Promise<Scene> {
  const internet = await Internet.make(lab);
  await internet.startRegistry();
  const machine = await BootMachine.make(lab);
  const routers: Router[] = [];
  for (const number of [1, 2, 3]) {
    const router = await internet.router(number);
    await machine.plug(`eth${number}`, router);
    routers.push(router);
  }
  machine.start();
  await machine.untilState("online");
  return { internet, machine, routers };
}

const OVERLAY = {
  nic: "eth2",
  roles: ["overlay"],
  addresses: ["10.2.0.7/24", "2001:db8:2::7/64"],
  gateways: ["10.2.0.1", "2001:db8:2::1"],
};
const EXIT = { nic: "eth3", roles: ["exit"], addresses: ["10.3.0.7/24"], gateways: ["10.3.0.1"] };
const MANAGEMENT = { nic: "eth1", roles: ["management"] };

/** Packets that arrived at each router while something was done. */
async function counted(
  routers: readonly Router[],
  work: () => Promise<unknown>,
): Promise<number[]> {
  const before = await Promise.all(routers.map((router) => router.received()));
  await work();
  const after = await Promise.all(routers.map((router) => router.received()));
  return after.map((count, index) => count - (before[index] ?? 0));
}

labTest(
  "items 16, 17, 20: management, overlay and exit each leave by their own NIC",
  async (lab) => {
    const { machine, routers } = await threeNics(lab);
    const reply = await machine.request({
      config: { revision: 1, nics: [MANAGEMENT, OVERLAY, EXIT] },
    });
    expect(reply.error).toBeUndefined();
    expect(reply.configuration).toMatchObject({ state: "applied", why: "revision 1" });
    expect(machine.events.find(({ event }) => event === "overlay")?.["namespace"]).toBe(
      "wh-overlay",
    );
    expect(await machine.addresses("uplink", "wh-overlay")).toEqual(["10.2.0.7", "2001:db8:2::7"]);
    expect(await machine.addresses("uplink", "wh-exit")).toEqual(["10.3.0.7"]);
    const ping = (namespace: string, target: string) => async () =>
      await machine.until(`${namespace} reaches ${target}`, async () => {
        const command = [
          "ip",
          "netns",
          "exec",
          namespace,
          "ping",
          "-c",
          "20",
          "-i",
          "0.01",
          "-W",
          "2",
          target,
        ];
        return await machine.exec(command).then(
          () => true,
          () => undefined,
        );
      });
    // Address resolution and checks of the registry come on top of twenty pings; nothing of these goes elsewhere.
    for (const target of [REGISTRY4, REGISTRY6]) {
      const [one = 0, two = 0, three = 0] = await counted(routers, ping("wh-overlay", target));
      expect(two).toBeGreaterThanOrEqual(20);
      expect([one < 20, three < 20]).toEqual([true, true]);
    }
    const [one = 0, two = 0, three = 0] = await counted(routers, ping("wh-exit", REGISTRY4));
    expect(three).toBeGreaterThanOrEqual(20);
    expect([one < 20, two < 20]).toEqual([true, true]);
    const host = ["ping", "-c", "20", "-i", "0.01", REGISTRY4];
    const [management = 0, ...others] = await counted(routers, () => machine.exec(host));
    expect(management).toBeGreaterThanOrEqual(20);
    expect(others.every((count) => count < 20)).toBe(true);
    // What has a role is in use: no candidate for the uplink.
    expect((await machine.status()).uplink?.nic).toBe("eth1");
  },
  120_000,
);

labTest(
  "item 20: changed live, removed live, the same after a restart",
  async (lab) => {
    const { machine } = await threeNics(lab);
    expect(
      (await machine.request({ config: { revision: 1, nics: [MANAGEMENT, OVERLAY] } })).error,
    ).toBeUndefined();
    const ifindex = JSON.stringify(await machine.ip("-n wh-overlay link show dev uplink"));
    const changed = { ...OVERLAY, addresses: ["10.2.0.8/24"], gateways: ["10.2.0.1"] };
    expect(
      (await machine.request({ config: { revision: 2, nics: [MANAGEMENT, changed] } })).error,
    ).toBeUndefined();
    expect(await machine.addresses("uplink", "wh-overlay")).toEqual(["10.2.0.8"]);
    expect(JSON.stringify(await machine.ip("-n wh-overlay link show dev uplink"))).toBe(ifindex);
    await machine.kill("SIGKILL");
    machine.start();
    await machine.untilState("online");
    expect((await machine.status()).uplink?.nic).toBe("eth1");
    const kept = await machine.request({ status: true });
    expect(kept.configuration.config.revision).toBe(2);
    await machine.until("the overlay's namespace is told", () =>
      machine.events.some(
        ({ event, namespace }) => event === "overlay" && namespace === "wh-overlay",
      ),
    );
    expect(await machine.addresses("uplink", "wh-overlay")).toEqual(["10.2.0.8"]);
    expect((await machine.request({ config: { revision: 3, nics: [] } })).error).toBeUndefined();
    expect((await machine.ip("netns list")).map(({ name }) => name)).toEqual([]);
    expect(await machine.hasLink("u-eth2")).toBe(false);
    expect((await machine.link("eth2")).master).toBeUndefined();
    expect(
      machine.events.filter(({ event }) => event === "overlay").at(-1)?.["namespace"],
    ).toBeNull();
  },
  120_000,
);

labTest("item 20: management moves to another NIC and gets a static address, live", async (lab) => {
  const { machine } = await threeNics(lab);
  const management = {
    nic: "eth3",
    roles: ["management"],
    addresses: ["10.3.0.9/24"],
    gateways: ["10.3.0.1"],
    mtu: 1400,
  };
  const reply = await machine.request({ config: { revision: 1, nics: [management] } });
  expect(reply.error).toBeUndefined();
  expect(await machine.addresses("zos")).toEqual(["10.3.0.9"]);
  expect((await machine.link("eth3")).master).toBe("zos");
  expect((await machine.link("eth1")).master).toBeUndefined();
  // Nothing leases an address any more.
  expect(await machine.pids("udhcpc")).toEqual([]);
  expect([(await machine.link("zos")).mtu, (await machine.link("eth3")).mtu]).toEqual([1400, 1400]);
  // Removed: it stays where it is, with what DHCP says and the MTU that it had.
  expect((await machine.request({ config: { revision: 2, nics: [] } })).error).toBeUndefined();
  await machine.until("the address is a leased one", async () => {
    const addresses = await machine.addresses("zos");
    return addresses.length === 1 && addresses[0] !== "10.3.0.9";
  });
  expect([(await machine.link("zos")).mtu, (await machine.link("eth3")).mtu]).toEqual([1500, 1500]);
});

labTest("item 20: what is wrong is refused with the reason, and nothing changes", async (lab) => {
  const { machine } = await threeNics(lab);
  // What a configuration could change; carriers settle by themselves.
  const setUp = async (): Promise<unknown> =>
    (await machine.ip("-d address show")).map(({ ifname, master, mtu, address }) => [
      ifname,
      master,
      mtu,
      address,
    ]);
  const before = await setUp();
  const addresses = await machine.addresses("zos");
  const refuse = async (nics: readonly object[]): Promise<string> => {
    const reply = await machine.request({ config: { revision: 1, nics } });
    expect(reply.kind).toBe("ConfigRefused");
    return reply.error ?? "";
  };
  expect(await refuse([{ ...OVERLAY, nic: "eth9" }])).toContain("eth9: there is no such NIC");
  expect(await refuse([{ ...OVERLAY, gateways: ["10.9.0.1", "2001:db8:2::1"] }])).toContain(
    "eth2: gateway 10.9.0.1 is outside the subnet 10.2.0.0/24",
  );
  expect(await refuse([{ nic: "eth1", roles: ["overlay"] }])).toContain(
    "eth1: would cut off management: it is the uplink",
  );
  await machine.plugNothing("eth8");
  await machine.until("the new NIC is up", async () =>
    (await machine.link("eth8")).flags.includes("UP"),
  );
  expect(await refuse([{ nic: "eth8", roles: ["management"] }])).toContain(
    "eth8: would cut off management: the NIC has no carrier",
  );
  await machine.exec(["ip", "link", "del", "dev", "eth8"]);
  expect(await setUp()).toEqual(before);
  expect(await machine.addresses("zos")).toEqual(addresses);
  expect(await machine.ip("netns list")).toEqual([]);
  expect((await machine.status()).state).toBe("online");
});

labTest(
  "item 20: a configuration that loses the registry is taken back in time",
  async (lab) => {
    const { machine, routers } = await threeNics(lab);
    const [address = ""] = await machine.addresses("zos");
    // Sound in form; but nobody answers at this gateway.
    const management = {
      nic: "eth1",
      roles: ["management"],
      addresses: ["10.1.0.7/24"],
      gateways: ["10.1.0.66"],
    };
    const lost = await machine.request({ config: { revision: 1, nics: [management] } });
    expect(lost).toMatchObject({
      kind: "ConfigRolledBack",
      configuration: { state: "rolled back" },
    });
    expect(lost.error).toContain("the registry was not reached within 3 s");
    await machine.untilState("online");
    expect(await machine.addresses("zos")).toEqual([address]);
    // Another NIC, which leads nowhere: back to the one before.
    await routers[1]?.namespace.ip(["link set dev wan down"]);
    const moved = await machine.request({
      config: { revision: 1, nics: [{ nic: "eth2", roles: ["management"] }] },
    });
    expect(moved.kind).toBe("ConfigRolledBack");
    await machine.untilState("online");
    expect((await machine.status()).uplink?.nic).toBe("eth1");
    expect((await machine.link("eth2")).master).toBeUndefined();
    // A power cut in the middle of a probation comes back with what was before.
    const pending = machine.send({ config: { revision: 1, nics: [management] } });
    await machine.until("it is being tried", async () =>
      (await machine.addresses("zos")).includes("10.1.0.7"),
    );
    await machine.kill("SIGKILL");
    expect(pending).toBeGreaterThan(0);
    machine.start();
    await machine.untilState("online");
    expect((await machine.request({ status: true })).configuration.config.revision).toBe(0);
  },
  120_000,
);

/**
 * A switch between a new NIC and a router. That it doesn't carry frames from one port to the other, as if they were in two VLANs, is
 * the bridge's port isolation: not every kernel has VLANs in its bridges.
 */
async function throughSwitch(
  lab: Lab,
  machine: BootMachine,
  nic: string,
  router: Router,
): Promise<Namespace> {
  const between = await lab.namespace("sw");
  const { number } = router;
  const lan = [`10.${number}.0.1/24`, `2001:db8:${number}::1/64`];
  await lab.cable(
    { namespace: machine.host, name: nic, addresses: [] },
    { namespace: between, name: "port0", addresses: [] },
  );
  await lab.cable(
    { namespace: between, name: "port1", addresses: [] },
    { namespace: router.namespace, name: "lan", addresses: lan },
  );
  await between.ip([
    "link add name switch type bridge",
    "link set port0 master switch",
    "link set port1 master switch",
    "link set dev switch up",
  ]);
  await router.serve();
  return between;
}

async function setApart(between: Namespace, isApart: boolean): Promise<void> {
  for (const port of ["port0", "port1"]) {
    await between.ip([`link set dev ${port} type bridge_slave isolated ${isApart ? "on" : "off"}`]);
  }
}

labTest(
  "item 18: a configuration that the switches don't carry is taken back, and is kept once they do",
  async (lab) => {
    const { internet, machine } = await threeNics(lab);
    const [address = ""] = await machine.addresses("zos");
    const router = await internet.router(4);
    const between = await throughSwitch(lab, machine, "eth4", router);
    await setApart(between, true);
    await machine.until("the new NIC has a carrier", async () =>
      (await machine.link("eth4")).flags.includes("LOWER_UP"),
    );
    const management = {
      nic: "eth4",
      roles: ["management"],
      addresses: ["10.4.0.7/24"],
      gateways: ["10.4.0.1"],
    };
    const config = { revision: 1, nics: [management] };
    const lost = await machine.request({ config });
    expect(lost).toMatchObject({
      kind: "ConfigRolledBack",
      configuration: { state: "rolled back" },
    });
    await machine.untilState("online");
    expect((await machine.status()).uplink?.nic).toBe("eth1");
    expect(await machine.addresses("zos")).toEqual([address]);
    expect((await machine.link("eth4")).master).toBeUndefined();
    // The farmer mends the switch: the same is applied, and stays.
    await setApart(between, false);
    expect((await machine.request({ config })).error).toBeUndefined();
    await machine.until(
      "the new NIC is the uplink",
      async () => (await machine.status()).uplink?.nic === "eth4",
    );
    expect(await machine.addresses("zos")).toEqual(["10.4.0.7"]);
    expect((await machine.request({ status: true })).configuration).toMatchObject({
      state: "applied",
      config: { revision: 1 },
    });
  },
  120_000,
);
