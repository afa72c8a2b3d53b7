/** A Redis of the test's own on a Unix socket, that keeps what it has on the disk at once: Debian's redis-server. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Lab } from "../../../src/cli/demo/lab.ts";
import { type BusAddress, parseBusAddress } from "../../../src/control/bus/address.ts";
import { connect } from "../../../src/control/bus/session.ts";
import { type Background, until } from "../../../src/control/linux/command.ts";

export class RedisServer {
  readonly path: string;
  readonly address: BusAddress;
  readonly #lab: Lab;
  #server: Background | undefined;

  private constructor(lab: Lab, label: string) {
    this.#lab = lab;
    this.path = join(lab.folder, `${label}.sock`);
    this.address = parseBusAddress(`unix://${this.path}`);
  }

  static async start(lab: Lab, label = "redis"): Promise<RedisServer> {
    const redis = new RedisServer(lab, label);
    await redis.start();
    return redis;
  }

  get url(): string {
    return this.address.text;
  }

  /** Serves when it resolves, with what it had before. */
  async start(): Promise<void> {
    const options = {
      port: "0",
      unixsocket: this.path,
      unixsocketperm: "700",
      dir: this.#lab.folder,
      appenddirname: `${this.path.split("/").at(-1)}.d`,
      appendonly: "yes",
      appendfsync: "always",
      save: "",
    };
    const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
    this.#server = this.#lab.spawn(["redis-server", ...args]);
    await until("Redis serves", async () => {
      if (this.#server?.isRunning === false) throw new Error(this.#server.output);
      if (!existsSync(this.path)) return false;
      return (await this.do("ping").catch(() => undefined)) === "PONG";
    });
  }

  /** As a power cut would. */
  async kill(): Promise<void> {
    this.#server?.signal("SIGKILL");
    await this.#server?.ended;
  }

  /** One command by a connection of its own; text in the answer. */
  async do(command: string, ...args: readonly (string | Uint8Array)[]): Promise<unknown> {
    return await this.#call("call", command, args);
  }

  /** The same with bytes in the answer. */
  async bytes(command: string, ...args: readonly (string | Uint8Array)[]): Promise<unknown> {
    return await this.#call("callBuffer", command, args);
  }

  async #call(
    how: "call" | "callBuffer",
    command: string,
    args: readonly (string | Uint8Array)[],
  ): Promise<unknown> {
    const redis = await connect(this.address);
    try {
      const list = args.map((arg) => (typeof arg === "string" ? arg : Buffer.from(arg)));
      return await redis[how](command, list);
    } finally {
      redis.disconnect();
    }
  }
}
