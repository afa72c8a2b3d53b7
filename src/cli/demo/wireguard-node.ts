/** One WireGuard interface in a namespace, served by any implementation and driven by `wg` and `ip`. */
import { readFileSync } from "node:fs";
import { attempt, type Background, run, until } from "../../control/linux/command.ts";
import { type Implementation, startCommand } from "./implementations.ts";
import { generateKeys, type KeyPair } from "./keys.ts";
import { addressLine, type Lab, type Namespace } from "./lab.ts";

export interface PeerSettings {
  readonly publicKey: string;
  readonly allowedIps: readonly string[];
  readonly presharedKey?: string;
  /** "192.0.2.1:51820" or "[2001:db8::1]:51820" */
  readonly endpoint?: string;
  readonly keepaliveSeconds?: number;
}

export interface NodeSettings {
  readonly implementation: Implementation;
  readonly namespace: Namespace;
  /** Makes the interface's name. */
  readonly label: string;
  readonly environment?: Readonly<Record<string, string>>;
}

/** What `wg show IFACE dump` says of one peer. */
export interface PeerState {
  readonly publicKey: string;
  readonly presharedKey: string;
  readonly endpoint: string;
  readonly allowedIps: string;
  /** Seconds since 1970, 0 if there was none. */
  readonly latestHandshake: number;
  readonly rxBytes: number;
  readonly txBytes: number;
  readonly keepalive: string;
}

export class WireguardNode {
  readonly name: string;
  readonly implementation: Implementation;
  keys: KeyPair = generateKeys();
  /** Where the interface is now. */
  namespace: Namespace;
  readonly program: Background;
  readonly #lab: Lab;
  readonly #settings: NodeSettings;

  private constructor(lab: Lab, settings: NodeSettings, name: string, program: Background) {
    this.#lab = lab;
    this.#settings = settings;
    this.name = name;
    this.implementation = settings.implementation;
    this.namespace = settings.namespace;
    this.program = program;
  }

  /** Starts the program and waits until its UAPI socket answers. */
  static async start(lab: Lab, settings: NodeSettings): Promise<WireguardNode> {
    const node = WireguardNode.launch(lab, settings);
    await node.waitUntilReady();
    return node;
  }

  /** Starts the program anew, after it has ended: same name, same keys, where it was first; to be configured again. */
  async startAgain(environment?: Readonly<Record<string, string>>): Promise<WireguardNode> {
    const settings =
      environment === undefined ? this.#settings : { ...this.#settings, environment };
    const node = await WireguardNode.start(this.#lab, settings);
    node.keys = this.keys;
    return node;
  }

  /** Starts the program and does not wait. */
  static launch(lab: Lab, settings: NodeSettings): WireguardNode {
    const command = startCommand(settings.implementation);
    if (command === undefined) throw new Error(`${settings.implementation} is not on this machine`);
    const name = lab.interfaceName(settings.label);
    const program = settings.namespace.spawn([...command, name], {
      LOG_LEVEL: "verbose",
      ...settings.environment,
    });
    return new WireguardNode(lab, settings, name, program);
  }

  async waitUntilReady(): Promise<void> {
    await until(`${this.implementation} answers on ${this.name}'s socket`, async () => {
      if (!this.program.isRunning) {
        throw new Error(`${this.program.title} ended early: ${this.program.output}`);
      }
      // `wg` removes a socket that has a name and does not listen yet, and wireguard-go ends without one.
      if (this.implementation !== "wirehaul" && !this.#listens()) return false;
      return (await attempt(["wg", "show", this.name, "dump"])).code === 0;
    });
  }

  /** By the kernel's list of Unix sockets (proc(5); flag __SO_ACCEPTCON of net/unix/af_unix.c), without connecting. */
  #listens(): boolean {
    try {
      const sockets = readFileSync(`/proc/${this.program.pid}/net/unix`, "utf8").split("\n");
      return sockets.some(
        (line) => line.includes(" 00010000 ") && line.endsWith(`/wireguard/${this.name}.sock`),
      );
    } catch {
      // It has ended: told by the caller.
      return false;
    }
  }

  /** A file with a secret, for the arguments of `wg` that want one. */
  secret(text: string): string {
    return this.#lab.file(`${this.name}.key`, `${text}\n`);
  }

  /** `wg set IFACE ...` */
  async set(args: readonly string[]): Promise<void> {
    await run(["wg", "set", this.name, ...args]);
  }

  /** Replaces the whole configuration. */
  async configure(
    peers: readonly PeerSettings[],
    listenPort?: number,
    fwmark?: number,
  ): Promise<void> {
    const text = configurationText(this.keys.privateKey, peers, listenPort, fwmark);
    await run(["wg", "setconf", this.name, this.#lab.file(`${this.name}.conf`, text)]);
  }

  /** Gives the interface addresses and brings it up. */
  async up(addresses: readonly string[], mtu?: number): Promise<void> {
    await this.namespace.ip([
      ...addresses.map((address) => addressLine(address, this.name)),
      `link set dev ${this.name}${mtu === undefined ? "" : ` mtu ${mtu}`} up`,
    ]);
  }

  async setMtu(mtu: number): Promise<void> {
    await this.namespace.ip([`link set dev ${this.name} mtu ${mtu}`]);
  }

  /** `wg show IFACE`, for people. */
  async show(): Promise<string> {
    return await run(["wg", "show", this.name]);
  }

  async listenPort(): Promise<number> {
    return Number(await run(["wg", "show", this.name, "listen-port"]));
  }

  async peers(): Promise<PeerState[]> {
    const lines = (await run(["wg", "show", this.name, "dump"])).trim().split("\n").slice(1);
    return lines.map((line) => {
      const fields = line.split("\t");
      return {
        publicKey: fields[0] ?? "",
        presharedKey: fields[1] ?? "",
        endpoint: fields[2] ?? "",
        allowedIps: fields[3] ?? "",
        latestHandshake: Number(fields[4]),
        rxBytes: Number(fields[5]),
        txBytes: Number(fields[6]),
        keepalive: fields[7] ?? "",
      };
    });
  }

  async peer(publicKey: string): Promise<PeerState> {
    const found = (await this.peers()).find((peer) => peer.publicKey === publicKey);
    if (found === undefined) throw new Error(`${this.name} has no peer ${publicKey}`);
    return found;
  }

  async stop(): Promise<void> {
    await this.program.stop();
  }
}

/** A file for `wg setconf`. */
export function configurationText(
  privateKey: string,
  peers: readonly PeerSettings[],
  listenPort?: number,
  fwmark?: number,
): string {
  const lines = ["[Interface]", `PrivateKey = ${privateKey}`];
  if (listenPort !== undefined) lines.push(`ListenPort = ${listenPort}`);
  if (fwmark !== undefined) lines.push(`FwMark = ${fwmark}`);
  for (const peer of peers) {
    lines.push("", "[Peer]", `PublicKey = ${peer.publicKey}`);
    if (peer.presharedKey !== undefined) lines.push(`PresharedKey = ${peer.presharedKey}`);
    if (peer.allowedIps.length > 0) lines.push(`AllowedIPs = ${peer.allowedIps.join(", ")}`);
    if (peer.endpoint !== undefined) lines.push(`Endpoint = ${peer.endpoint}`);
    if (peer.keepaliveSeconds !== undefined) {
      lines.push(`PersistentKeepalive = ${peer.keepaliveSeconds}`);
    }
  }
  return `${lines.join("\n")}\n`;
}
