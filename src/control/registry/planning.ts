/**
 * From rows to what each node of a network has to do: gathers what the planner needs, asks it, keeps what it says, and tells only those
 * nodes whose part is another one. The planner itself (who peers with whom) is `src/control/mesh`; here is only its shape.
 */
import type { GridNode, Measured, Member, Network, RelayState, Underlay } from "../mesh/grid.ts";
import { lanAddresses } from "../mesh/lan.ts";
import type { MemberPlan, NetworkPlan } from "../mesh/network-plan.ts";
import { resourcePeers, type SharedPeers } from "../mesh/peers.ts";
import { linksOf } from "./health/measure.ts";
import { keepPaths } from "./health/paths.ts";
import { healthOf } from "./health/relays.ts";
import { keepPlan, type NodePart, partsOf } from "./kept-plans.ts";
import { type MemberRow, membersOf } from "./members.ts";
import type { Reachability } from "./schemas.ts";
import type { Queries } from "./store/database.ts";
import type { Memory } from "./store/memory.ts";
import type { Write } from "./store/store.ts";
import { toldPlan } from "./told-plan.ts";

/** The planner. Members that are left out of the answer get no peers. `previous` is asked for where it keeps that. */
export type PlanNetwork = (
  network: Network,
  underlay: Underlay,
  previous?: NetworkPlan,
) => Pick<NetworkPlan, "members" | "faults" | "isKept">;

const NOWHERE: Reachability = {
  v4: { kind: "none" },
  v6: { kind: "none" },
  relay: { isAllowed: false, health: "up", load: 0 },
  links: [],
};

interface NetworkRow {
  readonly id: string;
  readonly owner: number;
  readonly owner_name: string;
  readonly name: string;
  readonly range: string;
  readonly range6: string;
  /** That of a plan that differs. */
  readonly revision: number;
}

interface ClientRow {
  readonly name: string;
  readonly public_key: string;
  readonly access: string;
  readonly address: string;
  readonly address6: string;
}

/** Planning of one network is one at a time, over all registries; taken before any row of it. Networks in the order of their ids. */
export async function lockNetwork(write: Write, network: string): Promise<void> {
  await write.rows("select pg_advisory_xact_lock(hashtextextended($1, 30568))", [network]);
}

/** Plans a network anew; the lock is the caller's. A network that has gone leaves its nodes. True: some node's part is another one. */
export async function replan(
  write: Write,
  network: string,
  planNetwork: PlanNetwork | undefined,
): Promise<boolean> {
  const row = await networkOf(write, network);
  const resources = row === undefined ? new Map() : await resourcesOf(write, row, planNetwork);
  const isOther = await keepPlan(write, network, row?.revision ?? 0, resources);
  if (row === undefined || !isOther) return isOther;
  write.change({ kind: "network", subject: network, owner: row.owner });
  return true;
}

/** Tells new members of their network; until they have a key nobody else hears of them, and nothing is planned. The lock is the caller's. */
export async function introduce(
  write: Write,
  network: string,
  nodes: readonly string[],
): Promise<void> {
  const row = await networkOf(write, network);
  if (row === undefined) return;
  const members = await membersOf(write, network, write.memory, nodes);
  const parts = new Map(members.map((member) => [member.node, resourceOf(row, member, undefined)]));
  await keepPlan(write, network, row.revision, parts, "some");
  write.change({ kind: "network", subject: network, owner: row.owner });
}

async function networkOf(write: Write, network: string): Promise<NetworkRow | undefined> {
  const [row] = await write.rows<NetworkRow>(
    `select n.id, n.owner, u.name as owner_name, n.name, n.range::text, n.range6::text,
       coalesce(p.revision, 0) + 1 as revision
     from networks n join users u on u.id = n.owner left join plan_revisions p on p.network = n.id
     where n.id = $1`,
    [network],
  );
  return row;
}

async function resourcesOf(
  write: Write,
  row: NetworkRow,
  planNetwork: PlanNetwork | undefined,
): Promise<Map<string, NodePart>> {
  const { members, input, underlay } = await planningOf(write, row, write.memory);
  const health = await healthOf(write, row.id, members, underlay.nodes);
  const judged = withHealth(underlay, health);
  let planned = planNetwork?.(input, judged);
  if (planned?.isKept === true) {
    const parts = await partsOf(write, row.id);
    planned = planNetwork?.(input, judged, toldPlan(input, judged, parts));
  }
  await keepPaths(write, row.id, planned?.members ?? []);
  await keepFaults(write, row, planned?.faults ?? []);
  const plans = new Map(planned?.members.map((plan) => [plan.node, plan]));
  const shared: SharedPeers = new Map();
  return new Map(
    members.map((member) => [member.node, resourceOf(row, member, plans.get(member.node), shared)]),
  );
}

/** Whoever made or mended them is in the audit log, with the network. */
async function keepFaults(
  write: Write,
  { id, owner }: NetworkRow,
  faults: readonly string[],
): Promise<void> {
  const changed = await write.rows(
    "update networks set faults = $2 where id = $1 and faults <> $2 returning 1",
    [id, JSON.stringify(faults)],
  );
  if (changed.length > 0) write.change({ kind: "network", subject: id, owner });
}

/** What a network is planned from; relays are all up. */
export async function planningOf(
  queries: Queries,
  network: Pick<NetworkRow, "id" | "range" | "range6">,
  memory?: Memory,
): Promise<{
  readonly members: readonly MemberRow[];
  readonly input: Network;
  readonly underlay: Underlay;
}> {
  const members = await membersOf(queries, network.id, memory);
  const clients = await queries.rows<ClientRow>(
    `select name, public_key, access, host(address) as address, host(address6) as address6
     from network_clients where network = $1 order by name`,
    [network.id],
  );
  return { members, input: inputOf(network, members, clients), underlay: underlayOf(members) };
}

/** The same with relays as they were judged. */
export function withHealth(
  { nodes, links }: Underlay,
  health: ReadonlyMap<string, RelayState["health"]>,
): Underlay {
  const judged = [...nodes].map(([id, node]): [string, GridNode] => [
    id,
    { ...node, relay: { ...node.relay, health: health.get(id) ?? "up" } },
  ]);
  return { nodes: new Map(judged), links };
}

function inputOf(
  { id, range, range6 }: Pick<NetworkRow, "id" | "range" | "range6">,
  members: readonly MemberRow[],
  clients: readonly ClientRow[],
): Network {
  const ready = members.flatMap((member): Member[] => {
    const { node, public_key, port, confirmed, subnet, subnet6, tunnel, tunnel6 } = member;
    if (public_key === null || port === null || !confirmed) return [];
    return [
      {
        ...{ node, publicKey: public_key, listenPort: port, subnet, subnet6 },
        tunnelAddresses: [`${tunnel}/32`, `${tunnel6}/128`],
        ...rotationOf(member),
      },
    ];
  });
  const isReady = new Set(ready.map(({ node }) => node));
  return {
    ...{ id, range, range6 },
    members: ready,
    clients: clients
      .filter(({ access }) => isReady.has(access))
      .map(({ name, public_key, access, address, address6 }) => ({
        ...{ id: name, publicKey: public_key, access },
        addresses: [`${address}/32`, `${address6}/128`],
      })),
  };
}

/** The node's own word that it has switched ends a rotation: here the old key is in use. */
function rotationOf({
  phase,
  new_key,
  new_port,
  seen_by,
}: MemberRow): Pick<Member, "rotation" | "portRotation"> {
  if (phase === null) return {};
  return {
    ...(new_key === null
      ? {}
      : { rotation: { publicKey: new_key, isSwitched: false, seenBy: seen_by ?? [] } }),
    ...(new_port === null
      ? {}
      : { portRotation: { port: new_port, isSwitched: phase === "switching" } }),
  };
}

/** What was made of what nodes reported, as long as memory has that: the same objects, so that what follows from them stays known too. */
const nodesMade = new WeakMap<
  Reachability,
  { readonly census: unknown; readonly node: GridNode }
>();
const linksMade = new WeakMap<Reachability, ReadonlyMap<string, Measured>>();

function nodeOf({ node: id, census, reachability }: MemberRow): GridNode {
  const known = reachability === null ? undefined : nodesMade.get(reachability);
  if (known !== undefined && known.census === census && known.node.id === id) return known.node;
  const { v4, v6, relay } = reachability ?? NOWHERE;
  const node = { id, v4, v6, lan: lanAddresses(census ?? []), relay };
  if (reachability !== null) nodesMade.set(reachability, { census, node });
  return node;
}

function linksFrom(reachability: Reachability): ReadonlyMap<string, Measured> {
  let links = linksMade.get(reachability);
  if (links === undefined) {
    links = new Map(reachability.links.map((link) => [link.node, link]));
    linksMade.set(reachability, links);
  }
  return links;
}

function underlayOf(members: readonly MemberRow[]): Underlay {
  const nodes = new Map(members.map((member) => [member.node, nodeOf(member)]));
  const links = new Map(
    members.map(({ node, reachability }) => [node, linksFrom(reachability ?? NOWHERE)]),
  );
  const reporters = members.map(({ node, public_key: publicKey, records }) => ({
    ...{ node, publicKey, records: records ?? [] },
  }));
  return { nodes, links: linksOf(reporters, nodes, links) };
}

function resourceOf(
  row: NetworkRow,
  member: MemberRow,
  plan: MemberPlan | undefined,
  shared?: SharedPeers,
): NodePart {
  const { phase, new_port, sealed_key, box } = member;
  const port = phase === "switching" && new_port !== null ? new_port : member.port;
  return {
    id: row.id,
    name: row.name,
    owner: row.owner_name,
    range: row.range,
    range6: row.range6,
    subnet: member.subnet,
    subnet6: member.subnet6,
    tunnelAddresses: [`${member.tunnel}/32`, `${member.tunnel6}/128`],
    ...(port === null ? {} : { listenPort: port }),
    internet: true,
    lan: [],
    peers: plan === undefined ? [] : resourcePeers(plan, undefined, shared),
    revision: row.revision,
    ...(sealed_key === null || box === null ? {} : { sealedKey: { publicKey: sealed_key, box } }),
  };
}
