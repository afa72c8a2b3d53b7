/** `wirehaul status --json` of one interface. */
import { join } from "node:path";
import { run } from "../../../src/cli/demo/command.ts";
import { ROOT } from "../../../src/cli/demo/implementations.ts";
import type { InterfaceStatus } from "../../../src/lane/status.ts";

export async function statusOf(name: string): Promise<InterfaceStatus> {
  const command = [process.execPath, join(ROOT, "bin", "wirehaul"), "status", "--json", name];
  const [status] = JSON.parse(await run(command)) as InterfaceStatus[];
  if (status === undefined) throw new Error(`no status of ${name}`);
  return status;
}
