/**
 * A grid of machines: a router between sites; a machine with the registry (PGlite) and a responder; nodes that take their networks from the
 * registry. People ask it by the command line, as they would.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { ROOT } from "../../../src/cli/demo/implementations.ts";
import type { Lab, Namespace } from "../../../src/cli/demo/lab.ts";
import { LabMachine, powerOn } from "../../../src/cli/demo/lab-machine.ts";
import { type Background, until } from "../../../src/control/linux/command.ts";
import type { AgentStatus } from "../../../src/control/node/agent.ts";
import type { NetworkSummary } from "../../../src/control/node/view.ts";
import { Identity, type NetworkDetails } from "../../../src/control/registry/client.ts";
import type { Certificate } from "./certificate.ts";
import { PROGRAM } from "./grid.ts";
import { connect, makeRouter } from "./router.ts";

/** Of the machine with net number 3 (connect). */
export const REGISTRY = "10.3.0.2";
export const REGISTRY_URL: string = `http://${REGISTRY}:8480`;
const CLIENT = pathToFileURL(join(ROOT, "dist/src/control/registry/client.js")).href;
const TLS_URL = `https://${REGISTRY}:8480`;
const RESPONDERS = `${REGISTRY}:3479,[2001:db8:3::2]:3479`;
/** A node asks again after half a minute at most, with jitter. */
const BACK_MS = 60_000;
/** More than it takes; a node that never ends is to be told as that. */
const END_MS = 30_000;

export class GridMachines {
  readonly farm: number;
  /** Flags of who asks it. */
  readonly registry: readonly string[];
  readonly #lab: Lab;
  readonly #tls: Certificate | undefined;
  readonly #router: Namespace;
  readonly #machine: LabMachine;
  readonly #flags: readonly string[];
  readonly #admin: Identity;
  #registry: Background | undefined;

  private constructor(
    lab: Lab,
    router: Namespace,
    machine: LabMachine,
    admin: { readonly identity: Identity; readonly file: string; readonly farm: number },
    tls: Certificate | undefined,
  ) {
    this.#tls = tls;
    this.#lab = lab;
    this.#router = router;
    this.#machine = machine;
    this.#admin = admin.identity;
    this.registry =
      tls === undefined
        ? ["--registry", REGISTRY_URL]
        : ["--registry", TLS_URL, "--registry-ca", tls.ca];
    this.#flags = [...this.registry, "--key", admin.file, "--json"];
    this.farm = admin.farm;
  }

  /** `tls`: the registry's certificate, its key, and who signed it. */
  static async make(lab: Lab, tls?: Certificate): Promise<GridMachines> {
    const router = await makeRouter(lab, "net");
    const machine = new LabMachine(await powerOn(lab, "re"));
    await connect(lab, { router, namespace: machine.host, label: "r", net: 3 });
    const responder = await machine.runNode(["--respond", "3479"]);
    await responder.waitFor("answers at UDP port 3479");
    const identity = Identity.generate();
    const file = join(lab.folder, "admin.pem");
    writeFileSync(file, identity.secretPem(), { mode: 0o600 });
    // The first farm of an empty registry.
    const machines = new GridMachines(lab, router, machine, { identity, file, farm: 1 }, tls);
    await machines.startRegistry();
    await machines.ask("farm", "add", "farm");
    return machines;
  }

  async startRegistry(): Promise<void> {
    this.#registry = this.#machine.spawn([
      ...[process.execPath, PROGRAM, "registry", "run", "--data", join(this.#lab.folder, "db")],
      ...["--listen", `${REGISTRY}:8480`, "--admin", `root=${this.#admin.keyId}`],
      ...(this.#tls === undefined
        ? []
        : ["--tls-cert", this.#tls.certificate, "--tls-key", this.#tls.key]),
    ]);
    await this.#registry.waitFor("serving http", 60_000);
  }

  async stopRegistry(): Promise<void> {
    await this.#registry?.stop();
  }

  /** Runs `wirehaul ARGS` as the admin: `network` and `explain` as they are, all else of `registry`. */
  async ask<Answer>(...args: readonly string[]): Promise<Answer> {
    const isOfUsers = args[0] === "network" || args[0] === "explain";
    const program = isOfUsers ? args : ["registry", ...args];
    const text = await this.#machine.wirehaul([...program, ...this.#flags]);
    return (text === "" ? undefined : JSON.parse(text)) as Answer;
  }

  /** Seals a private key for a node, and brings it as the admin: what has no command. */
  async bringKey(
    network: string,
    node: string,
    privateKey: string,
    sealedFor: string = node,
  ): Promise<void> {
    const brought = { network, node, sealedFor, privateKey, url: REGISTRY_URL };
    const input = JSON.stringify({ ...brought, pem: this.#admin.secretPem() });
    const script = `
      import { readFileSync } from "node:fs";
      import { Identity, RegistryClient, sealKey } from ${JSON.stringify(CLIENT)};
      const { network, node, sealedFor, privateKey, url, pem } = JSON.parse(readFileSync(0, "utf8"));
      const client = new RegistryClient({ url, identity: Identity.parse(pem) });
      const { box } = sealKey(privateKey, { network, node: sealedFor });
      const { publicKey } = sealKey(privateKey, { network, node });
      await client.bringKey(network, node, { publicKey, box });`;
    const command = [process.execPath, "--input-type=module", "-e", script];
    await this.#machine.exec(command, undefined, { input });
  }

  async createNetwork(
    name: string,
    cidr: string,
    nodes: readonly GridMachine[],
  ): Promise<NetworkDetails> {
    const ids = nodes.map(({ id }) => id).join(",");
    return await this.ask("network", "create", name, "--cidr", cidr, "--nodes", ids);
  }

  /** A machine in a site of its own: 10.NET.0.2. */
  async machine(label: string, net: number): Promise<GridMachine> {
    const power = await powerOn(this.#lab, label);
    const { host: namespace } = power;
    const { cable } = await connect(this.#lab, { router: this.#router, namespace, label, net });
    const made = new GridMachine(power, cable);
    made.registry = this.registry;
    return made;
  }

  /** The file with a token of the farm. */
  async token(): Promise<string> {
    const { token } = await this.ask<{ readonly token: string }>("token", "add", `${this.farm}`);
    const file = join(this.#lab.folder, `token-${Math.random()}`);
    writeFileSync(file, `${token}\n`, { mode: 0o600 });
    return file;
  }
}

export class GridMachine extends LabMachine {
  readonly cable: string;
  /** Of its programs. */
  environment: Readonly<Record<string, string>> = {};
  registry: readonly string[] = ["--registry", REGISTRY_URL];
  id = "";
  #node: Background | undefined;

  constructor(power: Awaited<ReturnType<typeof powerOn>>, cable: string) {
    super(power);
    this.cable = cable;
  }

  override command(command: readonly string[], namespace?: string): string[] {
    const settings = Object.entries(this.environment).map(([name, value]) => `${name}=${value}`);
    return super.command(
      settings.length === 0 ? command : ["env", ...settings, ...command],
      namespace,
    );
  }

  /** Its NICs are left alone. */
  async join(farm: number, ...flags: readonly string[]): Promise<void> {
    this.#node = await this.runNode([
      ...[...this.registry, "--farm", `${farm}`, "--uplink", "none"],
      ...["--responders", RESPONDERS, "--nic-kinds", "veth", ...flags],
    ]);
    this.id = (await this.grid()).node;
  }

  get output(): string {
    return this.#node?.output ?? "";
  }

  /** Of `wirehaul node run`. */
  get pid(): number {
    return this.#node?.pid ?? 0;
  }

  async end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    this.#node?.signal(signal);
    const limit = AbortSignal.timeout(END_MS);
    const late = new Promise<never>((_resolve, reject) => {
      limit.addEventListener("abort", () =>
        reject(new Error(`${this.label} does not end: ${this.output}`)),
      );
    });
    await Promise.race([this.#node?.ended, late]);
  }

  async status(): Promise<AgentStatus> {
    return JSON.parse(await this.wirehaul(["node", "status", "--json"])) as AgentStatus;
  }

  async grid(): Promise<NonNullable<AgentStatus["grid"]>> {
    const { grid } = await this.status();
    if (grid === null) throw new Error(`${this.label} has no grid`);
    return grid;
  }

  /** In the grid, up to date, and what it has published has arrived. */
  async untilReady(): Promise<void> {
    let last: unknown;
    await until(
      `${this.label} takes part`,
      async () => {
        const { grid, isCensusPublished, reachability } = await this.status();
        last = grid;
        return (
          grid?.state === "approved" &&
          grid.lag === 0 &&
          grid.problems.length === 0 &&
          isCensusPublished &&
          reachability?.ipv4.verdict === "public"
        );
      },
      BACK_MS,
      200,
    ).catch((error: Error) => {
      throw new Error(`${error.message}: ${JSON.stringify(last)}`);
    });
  }

  async networks(): Promise<NetworkSummary[]> {
    const text = await this.wirehaul(["network", "show", "--local", "--json"]);
    return JSON.parse(text) as NetworkSummary[];
  }

  async untilNetwork(id: string): Promise<NetworkSummary> {
    return await until(`${this.label} has network ${id}`, async () =>
      (await this.networks()).find((network) => network.id === id && network.problem === null),
    );
  }

  /** A workload with the fifth address of the node's subnet, in a namespace of its own. */
  async attach({ id, members }: NetworkDetails): Promise<void> {
    const workload = {
      ...{ kind: "join", id: "w", namespace: `work-${id}` },
      addresses: [addressIn(members, this.id)],
    };
    const input = JSON.stringify(workload);
    await this.wirehaul(["network", "attach", id, "-", "--local"], input);
  }

  /** Public keys of its peers in a network. */
  async peers(id: string): Promise<string[]> {
    const text = await this.exec(["wg", "show", `w-${id}`, "peers"], `n-${id}`);
    return text.split("\n").filter((line) => line !== "");
  }
}

/** The address of the workload that a node has there. */
export function addressIn(members: NetworkDetails["members"], node: string): string {
  const { subnet = "" } = members.find((member) => member.node === node) ?? {};
  return subnet.replace(/0\/\d+$/, "5");
}
