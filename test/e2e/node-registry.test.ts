/**
 * `wirehaul node run --registry`: bare NICs, the Internet, networks that come back from the disk whether or not the registry answers,
 * and who could speak to the node from outside. Items of docs/networkd.md, parts A, E and F.
 */
import { expect } from "vitest";
import type { Lab } from "../../src/cli/demo/lab.ts";
import { configurationAnswer, statusAnswer } from "../../src/control/api/answers.ts";
import { API_SOCKET, askApi } from "../../src/control/api/client.ts";
import { type Background, until } from "../../src/control/linux/command.ts";
import type { Nic } from "../../src/control/model/nic.ts";
import type { AgentStatus } from "../../src/control/node/agent.ts";
import type { NetworkSummary } from "../../src/control/node/view.ts";
import { BootMachine, Internet, type PublishedCensus, REGISTRY4 } from "./harness/boot-machine.ts";
import { labTest } from "./harness/lab-test.ts";

const NETWORK = {
  id: "aaa",
  name: "a",
  owner: "1",
  range: "10.100.0.0/16",
  subnet: "10.100.1.0/24",
  peers: [],
};
const WORKLOAD = { kind: "join", id: "w", namespace: "work", addresses: ["10.100.1.5"] };
const GATEWAY = "10.100.1.1";
const CABLE = "eth0";
/** To look for the registry again takes the node half a minute at most, with jitter. */
const ONLINE_MS = 90_000;

interface Scene {
  readonly internet: Internet;
  readonly machine: BootMachine;
}

/** A machine with one NIC, which is down; its router leases addresses. */
async function scene(lab: Lab): Promise<Scene> {
  const internet = await Internet.make(lab);
  const machine = await BootMachine.make(lab);
  await machine.plug(CABLE, await internet.router(1));
  return { internet, machine };
}

async function boot(machine: BootMachine): Promise<Background> {
  const nics = ["--nic-kinds", "veth", "--nic-names", "eth*"];
  return await machine.runNode(["--registry", `http://${REGISTRY4}/`, ...nics]);
}

async function ask<Answer>(machine: BootMachine, path: string): Promise<Answer> {
  return (await askApi(machine.pathOf(API_SOCKET), "GET", path)) as Answer;
}

async function untilOnline(machine: BootMachine): Promise<void> {
  await until(
    "the registry is reached and has the census",
    async () => {
      const { boot: booted, isCensusPublished } = await ask<AgentStatus>(machine, "/v1/status");
      return booted?.state === "online" && isCensusPublished;
    },
    ONLINE_MS,
    100,
  );
}

/** What has been published before a change is published again after it. */
async function untilCensus(
  internet: Internet,
  isRight: (census: PublishedCensus) => boolean,
): Promise<void> {
  await until("the registry has the census", () => internet.censuses().some(isRight));
}

/** By the command line, as its user would. */
async function addNetwork(machine: BootMachine): Promise<void> {
  await machine.wirehaul(["network", "add", "-", "--local"], JSON.stringify(NETWORK));
  await machine.wirehaul(["network", "attach", "aaa", "-", "--local"], JSON.stringify(WORKLOAD));
}

labTest(
  "items 5, 9, 28, 29: with the Internet it makes itself known; its networks come back whether or not the registry answers",
  async (lab) => {
    const { internet, machine } = await scene(lab);
    await internet.startRegistry();
    const node = await boot(machine);
    await untilOnline(machine);
    await untilCensus(internet, ({ from, body }) => {
      expect(from).toMatch(/^10\.1\.0\.\d+$/);
      const find = (wanted: string): Nic | undefined =>
        body.nics.find(({ name }) => name === wanted);
      return (
        find("zos")?.addresses.includes(`${from}/24`) === true && find(CABLE)?.bridge === "zos"
      );
    });
    expect(await machine.wirehaul(["node", "status"])).toMatch(
      /boot: online: .*\nuplink: eth0 on zos: 10\.1\.0\.\d+\/24.*\n/,
    );
    expect(statusAnswer.parse(await ask(machine, "/v1/status"))).toMatchObject({
      boot: { uplink: { nic: CABLE } },
      configuration: { state: "applied" },
    });
    expect(configurationAnswer.parse(await ask(machine, "/v1/config"))).toBeDefined();
    await addNetwork(machine);
    await machine.untilReaches(REGISTRY4, "work");
    // The uplink's bridge is of the node's LAN as a NIC would be.
    expect(await machine.reaches("10.1.0.1")).toBe(true);
    expect(await machine.reaches("10.1.0.1", "work")).toBe(false);
    const before = await ask<NetworkSummary[]>(machine, "/v1/networks");
    expect(before).toMatchObject([{ id: "aaa", problem: null, workloads: 1 }]);
    await untilCensus(internet, ({ body }) => body.wireguardPorts[0] === before[0]?.listenPort);
    // Started again it goes on with the bridge that is there: what has the marks of no network is not the networks' to collect.
    const { ifindex } = await machine.link("zos");
    node.signal("SIGTERM");
    expect((await node.ended).code).toBe(0);
    const again = await boot(machine);
    await untilOnline(machine);
    expect((await machine.link("zos")).ifindex).toBe(ifindex);
    expect(again.output).not.toContain("probing");
    // A power cut, and a registry that is gone when the power is back.
    await internet.stopRegistry();
    again.signal("SIGKILL");
    await again.ended;
    await machine.reboot([CABLE]);
    await boot(machine);
    expect(await ask<NetworkSummary[]>(machine, "/v1/networks")).toEqual(before);
    expect(await machine.reaches(GATEWAY, "work")).toBe(true);
    await until("it looks for the registry", async () => {
      const { boot: booted } = await ask<AgentStatus>(machine, "/v1/status");
      return booted?.why.includes(REGISTRY4) === true || booted?.state === "offline";
    });
    const waiting = await ask<AgentStatus>(machine, "/v1/status");
    expect(waiting).toMatchObject({ isCensusPublished: false, boot: { internet: false } });
    // It answers again: known again, and the workload's way out is there without anybody's doing.
    await internet.startRegistry();
    await untilOnline(machine);
    expect(internet.censuses().length).toBeGreaterThan(0);
    await machine.untilReaches(REGISTRY4, "work");
    expect(await ask<NetworkSummary[]>(machine, "/v1/networks")).toEqual(before);
    expect(await machine.wirehaul(["node", "plan"])).toBe("nothing to do\n");
  },
  300_000,
);

/** What listens in a namespace: "udp 0.0.0.0:3000". Without Unix sockets. */
async function listening(machine: BootMachine, namespace?: string): Promise<string[]> {
  const text = await machine.exec(["ss", "-Hlntu"], namespace);
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => line.trim().split(/\s+/))
    .map(([protocol, , , , local]) => `${protocol} ${local}`)
    .sort();
}

labTest(
  "item 24: nothing but WireGuard's ports and Unix sockets listens, in any namespace of the node",
  async (lab) => {
    const { internet, machine } = await scene(lab);
    await internet.startRegistry();
    await boot(machine);
    await untilOnline(machine);
    await addNetwork(machine);
    await machine.untilReaches(REGISTRY4, "work");
    const [network] = await ask<NetworkSummary[]>(machine, "/v1/networks");
    const port = network?.listenPort ?? 0;
    expect(await listening(machine)).toEqual([`udp 0.0.0.0:${port}`, `udp [::]:${port}`]);
    const namespaces = await machine.namespaces();
    expect(namespaces).toEqual(["n-aaa", "wh-exit", "work"]);
    for (const name of namespaces) expect(await listening(machine, name), name).toEqual([]);
    // Unix sockets that listen, by path; they are this network namespace's, whoever made them.
    const unix = (await machine.exec(["ss", "-Hlx"])).split("\n").filter((line) => line !== "");
    expect(unix.map((line) => line.trim().split(/\s+/)[4]).sort()).toEqual([
      API_SOCKET,
      expect.stringMatching(/^\/var\/run\/wireguard\/w-aaa\.sock/),
    ]);
    expect(await machine.exec(["stat", "-c", "%a %U", API_SOCKET])).toBe("660 root\n");
    // From the LAN no port of TCP answers; the node's own are tried, and those of a login.
    const client = internet.namespace;
    const [census] = internet.censuses();
    for (const tried of [22, 23, 80, 443, port]) {
      const connect = `require("net").connect(${tried}, "${census?.from}").on("connect", () => process.exit(0)).on("error", (error) => { console.log(error.code); process.exit(1); })`;
      const { code, stdout } = await client.attempt([process.execPath, "-e", connect]);
      expect([code, stdout.trim()], `port ${tried}`).toEqual([1, "ECONNREFUSED"]);
    }
  },
  180_000,
);
