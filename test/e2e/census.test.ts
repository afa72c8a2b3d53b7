/** The census of NICs. Items of docs/networkd.md, parts B and D. */
import { expect } from "vitest";
import { BootMachine, Internet } from "./harness/boot-machine.ts";
import { labTest } from "./harness/lab-test.ts";

labTest(
  "items 10, 11, 12, 19: the live set-up of every NIC is published, with addresses and routes",
  async (lab) => {
    const internet = await Internet.make(lab);
    await internet.startRegistry();
    const machine = await BootMachine.make(lab);
    await machine.plugNothing("eth0");
    await machine.plug("eth1", await internet.router(1, { ra: true }));
    machine.start();
    await machine.untilState("online");
    const nics = await machine.until("the census shows the uplink's addresses", () => {
      const body = internet.censuses().at(-1)?.body.nics;
      const zos = body?.find(({ name }) => name === "zos");
      return zos?.gateways.length === 2 ? body : undefined;
    });
    const [eth0, eth1, zos] = nics;
    expect(nics.map(({ name }) => name)).toEqual(["eth0", "eth1", "zos"]);
    expect(eth0).toMatchObject({ carrier: false, addresses: [], kind: "veth", mtu: 1500 });
    expect(eth1).toMatchObject({ carrier: true, bridge: "zos", speedMbps: 10_000 });
    expect(eth1?.mac).toBe((await machine.link("eth1")).address);
    expect(zos?.mac).toBe(eth1?.mac);
    expect(zos?.addresses.join(" ")).toMatch(/10\.1\.0\.\d+\/24 2001:db8:1:[0-9a-f:]+\/64 fe80::/);
    expect(zos?.gateways[0]).toBe("10.1.0.1");
    const routes = zos?.routes.map(({ to, via }) => `${to} ${via ?? ""}`.trim());
    expect(routes).toContain("10.1.0.0/24");
    expect(routes).toContain("default 10.1.0.1");
    // Item 12: what waits for the first census to have arrived goes on after it, and after the Internet.
    const order = machine.events.map(({ event }) => event);
    expect(order.indexOf("published")).toBeGreaterThan(order.indexOf("internet"));
  },
);

labTest(
  "item 19: changes are published, together when they come together, and none is lost",
  async (lab) => {
    const internet = await Internet.make(lab);
    await internet.startRegistry();
    const machine = await BootMachine.make(lab);
    await machine.plug("eth1", await internet.router(1));
    machine.start();
    await machine.untilState("online");
    await machine.until("published", () =>
      machine.events.some(({ event }) => event === "published"),
    );
    // Not in the census: networks of tenants come by the thousand.
    await machine.exec("ip link add name b-tenant type bridge".split(" "));
    await machine.plugNothing("eth5");
    await machine.until("eth5 is published", () =>
      internet
        .censuses()
        .at(-1)
        ?.body.nics.some(({ name }) => name === "eth5"),
    );
    const before = internet.censuses().length;
    const lines = Array.from({ length: 40 }, (_, n) => `address add 198.18.0.${n + 1}/32 dev eth5`);
    await machine.exec(["sh", "-c", `printf '%s\\n' "${lines.join("\n")}" | ip -batch -`]);
    await machine.until("all forty are published", () => {
      const eth5 = internet
        .censuses()
        .at(-1)
        ?.body.nics.find(({ name }) => name === "eth5");
      return eth5?.addresses.length === 40;
    });
    expect(internet.censuses().length - before).toBeLessThanOrEqual(5);
    expect(
      internet
        .censuses()
        .flatMap(({ body }) => body.nics)
        .map(({ name }) => name),
    ).not.toContain("b-tenant");
    // While the registry is away something changes; it gets to know, in the end.
    await internet.stopRegistry();
    await machine.untilState("offline");
    await machine.exec("ip link del dev eth5".split(" "));
    await internet.startRegistry();
    await machine.until("eth5 has gone at the registry", () => {
      const body = internet.censuses().at(-1)?.body.nics;
      return body !== undefined && !body.some(({ name }) => name === "eth5");
    });
  },
);
