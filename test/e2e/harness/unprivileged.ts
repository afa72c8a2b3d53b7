/**
 * wirehaul-wg run by a user who is nobody, with the capabilities that a test gives and no others. The program sees a machine as an
 * administrator sets it up for that: /dev/net/tun open to all, a folder of its own for sockets; in mounts that nobody else sees.
 */
import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../../src/cli/demo/implementations.ts";
import type { Lab, Namespace } from "../../../src/cli/demo/lab.ts";
import type { Background, Finished } from "../../../src/control/linux/command.ts";

/** Debian's nobody and nogroup. */
export const USER_ID = 65_534;
const SOCKET_FOLDER = "/var/run/wireguard";

export type Capability = "net_admin" | "net_bind_service" | "sys_admin";

export interface Machine {
  /** Mode of /dev/net/tun in octal; 666 is udev's. */
  readonly deviceMode?: string;
  /** False: the folder of sockets is root's. */
  readonly ownsFolder?: boolean;
}

export class Nobody {
  readonly #lab: Lab;
  readonly #mounts: string;
  readonly #program: string;
  readonly #node: string;

  constructor(lab: Lab, machine: Machine = {}) {
    this.#lab = lab;
    const at = (name: string): string => join(lab.folder, name);
    chmodSync(lab.folder, 0o755);
    for (const folder of ["checkout", "sockets"]) mkdirSync(at(folder), { mode: 0o755 });
    if (machine.ownsFolder !== false) chownSync(at("sockets"), USER_ID, USER_ID);
    writeFileSync(at("node"), "");
    this.#node = at("node");
    this.#program = join(at("checkout"), "bin", "wirehaul-wg");
    this.#mounts = [
      // The checkout, and node, may lie where nobody may go.
      `mount --bind ${ROOT} ${at("checkout")}`,
      `mount --bind ${process.execPath} ${at("node")}`,
      `mkdir -p ${SOCKET_FOLDER}`,
      `mount --bind ${at("sockets")} ${SOCKET_FOLDER}`,
      "mount -t tmpfs -o mode=755 none /dev/net",
      `mknod -m ${machine.deviceMode ?? "666"} /dev/net/tun c 10 200`,
    ].join(" && ");
  }

  /** Where the socket of an interface is for those outside. */
  socketPath(name: string): string {
    return join(this.#lab.folder, "sockets", `${name}.sock`);
  }

  /** The program with its arguments, in a namespace; the process id stays that of the command. */
  start(
    namespace: Namespace,
    capabilities: readonly Capability[],
    args: readonly string[],
    environment: Readonly<Record<string, string>> = {},
    /** A command of the same user that runs the program. */
    runner: readonly string[] = [],
  ): Background {
    const command = this.#asUser(capabilities, args, runner);
    return namespace.spawn(command, this.#environment(environment));
  }

  async attempt(
    namespace: Namespace,
    capabilities: readonly Capability[],
    args: readonly string[],
    environment: Readonly<Record<string, string>> = {},
  ): Promise<Finished> {
    return await namespace.attempt(this.#asUser(capabilities, args), {
      environment: this.#environment(environment),
    });
  }

  /** A command of root's that sees the same sockets, such as `wg`. */
  seeing(command: readonly string[]): string[] {
    return ["unshare", "-m", "sh", "-c", `${this.#mounts} && exec "$@"`, "sh", ...command];
  }

  #asUser(
    capabilities: readonly Capability[],
    args: readonly string[],
    runner: readonly string[] = [],
  ): string[] {
    const only = ["-all", ...capabilities.map((name) => `+${name}`)].join(",");
    const user = ["setpriv", `--reuid=${USER_ID}`, `--regid=${USER_ID}`, "--clear-groups"];
    const rights = [`--inh-caps=${only}`, `--ambient-caps=${only}`, `--bounding-set=${only}`];
    return this.seeing([
      ...[...user, ...rights, "--no-new-privs", ...runner],
      ...[this.#node, this.#program, ...args],
    ]);
  }

  /** Another addon than that of the checkout lies in it too. */
  #environment(environment: Readonly<Record<string, string>>): Record<string, string> {
    const native = process.env["WIREHAUL_NATIVE"];
    const moved = native?.startsWith(ROOT)
      ? { WIREHAUL_NATIVE: join(this.#lab.folder, "checkout", native.slice(ROOT.length)) }
      : {};
    return { ...environment, ...moved };
  }
}
