/** A node of a grid on a machine of its own, at one of the places of `grid-sites.ts`; it takes its networks from the registry there. */
import { type Background, until } from "../../control/linux/command.ts";
import type { AgentStatus } from "../../control/node/agent.ts";
import type { NetworkSummary } from "../../control/node/view.ts";
import type { NetworkDetails } from "../../control/registry/client.ts";
import { nodeFlags, type Place, UPLINK } from "./grid-sites.ts";
import { LabMachine, type Power } from "./lab-machine.ts";

/** A farm's number in an empty registry. */
export const FARM = "1";
/** Reachability is measured for some seconds, and a node that was away asks again after half a minute. */
const READY_MS = 90_000;
const START_MS = 60_000;
/** More than it takes; a node that never ends is to be told as that. */
const END_MS = 30_000;
/** The fifth address of a subnet. */
const WORKLOAD_HOST = 5;

export class GridNode extends LabMachine {
  readonly place: Place;
  /** The file with the CA that it trusts, of a registry that speaks TLS; for the next start. */
  ca: string | undefined;
  id = "";
  #node: Background | undefined;

  constructor(power: Power, place: Place, ca?: string) {
    super(power);
    this.place = place;
    this.ca = ca;
  }

  get output(): string {
    return this.#node?.output ?? "";
  }

  /** Of `wirehaul node run`, which has been started. */
  get pid(): number {
    if (this.#node === undefined) throw new Error(`${this.label} has not been started`);
    return this.#node.pid;
  }

  /** Of `wirehaul node run --state FOLDER`. Its NICs are left alone. */
  flags(tokenFile?: string): string[] {
    const token = tokenFile === undefined ? [] : ["--join-token-file", tokenFile];
    return [...nodeFlags(this.place, this.ca), "--farm", FARM, "--name", this.label, ...token];
  }

  /** With the file of a token, or it waits for approval when it has not joined yet. */
  async start(tokenFile?: string): Promise<void> {
    this.#node = await this.runNode(this.flags(tokenFile), START_MS);
    this.id = (await this.grid()).node;
  }

  async end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    this.#node?.signal(signal);
    const hasEnded = (): boolean => this.#node?.isRunning !== true;
    await until(`${this.label} has ended`, hasEnded, END_MS).catch((error: Error) => {
      throw new Error(`${error.message}: ${this.output}`);
    });
  }

  /** A power cut, and power again. The node is not started. */
  async cutPower(): Promise<void> {
    await this.end("SIGKILL");
    await this.reboot([UPLINK]);
  }

  async status(): Promise<AgentStatus> {
    return JSON.parse(await this.wirehaul(["node", "status", "--json"])) as AgentStatus;
  }

  async grid(): Promise<NonNullable<AgentStatus["grid"]>> {
    const { grid } = await this.status();
    if (grid === null) throw new Error(`${this.label} has no grid`);
    return grid;
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
          grid.problems.length === 0 &&
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

  async networks(): Promise<NetworkSummary[]> {
    const text = await this.wirehaul(["network", "show", "--local", "--json"]);
    return JSON.parse(text) as NetworkSummary[];
  }

  async untilNetwork(id: string): Promise<NetworkSummary> {
    return await until(
      `${this.label} has network ${id}`,
      async () =>
        (await this.networks()).find((network) => network.id === id && network.problem === null),
      START_MS,
    );
  }

  /** A workload of a tenant in a namespace that the node makes, as soon as the network is there. */
  async attach(network: NetworkDetails): Promise<void> {
    await until(
      `${this.label} has ${network.name}`,
      async () => (await this.namespaces()).includes(`n-${network.id}`),
      START_MS,
      250,
    );
    await this.wirehaul(attachArguments(network), this.workloadText(network));
  }

  /** What `wirehaul network attach` reads of the workload. */
  workloadText(network: NetworkDetails): string {
    return JSON.stringify({
      ...{ kind: "join", id: "w", namespace: workloadName(network) },
      addresses: [addressOf(network, this.id)],
    });
  }

  /** Public keys of its peers in a network. */
  async peers(id: string): Promise<string[]> {
    const text = await this.exec(["wg", "show", `w-${id}`, "peers"], `n-${id}`);
    return text.split("\n").filter((line) => line !== "");
  }
}

export function attachArguments({ name }: NetworkDetails): string[] {
  return ["network", "attach", name, "-", "--local"];
}

export function workloadName({ name }: NetworkDetails): string {
  return `work-${name}`;
}

/** Of the workload of a network on a node. */
export function addressOf({ members }: NetworkDetails, node: string): string {
  const { subnet = "" } = members.find((member) => member.node === node) ?? {};
  return subnet.replace(/0\/\d+$/, `${WORKLOAD_HOST}`);
}
