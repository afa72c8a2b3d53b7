/** `wirehaul status --json` of one interface. */
import { join } from "node:path";
import { ROOT } from "../../../src/cli/demo/implementations.ts";
import { run } from "../../../src/control/linux/command.ts";
import type { InterfaceStatus } from "../../../src/lane/status.ts";

export async function statusOf(name: string): Promise<InterfaceStatus> {
  const command = [process.execPath, join(ROOT, "bin", "wirehaul"), "status", "--json", name];
  const [status] = JSON.parse(await run(command)) as InterfaceStatus[];
  if (status === undefined) throw new Error(`no status of ${name}`);
  return status;
}
