/** Booting under bad conditions: whatever goes away and comes back, the node finds its way again. */
import { expect } from "vitest";
import type { Lab } from "../../src/cli/demo/lab.ts";
import { BootMachine, Internet, type Router, type RouterOptions } from "./harness/boot-machine.ts";
import { labTest } from "./harness/lab-test.ts";

interface Scene {
  readonly internet: Internet;
  readonly machine: BootMachine;
  readonly router: Router;
}

async function online(lab: Lab, options: RouterOptions = {}): Promise<Scene> {
  const internet = await Internet.make(lab);
  await internet.startRegistry();
  const router = await internet.router(1, options);
  const machine = await BootMachine.make(lab);
  await machine.plug("eth1", router);
  machine.start();
  await machine.untilState("online");
  return { internet, machine, router };
}

labTest(
  "item 3: carrier lost and back, DHCP server gone and back with another address",
  async (lab) => {
    const { machine, router } = await online(lab);
    const [before] = await machine.addresses("zos");
    await router.namespace.ip(["link set dev lan down"]);
    await machine.untilState("offline", "eth1 has no carrier");
    await router.stop();
    await router.namespace.ip(["link set dev lan up"]);
    await machine.untilState("online");
    expect(await machine.addresses("zos")).toEqual([before]);
    await router.namespace.ip(["link set dev lan down"]);
    await machine.untilState("offline");
    await router.serve({ range: "10.1.0.200,10.1.0.209", forget: true });
    await router.namespace.ip(["link set dev lan up"]);
    await machine.until("the address is of the new range", async () => {
      const addresses = await machine.addresses("zos");
      return addresses.length === 1 && /^10\.1\.0\.20\d$/.test(addresses[0] ?? "");
    });
    await machine.untilState("online");
  },
);

labTest("item 3: an uplink that stays dead is replaced, and the census tells", async (lab) => {
  const { internet, machine, router } = await online(lab);
  await machine.plug("eth2", await internet.router(2));
  await router.namespace.ip(["link set dev wan down"]);
  await machine.until("eth2 is the uplink", async () => {
    const { uplink, state } = await machine.status();
    return uplink?.nic === "eth2" && state === "online";
  });
  expect((await machine.addresses("zos")).join()).toMatch(/^10\.2\.0\.\d+$/);
  expect((await machine.link("eth1")).master).toBeUndefined();
  const score = (await machine.status()).nics[0];
  expect(score).toMatchObject({ nic: "eth2", rank: 1 });
  await machine.until("the registry knows", () =>
    internet
      .censuses()
      .at(-1)
      ?.body.nics.some(({ name, bridge }) => name === "eth2" && bridge === "zos"),
  );
  // The first one back again changes nothing: what works stays.
  await router.namespace.ip(["link set dev wan up"]);
  await machine.untilState("online");
  expect((await machine.status()).uplink?.nic).toBe("eth2");
});

labTest("item 3: a NIC that is pulled out, and one that comes later", async (lab) => {
  const { internet, machine } = await online(lab);
  await machine.exec(["ip", "link", "del", "dev", "eth1"]);
  await machine.untilState("waiting for a NIC", "there is none");
  await machine.plug("eth7", await internet.router(7));
  await machine.untilState("online");
  expect((await machine.status()).uplink?.nic).toBe("eth7");
});

labTest("item 3: killed while it probes: the NIC comes back out of its namespace", async (lab) => {
  const internet = await Internet.make(lab);
  await internet.startRegistry();
  const machine = await BootMachine.make(lab);
  await machine.plug("eth1", await internet.router(1));
  // It waits for a carrier for a while, and is killed then.
  await machine.plugNothing("eth0");
  machine.start({ times: { carrierMs: 20_000 } });
  await machine.until("the NIC is away", async () => !(await machine.hasLink("eth1")));
  await machine.kill("SIGKILL");
  expect((await machine.ip("netns list")).map(({ name }) => name)).toContain("wh-probe-eth1");
  machine.start();
  await machine.untilState("online");
  expect((await machine.status()).uplink?.nic).toBe("eth1");
  expect(await machine.ip("netns list")).toEqual([]);
});

labTest("item 7: a restart goes on with the bridge that is there; nothing is cut", async (lab) => {
  const { machine } = await online(lab);
  const [address = ""] = await machine.addresses("zos");
  const watch = machine.spawn(["ip", "-o", "monitor", "address", "link"]);
  await machine.kill("SIGKILL");
  // The client of the killed one is gone with it.
  await machine.until("udhcpc has ended", async () => (await machine.pids("udhcpc")).length === 0);
  machine.start();
  await machine.untilState("online");
  expect(machine.events.filter(({ state }) => state === "probing")).toEqual([]);
  expect(await machine.addresses("zos")).toEqual([address]);
  await watch.stop();
  expect(watch.output.split("\n").filter((line) => /Deleted|DOWN/.test(line))).toEqual([]);
  expect(await machine.pids("udhcpc")).toHaveLength(1);
});

labTest("item 7: a bridge of this name that is another's is left alone, and said", async (lab) => {
  const internet = await Internet.make(lab);
  await internet.startRegistry();
  const machine = await BootMachine.make(lab);
  await machine.plug("eth1", await internet.router(1));
  await machine.exec("ip link add name zos type bridge".split(" "));
  machine.start();
  await machine.untilState("blocked", "a link zos is there that Wirehaul did not make");
  expect((await machine.link("zos")).flags).not.toContain("UP");
  await machine.exec("ip link del dev zos".split(" "));
  await machine.untilState("online");
});

labTest(
  "items 3, 4: udhcpc killed by somebody is started again; addresses taken away come back",
  async (lab) => {
    const { machine } = await online(lab);
    const [address = ""] = await machine.addresses("zos");
    const [pid] = await machine.pids("udhcpc");
    await machine.exec(["kill", "-9", `${pid}`]);
    await machine.until("another udhcpc runs", async () => {
      const [now] = await machine.pids("udhcpc");
      return now !== undefined && now !== pid;
    });
    await machine.exec(`ip address flush dev zos scope global`.split(" "));
    await machine.until("the address is back", async () =>
      (await machine.addresses("zos")).includes(address),
    );
    await machine.untilState("online");
  },
);
