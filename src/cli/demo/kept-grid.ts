/** A demo's grid that stays up: a program that runs commands on its machines, and what to do with it. */
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { GridLab, Tenant } from "./grid-lab.ts";
import { addressOf, workloadName } from "./grid-node.ts";
import { ROOT } from "./implementations.ts";
import type { LabMachine } from "./lab-machine.ts";

/** Drops all that comes in, before any chain of the node's own sees it. */
const CUT =
  "add table inet cut; add chain inet cut in { type filter hook prerouting priority -400; policy drop; }";
/** Ours: a timer that does nothing, each twelve days. */
const IDLE_MS = 2 ** 30;

export class KeptGrid {
  readonly #grid: GridLab;
  readonly #tenants: readonly Tenant[];
  /** Runs a command on a machine. */
  readonly #program: string;

  constructor(grid: GridLab, tenants: readonly Tenant[]) {
    this.#grid = grid;
    this.#tenants = tenants;
    this.#program = join(grid.lab.folder, "on");
    writeFileSync(this.#program, this.#script(), { mode: 0o755 });
  }

  instructions(): string {
    const { network } = this.#tenants[0]!;
    const [first, last] = [this.#grid.nodes[0]!, this.#grid.nodes.at(-1)!];
    const [here, there] = [first.label, last.label];
    const on = (who: string, command: string, says: string): string[] => [
      `  # ${says}`,
      `  ${this.#program} ${who} ${command}`,
    ];
    const inside = `ip netns exec ${workloadName(network)}`;
    return [
      "",
      `The grid stays up until Ctrl-C. In another terminal, as root: ${this.#program} WHO COMMAND...`,
      `WHO: the machine of ${this.#nodes().join(", ")}, or a person at the registry's: ${this.#people().join(", ")}`,
      ...on(network.name, `wirehaul network status ${network.name}`, "the matrix again"),
      ...on(network.name, `wirehaul explain ${here} ${there}`, "why two meet as they do"),
      ...on(here, "wirehaul node status", "what a node says of itself"),
      ...on(
        here,
        `${inside} ping -c 3 ${addressOf(network, last.id)}`,
        `from ${network.name}'s workload there to the one on ${there}`,
      ),
      ...on(here, `nft '${CUT}'`, "cut it off, and look at the matrix"),
      ...on(here, "nft delete table inet cut", "connect it again"),
      "",
    ].join("\n");
  }

  /** Until a signal ends the process; the lab removes all then. Not when programs of the grid end: they may be killed to see what happens. */
  async untilTold(): Promise<never> {
    return await new Promise<never>(() => setInterval(() => undefined, IDLE_MS));
  }

  #nodes(): string[] {
    return this.#grid.nodes.map(({ label }) => label);
  }

  #people(): string[] {
    return [...this.#tenants.map(({ person }) => person.name), this.#grid.admin.name];
  }

  #script(): string {
    const { nodes, sites, admin } = this.#grid;
    const people = [...this.#tenants.map(({ person }) => person), admin];
    const inside = (machine: LabMachine): string => machine.command([]).join(" ");
    return [
      "#!/bin/sh",
      `export PATH="${join(ROOT, "bin")}:${dirname(process.execPath)}:$PATH"`,
      'who="$1"',
      "[ $# -gt 1 ] && shift || who=",
      'case "$who" in',
      ...nodes.map((node) => `${node.label}) exec ${inside(node)} "$@" ;;`),
      ...people.map((person) => {
        const environment = Object.entries(this.#grid.environmentOf(person));
        const words = environment.map(([name, value]) => `${name}='${value}'`).join(" ");
        return `${person.name}) exec env ${words} ${inside(sites.registry)} "$@" ;;`;
      }),
      "esac",
      `echo "usage: on ${[...this.#nodes(), ...this.#people()].join("|")} COMMAND..." >&2`,
      "exit 1",
      "",
    ].join("\n");
  }
}
