/** Thread of `registry-plan`: draws networks of the measured grid and plans them; what is drawn for the bench is not in the time. */
import type { GridNode, Links, Measured, Network } from "../src/control/mesh/grid.ts";
import { planNetwork } from "../src/control/mesh/network-plan.ts";
import { chosen, drawing, keyAt, lanAt, standingAt } from "./registry-grid.ts";

export interface PlanTask {
  readonly nodes: number;
  /** Numbers of networks: from, and one beyond the last. */
  readonly from: number;
  readonly to: number;
}

export interface PlanAnswer {
  readonly planMs: number;
  readonly members: number;
  readonly peers: number;
}

const SIZE_MIN = 2;
const SIZE_MAX = 200;

const nodes = new Map<string, GridNode>();

function idAt(at: number): string {
  return `node${String(at).padStart(5, "0")}`;
}

function fill(count: number): void {
  for (let at = nodes.size; at < count; at++) {
    const id = idAt(at);
    const relay = { isAllowed: true, health: "up", load: (at % 100) / 100 } as const;
    nodes.set(id, { id, ...standingAt(at), lan: [lanAt(at)], relay });
  }
}

/** A number of nodes for each network, evenly from 2 to 200. */
export function sizeAt(number: number): number {
  return SIZE_MIN + drawing(0x9e3779b9 ^ (number + 1))(SIZE_MAX - SIZE_MIN + 1);
}

function networkAt(number: number, count: number): { network: Network; links: Links } {
  const draw = drawing(0x2545f491 ^ (number + 1));
  const members = chosen(draw, Math.min(sizeAt(number), count), count).map((node, place) => ({
    node: idAt(node),
    publicKey: keyAt(number * 1_000 + place),
    listenPort: 3_000 + number,
    subnet: `10.1.${place + 1}.0/24`,
    subnet6: `fd00:1:0:${(place + 1).toString(16)}::/64`,
    tunnelAddresses: [`100.64.0.${place + 1}/32`, `fd00:1::${(place + 1).toString(16)}/128`],
  }));
  const links = new Map<string, Map<string, Measured>>();
  for (const { node } of members) {
    const row = new Map<string, Measured>();
    links.set(node, row);
    for (const other of members) {
      if (other.node === node || nodes.get(other.node)?.v4.kind !== "public") continue;
      row.set(other.node, { v4: { isReached: draw(50) > 0, latencyMs: draw(200) } });
    }
  }
  return {
    network: {
      id: `net${number}`,
      range: "10.1.0.0/16",
      range6: "fd00:1::/48",
      members,
      clients: [],
    },
    links,
  };
}

export function plan({ nodes: count, from, to }: PlanTask): PlanAnswer {
  fill(count);
  let planMs = 0;
  let members = 0;
  let peers = 0;
  for (let number = from; number < to; number++) {
    const { network, links } = networkAt(number, count);
    const begin = performance.now();
    const planned = planNetwork(network, { nodes, links });
    planMs += performance.now() - begin;
    if (planned.faults.length > 0)
      throw new Error(`a network is not planned: ${planned.faults[0]}`);
    members += planned.members.length;
    for (const member of planned.members) peers += member.peers.length;
  }
  return { planMs, members, peers };
}
