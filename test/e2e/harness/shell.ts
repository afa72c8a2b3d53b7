/** Somebody's shell on a machine: a folder to be in, and what was exported stays so. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { LabMachine } from "../../../src/cli/demo/lab-machine.ts";
import type { Background } from "../../../src/control/linux/command.ts";

export interface ShellSettings {
  readonly name: string;
  /** Lines of shell that come first: the machine's own settings. */
  readonly profile: string;
  /** What runs the shell as another user. */
  readonly runner?: readonly string[];
}

export class Shell {
  readonly machine: LabMachine;
  readonly folder: string;
  readonly #runner: readonly string[];
  #profile: string;

  constructor(machine: LabMachine, { name, profile, runner = [] }: ShellSettings) {
    this.machine = machine;
    this.folder = join(machine.lab.folder, name);
    mkdirSync(this.folder);
    this.#profile = `set -e\ncd ${this.folder}\n${profile}`;
    this.#runner = runner;
  }

  /** What is typed; returns what it prints on standard output. */
  async type(text: string): Promise<string> {
    const output = await this.machine.exec(this.#command(text));
    const exported = text.split("\n").filter((line) => line.startsWith("export "));
    this.#profile = [this.#profile, ...exported].join("\n");
    return output;
  }

  /** One command, which goes on. */
  start(text: string): Background {
    return this.machine.spawn(this.#command(`exec ${text}`));
  }

  #command(text: string): string[] {
    return [...this.#runner, "sh", "-c", `${this.#profile}\n${text}`];
  }
}
