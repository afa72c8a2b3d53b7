/**
 * Network namespaces of one run and what runs in them. Names are unique on the machine, since UAPI sockets are shared by all
 * namespaces; all is removed by `close`, at exit, on a signal, and if need be by a later run.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  attempt,
  Background,
  type Finished,
  type RunOptions,
  run,
} from "../../control/linux/command.ts";
import { RunRecord, sweep } from "./leftovers.ts";

const SOCKET_FOLDER = "/var/run/wireguard";
/** IFNAMSIZ less the final zero. */
const NAME_MAX = 15;

/** The path of an interface's UAPI socket. */
export function socketPath(name: string): string {
  return `${SOCKET_FOLDER}/${name}.sock`;
}

export class Namespace {
  readonly name: string;
  readonly #lab: Lab;

  constructor(lab: Lab, name: string) {
    this.#lab = lab;
    this.name = name;
  }

  /** A command line that runs in this namespace; the process id stays that of the command. */
  command(command: readonly string[]): string[] {
    return ["ip", "netns", "exec", this.name, ...command];
  }

  /** Runs a program that must succeed and returns what it printed. */
  async exec(command: readonly string[], options: RunOptions = {}): Promise<string> {
    return await run(this.command(command), options);
  }

  async attempt(command: readonly string[], options: RunOptions = {}): Promise<Finished> {
    return await attempt(this.command(command), options);
  }

  spawn(
    command: readonly string[],
    environment: Readonly<Record<string, string>> = {},
  ): Background {
    return this.#lab.spawn(this.command(command), environment);
  }

  /** Lines for `ip -batch`, run one after the other in this namespace. */
  async ip(lines: readonly string[]): Promise<void> {
    await run(["ip", "-n", this.name, "-batch", "-"], { input: `${lines.join("\n")}\n` });
  }

  /** Whether there is an interface of this name. */
  async hasLink(name: string): Promise<boolean> {
    return (await attempt(["ip", "-n", this.name, "link", "show", "dev", name])).code === 0;
  }
}

/** One side of a cable. */
export interface CableEnd {
  readonly namespace: Namespace;
  readonly name: string;
  /** With prefix lengths; IPv6 ones are usable at once (no duplicate address detection). */
  readonly addresses: readonly string[];
}

const openLabs = new Set<Lab>();
let isWatchingSignals = false;

/** From the first lab on, a signal that ends the process removes all labs first. */
function watchSignals(): void {
  if (isWatchingSignals) return;
  isWatchingSignals = true;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => {
      for (const lab of openLabs) lab.destroy();
      // With the handler gone, this ends the process as if there had been none.
      process.kill(process.pid, signal);
    });
  }
}

export class Lab {
  readonly token: string;
  readonly #record: RunRecord;
  readonly #backgrounds: Background[] = [];
  readonly #onExit = (): void => this.destroy();
  #folder: string | undefined;

  constructor() {
    sweep();
    this.token = `${process.pid.toString(36)}${randomBytes(1).toString("hex")}`;
    this.#record = new RunRecord(`${this.token}-${process.pid}`);
    openLabs.add(this);
    watchSignals();
    process.once("exit", this.#onExit);
  }

  /** A name for an interface or namespace that nothing else on the machine has. */
  name(label: string): string {
    const name = `wh${this.token}${label}`;
    if (name.length > NAME_MAX)
      throw new Error(`the label "${label}" is too long for an interface`);
    return name;
  }

  /** A name for an interface whose UAPI socket is removed with the rest. */
  interfaceName(label: string): string {
    const name = this.name(label);
    this.#record.path(socketPath(name));
    return name;
  }

  async namespace(label: string): Promise<Namespace> {
    const name = this.name(label);
    this.#record.namespace(name);
    await run(["ip", "netns", "add", name]);
    const namespace = new Namespace(this, name);
    await namespace.ip(["link set dev lo up"]);
    return namespace;
  }

  /** Lays a cable (a veth pair) between two namespaces and brings it up. */
  async cable(a: CableEnd, b: CableEnd, mtu = 1500): Promise<void> {
    await run(
      `ip link add ${a.name} mtu ${mtu} netns ${a.namespace.name} type veth peer name ${b.name} mtu ${mtu} netns ${b.namespace.name}`.split(
        " ",
      ),
    );
    for (const end of [a, b]) {
      await end.namespace.ip([
        ...end.addresses.map((address) => addressLine(address, end.name)),
        `link set dev ${end.name} up`,
      ]);
    }
  }

  spawn(
    command: readonly string[],
    environment: Readonly<Record<string, string>> = {},
  ): Background {
    const background = new Background(command, environment);
    this.#backgrounds.push(background);
    if (background.pid !== 0) this.#record.process(background.pid);
    return background;
  }

  /** Takes over a process that put itself into the background: it is ended with the rest. */
  adopt(pid: number): void {
    this.#record.process(pid);
  }

  /** Something that a program leaves behind: it is removed with the rest. */
  leftover(path: string): void {
    this.#record.path(path);
  }

  /** A folder for this run's files. */
  get folder(): string {
    if (this.#folder === undefined) {
      this.#folder = mkdtempSync(join(tmpdir(), "wirehaul-lab-"));
      this.#record.path(this.#folder);
    }
    return this.#folder;
  }

  /** Writes a file that only we can read and returns its path. */
  file(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }

  /** The output of all background programs, for a failure report. */
  logs(): string {
    return this.#backgrounds
      .filter((background) => background.output !== "")
      .map((background) => `--- ${background.title}\n${background.output.trimEnd()}\n`)
      .join("");
  }

  /** Removes everything at once, without waiting and without asking programs to end. */
  destroy(): void {
    openLabs.delete(this);
    this.#record.destroy();
  }

  /** Stops and removes everything. */
  async close(): Promise<void> {
    await Promise.all(this.#backgrounds.map((background) => background.stop()));
    this.destroy();
    process.removeListener("exit", this.#onExit);
  }
}

/** The line for `ip -batch` that gives an interface an address. */
export function addressLine(address: string, name: string): string {
  return `address add ${address} dev ${name}${address.includes(":") ? " nodad" : ""}`;
}
