import type { Namespace } from "../../../src/cli/demo/lab.ts";
import { run } from "../../../src/control/linux/command.ts";

/** How many UDP sockets are bound to `port` in a namespace. */
export async function socketsOn(namespace: Namespace, port: number): Promise<number> {
  const text = await run(namespace.command(["ss", "-Hlun", `sport = :${port}`]));
  return text.trim().split("\n").filter(Boolean).length;
}
