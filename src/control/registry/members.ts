/**
 * The members of a network as planning reads them: rows of a few hundred bytes each, and what nodes reported of themselves and of their peers, which is
 * megabytes and is read again only where a row is another one.
 */
import type { Nic } from "../model/nic.ts";
import { type PeerRecord, withOneKey } from "./health/record.ts";
import type { Reachability } from "./schemas.ts";
import type { Queries } from "./store/database.ts";
import type { Memory } from "./store/memory.ts";

/** What a node said of itself. */
interface Reported {
  readonly census: readonly Nic[] | null;
  readonly reachability: Reachability | null;
}

const NOTHING: Reported = { census: null, reachability: null };

/** What a node said of its peers in one network. */
interface Records {
  /** Of a peer with two keys by the one in use. */
  readonly records: readonly PeerRecord[] | null;
}

export interface MemberRow extends Reported, Records {
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
  /** When, in milliseconds since 1970. */
  readonly reported: number | null;
  /** It has missed its heartbeats. */
  readonly silent: boolean;
  readonly seen: Date | null;
  readonly name: string;
  readonly farm: number;
}

/** A row and what of it is read only where it is another one than before. */
interface Versions {
  readonly node: string;
  readonly version: string;
  /** null: it has not reported any peers. */
  readonly records_version: string | null;
}

/** `only` undefined: all of them. `memory`: of what was read before. */
export async function membersOf(
  queries: Queries,
  network: string,
  memory: Memory | undefined,
  only?: readonly string[],
): Promise<MemberRow[]> {
  const rows = await queries.rows<Omit<MemberRow, keyof Reported | keyof Records> & Versions>(
    `select m.node, m.subnet::text, m.subnet6::text, host(m.tunnel) as tunnel, host(m.tunnel6) as tunnel6,
       m.port, l.state = 'confirmed' as confirmed, m.public_key, n.xmin::text || n.ctid::text as version,
       t.phase, t.public_key as new_key, t.port as new_port, t.seen_by, k.public_key as sealed_key, b.box,
       n.name, n.farm, r.xmin::text || r.ctid::text as records_version,
       extract(epoch from r.at)::float8 * 1000 as reported, coalesce(h.silent, false) as silent, h.seen
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
  const records = await recordsBy(queries, network, rows, memory);
  const newKeys = new Map(
    rows.flatMap(({ new_key, public_key }) =>
      new_key === null || public_key === null ? [] : [[new_key, public_key]],
    ),
  );
  return rows.map((row) => {
    const said = records.get(row.node)?.records ?? null;
    return {
      ...{ ...row, ...(reported.get(row.node) ?? NOTHING) },
      records: newKeys.size === 0 ? said : withOneKey(said ?? [], newKeys),
    };
  });
}

/** What nodes reported of themselves, which is large and seldom changes. */
async function reportedBy(
  queries: Queries,
  rows: readonly Versions[],
  memory: Memory | undefined,
): Promise<ReadonlyMap<string, Reported>> {
  return await rememberedOr(
    new Map(rows.map(({ node, version }) => [node, version])),
    memory,
    "reported",
    async (nodes) =>
      await queries.rows<Reported & Version>(
        `select id, xmin::text || ctid::text as version, census, reachability from nodes where id = any($1)`,
        [nodes],
      ),
    ({ reachability }) => 1 + (reachability?.links.length ?? 0),
  );
}

/** What nodes reported of their peers: of a large network megabytes, of which little is new at any time. */
async function recordsBy(
  queries: Queries,
  network: string,
  rows: readonly Versions[],
  memory: Memory | undefined,
): Promise<ReadonlyMap<string, Records>> {
  return await rememberedOr(
    new Map(
      rows.flatMap(({ node, records_version: version }) =>
        version === null ? [] : [[node, version]],
      ),
    ),
    memory,
    `records ${network}`,
    async (nodes) =>
      await queries.rows<Records & Version>(
        `select node as id, xmin::text || ctid::text as version, peers as records from link_reports
         where network = $1 and node = any($2)`,
        [network, nodes],
      ),
    ({ records }) => 1 + (records?.length ?? 0),
  );
}

interface Version {
  readonly id: string;
  /** PostgreSQL, "System Columns": a row's version has its place and its transaction. */
  readonly version: string;
}

/** Of each node what memory has of that version; the others are read. */
async function rememberedOr<Value>(
  versions: ReadonlyMap<string, string>,
  memory: Memory | undefined,
  kind: string,
  read: (nodes: readonly string[]) => Promise<readonly (Value & Version)[]>,
  weightOf: (value: Value) => number,
): Promise<ReadonlyMap<string, Value>> {
  const found = new Map<string, Value>();
  const missing: string[] = [];
  for (const [node, version] of versions) {
    const known = memory?.get<Value & Version>(`${kind} ${node}`);
    if (known?.version === version) found.set(node, known);
    else missing.push(node);
  }
  if (missing.length === 0) return found;
  for (const row of await read(missing)) {
    found.set(row.id, row);
    memory?.set(`${kind} ${row.id}`, row, weightOf(row));
  }
  return found;
}
