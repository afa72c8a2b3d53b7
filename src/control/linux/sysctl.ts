/** Kernel settings of a network namespace, below `net.`. */
import { writeFileSync } from "node:fs";
import { run } from "./command.ts";
import { commandIn } from "./ip.ts";

/** Path below /proc/sys with slashes ("net/ipv4/ip_forward": interface names may hold dots), and its value. */
export type Sysctl = readonly [path: string, value: string | number];

/** Sets all of them; throws naming the first that was refused. */
export async function setSysctls(settings: readonly Sysctl[], namespace?: string): Promise<void> {
  if (settings.length === 0) return;
  if (namespace === undefined) {
    for (const [path, value] of settings) writeFileSync(`/proc/sys/${path}`, `${value}`);
    return;
  }
  // sysctl(8) reads slashes as they are when the first separator is one.
  const lines = settings.map(([path, value]) => `${path}=${value}`);
  await run(commandIn(namespace, ["sysctl", "-q", "-w", ...lines]));
}
