/** Whose a workload's namespace is: made by the node, and then removed with it, or somebody else's. */
import { existsSync } from "node:fs";
import { namespacePath } from "../linux/ip.ts";
import type { Workload } from "../model/workload.ts";

/** Notes on the disk, before anything is made, whether the workload's namespace will be the node's own. */
export function withMaker(workload: Workload, before: readonly Workload[]): Workload {
  if (workload.kind === "tap" || workload.namespace === undefined) return workload;
  const { namespace } = workload;
  const isKnown = before.some(
    (other) => other.kind !== "tap" && other.namespace === namespace && other.isMade === true,
  );
  return { ...workload, isMade: isKnown || !existsSync(namespacePath(namespace)) };
}
