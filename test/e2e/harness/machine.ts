/**
 * A machine of its own on this machine: a network namespace, and a mount namespace with its own /run/netns, /run/wireguard and
 * /run/wirehaul, so that names of several nodes don't meet. A holder process keeps both; `Lab` removes all of it.
 */
import { createConnection } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Lab, Namespace } from "../../../src/cli/demo/lab.ts";
import {
  attempt,
  type Background,
  type Finished,
  type RunOptions,
  run,
  until,
} from "../../../src/control/linux/command.ts";

const PROGRAM = fileURLToPath(new URL("./node-program.mjs", import.meta.url));
const OWN = ["/run/netns", "/run/wireguard", "/run/wirehaul"];

export type NodeOptions = Readonly<Record<string, unknown>>;

export class Machine {
  readonly host: Namespace;
  /** Where its state is. */
  readonly folder: string;
  readonly #lab: Lab;
  readonly #label: string;
  #holder: Background;
  #node: Background | undefined;
  #starts = 0;
  #socket = "";

  private constructor(lab: Lab, label: string, host: Namespace, holder: Background) {
    this.#lab = lab;
    this.#label = label;
    this.host = host;
    this.#holder = holder;
    this.folder = join(lab.folder, `state-${label}`);
  }

  static async create(lab: Lab, label: string): Promise<Machine> {
    const host = await lab.namespace(label);
    return new Machine(lab, label, host, await hold(host));
  }

  /** A command line that runs in the machine, or in one of its own namespaces. */
  command(command: readonly string[], namespace?: string): string[] {
    const inside = namespace === undefined ? [] : ["ip", "netns", "exec", namespace];
    return ["nsenter", "-t", `${this.#holder.pid}`, "-m", "-n", ...inside, ...command];
  }

  async exec(
    command: readonly string[],
    namespace?: string,
    options: RunOptions = {},
  ): Promise<string> {
    return await run(this.command(command, namespace), options);
  }

  async attempt(command: readonly string[], namespace?: string): Promise<Finished> {
    return await attempt(this.command(command, namespace));
  }

  spawn(command: readonly string[], namespace?: string): Background {
    return this.#lab.spawn(this.command(command, namespace));
  }

  /** Starts the node and waits until it has built what is stored. */
  async start(options: NodeOptions = {}): Promise<void> {
    this.launch(options);
    await this.node.waitFor("serving", 60_000);
  }

  /** Starts the node without waiting. */
  launch(options: NodeOptions = {}): Background {
    this.#socket = join(this.#lab.folder, `${this.#label}-${this.#starts++}.sock`);
    const settings = { folder: this.folder, socket: this.#socket, ...options };
    this.#node = this.spawn([process.execPath, PROGRAM, JSON.stringify(settings)]);
    return this.#node;
  }

  get node(): Background {
    if (this.#node === undefined) throw new Error("the node was not started");
    return this.#node;
  }

  /** Calls a method of the node's `Networks`. Throws its error. */
  async call<Result>(method: string, ...args: unknown[]): Promise<Result> {
    const reply = await ask(this.#socket, JSON.stringify({ method, args }));
    if (reply.error !== undefined) throw new Error(reply.error);
    return reply.value as Result;
  }

  /** Ends the node as a power cut would; what is in the kernel stays. */
  async kill(): Promise<void> {
    this.node.signal("SIGKILL");
    await this.node.ended;
  }

  /** A power cut of the whole machine: nothing is left but its disk and the cables named. */
  async reboot(cables: readonly string[]): Promise<void> {
    if (this.#node?.isRunning) await this.kill();
    await this.#holder.stop(0);
    const list = JSON.parse(await this.host.exec(["ip", "-j", "link", "show"])) as {
      readonly ifname: string;
    }[];
    for (const { ifname } of list) {
      if (ifname === "lo" || cables.includes(ifname)) continue;
      // The far end of a cable may have gone with its twin, or its namespace.
      await this.host.attempt(["ip", "link", "delete", "dev", ifname]);
    }
    await this.host.exec(["nft", "flush", "ruleset"]);
    this.#holder = await hold(this.host);
  }

  /** Names of the namespaces on this machine. */
  async namespaces(): Promise<string[]> {
    const text = await this.exec(["ip", "-j", "netns", "list"]);
    if (text.trim() === "") return [];
    return (JSON.parse(text) as { readonly name: string }[]).map(({ name }) => name).sort();
  }

  /** Names of links in the host's namespace. */
  async links(): Promise<string[]> {
    const list = JSON.parse(await this.exec(["ip", "-j", "link", "show"])) as {
      readonly ifname: string;
    }[];
    return list.map(({ ifname }) => ifname).sort();
  }

  /** True if `target` answers a ping from a namespace of this machine. */
  async reaches(target: string, namespace?: string, waitSeconds = 1): Promise<boolean> {
    const command = ["ping", "-n", "-c", "1", "-W", `${waitSeconds}`, target];
    return (await this.attempt(command, namespace)).code === 0;
  }

  async untilReaches(target: string, namespace?: string): Promise<void> {
    await until(`${this.#label} ${namespace ?? ""} reaches ${target}`, () =>
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

interface Reply {
  readonly value?: unknown;
  readonly error?: string;
}

function ask(path: string, line: string): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const connection = createConnection(path);
    let text = "";
    connection.setEncoding("utf8");
    connection.on("data", (chunk: string) => {
      text += chunk;
      if (!text.endsWith("\n")) return;
      connection.destroy();
      resolve(JSON.parse(text) as Reply);
    });
    connection.on("error", reject);
    connection.on("close", () => reject(new Error("the node ended before it answered")));
    connection.write(`${line}\n`);
  });
}
