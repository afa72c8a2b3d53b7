/**
 * From rows to what each node of a network has to do: gathers what the planner needs, asks it, keeps what it says, and tells only those
 * nodes whose part is another one. The planner itself (who peers with whom) is `src/control/mesh`; here is only its shape.
 */
import type { GridNode, Measured, Member, Network, RelayState, Underlay } from "../mesh/grid.ts";
import { lanAddresses } from "../mesh/lan.ts";
import type { MemberPlan, NetworkPlan } from "../mesh/network-plan.ts";
import { resourcePeers } from "../mesh/peers.ts";
import type { Nic } from "../model/nic.ts";
import { linksOf } from "./health/measure.ts";
import { keepPaths } from "./health/paths.ts";
import { type PeerRecord, withOneKey } from "./health/record.ts";
import { healthOf } from "./health/relays.ts";
import { keepPlan, type NodePart, partsOf } from "./kept-plans.ts";
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

/** What a node said of itself. */
interface Reported {
  readonly census: readonly Nic[] | null;
  readonly reachability: Reachability | null;
}

const NOTHING: Reported = { census: null, reachability: null };

export interface MemberRow extends Reported {
  readonly node: string;
  readonly subnet: string;
  readonly subnet6: string;
  readonly tunnel: string;
  readonly tunnel6: string;
  readonly port: number | null;
  readonly confirmed: boolean;
  readonly public_key: string | null;
  /** Of a rotation that peers know of; null: there is none. */
  readonly phase: "spreading" | "switching" | null;
  readonly new_key: string | null;
  readonly new_port: number | null;
  readonly seen_by: readonly string[] | null;
  readonly sealed_key: string | null;
  readonly box: string | null;
  /** What it reported of its peers; of one with two keys by that in {@link public_key}. */
  readonly records: readonly PeerRecord[] | null;
  /** When, in milliseconds since 1970. */
  readonly reported: number | null;
  /** It has missed its heartbeats. */
  readonly silent: boolean;
  readonly seen: Date | null;
  readonly name: string;
  readonly farm: number;
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

/** `only` undefined: all of them. `memory`: of what was read before. */
async function membersOf(
  queries: Queries,
  network: string,
  memory: Memory | undefined,
  only?: readonly string[],
): Promise<MemberRow[]> {
  const rows = await queries.rows<Omit<MemberRow, keyof Reported> & { readonly version: string }>(
    `select m.node, m.subnet::text, m.subnet6::text, host(m.tunnel) as tunnel, host(m.tunnel6) as tunnel6,
       m.port, l.state = 'confirmed' as confirmed, m.public_key, n.xmin::text || n.ctid::text as version,
       t.phase, t.public_key as new_key, t.port as new_port, t.seen_by, k.public_key as sealed_key, b.box,
       n.name, n.farm, r.peers as records, extract(epoch from r.at)::float8 * 1000 as reported,
       coalesce(h.silent, false) as silent, h.seen
     from network_nodes m join nodes n on n.id = m.node
     left join port_leases l on l.node = m.node and l.port = m.port
     left join link_reports r on r.network = m.network and r.node = m.node
     left join heartbeats h on h.node = m.node
     left join rotations t on t.network = m.network and t.node = m.node and t.phase in ('spreading', 'switching')
     left join sealed_keys k on k.network = m.network and k.node = m.node
     left join sealed_boxes b on b.network = m.network and b.node = m.node
     where m.network = $1 and ($2::text[] is null or m.node = any($2)) order by m.node`,
    [network, only ?? null],
  );
  const reported = await reportedBy(queries, rows, memory);
  const newKeys = new Map(
    rows.flatMap(({ new_key, public_key }) =>
      new_key === null || public_key === null ? [] : [[new_key, public_key]],
    ),
  );
  return rows.map((row) => ({
    ...{ ...row, ...(reported.get(row.node) ?? NOTHING) },
    records: newKeys.size === 0 ? row.records : withOneKey(row.records ?? [], newKeys),
  }));
}

/** What nodes reported, which is large and seldom changes: read again only if a row is another than the one that was read. */
async function reportedBy(
  queries: Queries,
  nodes: readonly { readonly node: string; readonly version: string }[],
  memory: Memory | undefined,
): Promise<ReadonlyMap<string, Reported>> {
  const found = new Map<string, Reported>();
  const missing = new Map<string, string>();
  for (const { node, version } of nodes) {
    const known = memory?.get<Reported & { readonly version: string }>(`reported ${node}`);
    // PostgreSQL, "System Columns": a row's version has its place and its transaction.
    if (known?.version === version) found.set(node, known);
    else missing.set(node, version);
  }
  if (missing.size === 0) return found;
  const read = await queries.rows<Reported & { readonly id: string; readonly version: string }>(
    `select id, xmin::text || ctid::text as version, census, reachability from nodes where id = any($1)`,
    [[...missing.keys()]],
  );
  for (const { id, ...row } of read) {
    found.set(id, row);
    memory?.set(`reported ${id}`, row, 1 + (row.reachability?.links.length ?? 0));
  }
  return found;
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
  return new Map(
    members.map((member) => [member.node, resourceOf(row, member, plans.get(member.node))]),
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

function underlayOf(members: readonly MemberRow[]): Underlay {
  const nodes = new Map<string, GridNode>();
  const links = new Map<string, ReadonlyMap<string, Measured>>();
  for (const { node, census, reachability } of members) {
    const { v4, v6, relay, links: measured } = reachability ?? NOWHERE;
    nodes.set(node, { id: node, v4, v6, lan: lanAddresses(census ?? []), relay });
    links.set(node, new Map(measured.map((link) => [link.node, link])));
  }
  const reporters = members.map(({ node, public_key: publicKey, records }) => ({
    ...{ node, publicKey, records: records ?? [] },
  }));
  return { nodes, links: linksOf(reporters, nodes, links) };
}

function resourceOf(row: NetworkRow, member: MemberRow, plan: MemberPlan | undefined): NodePart {
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
    peers: plan === undefined ? [] : resourcePeers(plan),
    revision: row.revision,
    ...(sealed_key === null || box === null ? {} : { sealedKey: { publicKey: sealed_key, box } }),
  };
}
