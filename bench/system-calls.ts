/** System calls that wirehaul makes to carry packets, by its own counters: reads and writes of TUN, receives and sends of UDP. */
import { join } from "node:path";
import { ROOT } from "../src/cli/demo/implementations.ts";
import type { Pair } from "../src/cli/demo/pair.ts";
import { run } from "../src/control/linux/command.ts";
import type { InterfaceStatus } from "../src/lane/status.ts";

/** Calls of both ends so far; NaN for another implementation, which does not count them. Waits (epoll) are not among them. */
export async function systemCalls(pair: Pair | undefined): Promise<number> {
  if (pair?.a.node.implementation !== "wirehaul") return Number.NaN;
  let calls = 0;
  for (const { node } of [pair.a, pair.b]) {
    const program = join(ROOT, "bin", "wirehaul");
    const text = await run([process.execPath, program, "status", node.name, "--json"]);
    for (const { lane } of JSON.parse(text) as readonly InterfaceStatus[]) {
      calls += lane.readCalls + lane.writeCalls + lane.receiveCalls + lane.sendCalls;
    }
  }
  return calls;
}
