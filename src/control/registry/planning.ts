/**
 * From rows to what each node of a network has to do: gathers what the planner needs, asks it, keeps what it says, and tells only those
 * nodes whose part is another one. The planner itself (who peers with whom) is `src/control/mesh`; here is only its shape.
 */
import { lanAddresses } from "../mesh/lan.ts";
import type { NetworkPeer, NetworkResource } from "../model/network-resource.ts";
import type { Nic } from "../model/nic.ts";
import { linksOf } from "./health/measure.ts";
import { keepPaths } from "./health/paths.ts";
import type { PeerRecord } from "./health/record.ts";
import { healthOf } from "./health/relays.ts";
import { keepPlan } from "./kept-plans.ts";
import type { Link, Reachability, Standing } from "./schemas.ts";
import type { Queries } from "./store/database.ts";
import type { Memory } from "./store/memory.ts";
import type { Write } from "./store/store.ts";

export interface PlanMember {
  readonly node: string;
  readonly publicKey: string;
  readonly listenPort: number;
  readonly subnet: string;
  readonly subnet6: string;
  readonly tunnelAddresses: readonly string[];
}

export interface PlanClient {
  readonly id: string;
  readonly publicKey: string;
  readonly addresses: readonly string[];
  readonly access: string;
}

export interface PlanNetworkInput {
  readonly id: string;
  readonly range: string;
  readonly range6: string;
  readonly members: readonly PlanMember[];
  readonly clients: readonly PlanClient[];
}

export interface PlanNode {
  readonly id: string;
  readonly v4: Standing;
  readonly v6: Standing;
  /** With prefix lengths. */
  readonly lan: readonly string[];
  readonly relay: Reachability["relay"];
}

export interface PlanUnderlay {
  readonly nodes: ReadonlyMap<string, PlanNode>;
  readonly links: ReadonlyMap<string, ReadonlyMap<string, Omit<Link, "node">>>;
}

export interface PlannedPeer {
  readonly publicKey: string;
  readonly endpoints: readonly string[];
  readonly allowedIps: readonly string[];
  readonly keepalive: number | "auto";
  readonly subnet?: string | undefined;
  /** As the mesh planner has them: what `paths.ts` counts. */
  readonly kind?: string | undefined;
  readonly name?: string | undefined;
  readonly way?: string | undefined;
  readonly carries?: readonly string[] | undefined;
}

/** Pure. Members that are left out of the answer get no peers. */
export type PlanNetwork = (
  network: PlanNetworkInput,
  underlay: PlanUnderlay,
) => {
  readonly members: readonly { readonly node: string; readonly peers: readonly PlannedPeer[] }[];
  readonly faults: readonly string[];
};

/** What a node is told of a network: whole, or by difference from an earlier revision of the same network. */
export interface NetworkChange {
  /** The revision of the node's plan of this network that the difference begins at; 0: the node has nothing of it. */
  readonly base: number;
  /** Undefined: the node has to remove it. All but the peers. */
  readonly resource?: NetworkResource | undefined;
  /** Peers that are new or other than before. */
  readonly set: readonly NetworkPeer[];
  /** Public keys of peers that have gone. */
  readonly remove: readonly string[];
}

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
  /** What it reported of its peers. */
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
  const parts = new Map(members.map((member) => [member.node, resourceOf(row, member, [])]));
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
       n.name, n.farm, r.peers as records, extract(epoch from r.at)::float8 * 1000 as reported,
       coalesce(h.silent, false) as silent, h.seen
     from network_nodes m join nodes n on n.id = m.node
     left join port_leases l on l.node = m.node and l.port = m.port
     left join link_reports r on r.network = m.network and r.node = m.node
     left join heartbeats h on h.node = m.node
     where m.network = $1 and ($2::text[] is null or m.node = any($2)) order by m.node`,
    [network, only ?? null],
  );
  const reported = await reportedBy(queries, rows, memory);
  return rows.map((row) => ({ ...row, ...(reported.get(row.node) ?? NOTHING) }));
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
): Promise<Map<string, NetworkResource>> {
  const { members, input, underlay } = await planningOf(write, row, write.memory);
  const health = await healthOf(write, row.id, members, underlay.nodes);
  const planned = planNetwork?.(input, withHealth(underlay, health));
  await keepPaths(write, row.id, planned?.members ?? []);
  const peers = new Map(planned?.members.map((member) => [member.node, member.peers]));
  return new Map(
    members.map((member) => [member.node, resourceOf(row, member, peers.get(member.node) ?? [])]),
  );
}

/** What a network is planned from; relays are all up. */
export async function planningOf(
  queries: Queries,
  network: Pick<NetworkRow, "id" | "range" | "range6">,
  memory?: Memory,
): Promise<{
  readonly members: readonly MemberRow[];
  readonly input: PlanNetworkInput;
  readonly underlay: PlanUnderlay;
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
  { nodes, links }: PlanUnderlay,
  health: ReadonlyMap<string, PlanNode["relay"]["health"]>,
): PlanUnderlay {
  const judged = [...nodes].map(([id, node]): [string, PlanNode] => [
    id,
    { ...node, relay: { ...node.relay, health: health.get(id) ?? "up" } },
  ]);
  return { nodes: new Map(judged), links };
}

function inputOf(
  { id, range, range6 }: Pick<NetworkRow, "id" | "range" | "range6">,
  members: readonly MemberRow[],
  clients: readonly ClientRow[],
): PlanNetworkInput {
  const ready = members.flatMap(
    ({ node, public_key, port, confirmed, subnet, subnet6, tunnel, tunnel6 }) =>
      public_key === null || port === null || !confirmed
        ? []
        : [
            {
              ...{ node, publicKey: public_key, listenPort: port, subnet, subnet6 },
              tunnelAddresses: [`${tunnel}/32`, `${tunnel6}/128`],
            },
          ],
  );
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

function underlayOf(members: readonly MemberRow[]): PlanUnderlay {
  const nodes = new Map<string, PlanNode>();
  const links = new Map<string, ReadonlyMap<string, Omit<Link, "node">>>();
  for (const { node, census, reachability } of members) {
    const { v4, v6, relay, links: measured } = reachability ?? NOWHERE;
    const lan = lanAddresses(census ?? []);
    nodes.set(node, { id: node, v4, v6, lan, relay });
    links.set(node, new Map(measured.map((link) => [link.node, link])));
  }
  const reporters = members.map(({ node, public_key: publicKey, records }) => ({
    ...{ node, publicKey, records: records ?? [] },
  }));
  return { nodes, links: linksOf(reporters, nodes, links) };
}

function resourceOf(
  row: NetworkRow,
  member: MemberRow,
  peers: readonly PlannedPeer[],
): NetworkResource {
  return {
    id: row.id,
    name: row.name,
    owner: row.owner_name,
    range: row.range,
    range6: row.range6,
    subnet: member.subnet,
    subnet6: member.subnet6,
    tunnelAddresses: [`${member.tunnel}/32`, `${member.tunnel6}/128`],
    ...(member.port === null ? {} : { listenPort: member.port }),
    internet: true,
    lan: [],
    peers: peers.map(({ publicKey, endpoints, allowedIps, keepalive, subnet }) => {
      // Literals: made by spreading, thousands of these take longer than the planning of them.
      const [endpoint] = endpoints;
      return endpoint === undefined
        ? { publicKey, allowedIps, keepalive, subnet }
        : { publicKey, allowedIps, keepalive, subnet, endpoint, candidates: endpoints };
    }),
    revision: row.revision,
  };
}
