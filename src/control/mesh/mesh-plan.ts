/**
 * The plan of the whole grid, and its incremental renewal: networks are planned apart from each other, so a change touches only those
 * that it is about. Pure.
 */
import type { Grid, Network } from "./grid.ts";
import { type MemberPlan, type NetworkPlan, planNetwork } from "./network-plan.ts";
import type { Work } from "./routes.ts";

export interface MeshPlan {
  readonly networks: ReadonlyMap<string, NetworkPlan>;
  /** Ids of the networks that each node is in. */
  readonly networksOf: ReadonlyMap<string, ReadonlySet<string>>;
}

/** What differs from the grid of the previous plan, by id. */
export interface Changes {
  /** Made, changed or removed. */
  readonly networks?: Iterable<string>;
  /** Standing, LAN addresses, relay state; made or removed. */
  readonly nodes?: Iterable<string>;
  /** Pairs of which one measured something new of the other. */
  readonly pairs?: Iterable<readonly [string, string]>;
}

/** A node's part of a network that is other than before; `plan` undefined: it has none any more. */
export interface Change {
  readonly network: string;
  readonly node: string;
  readonly plan: MemberPlan | undefined;
}

export interface Replanned {
  readonly plan: MeshPlan;
  readonly changed: readonly Change[];
}

export const NO_PLAN: MeshPlan = { networks: new Map(), networksOf: new Map() };

/** Plans all networks; those with a previous plan keep what is the same. */
export function planMesh(grid: Grid, previous: MeshPlan = NO_PLAN, work?: Work): Replanned {
  const networks = new Set([...grid.networks.keys(), ...previous.networks.keys()]);
  return replanMesh(grid, previous, { networks }, work);
}

/** Plans those networks anew that the changes are about, and no other. */
export function replanMesh(
  grid: Grid,
  previous: MeshPlan,
  changes: Changes,
  work?: Work,
): Replanned {
  const networks = new Map(previous.networks);
  const networksOf = new Map(previous.networksOf);
  const changed: Change[] = [];
  for (const id of concerned(previous, changes)) {
    const network = grid.networks.get(id);
    const before = previous.networks.get(id);
    const plan = network === undefined ? undefined : planNetwork(network, grid, before, work);
    if (plan === undefined) networks.delete(id);
    else networks.set(id, plan);
    indexNodes(networksOf, id, network, before);
    changed.push(...differences(id, before, plan));
  }
  return { plan: { networks, networksOf }, changed };
}

function concerned({ networksOf }: MeshPlan, { networks, nodes, pairs }: Changes): Set<string> {
  const ids = new Set(networks ?? []);
  for (const node of nodes ?? []) for (const id of networksOf.get(node) ?? []) ids.add(id);
  for (const [a, b] of pairs ?? []) {
    const others = networksOf.get(b);
    for (const id of networksOf.get(a) ?? []) if (others?.has(id) === true) ids.add(id);
  }
  return ids;
}

/** Members whose node is unknown as yet are in the index too: the network is planned anew when it comes. */
function indexNodes(
  networksOf: Map<string, ReadonlySet<string>>,
  id: string,
  network: Network | undefined,
  before: NetworkPlan | undefined,
): void {
  const now = new Set(network?.members.map(({ node }) => node));
  for (const node of now) {
    const ids = networksOf.get(node);
    if (ids?.has(id) !== true) networksOf.set(node, new Set([...(ids ?? []), id]));
  }
  for (const node of before?.nodes ?? []) {
    const ids = networksOf.get(node);
    if (now.has(node) || ids === undefined) continue;
    const rest = new Set(ids);
    rest.delete(id);
    if (rest.size === 0) networksOf.delete(node);
    else networksOf.set(node, rest);
  }
}

function differences(
  network: string,
  before: NetworkPlan | undefined,
  after: NetworkPlan | undefined,
): Change[] {
  const old = new Map(before?.members.map((member) => [member.node, member]));
  const changes: Change[] = [];
  for (const plan of after?.members ?? []) {
    if (old.get(plan.node) !== plan) changes.push({ network, node: plan.node, plan });
    old.delete(plan.node);
  }
  for (const node of old.keys()) changes.push({ network, node, plan: undefined });
  return changes;
}
