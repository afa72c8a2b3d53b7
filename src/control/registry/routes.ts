/** The registry's routes as data: how each is called, what it takes (zod), what it does. The server and its description are made of these. */
import type { z } from "zod";
import { ApiError } from "../api/errors.ts";
import type { Nic } from "../model/nic.ts";
import { type Actor, needAdmin } from "./actor.ts";
import { reportLinks } from "./health/links.ts";
import type { Replans } from "./health/replans.ts";
import { explain, networkStatus } from "./health/view.ts";
import { heartbeat } from "./heartbeats.ts";
import { confirmLease, endLease, leasePort, listLeases, refuseLease } from "./leases.ts";
import {
  addClient,
  addNode,
  createNetwork,
  deleteNetwork,
  listNetworks,
  removeClient,
  removeNode,
  showNetwork,
} from "./networks.ts";
import {
  approveNode,
  deleteNode,
  listNodes,
  registerNode,
  reportCensus,
  reportPorts,
  reportReachability,
  showNode,
} from "./nodes.ts";
import { pageOf } from "./page.ts";
import { desiredOf, joinNetwork } from "./participation.ts";
import {
  addFarm,
  addToken,
  addUser,
  disableUser,
  listFarms,
  listTokens,
  listUsers,
  removeToken,
} from "./people.ts";
import type { PlanNetwork } from "./planning.ts";
import * as schemas from "./schemas.ts";
import type { Store } from "./store/store.ts";

export interface Call {
  readonly store: Store;
  readonly planNetwork: PlanNetwork | undefined;
  readonly replans: Replans;
  readonly actor: Actor;
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string>>;
}

export interface Route {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  /** With `:name` for parts. */
  readonly path: string;
  readonly summary: string;
  readonly query?: schemas.Query | undefined;
  readonly body?: z.ZodType | undefined;
  readonly type?: string | undefined;
  /** 204: there is no answer but that; absent: 200. */
  readonly status?: 204 | undefined;
  readonly run: (call: Call, body: unknown) => Promise<unknown>;
}

/** With the body's type from its schema. */
export function taking<Body>(
  route: Omit<Route, "run" | "body"> & {
    readonly body: z.ZodType<Body>;
    readonly run: (call: Call, body: Body) => Promise<unknown>;
  },
): Route {
  return { ...route, run: (call, body) => route.run(call, body as Body) };
}

function numberOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text);
}

/** A number in the path. */
function rowOf(text: string | undefined): number {
  if (text === undefined || !/^\d{1,15}$/.test(text)) {
    throw new ApiError("missing", "there is nothing of this number");
  }
  return Number(text);
}

export async function nothing(done: Promise<unknown>): Promise<object> {
  await done;
  return {};
}

export const ROUTES: readonly Route[] = [
  {
    method: "GET",
    path: "/api/v2/me",
    summary: "Who the registry takes the signer for",
    run: async ({ actor }) => actor,
  },
  taking({
    method: "POST",
    path: "/api/v2/users",
    summary: "Adds a user (admins)",
    body: schemas.userSchema,
    run: ({ store, actor }, body) => addUser(store, actor, body),
  }),
  {
    method: "GET",
    path: "/api/v2/users",
    summary: "Users (admins)",
    query: schemas.pageQuery,
    run: ({ store, actor, query }) => listUsers(store, actor, pageOf(query)),
  },
  {
    method: "POST",
    path: "/api/v2/users/:user/disable",
    summary: "A user's key is refused from then on (admins)",
    run: ({ store, actor, params }) => disableUser(store, actor, rowOf(params["user"])),
  },
  taking({
    method: "POST",
    path: "/api/v2/farms",
    summary: "Adds a farm (farmers; for others: admins)",
    body: schemas.farmSchema,
    run: ({ store, actor }, body) => addFarm(store, actor, body),
  }),
  {
    method: "GET",
    path: "/api/v2/farms",
    summary: "Farms",
    query: schemas.pageQuery,
    run: ({ store, actor, query }) => listFarms(store, actor, pageOf(query)),
  },
  taking({
    method: "POST",
    path: "/api/v2/farms/:farm/tokens",
    summary: "A token by which one node joins without approval; it is shown once (farmer)",
    body: schemas.tokenSchema,
    run: ({ store, actor, params }, body) => addToken(store, actor, rowOf(params["farm"]), body),
  }),
  {
    method: "GET",
    path: "/api/v2/farms/:farm/tokens",
    summary: "Tokens that are good, by their digests (farmer)",
    run: ({ store, actor, params }) => listTokens(store, actor, rowOf(params["farm"])),
  },
  {
    method: "DELETE",
    path: "/api/v2/farms/:farm/tokens/:digest",
    summary: "Takes a token back (farmer)",
    run: ({ store, actor, params }) =>
      nothing(removeToken(store, actor, rowOf(params["farm"]), params["digest"] ?? "")),
  },
  taking({
    method: "POST",
    path: "/api/v2/nodes",
    summary: "A node joins a farm, or comes again (node)",
    body: schemas.nodeSchema,
    run: ({ store, actor }, body) => registerNode(store, actor, body),
  }),
  {
    method: "GET",
    path: "/api/v2/nodes",
    summary: "Nodes",
    query: schemas.nodesQuery,
    run: ({ store, actor, query }) => {
      const filter = { farm: numberOf(query["farm"]), state: query["state"] };
      return listNodes(store, actor, filter, pageOf(query));
    },
  },
  {
    method: "GET",
    path: "/api/v2/nodes/:node",
    summary: "A node with its census",
    run: ({ store, actor, params }) => showNode(store, actor, params["node"] ?? ""),
  },
  {
    method: "POST",
    path: "/api/v2/nodes/:node/approve",
    summary: "Lets a node in that waits (farmer)",
    run: ({ store, actor, params }) => approveNode(store, actor, params["node"] ?? ""),
  },
  {
    method: "DELETE",
    path: "/api/v2/nodes/:node",
    summary:
      "A node leaves all its networks and the grid; its key is refused from then on (farmer)",
    run: ({ store, actor, params, planNetwork }) =>
      nothing(deleteNode(store, actor, params["node"] ?? "", planNetwork)),
  },
  taking({
    method: "POST",
    path: "/api/v2/nodes/:node/heartbeat",
    summary: "The node is there; answers with the newest revision for it (node)",
    body: schemas.heartbeatSchema,
    run: ({ store, actor, params }, body) => heartbeat(store, actor, params["node"] ?? "", body),
  }),
  taking<readonly Nic[]>({
    method: "PUT",
    path: "/api/v2/nodes/:node/census",
    summary: "NICs with addresses, routes and gateways (node)",
    body: schemas.censusBodySchema,
    run: ({ store, actor, params, planNetwork }, body) =>
      nothing(reportCensus(store, actor, params["node"] ?? "", body, planNetwork)),
  }),
  taking({
    method: "PUT",
    path: "/api/v2/nodes/:node/ports",
    summary: "UDP ports that something on the node uses (node)",
    body: schemas.portsSchema,
    run: ({ store, actor, params }, body) =>
      nothing(reportPorts(store, actor, params["node"] ?? "", body)),
  }),
  taking({
    method: "PUT",
    path: "/api/v2/nodes/:node/reachability",
    summary: "How the node stands in each family, and what it measured to others (node)",
    body: schemas.reachabilitySchema,
    run: ({ store, actor, params, planNetwork }, body) =>
      nothing(reportReachability(store, actor, params["node"] ?? "", body, planNetwork)),
  }),
  taking({
    method: "PUT",
    path: "/api/v2/nodes/:node/links",
    summary:
      "What the node sees of all its peers in the networks that it names: handshakes, endpoints in use, probes; many peers in several requests (node)",
    body: schemas.linksSchema,
    status: 204,
    run: ({ store, actor, params, replans }, body) =>
      reportLinks(store, actor, params["node"] ?? "", body, replans),
  }),
  {
    method: "GET",
    path: "/api/v2/nodes/:node/desired",
    summary: "What the node has to have: all, or what differs since a revision (node)",
    query: schemas.sinceQuery,
    run: ({ store, actor, params, query }) =>
      desiredOf(store, actor, params["node"] ?? "", numberOf(query["since"])),
  },
  taking({
    method: "PUT",
    path: "/api/v2/nodes/:node/networks/:network",
    summary: "The node takes part in a network: its public key there, and its port is free (node)",
    body: schemas.joinSchema,
    run: ({ store, actor, params, planNetwork }, body) =>
      nothing(
        joinNetwork(store, actor, params["node"] ?? "", params["network"] ?? "", body, planNetwork),
      ),
  }),
  {
    method: "GET",
    path: "/api/v2/nodes/:node/leases",
    summary: "Leased ports: all for the node and admins, else one's own",
    run: ({ store, actor, params }) => listLeases(store, actor, params["node"] ?? ""),
  },
  taking({
    method: "POST",
    path: "/api/v2/nodes/:node/leases",
    summary:
      "Leases a port of the node that nobody else has; the same holder gets the same one again",
    body: schemas.leaseSchema,
    run: ({ store, actor, params }, body) => leasePort(store, actor, params["node"] ?? "", body),
  }),
  {
    method: "POST",
    path: "/api/v2/nodes/:node/leases/:port/confirm",
    summary: "The port is free on the node (node)",
    run: ({ store, actor, params }) =>
      confirmLease(store, actor, params["node"] ?? "", rowOf(params["port"])),
  },
  {
    method: "POST",
    path: "/api/v2/nodes/:node/leases/:port/refuse",
    summary: "Something on the node has the port: another one is leased (node)",
    run: ({ store, actor, params, planNetwork }) =>
      refuseLease(store, actor, params["node"] ?? "", rowOf(params["port"]), planNetwork),
  },
  {
    method: "DELETE",
    path: "/api/v2/nodes/:node/leases/:port",
    summary: "Ends a lease before its time",
    run: ({ store, actor, params }) =>
      nothing(endLease(store, actor, params["node"] ?? "", rowOf(params["port"]))),
  },
  taking({
    method: "POST",
    path: "/api/v2/networks",
    summary: "A network over nodes: subnets, addresses and ports are chosen",
    body: schemas.networkSchema,
    run: ({ store, actor, planNetwork }, body) => createNetwork(store, actor, body, planNetwork),
  }),
  {
    method: "GET",
    path: "/api/v2/networks",
    summary: "One's networks (admins: all)",
    query: schemas.pageQuery,
    run: ({ store, actor, query }) => listNetworks(store, actor, pageOf(query)),
  },
  {
    method: "GET",
    path: "/api/v2/networks/:network",
    summary: "A network with its nodes and clients",
    run: ({ store, actor, params }) => showNetwork(store, actor, params["network"] ?? ""),
  },
  {
    method: "GET",
    path: "/api/v2/networks/:network/status",
    summary: "How each pair of a network's nodes reaches the other, by both sides' reports",
    run: ({ store, actor, params }) => networkStatus(store, actor, params["network"] ?? ""),
  },
  {
    method: "GET",
    path: "/api/v2/explain",
    summary:
      "Why two nodes meet as they do, and what stands in the way of better (owner of the network, farmers of the nodes)",
    query: schemas.explainQuery,
    run: ({ store, actor, query }) => {
      const { from = "", to = "", network } = query;
      return explain(store, actor, { from, to, network });
    },
  },
  {
    method: "DELETE",
    path: "/api/v2/networks/:network",
    summary: "Takes a network away from all its nodes",
    query: schemas.revisionQuery,
    run: ({ store, actor, params, query }) =>
      nothing(deleteNetwork(store, actor, params["network"] ?? "", numberOf(query["revision"]))),
  },
  taking({
    method: "POST",
    path: "/api/v2/networks/:network/nodes",
    summary: "Adds a node to a network",
    body: schemas.memberSchema,
    run: ({ store, actor, params, planNetwork }, body) =>
      addNode(store, actor, params["network"] ?? "", body, planNetwork),
  }),
  {
    method: "DELETE",
    path: "/api/v2/networks/:network/nodes/:node",
    summary: "Takes a node out of a network",
    query: schemas.revisionQuery,
    run: ({ store, actor, params, query, planNetwork }) => {
      const { network = "", node = "" } = params;
      return removeNode(store, actor, network, node, numberOf(query["revision"]), planNetwork);
    },
  },
  taking({
    method: "POST",
    path: "/api/v2/networks/:network/clients",
    summary: "Adds a machine outside the grid, by its public key",
    body: schemas.clientSchema,
    run: ({ store, actor, params, planNetwork }, body) =>
      addClient(store, actor, params["network"] ?? "", body, planNetwork),
  }),
  {
    method: "DELETE",
    path: "/api/v2/networks/:network/clients/:client",
    summary: "Removes a machine outside the grid",
    query: schemas.revisionQuery,
    run: ({ store, actor, params, query, planNetwork }) => {
      const { network = "", client = "" } = params;
      return removeClient(store, actor, network, client, numberOf(query["revision"]), planNetwork);
    },
  },
  {
    method: "GET",
    path: "/api/v2/audit",
    summary: "Who wrote what (admins)",
    query: schemas.pageQuery,
    run: async ({ store, actor, query }) => {
      needAdmin(actor);
      const { afterNumber, limit } = pageOf(query);
      return await store.database.rows("select * from audit where id > $1 order by id limit $2", [
        afterNumber,
        limit,
      ]);
    },
  },
];
