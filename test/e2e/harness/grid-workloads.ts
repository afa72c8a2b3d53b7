/** Workloads of a network on nodes of a grid, and that they reach each other. What makes the grid and the network is `GridLab`. */
import { addressOf, type GridNode, workloadName } from "../../../src/cli/demo/grid-node.ts";
import type { NetworkDetails } from "../../../src/control/registry/client.ts";

/** The network is there, with a workload on each. */
export async function populate(nodes: readonly GridNode[], network: NetworkDetails): Promise<void> {
  for (const node of nodes) {
    await node.untilNetwork(network.id);
    await node.attach(network);
  }
}

/** Each to each, and to itself. */
export async function untilAllReach(
  nodes: readonly GridNode[],
  network: NetworkDetails,
): Promise<void> {
  for (const from of nodes) {
    for (const to of nodes) {
      await from.untilReaches(addressOf(network, to.id), workloadName(network));
    }
  }
}
