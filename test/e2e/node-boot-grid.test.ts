/**
 * Bare NICs, and a registry that speaks `/api/v2`: nodes without an address find the Internet by DHCP, register their NICs as they are then,
 * are configured, register what has become of them, join a network and reach each other; also after a power cut without the registry.
 */
import { join } from "node:path";
import { expect } from "vitest";
import { addressOf } from "../../src/cli/demo/grid-node.ts";
import { ROOT } from "../../src/cli/demo/implementations.ts";
import { powerOn } from "../../src/cli/demo/lab-machine.ts";
import { type Background, run, until } from "../../src/control/linux/command.ts";
import type { Nic } from "../../src/control/model/nic.ts";
import type { AgentStatus } from "../../src/control/node/agent.ts";
import type { NetworkSummary } from "../../src/control/node/view.ts";
import {
  Identity,
  type NetworkDetails,
  type NodeDetails,
} from "../../src/control/registry/client.ts";
import { BootMachine, Internet, REGISTRY4, REGISTRY6 } from "./harness/boot-machine.ts";
import { PROGRAM } from "./harness/grid.ts";
import { labTest } from "./harness/lab-test.ts";

const URL = `http://${REGISTRY4}:8480`;
/** Probes of NICs, DHCP, and a look for the registry after half a minute at most. */
const BOOT_MS = 120_000;

/** As a program that asks the registry: what it has of a node. */
const CLIENT = join(ROOT, "dist", "src", "control", "registry", "client.js");
const SHOW = `
import { readFileSync } from "node:fs";
const [client, url, key, id] = process.argv.slice(1);
const { Identity, RegistryClient } = await import(client);
const identity = Identity.parse(readFileSync(key, "utf8"));
process.stdout.write(JSON.stringify(await new RegistryClient({ url, identity }).node(id)));
`;

class BareNode extends BootMachine {
  #run: Background | undefined;

  async boot(token?: string): Promise<void> {
    const joining = token === undefined ? [] : ["--join-token-file", token];
    this.#run = await this.runNode([
      ...["--registry", URL, "--farm", "1", "--name", this.label, ...joining],
      ...["--responders", `${REGISTRY4}:3479,[${REGISTRY6}]:3479`],
      ...["--nic-kinds", "veth", "--nic-names", "eth*"],
    ]);
  }

  async cutPower(cables: readonly string[]): Promise<void> {
    this.#run?.signal("SIGKILL");
    await this.#run?.ended;
    await this.reboot(cables);
  }

  async agent(): Promise<AgentStatus> {
    return JSON.parse(await this.wirehaul(["node", "status", "--json"])) as AgentStatus;
  }

  async untilAgent(what: string, isSo: (status: AgentStatus) => boolean): Promise<AgentStatus> {
    let last: AgentStatus | undefined;
    return await until(
      `${this.label} ${what}`,
      async () => {
        last = await this.agent();
        return isSo(last) ? last : undefined;
      },
      BOOT_MS,
      250,
    ).catch((error: Error) => {
      throw new Error(
        `${error.message}: ${JSON.stringify(last)} ${this.#run?.output.slice(-2_000)}`,
      );
    });
  }

  async untilIn(): Promise<AgentStatus> {
    return await this.untilAgent(
      "is in the grid",
      ({ boot, grid, isCensusPublished, reachability }) =>
        boot?.state === "online" &&
        grid?.state === "approved" &&
        grid.lag === 0 &&
        isCensusPublished &&
        reachability?.ipv4.verdict === "public",
    );
  }

  async untilNetwork(id: string): Promise<NetworkSummary> {
    return await until(`${this.label} has network ${id}`, async () => {
      const text = await this.wirehaul(["network", "show", "--local", "--json"]);
      const all = JSON.parse(text) as NetworkSummary[];
      return all.find((network) => network.id === id && network.problem === null);
    });
  }

  async attach(network: NetworkDetails, node: string): Promise<void> {
    const workload = {
      kind: "join",
      id: "w",
      namespace: "work",
      addresses: [addressOf(network, node)],
    };
    await this.wirehaul(
      ["network", "attach", network.id, "-", "--local"],
      JSON.stringify(workload),
    );
  }
}

labTest(
  "two bare machines become nodes of a grid, and peers; one of them is given another NIC for its tunnels",
  async (lab) => {
    const internet = await Internet.make(lab);
    const forwarding = ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"];
    await internet.namespace.exec(["sysctl", "-q", "-w", ...forwarding]);
    const one = new BareNode(await powerOn(lab, "one"));
    const two = new BareNode(await powerOn(lab, "two"));
    await one.plug("eth0", await internet.router(1));
    await one.plug("eth1", await internet.router(3, { dhcp: false }));
    await two.plug("eth0", await internet.router(2));
    const admin = Identity.generate();
    const key = lab.file("admin.pem", admin.secretPem());
    const startRegistry = async (): Promise<Background> => {
      const registry = internet.namespace.spawn([
        ...[process.execPath, PROGRAM, "registry", "run", "--data", join(lab.folder, "db")],
        ...["--listen", "0.0.0.0:8480", "--admin", `root=${admin.keyId}`, "--respond", "3479"],
      ]);
      await registry.waitFor("serving http", 60_000);
      return registry;
    };
    const ask = async <Answer>(...args: readonly string[]): Promise<Answer> => {
      const flags = ["--registry", URL, "--key", key, "--json"];
      const command = internet.namespace.command([process.execPath, PROGRAM, ...args, ...flags]);
      const text = await run(command);
      return (text === "" ? undefined : JSON.parse(text)) as Answer;
    };
    const tokenFile = async (): Promise<string> => {
      const { token } = await ask<{ token: string }>("registry", "token", "add", "1");
      return lab.file(`token-${Math.random()}`, `${token}\n`);
    };
    const nodeOf = async (id: string): Promise<NodeDetails> => {
      const program = [process.execPath, "--input-type=module", "-e", SHOW, CLIENT, URL, key, id];
      return JSON.parse(await internet.namespace.exec(program)) as NodeDetails;
    };
    const nicsOf = async (id: string): Promise<readonly Nic[]> => (await nodeOf(id)).census ?? [];

    // Nobody answers: it has no address of its own, and says what it waits for.
    let registry = await startRegistry();
    await ask("registry", "farm", "add", "farm");
    const [first, second] = [await tokenFile(), await tokenFile()];
    await registry.stop();
    expect(await one.addresses("eth0")).toEqual([]);
    await one.boot(first);
    await two.boot(second);
    const waiting = await one.untilAgent(
      "looks for the registry",
      ({ boot }) => boot?.state !== "online" && boot?.why.includes(REGISTRY4) === true,
    );
    expect(waiting).toMatchObject({ isCensusPublished: false, grid: { state: "unregistered" } });

    registry = await startRegistry();
    const ids = [await one.untilIn(), await two.untilIn()].map(({ grid }) => grid?.node ?? "");
    const [oneId = "", twoId = ""] = ids;
    // Phase one: the NICs as they were found; the uplink's address is the bridge's.
    const find = (nics: readonly Nic[], name: string): Nic | undefined =>
      nics.find((nic) => nic.name === name);
    const bare = await nicsOf(oneId);
    expect(find(bare, "zos")?.addresses).toContainEqual(
      expect.stringMatching(/^10\.1\.0\.\d+\/24$/),
    );
    expect(find(bare, "eth0")?.bridge).toBe("zos");
    expect(find(bare, "eth1")?.addresses).toEqual([]);
    expect((await nodeOf(oneId)).reachability?.v4).toEqual({
      ...{ kind: "public", addresses: [expect.stringMatching(/^10\.1\.0\./)] },
    });

    // A network: it is made, and carries, over the NICs as they are.
    const network = await ask<NetworkDetails>(
      ...["network", "create", "net", "--cidr", "10.60.0.0/16", "--nodes", ids.join(",")],
    );
    for (const [at, machine] of [one, two].entries()) {
      await machine.untilNetwork(network.id);
      await machine.attach(network, ids[at]!);
    }
    const [atOne, atTwo] = [addressOf(network, oneId), addressOf(network, twoId)];
    await one.untilReaches(atTwo, "work");
    await two.untilReaches(atOne, "work");

    // Phase two: the other NIC is for tunnels, with an address that nobody gives it.
    const overlay = {
      nic: "eth1",
      roles: ["overlay"],
      addresses: ["10.3.0.50/24"],
      gateways: ["10.3.0.1"],
    };
    const management = { nic: "eth0", roles: ["management"] };
    await one.wirehaul(
      ["node", "config", "put", "-"],
      JSON.stringify({ revision: 1, nics: [management, overlay] }),
    );
    await one.untilAgent(
      "is configured",
      ({ configuration }) =>
        configuration?.state === "applied" && configuration.config.revision === 1,
    );
    await until(
      "the registry has what has become of it",
      async () => {
        const { v4 } = (await nodeOf(oneId)).reachability ?? {};
        return v4?.kind === "public" && v4.addresses.includes("10.3.0.50");
      },
      BOOT_MS,
      500,
    );
    await two.untilReaches(atOne, "work");
    await until(
      "tunnels leave by that NIC",
      async () => (await two.exec(["wg", "show"], `n-${network.id}`)).includes("10.3.0.50:"),
      BOOT_MS,
      250,
    );

    // A power cut at both, and no registry: addresses, tunnels and workloads come back by themselves.
    await registry.stop();
    await one.cutPower(["eth0", "eth1"]);
    await two.cutPower(["eth0"]);
    await one.boot();
    await two.boot();
    for (const machine of [one, two]) await machine.untilNetwork(network.id);
    await until("one reaches two", () => one.reaches(atTwo, "work"), BOOT_MS);
    await until("two reaches one", () => two.reaches(atOne, "work"), BOOT_MS);
    await startRegistry();
    for (const machine of [one, two]) await machine.untilIn();
  },
  600_000,
);
