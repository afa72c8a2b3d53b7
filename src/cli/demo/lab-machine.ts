/**
 * A machine of its own on this machine: a network namespace, and a mount namespace with its own /run/netns, /run/wireguard and
 * /run/wirehaul, so that names of several nodes don't meet. A holder process keeps both; `Lab` removes all of it.
 */
import { join } from "node:path";
import {
  attempt,
  type Background,
  type Finished,
  type RunOptions,
  run,
  until,
} from "../../control/linux/command.ts";
import { ROOT } from "./implementations.ts";
import type { Lab, Namespace } from "./lab.ts";

const OWN = ["/run/netns", "/run/wireguard", "/run/wirehaul"];
const PROGRAM = join(ROOT, "bin", "wirehaul");
/** As src/control/api/client.ts has it: in the machine's own /run. */
const SERVING = "serving /run/wirehaul/api.sock";

/** An object of `ip -j`, as far as it is looked at. */
export interface IpRow {
  readonly ifname: string;
  readonly ifindex: number;
  readonly address: string;
  readonly mtu: number;
  readonly flags: readonly string[];
  readonly ifalias?: string;
  readonly master?: string;
  readonly linkinfo?: { readonly info_kind?: string };
  readonly addr_info?: readonly { readonly scope: string; readonly local: string }[];
  readonly dst?: string;
  readonly gateway?: string;
  readonly name?: string;
}

/** What starts a machine; made by {@link powerOn}. */
export interface Power {
  readonly lab: Lab;
  readonly label: string;
  readonly host: Namespace;
  readonly holder: Background;
}

export async function powerOn(lab: Lab, label: string): Promise<Power> {
  const host = await lab.namespace(label);
  return { lab, label, host, holder: await hold(host) };
}

export class LabMachine {
  readonly lab: Lab;
  readonly label: string;
  readonly host: Namespace;
  /** Where its node's state is: its disk. */
  readonly folder: string;
  /** Variables of programs that are started from now on, beside those of this process. */
  environment: Readonly<Record<string, string>> = {};
  #holder: Background;

  constructor({ lab, label, host, holder }: Power) {
    this.lab = lab;
    this.label = label;
    this.host = host;
    this.#holder = holder;
    this.folder = join(lab.folder, `state-${label}`);
  }

  /** A command line that runs in the machine, or in one of its own namespaces. */
  command(command: readonly string[], namespace?: string): string[] {
    const inside = namespace === undefined ? [] : ["ip", "netns", "exec", namespace];
    const settings = Object.entries(this.environment).map(([name, value]) => `${name}=${value}`);
    // Not those of the programs that lead there.
    const program = settings.length === 0 ? command : ["env", ...settings, ...command];
    return ["nsenter", "-t", `${this.#holder.pid}`, "-m", "-n", "--", ...inside, ...program];
  }

  /** A path of the machine's own, as it is called from outside. */
  pathOf(inside: string): string {
    return join(`/proc/${this.#holder.pid}/root`, inside);
  }

  async exec(
    command: readonly string[],
    namespace?: string,
    options: RunOptions = {},
  ): Promise<string> {
    return await run(this.command(command, namespace), options);
  }

  async attempt(
    command: readonly string[],
    namespace?: string,
    options: RunOptions = {},
  ): Promise<Finished> {
    return await attempt(this.command(command, namespace), options);
  }

  spawn(command: readonly string[], namespace?: string): Background {
    return this.lab.spawn(this.command(command, namespace));
  }

  /** Starts `wirehaul ARGS`. */
  spawnWirehaul(args: readonly string[]): Background {
    return this.spawn([process.execPath, PROGRAM, ...args]);
  }

  /** Runs `wirehaul ARGS` to its end, as a user of this machine. */
  async wirehaul(
    args: readonly string[],
    input = "",
    environment: Readonly<Record<string, string>> = {},
  ): Promise<string> {
    return await this.exec([process.execPath, PROGRAM, ...args], undefined, { input, environment });
  }

  /** Starts `wirehaul node run` and waits until its API serves. */
  async runNode(args: readonly string[] = [], limitMs = 60_000): Promise<Background> {
    const node = this.spawnWirehaul(["node", "run", "--state", this.folder, ...args]);
    await node.waitFor(SERVING, limitMs);
    return node;
  }

  /** A power cut: nothing is left but the disk and the cables named. Programs in the machine are the caller's to end before. */
  async reboot(cables: readonly string[]): Promise<void> {
    await this.#holder.stop(0);
    const list = JSON.parse(await this.host.exec(["ip", "-j", "link", "show"])) as IpRow[];
    for (const { ifname } of list) {
      if (ifname === "lo" || cables.includes(ifname)) continue;
      // The far end of a cable may have gone with its twin, or its namespace.
      await this.host.attempt(["ip", "link", "delete", "dev", ifname]);
    }
    await this.host.exec(["nft", "flush", "ruleset"]);
    this.#holder = await hold(this.host);
  }

  /** Runs `ip -j ARGS`. */
  async ip(args: string): Promise<IpRow[]> {
    const text = await this.exec(["ip", "-j", ...args.split(" ")]);
    return text.trim() === "" ? [] : (JSON.parse(text) as IpRow[]);
  }

  /** Names of the namespaces on this machine. */
  async namespaces(): Promise<string[]> {
    return (await this.ip("netns list")).map(({ name = "" }) => name).sort();
  }

  /** Names of links in the host's namespace. */
  async links(): Promise<string[]> {
    return (await this.ip("link show")).map(({ ifname }) => ifname).sort();
  }

  /** True if `target` answers a ping from a namespace of this machine. */
  async reaches(target: string, namespace?: string, waitSeconds = 1): Promise<boolean> {
    const command = ["ping", "-n", "-c", "1", "-W", `${waitSeconds}`, target];
    return (await this.attempt(command, namespace)).code === 0;
  }

  /** IPv4 echo requests that have arrived in a namespace (RFC 5097's counters, /proc/net/snmp). */
  async echoes(namespace: string): Promise<number> {
    const text = await this.exec(["cat", "/proc/net/snmp"], namespace);
    const [names = [], values = []] = text
      .split("\n")
      .filter((line) => line.startsWith("Icmp:"))
      .map((line) => line.split(" "));
    return Number(values[names.indexOf("InEchos")]);
  }

  async untilReaches(target: string, namespace?: string): Promise<void> {
    await until(`${this.label} ${namespace ?? ""} reaches ${target}`, () =>
      this.reaches(target, namespace),
    );
  }
}

async function hold(host: Namespace): Promise<Background> {
  const mounts = OWN.map((path) => `mkdir -p ${path} && mount -t tmpfs none ${path}`);
  const script = `${mounts.join(" && ")} && echo held && exec sleep infinity`;
  const holder = host.spawn(["unshare", "-m", "sh", "-c", script]);
  await holder.waitFor("held");
  return holder;
}
