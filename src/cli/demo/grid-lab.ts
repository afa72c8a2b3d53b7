/**
 * A grid as it runs, on the sites of `grid-sites.ts`: a registry with a responder and six nodes that take their networks from it. Everything
 * is done by the commands that operators, farmers and users have.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Background } from "../../control/linux/command.ts";
import { until } from "../../control/linux/command.ts";
import type { AgentStatus } from "../../control/node/agent.ts";
import { Identity, type NetworkDetails } from "../../control/registry/client.ts";
import {
  type GridSites,
  makeSites,
  nodeFlags,
  type Place,
  REGISTRY_FLAGS,
  registryUrl,
  UPLINK,
} from "./grid-sites.ts";
import type { Lab } from "./lab.ts";
import { LabMachine, type Power } from "./lab-machine.ts";

/** A farm's number in an empty registry. */
const FARM = "1";
/** Reachability is measured for some seconds, and a node that was away asks again after half a minute. */
const READY_MS = 90_000;
const START_MS = 60_000;
/** The fifth address of a subnet. */
const WORKLOAD_HOST = 5;

/** One of the three who have networks: signs by a key of their own. */
export interface Person {
  readonly name: string;
  readonly keyFile: string;
}

export class GridNode extends LabMachine {
  readonly place: Place;
  id = "";
  #node: Background | undefined;

  constructor(power: Power, place: Place) {
    super(power);
    this.place = place;
  }

  get output(): string {
    return this.#node?.output ?? "";
  }

  /** `wirehaul node run`; with the file of a token when it has not joined yet. */
  async start(tokenFile?: string): Promise<void> {
    const token = tokenFile === undefined ? [] : ["--join-token-file", tokenFile];
    const args = [...nodeFlags(this.place), "--farm", FARM, "--name", this.label, ...token];
    this.#node = await this.runNode(args, START_MS);
    this.id = (await this.status()).grid?.node ?? "";
  }

  async end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    this.#node?.signal(signal);
    await this.#node?.ended;
  }

  /** A power cut, and power again. The node is not started. */
  async cutPower(): Promise<void> {
    await this.end("SIGKILL");
    await this.reboot([UPLINK]);
  }

  async status(): Promise<AgentStatus> {
    return JSON.parse(await this.wirehaul(["node", "status", "--json"])) as AgentStatus;
  }

  /** In the grid, up to date, and the registry knows where it stands. */
  async untilReady(): Promise<void> {
    let last: AgentStatus | undefined;
    const isKnown = (verdict: string | undefined): boolean =>
      verdict === "public" || verdict === "hidden";
    await until(
      `${this.label} takes part`,
      async () => {
        last = await this.status();
        const { grid, isCensusPublished, reachability } = last;
        const { ipv4, ipv6 } = reachability ?? {};
        return (
          grid?.state === "approved" &&
          grid.lag === 0 &&
          isCensusPublished &&
          isKnown(ipv6?.verdict) &&
          (!this.place.hasV4 || isKnown(ipv4?.verdict))
        );
      },
      READY_MS,
      250,
    ).catch((error: Error) => {
      const { grid, reachability } = last ?? {};
      throw new Error(`${error.message}: ${JSON.stringify({ grid, reachability })}`);
    });
  }

  /** A workload of a tenant in a namespace that the node makes, as soon as the network is there. */
  async attach(network: NetworkDetails): Promise<void> {
    await until(
      `${this.label} has ${network.name}`,
      async () => (await this.namespaces()).includes(`n-${network.id}`),
      START_MS,
      250,
    );
    const workload = {
      ...{ kind: "join", id: "w", namespace: workloadName(network) },
      addresses: [addressOf(network, this.id)],
    };
    const args = ["network", "attach", network.id, "-", "--local"];
    await this.wirehaul(args, JSON.stringify(workload));
  }
}

export class GridLab {
  readonly lab: Lab;
  readonly sites: GridSites<GridNode>;
  readonly #admin: Person;
  readonly #adminKey: string;
  #registry: Background | undefined;

  private constructor(lab: Lab, sites: GridSites<GridNode>) {
    this.lab = lab;
    this.sites = sites;
    const { person, keyId } = this.#makePerson("root");
    this.#admin = person;
    this.#adminKey = keyId;
  }

  get nodes(): readonly GridNode[] {
    return this.sites.nodes;
  }

  node(label: string): GridNode {
    const found = this.nodes.find((node) => node.label === label);
    if (found === undefined) throw new Error(`there is no node ${label}`);
    return found;
  }

  /** Registry and nodes run, all are in the grid. */
  static async make(lab: Lab, tell: (text: string) => void): Promise<GridLab> {
    tell("sites: six nodes, two NATs, a firewall, a registry, a guest");
    const sites = await makeSites(
      lab,
      (power, place) => new GridNode(power, place),
      (power) => new LabMachine(power),
    );
    const grid = new GridLab(lab, sites);
    tell("wirehaul registry run");
    await grid.startRegistry();
    await grid.asAdmin("farm", "add", "demo farm");
    tell("wirehaul node run on six machines");
    await Promise.all(grid.nodes.map(async (node) => await node.start(await grid.#token(node))));
    await Promise.all(grid.nodes.map((node) => node.untilReady()));
    return grid;
  }

  async startRegistry(): Promise<void> {
    this.#registry = this.sites.registry.spawnWirehaul([
      ...["registry", "run", "--data", join(this.lab.folder, "registry")],
      ...["--admin", `root=${this.#adminKey}`, ...REGISTRY_FLAGS],
    ]);
    await this.#registry.waitFor("serving http", START_MS);
  }

  async stopRegistry(): Promise<void> {
    await this.#registry?.stop();
  }

  /** Runs `wirehaul registry ARGS`. */
  async asAdmin<Answer>(...args: readonly string[]): Promise<Answer> {
    return await this.ask(this.#admin, "registry", ...args);
  }

  /** Runs `wirehaul ARGS` as a person, at the registry's machine. */
  async ask<Answer>({ keyFile }: Person, ...args: readonly string[]): Promise<Answer> {
    const text = await this.sites.registry.wirehaul([...args, ...this.flags(keyFile), "--json"]);
    return (text === "" ? undefined : JSON.parse(text)) as Answer;
  }

  flags(keyFile: string): string[] {
    return ["--registry", registryUrl({ hasV4: true }), "--key", keyFile];
  }

  /** A user of the grid. */
  async person(name: string): Promise<Person> {
    const { person, keyId } = this.#makePerson(name);
    await this.asAdmin("user", "add", name, keyId);
    return person;
  }

  /** A network of a person's over all nodes, with a workload on each. */
  async network(person: Person, cidr: string): Promise<NetworkDetails> {
    const nodes = this.nodes.map(({ id }) => id).join(",");
    const args = ["network", "create", person.name, "--cidr", cidr, "--nodes", nodes];
    const network = await this.ask<NetworkDetails>(person, ...args);
    await Promise.all(this.nodes.map((node) => node.attach(network)));
    return network;
  }

  #makePerson(name: string): { readonly person: Person; readonly keyId: string } {
    const identity = Identity.generate();
    const keyFile = join(this.lab.folder, `${name}.pem`);
    writeFileSync(keyFile, identity.secretPem(), { mode: 0o600 });
    return { person: { name, keyFile }, keyId: identity.keyId };
  }

  async #token(node: GridNode): Promise<string> {
    const { token } = await this.asAdmin<{ readonly token: string }>("token", "add", FARM);
    const file = join(this.lab.folder, `token-${node.label}`);
    writeFileSync(file, `${token}\n`, { mode: 0o600 });
    return file;
  }
}

export function workloadName({ name }: NetworkDetails): string {
  return `work-${name}`;
}

/** Of the workload of a network on a node. */
export function addressOf({ members }: NetworkDetails, node: string): string {
  const { subnet = "" } = members.find((member) => member.node === node) ?? {};
  return subnet.replace(/0\/\d+$/, `${WORKLOAD_HOST}`);
}
