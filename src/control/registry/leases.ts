/**
 * Listen ports of nodes: handed out by the registry, one holder each, which the schema holds even where two registries do it at once. A node
 * confirms what it was offered, or refuses it because something on it has the port; then another is offered.
 */
import { randomInt } from "node:crypto";
import { ApiError } from "../api/errors.ts";
import { RefusedError } from "../model/problem.ts";
import { type Actor, needNode, needOwner, needUser } from "./actor.ts";
import { lockNetwork, type PlanNetwork, replan } from "./planning.ts";
import type { NewLease } from "./schemas.ts";
import type { Queries } from "./store/database.ts";
import type { Store, Write } from "./store/store.ts";

/** As zos's clients choose them; above are the ports that Linux gives to outgoing sockets (ip_local_port_range). */
const PORT_FIRST = 1_024;
const PORT_LAST = 32_767;
/** As zos: of its own services. */
const RESERVED: readonly number[] = [8_051, 8_082, 9_651, 9_943, 9_944, 9_945];
/** Ours: of one user on one node, beside those of networks; nobody takes all of them. */
const LEASES_MAX = 100;
/** Ours: what had the port may have gone by then. */
const REFUSED_HOURS = 1;

export interface LeaseView {
  readonly node: string;
  readonly port: number;
  readonly holder: string;
  readonly owner: number;
  readonly state: "offered" | "confirmed";
  /** null: as long as the node is in the network. */
  readonly expires: Date | null;
}

const VIEW = "node, port, holder, owner, state, expires";

export interface LeaseWish {
  readonly node: string;
  readonly holder: string;
  readonly owner: number;
  readonly network?: string | undefined;
  /** Undefined: for as long as it is needed. */
  readonly seconds?: number | undefined;
}

/** Takes a free port within a transaction. The node's row is locked: its ports are given out one after the other. */
export async function takePort(write: Write, wish: LeaseWish): Promise<LeaseView> {
  const { node, holder, owner, network, seconds } = wish;
  const [found] = await write.rows<{ used_ports: number[] }>(
    "select used_ports from nodes where id = $1 and state = 'approved' for update",
    [node],
  );
  if (found === undefined) {
    throw new RefusedError("missing", `there is no approved node ${node}`);
  }
  await write.rows("delete from port_leases where node = $1 and expires <= now()", [node]);
  const [old] = await write.rows<LeaseView>(
    `select ${VIEW} from port_leases where node = $1 and owner = $2 and holder = $3`,
    [node, owner, holder],
  );
  if (old !== undefined) return old;
  const port = choose(
    new Set([...RESERVED, ...found.used_ports, ...(await takenPorts(write, node))]),
  );
  if (port === undefined) {
    throw new RefusedError(
      "conflict",
      `node ${node} has no free port: end a lease, or use another node`,
    );
  }
  const [made] = await write.rows<LeaseView>(
    `insert into port_leases (node, port, holder, owner, network, state, expires)
     values ($1, $2, $3, $4, $5, 'offered', now() + make_interval(secs => $6)) returning ${VIEW}`,
    [node, port, holder, owner, network ?? null, seconds ?? null],
  );
  // A network's port is in what its node is told of the network.
  if (network === undefined) {
    write.change({ kind: "lease", subject: `${node}/${port}`, node, owner });
  }
  return made!;
}

async function takenPorts(queries: Queries, node: string): Promise<number[]> {
  const rows = await queries.rows<{ port: number }>(
    `select port from port_leases where node = $1
     union all select port from port_refusals where node = $1 and until > now()`,
    [node],
  );
  return rows.map(({ port }) => port);
}

/** At random: who reads one port doesn't know the next; from there the first that is free. */
function choose(taken: ReadonlySet<number>): number | undefined {
  const count = PORT_LAST - PORT_FIRST + 1;
  const start = randomInt(count);
  for (let step = 0; step < count; step++) {
    const port = PORT_FIRST + ((start + step) % count);
    if (!taken.has(port)) return port;
  }
  return undefined;
}

/** The same holder gets the port that it has. */
export async function leasePort(
  store: Store,
  actor: Actor,
  node: string,
  { holder, seconds }: NewLease,
): Promise<LeaseView> {
  const user = needUser(actor);
  return await store.write({ actor: actor.keyId, action: "lease.take" }, async (write) => {
    const lease = await takePort(write, {
      ...{ node, holder: `lease:${holder}`, owner: user.id, seconds },
    });
    // After the node's row is locked: two requests at once can't pass it both.
    const [count] = await write.rows<{ count: number }>(
      "select count(*) as count from port_leases where node = $1 and owner = $2 and network is null",
      [node, user.id],
    );
    if ((count?.count ?? 0) > LEASES_MAX) {
      throw new ApiError(
        "too_many",
        `you have ${LEASES_MAX} ports of node ${node}: end a lease first`,
      );
    }
    return lease;
  });
}

/** All leases for the node itself and admins; else one's own. */
export async function listLeases(store: Store, actor: Actor, node: string): Promise<LeaseView[]> {
  if (actor.kind === "node") needNode(actor, node);
  else needUser(actor);
  const owner = actor.kind === "user" && actor.role !== "admin" ? actor.id : null;
  return await store.database.rows<LeaseView>(
    `select ${VIEW} from port_leases where node = $1 and (expires is null or expires > now())
       and ($2::bigint is null or owner = $2) order by port`,
    [node, owner],
  );
}

export async function confirmLease(
  store: Store,
  actor: Actor,
  node: string,
  port: number,
): Promise<LeaseView> {
  needNode(actor, node);
  return await store.write({ actor: actor.keyId, action: "lease.confirm" }, async (write) => {
    const lease = await confirmPort(write, node, port);
    write.change({ kind: "lease", subject: `${node}/${port}`, node, owner: lease.owner });
    return lease;
  });
}

/** Within a transaction. */
export async function confirmPort(write: Write, node: string, port: number): Promise<LeaseView> {
  const [lease] = await write.rows<LeaseView>(
    `update port_leases set state = 'confirmed'
     where node = $1 and port = $2 and (expires is null or expires > now()) returning ${VIEW}`,
    [node, port],
  );
  if (lease === undefined) {
    throw new RefusedError("missing", `port ${port} of node ${node} is not leased (any more)`);
  }
  return lease;
}

/** Something on the node has the port: the holder gets another one, with the rest of its time. */
export async function refuseLease(
  store: Store,
  actor: Actor,
  node: string,
  port: number,
  planNetwork: PlanNetwork | undefined,
): Promise<LeaseView> {
  needNode(actor, node);
  return await store.write({ actor: actor.keyId, action: "lease.refuse" }, async (write) => {
    const [held] = await write.rows<{ network: string | null }>(
      "select network from port_leases where node = $1 and port = $2",
      [node, port],
    );
    if (held?.network != null) {
      await lockNetwork(write, held.network);
      await needUnspread(write, held.network, node, port);
    }
    // The same order of locks as where ports are taken.
    await write.rows("select 1 from nodes where id = $1 for update", [node]);
    const [old] = await write.rows<LeaseView & { network: string | null; seconds: number | null }>(
      `delete from port_leases where node = $1 and port = $2
       returning ${VIEW}, network, extract(epoch from expires - now())::float8 as seconds`,
      [node, port],
    );
    if (old === undefined) {
      throw new RefusedError("missing", `port ${port} of node ${node} is not leased (any more)`);
    }
    await write.rows(
      `insert into port_refusals (node, port, until) values ($1, $2, now() + make_interval(hours => $3))
       on conflict (node, port) do update set until = excluded.until`,
      [node, port, REFUSED_HOURS],
    );
    const lease = await takePort(write, {
      ...{ node, holder: old.holder, owner: old.owner },
      network: old.network ?? undefined,
      seconds: old.seconds ?? undefined,
    });
    if (old.network === null) return lease;
    const moved = await write.rows(
      `update rotations set port = $3 where network = $1 and node = $2 and phase = 'making' and $4 like '%:next'
       returning 1`,
      [old.network, node, lease.port, old.holder],
    );
    if (moved.length === 0) {
      await write.rows("update network_nodes set port = $3 where network = $1 and node = $2", [
        ...[old.network, node, lease.port],
      ]);
      await replan(write, old.network, planNetwork);
    }
    return lease;
  });
}

/** A rotation's port that peers know of already is not exchanged any more: the rotation has to be refused. */
async function needUnspread(
  queries: Queries,
  network: string,
  node: string,
  port: number,
): Promise<void> {
  const [spread] = await queries.rows(
    `select 1 from rotations where network = $1 and node = $2 and port = $3 and phase in ('spreading', 'switching')`,
    [network, node, port],
  );
  if (spread !== undefined) {
    throw new RefusedError(
      "conflict",
      `the node's peers know port ${port} already: refuse the rotation instead`,
    );
  }
}

/** Ends a lease before its time; those of networks end with the membership. */
export async function endLease(
  store: Store,
  actor: Actor,
  node: string,
  port: number,
): Promise<void> {
  const [lease] = await store.database.rows<{ owner: number; network: string | null }>(
    "select owner, network from port_leases where node = $1 and port = $2",
    [node, port],
  );
  const what = `lease of port ${port} of node ${node}`;
  if (lease === undefined) throw new RefusedError("missing", `there is no ${what}`);
  needOwner(actor, lease.owner, what);
  if (lease.network !== null) {
    throw new RefusedError(
      "conflict",
      `it is that of network ${lease.network}: take the node out of it`,
    );
  }
  await store.write({ actor: actor.keyId, action: "lease.end" }, async (write) => {
    await write.rows("delete from port_leases where node = $1 and port = $2 and network is null", [
      node,
      port,
    ]);
    write.change({ kind: "lease", subject: `${node}/${port}`, node, owner: lease.owner });
  });
}
