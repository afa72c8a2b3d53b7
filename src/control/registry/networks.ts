/**
 * Networks as intent: a range, and the nodes that shall be in it. Everything else (subnets, addresses, ports, peers) follows: chosen here,
 * planned by the planner, made by the nodes.
 */

import {
  type AddressSpace,
  defaultRange6,
  defaultSubnetLength,
  freeTunnelRange,
  type InUse,
  nextClient,
  nextMembers,
  SUBNET_LENGTH6,
  underlayCollisions,
} from "../mesh/ipam.ts";
import { bare } from "../mesh/lan.ts";
import { cidrOf, overlaps, parseCidr } from "../model/cidr.ts";
import { networkId } from "../model/names.ts";
import type { Nic } from "../model/nic.ts";
import { RefusedError } from "../model/problem.ts";
import { type Actor, needOwner, needUser } from "./actor.ts";
import { takePort } from "./leases.ts";
import type { Page } from "./page.ts";
import { introduce, lockNetwork, type PlanNetwork, replan } from "./planning.ts";
import type { NewClient, NewMember, NewNetwork } from "./schemas.ts";
import type { Queries } from "./store/database.ts";
import type { Store, Write } from "./store/store.ts";

export interface NetworkSummary {
  readonly id: string;
  readonly name: string;
  readonly owner: number;
  readonly range: string;
  readonly range6: string;
  readonly tunnelRange: string;
  readonly subnetLength: number;
  readonly revision: number;
  readonly nodes: number;
  /** Why it is not planned, or what was left out of it. */
  readonly faults: readonly string[];
}

export interface MemberView {
  readonly node: string;
  readonly subnet: string;
  readonly subnet6: string;
  readonly tunnel: string;
  readonly tunnel6: string;
  readonly port: number | null;
  /** null: the node has not taken part yet. */
  readonly publicKey: string | null;
}

export interface ClientView {
  readonly name: string;
  readonly publicKey: string;
  readonly access: string;
  readonly address: string;
  readonly address6: string;
}

export interface NetworkDetails extends NetworkSummary {
  readonly members: readonly MemberView[];
  readonly clients: readonly ClientView[];
}

const SUMMARY = `w.id, w.name, w.owner, w.range::text, w.range6::text, w.tunnel_range::text as "tunnelRange",
  w.subnet_length as "subnetLength", w.revision, w.faults,
  (select count(*) from network_nodes m where m.network = w.id) as nodes`;

async function find(queries: Queries, actor: Actor, id: string): Promise<NetworkSummary> {
  const [network] = await queries.rows<NetworkSummary>(
    `select ${SUMMARY} from networks w where w.id = $1`,
    [id],
  );
  needOwner(actor, network?.owner ?? -1, `network ${id}`);
  if (network === undefined) throw new RefusedError("missing", `there is no network ${id}`);
  return network;
}

export async function listNetworks(
  store: Store,
  actor: Actor,
  page: Page,
): Promise<NetworkSummary[]> {
  const user = needUser(actor);
  return await store.database.rows<NetworkSummary>(
    `select ${SUMMARY} from networks w where w.id > $1 and ($3::bigint is null or w.owner = $3)
     order by w.id limit $2`,
    [page.after, page.limit, user.role === "admin" ? null : user.id],
  );
}

export async function showNetwork(store: Store, actor: Actor, id: string): Promise<NetworkDetails> {
  const network = await find(store.database, actor, id);
  const members = await store.database.rows<MemberView>(
    `select node, subnet::text, subnet6::text, host(tunnel) as tunnel, host(tunnel6) as tunnel6, port,
       public_key as "publicKey" from network_nodes where network = $1 order by subnet`,
    [id],
  );
  const clients = await store.database.rows<ClientView>(
    `select name, public_key as "publicKey", access, host(address) as address, host(address6) as address6
     from network_clients where network = $1 order by name`,
    [id],
  );
  return { ...network, members, clients };
}

export async function createNetwork(
  store: Store,
  actor: Actor,
  wish: NewNetwork,
  planNetwork: PlanNetwork | undefined,
): Promise<NetworkDetails> {
  const user = needUser(actor);
  const id = networkId(String(user.id), wish.name);
  const members = wish.nodes.map((node) => (typeof node === "string" ? { node } : node));
  await store.write({ actor: actor.keyId, action: "network.create" }, async (write) => {
    await lockNetwork(write, id);
    const underlays = await underlaysOf(
      write,
      members.map(({ node }) => node),
    );
    const subnetLength = wish.subnetLength ?? defaultSubnetLength(wish.cidr);
    if (subnetLength <= cidrOf(wish.cidr).length || subnetLength > 30) {
      throw new RefusedError(
        "invalid",
        `subnetLength: ${subnetLength} bits do not divide ${wish.cidr}: say one up to 30 that is longer`,
      );
    }
    const tunnelRange =
      wish.tunnelRange ?? freeTunnelRange([wish.cidr, ...[...underlays.values()].flat()]);
    if (overlaps(cidrOf(tunnelRange), cidrOf(wish.cidr))) {
      throw new RefusedError("invalid", `tunnelRange: ${tunnelRange} overlaps ${wish.cidr}`);
    }
    await write.rows(
      `insert into networks (id, owner, name, range, range6, tunnel_range, subnet_length)
       values ($1, $2, $3, $4, $5, $6, $7)`,
      [
        id,
        user.id,
        wish.name,
        wish.cidr,
        wish.cidr6 ?? defaultRange6(id),
        tunnelRange,
        subnetLength,
      ],
    );
    const network = await find(write, actor, id);
    await addMembers(write, network, members);
    await replan(write, id, planNetwork);
  });
  return await showNetwork(store, actor, id);
}

/** What each of these nodes has on its own interfaces. */
async function underlaysOf(
  queries: Queries,
  nodes: readonly string[],
): Promise<ReadonlyMap<string, readonly string[]>> {
  const rows = await queries.rows<{ id: string; census: readonly Nic[] | null }>(
    "select id, census from nodes where id = any($1)",
    [[...nodes]],
  );
  return new Map(
    rows.map(({ id, census }) => [
      id,
      (census ?? []).flatMap(({ mark, addresses, routes }) =>
        // What Wirehaul made itself is no underlay; a route may lead to something that is no prefix.
        mark !== undefined
          ? []
          : [...addresses, ...routes.map(({ to }) => to)].filter(
              (prefix) => parseCidr(prefix) !== undefined,
            ),
      ),
    ]),
  );
}

function spaceOf({ range, range6, subnetLength, tunnelRange }: NetworkSummary): AddressSpace {
  return {
    ...{ range, range6, subnetLength, subnetLength6: SUBNET_LENGTH6 },
    tunnelRanges: [tunnelRange],
  };
}

/** The network's lock is the caller's. */
async function inUseOf(
  queries: Queries,
  id: string,
): Promise<InUse & { readonly nodes: readonly string[] }> {
  const members = await queries.rows<Omit<MemberView, "port" | "publicKey">>(
    `select node, subnet::text, subnet6::text, host(tunnel) as tunnel, host(tunnel6) as tunnel6
     from network_nodes where network = $1`,
    [id],
  );
  const clients = await queries.rows<{ address: string; address6: string }>(
    "select host(address) as address, host(address6) as address6 from network_clients where network = $1",
    [id],
  );
  return {
    nodes: members.map(({ node }) => node),
    members: members.map(({ subnet, subnet6, tunnel, tunnel6 }) => ({
      ...{ subnet, subnet6, tunnelAddresses: [tunnel, tunnel6] },
    })),
    clients: clients.map(({ address, address6 }) => ({ addresses: [address, address6] })),
  };
}

/** The network's lock is the caller's. */
async function addMembers(
  write: Write,
  network: NetworkSummary,
  members: readonly { readonly node: string; readonly subnet?: string | undefined }[],
): Promise<void> {
  if (members.length === 0) return;
  const inUse = await inUseOf(write, network.id);
  const fresh = await underlaysOf(
    write,
    members.map((member) => member.node),
  );
  const [collision] = underlayCollisions(
    [
      ...[network.range, network.range6],
      ...inUse.members.flatMap(({ tunnelAddresses }) => tunnelAddresses),
    ],
    fresh,
  );
  if (collision !== undefined) {
    throw new RefusedError("conflict", `${collision}: choose another range`);
  }
  // What is given now is a prefix at all of them: it has to be apart from what each is in.
  const others = await underlaysOf(write, inUse.nodes);
  const underlay = new Set([...fresh.values(), ...others.values()].flat());
  // In one order everywhere: two networks that take ports of the same nodes do not wait for each other.
  const ordered = [...members].sort((a, b) => (a.node < b.node ? -1 : 1));
  const given = nextMembers(
    spaceOf(network),
    inUse,
    [...underlay],
    ordered.map(({ subnet }) => subnet),
  );
  for (const [at, { node }] of ordered.entries()) {
    const lease = await takePort(write, {
      ...{ node, holder: `network:${network.id}` },
      ...{ owner: network.owner, network: network.id },
    });
    const { subnet, subnet6, tunnelAddresses } = given[at]!;
    await write.rows(
      `insert into network_nodes (network, node, subnet, subnet6, tunnel, tunnel6, port)
       values ($1, $2, $3, $4, $5::inet, $6::inet, $7)`,
      [network.id, node, subnet, subnet6, ...tunnelAddresses.map(bare), lease.port],
    );
  }
}

/** Changes a network under its lock, if it is as who asks has seen it, and plans it anew. */
async function changeNetwork(
  store: Store,
  actor: Actor,
  { id, action, revision }: { id: string; action: string; revision: number | undefined },
  planNetwork: PlanNetwork | undefined,
  run: (write: Write, network: NetworkSummary) => Promise<void>,
  renew: (write: Write) => Promise<unknown> = (write) => replan(write, id, planNetwork),
): Promise<void> {
  needUser(actor);
  await store.write({ actor: actor.keyId, action }, async (write) => {
    await lockNetwork(write, id);
    const network = await find(write, actor, id);
    if (revision !== undefined && revision !== network.revision) {
      throw new RefusedError(
        "conflict",
        `network ${id} has revision ${network.revision}, not ${revision}: somebody changed it; look at it again`,
      );
    }
    await run(write, network);
    await write.rows("update networks set revision = revision + 1 where id = $1", [id]);
    await renew(write);
  });
}

export async function addNode(
  store: Store,
  actor: Actor,
  id: string,
  member: NewMember,
  planNetwork: PlanNetwork | undefined,
): Promise<NetworkDetails> {
  const { revision } = member;
  await changeNetwork(
    store,
    actor,
    { id, action: "network.add-node", revision },
    planNetwork,
    (write, network) => addMembers(write, network, [member]),
    (write) => introduce(write, id, [member.node]),
  );
  return await showNetwork(store, actor, id);
}

export async function removeNode(
  store: Store,
  actor: Actor,
  id: string,
  node: string,
  revision: number | undefined,
  planNetwork: PlanNetwork | undefined,
): Promise<NetworkDetails> {
  await changeNetwork(
    store,
    actor,
    { id, action: "network.remove-node", revision },
    planNetwork,
    async (write) => {
      const [client] = await write.rows<{ name: string }>(
        "select name from network_clients where network = $1 and access = $2 limit 1",
        [id, node],
      );
      if (client !== undefined) {
        throw new RefusedError(
          "conflict",
          `client ${client.name} comes in through node ${node}: remove it first`,
        );
      }
      const gone = await write.rows(
        "delete from network_nodes where network = $1 and node = $2 returning 1",
        [id, node],
      );
      if (gone.length === 0)
        throw new RefusedError("missing", `node ${node} is not in network ${id}`);
      await write.rows("delete from port_leases where network = $1 and node = $2", [id, node]);
    },
  );
  return await showNetwork(store, actor, id);
}

export async function addClient(
  store: Store,
  actor: Actor,
  id: string,
  client: NewClient,
  planNetwork: PlanNetwork | undefined,
): Promise<NetworkDetails> {
  const { name, publicKey, access, revision } = client;
  await changeNetwork(
    store,
    actor,
    { id, action: "network.add-client", revision },
    planNetwork,
    async (write, network) => {
      const [member] = await write.rows(
        "select 1 from network_nodes where network = $1 and node = $2",
        [id, access],
      );
      if (member === undefined)
        throw new RefusedError("missing", `node ${access} is not in network ${id}`);
      const inUse = await inUseOf(write, id);
      const underlays = await underlaysOf(write, inUse.nodes);
      const addresses = nextClient(spaceOf(network), inUse, [...underlays.values()].flat());
      await write.rows(
        `insert into network_clients (network, name, public_key, access, address, address6)
         values ($1, $2, $3, $4, $5::inet, $6::inet)`,
        [id, name, publicKey, access, ...addresses.map(bare)],
      );
    },
  );
  return await showNetwork(store, actor, id);
}

export async function removeClient(
  store: Store,
  actor: Actor,
  id: string,
  name: string,
  revision: number | undefined,
  planNetwork: PlanNetwork | undefined,
): Promise<NetworkDetails> {
  await changeNetwork(
    store,
    actor,
    { id, action: "network.remove-client", revision },
    planNetwork,
    async (write) => {
      const gone = await write.rows(
        "delete from network_clients where network = $1 and name = $2 returning 1",
        [id, name],
      );
      if (gone.length === 0)
        throw new RefusedError("missing", `network ${id} has no client ${name}`);
    },
  );
  return await showNetwork(store, actor, id);
}

export async function deleteNetwork(
  store: Store,
  actor: Actor,
  id: string,
  revision: number | undefined,
): Promise<void> {
  await changeNetwork(
    store,
    actor,
    { id, action: "network.delete", revision },
    undefined,
    async (write, network) => {
      await write.rows("delete from network_clients where network = $1", [id]);
      await write.rows("delete from networks where id = $1", [id]);
      write.change({ kind: "network", subject: id, owner: network.owner });
    },
  );
}
