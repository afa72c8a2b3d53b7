/** What the bench compares: WireGuard implementations, and the bare cable. */

import {
  IMPLEMENTATIONS,
  type Implementation,
  startCommand,
} from "../src/cli/demo/implementations.ts";
import type { Lab, Namespace } from "../src/cli/demo/lab.ts";
import { pingUntil } from "../src/cli/demo/measure.ts";
import { makePair, type Pair } from "../src/cli/demo/pair.ts";
import { attempt } from "../src/control/linux/command.ts";

/** "none" is the cable without a tunnel: what the machine could do at best. */
export type Contestant = Implementation | "none";
/** One for all, since boringtun's own is another one. */
export const TUNNEL_MTU = 1420;
export const CONTESTANTS: readonly Contestant[] = ["none", ...IMPLEMENTATIONS];

/** Two namespaces that can reach each other, and the processes that carry the traffic. */
export interface Course {
  readonly from: Namespace;
  readonly to: Namespace;
  readonly address: string;
  readonly pids: readonly number[];
  /** The tunnel's two ends; undefined where there is no tunnel. */
  readonly pair: Pair | undefined;
}

export function isPresent(contestant: Contestant): boolean {
  return contestant === "none" || startCommand(contestant) !== undefined;
}

export async function makeCourse(lab: Lab, contestant: Contestant): Promise<Course> {
  if (contestant === "none") {
    const from = await lab.namespace("a");
    const to = await lab.namespace("b");
    await lab.cable(
      { namespace: from, name: lab.name("v0"), addresses: ["192.0.2.1/24"] },
      { namespace: to, name: lab.name("v1"), addresses: ["192.0.2.2/24"] },
    );
    await pingUntil(from, "192.0.2.2");
    return { from, to, address: "192.0.2.2", pids: [], pair: undefined };
  }
  const pair = await makePair(lab, { a: contestant, b: contestant, mtu: TUNNEL_MTU });
  const { a, b } = pair;
  await pingUntil(a.namespace, b.inner4);
  const pids = [a.node.program.pid, b.node.program.pid];
  return { from: a.namespace, to: b.namespace, address: b.inner4, pids, pair };
}

/** Every contestant that is an implementation. */
export function withTunnel(contestants: readonly Contestant[]): Implementation[] {
  return IMPLEMENTATIONS.filter((name) => contestants.includes(name));
}

/** The version that a contestant tells, in one line. */
export async function versionOf(contestant: Contestant): Promise<string> {
  if (contestant === "none") return "no tunnel";
  const command = startCommand(contestant) ?? [];
  const program = command.filter((word) => !word.startsWith("-"));
  const { stdout } = await attempt([...program, "--version"]);
  return stdout.split("\n")[0]?.trim() ?? "";
}
