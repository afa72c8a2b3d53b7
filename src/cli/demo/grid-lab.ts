/**
 * A grid as it runs, on the sites of `grid-sites.ts`: a registry with a responder and nodes that take their networks from it. Everything is
 * done by the commands that operators, farmers and users have; who looks on is told them as they are run.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Background } from "../../control/linux/command.ts";
import { Identity, type NetworkDetails } from "../../control/registry/client.ts";
import { attachArguments, FARM, GridNode } from "./grid-node.ts";
import {
  type GridSites,
  makeSites,
  PLACES,
  type Place,
  REGISTRY_FLAGS,
  registryUrl,
} from "./grid-sites.ts";
import type { Lab } from "./lab.ts";
import { LabMachine } from "./lab-machine.ts";

const START_MS = 60_000;

/** Who signs by a key of their own. */
export interface Person {
  readonly name: string;
  readonly keyFile: string;
}

/** Somebody with a network. */
export interface Tenant {
  readonly person: Person;
  readonly network: NetworkDetails;
}

/** Paths of PEM files. */
export interface Certificate {
  readonly certificate: string;
  readonly key: string;
  /** Of who signed it. */
  readonly ca: string;
}

export interface GridOptions {
  readonly places?: readonly Place[];
  /** The registry's, for its IPv4 address; undefined: it speaks without TLS. */
  readonly tls?: Certificate | undefined;
  /** A command as it was typed, and where; or what goes on. */
  readonly tell?: (text: string) => void;
}

export class GridLab {
  readonly lab: Lab;
  readonly sites: GridSites<GridNode>;
  readonly admin: Person;
  readonly #adminKey: string;
  readonly #tell: (text: string) => void;
  readonly #tls: Certificate | undefined;
  #registry: Background | undefined;
  #tokens = 0;

  private constructor(
    lab: Lab,
    sites: GridSites<GridNode>,
    tell: (text: string) => void,
    tls: Certificate | undefined,
  ) {
    this.lab = lab;
    this.sites = sites;
    this.#tell = tell;
    this.#tls = tls;
    const { person, keyId } = this.#makePerson("root");
    this.admin = person;
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

  /** The registry runs and has a farm; the nodes do not run. */
  static async make(
    lab: Lab,
    { places = PLACES, tls, tell = () => undefined }: GridOptions = {},
  ): Promise<GridLab> {
    const sites = await makeSites(
      lab,
      places,
      (power, place) => new GridNode(power, place, tls?.ca),
      (power) => new LabMachine(power),
    );
    const grid = new GridLab(lab, sites, tell, tls);
    await grid.startRegistry();
    await grid.type(grid.admin, "registry", "farm", "add", "demo farm");
    return grid;
  }

  async startRegistry(): Promise<void> {
    const { certificate = "", key = "" } = this.#tls ?? {};
    const tls = this.#tls === undefined ? [] : ["--tls-cert", certificate, "--tls-key", key];
    const args = [
      ...["registry", "run", "--data", join(this.lab.folder, "registry")],
      ...["--admin", `root=${this.#adminKey}`, ...REGISTRY_FLAGS, ...tls],
    ];
    this.#show("registry", args);
    this.#registry = this.sites.registry.spawnWirehaul(args);
    await this.#registry.waitFor("serving http", START_MS);
  }

  async stopRegistry(): Promise<void> {
    await this.#registry?.stop();
  }

  /** All nodes run and are in the grid. */
  async startNodes(): Promise<void> {
    await Promise.all(this.nodes.map(async (node) => await node.start(await this.token(node))));
    await Promise.all(this.nodes.map((node) => node.untilReady()));
  }

  /** The file with a token of the farm; the node that it is for is shown as it starts. */
  async token(node?: GridNode): Promise<string> {
    this.#tokens += 1;
    const file = join(this.lab.folder, `token-${node?.label ?? this.#tokens}`);
    const args = ["registry", "token", "add", FARM];
    this.#show(this.admin.name, args, ` > ${file}`);
    if (node !== undefined) {
      this.#show(node.label, ["node", "run", "--state", node.folder, ...node.flags(file)]);
    }
    writeFileSync(file, await this.#run(this.admin, args), { mode: 0o600 });
    return file;
  }

  /** Runs `wirehaul registry ARGS`. */
  async asAdmin<Answer>(...args: readonly string[]): Promise<Answer> {
    return await this.ask(this.admin, "registry", ...args);
  }

  /** Runs `wirehaul ARGS` as a person, at the registry's machine. */
  async ask<Answer>(person: Person, ...args: readonly string[]): Promise<Answer> {
    const text = await this.#run(person, [...args, "--json"]);
    return (text === "" ? undefined : JSON.parse(text)) as Answer;
  }

  /** Runs `wirehaul ARGS` for who looks on, and returns what it printed. */
  async type(person: Person, ...args: readonly string[]): Promise<string> {
    this.#show(person.name, args);
    return await this.#run(person, args);
  }

  /** A user of the grid. */
  async person(name: string): Promise<Person> {
    const { person, keyId } = this.#makePerson(name);
    await this.type(this.admin, "registry", "user", "add", name, keyId);
    return person;
  }

  /** A network of a person's over nodes, all unless told. */
  async create(
    person: Person,
    name: string,
    cidr: string,
    nodes: readonly GridNode[] = this.nodes,
  ): Promise<NetworkDetails> {
    const labels = nodes.map(({ label }) => label).join(",");
    await this.type(person, "network", "create", name, "--cidr", cidr, "--nodes", labels);
    return await this.ask(person, "network", "show", name);
  }

  /** Of the person's name, with a workload on each node. */
  async network(person: Person, cidr: string): Promise<NetworkDetails> {
    const network = await this.create(person, person.name, cidr);
    for (const node of this.nodes) {
      const input = ` <<< '${node.workloadText(network)}'`;
      this.#show(node.label, attachArguments(network), input);
    }
    await Promise.all(this.nodes.map((node) => node.attach(network)));
    return network;
  }

  /** By which a person's commands find the registry and the key. */
  environmentOf({ keyFile }: Person): Record<string, string> {
    const { ca } = this.#tls ?? {};
    return {
      WIREHAUL_REGISTRY: registryUrl({ hasV4: true }, ca !== undefined),
      WIREHAUL_KEY: keyFile,
      ...(ca === undefined ? {} : { WIREHAUL_REGISTRY_CA: ca }),
    };
  }

  async #run(person: Person, args: readonly string[]): Promise<string> {
    return await this.sites.registry.wirehaul(args, "", this.environmentOf(person));
  }

  #show(who: string, args: readonly string[], rest = ""): void {
    this.#tell(`${who}$ ${["wirehaul", ...args].map(quoted).join(" ")}${rest}`);
  }

  #makePerson(name: string): { readonly person: Person; readonly keyId: string } {
    const identity = Identity.generate();
    const keyFile = join(this.lab.folder, `${name}.pem`);
    writeFileSync(keyFile, identity.secretPem(), { mode: 0o600 });
    return { person: { name, keyFile }, keyId: identity.keyId };
  }
}

/** As it has to be typed. */
function quoted(word: string): string {
  return /[^\w=.,:/[\]-]/.test(word) ? `'${word}'` : word;
}
