/** A machine whose node is the networks alone, with a socket by which a test calls their methods (node-program.mjs). */
import { createConnection } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Lab } from "../../../src/cli/demo/lab.ts";
import { LabMachine, powerOn } from "../../../src/cli/demo/lab-machine.ts";
import type { Background } from "../../../src/control/linux/command.ts";

const PROGRAM = fileURLToPath(new URL("./node-program.mjs", import.meta.url));

export type NodeOptions = Readonly<Record<string, unknown>>;

export class Machine extends LabMachine {
  #node: Background | undefined;
  #starts = 0;
  #socket = "";

  static async create(lab: Lab, label: string): Promise<Machine> {
    return new Machine(await powerOn(lab, label));
  }

  /** Starts the node and waits until it has built what is stored. */
  async start(options: NodeOptions = {}): Promise<void> {
    this.launch(options);
    await this.node.waitFor("serving", 60_000);
  }

  /** Starts the node without waiting. */
  launch(options: NodeOptions = {}): Background {
    this.#socket = join(this.lab.folder, `${this.label}-${this.#starts++}.sock`);
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

  override async reboot(cables: readonly string[]): Promise<void> {
    if (this.#node?.isRunning) await this.kill();
    await super.reboot(cables);
  }
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
