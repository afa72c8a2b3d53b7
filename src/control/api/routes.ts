/** The API's routes as data: how each is called, what it takes (zod), what it does. The server and its description are made of these. */
import { z } from "zod";
import { networkResourceSchema } from "../model/network-resource.ts";
import { nodeConfigSchema } from "../model/node-config.ts";
import { workloadSchema } from "../model/workload.ts";
import type { Agent } from "../node/agent.ts";
import { explainAddress, explainPeer } from "../node/explain.ts";
import type { NetworkDetails } from "../node/view.ts";
import {
  configurationAnswer,
  emptyAnswer,
  explainAnswer,
  leaseAnswer,
  networkAnswer,
  networkDetailsAnswer,
  networksAnswer,
  nicsAnswer,
  planAnswer,
  portsAnswer,
  statusAnswer,
  workloadAnswer,
} from "./answers.ts";
import { ApiError } from "./errors.ts";
import { metricsText } from "./metrics.ts";

/** What a request brings, parsed but for the body, which the node parses. */
export interface Call {
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string>>;
  readonly body: unknown;
}

export interface Route {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  /** With `:name` for parts. */
  readonly path: string;
  readonly summary: string;
  readonly query?: z.ZodType<Record<string, string>, unknown>;
  readonly body?: z.ZodType;
  /** What it answers; absent: text. */
  readonly answer?: z.ZodType;
  readonly type?: "text/plain";
  readonly run: (agent: Agent, call: Call) => unknown;
}

const flag = z.enum(["true", "false"]).optional();
/** Absent parts are left out. */
function query(shape: Record<string, z.ZodType>): z.ZodType<Record<string, string>, unknown> {
  return z.strictObject(shape) as unknown as z.ZodType<Record<string, string>, unknown>;
}

const leaseSchema = z.strictObject({
  holder: z.string().min(1).max(256),
  seconds: z.number().positive(),
  port: z.int().min(1).max(65_535).optional(),
});

async function details(agent: Agent): Promise<NetworkDetails[]> {
  const { networks } = agent;
  return await Promise.all(networks.list().map(({ id }) => networks.show(id)));
}

export const ROUTES: readonly Route[] = [
  {
    method: "GET",
    path: "/v1/status",
    summary:
      "Boot, configuration, whether the node can be reached, and networks that are not as they should be",
    answer: statusAnswer,
    run: (agent) => agent.status(),
  },
  {
    method: "GET",
    path: "/v1/nics",
    summary: "The census: NICs with addresses, routes and gateways",
    answer: nicsAnswer,
    run: (agent) => agent.nics,
  },
  {
    method: "GET",
    path: "/v1/config",
    summary: "The node configuration in force; null where the NICs are the machine's own",
    answer: configurationAnswer.nullable(),
    run: (agent) => agent.status().configuration,
  },
  {
    method: "PUT",
    path: "/v1/config",
    summary:
      "Changes the node configuration; taken back if the registry is lost, unless probation=false",
    query: query({ probation: flag }),
    body: nodeConfigSchema,
    answer: configurationAnswer,
    run: (agent, call) => agent.configure(call.body, call.query["probation"] !== "false"),
  },
  {
    method: "DELETE",
    path: "/v1/config",
    summary: "Takes all roles and static addresses back",
    query: query({ probation: flag }),
    answer: configurationAnswer,
    run: (agent, call) => agent.unconfigure(call.query["probation"] !== "false"),
  },
  {
    method: "GET",
    path: "/v1/networks",
    summary: "All networks",
    answer: networksAnswer,
    run: (agent) => agent.networks.list(),
  },
  {
    method: "GET",
    path: "/v1/networks/:id",
    summary: "A network, its workloads, its WireGuard device; no secrets",
    answer: networkDetailsAnswer,
    run: (agent, { params }) => agent.networks.show(params["id"] ?? ""),
  },
  {
    method: "PUT",
    path: "/v1/networks/:id",
    summary: "Creates or changes a network; answers when it is so on the machine",
    body: networkResourceSchema,
    answer: networkAnswer,
    run: (agent, { params, body }) => {
      const id = (body as { id?: unknown } | null)?.id;
      if (id !== params["id"]) throw new ApiError("invalid", "id is not the one in the path");
      return agent.networks.apply(body);
    },
  },
  {
    method: "DELETE",
    path: "/v1/networks/:id",
    summary: "Removes a network; with drain=true its workloads are detached first",
    query: query({ drain: flag }),
    answer: emptyAnswer,
    run: async (agent, call) => {
      await agent.networks.remove(call.params["id"] ?? "", {
        drain: call.query["drain"] === "true",
      });
      return {};
    },
  },
  {
    method: "GET",
    path: "/v1/plan",
    summary: "What would be done now to make the machine as it should be; does nothing",
    answer: planAnswer,
    run: (agent) => agent.networks.plan(),
  },
  {
    method: "POST",
    path: "/v1/networks/:id/workloads",
    summary: "Attaches a workload: join, tap or public address",
    body: workloadSchema,
    answer: workloadAnswer,
    run: (agent, { params, body }) => agent.networks.attach(params["id"] ?? "", body),
  },
  {
    method: "DELETE",
    path: "/v1/networks/:id/workloads/:workload",
    summary: "Detaches a workload",
    answer: emptyAnswer,
    run: async (agent, { params }) => {
      await agent.networks.detach(params["id"] ?? "", params["workload"] ?? "");
      return {};
    },
  },
  {
    method: "GET",
    path: "/v1/ports",
    summary: "Listen ports in use, leased and reserved",
    answer: portsAnswer,
    run: (agent) => agent.networks.ports(),
  },
  {
    method: "POST",
    path: "/v1/ports/leases",
    summary: "Leases a port, one of the node's choice if none is named",
    body: leaseSchema,
    answer: leaseAnswer,
    run: (agent, { body }) => {
      const { holder, seconds, port } = body as z.infer<typeof leaseSchema>;
      return agent.networks.leasePort(holder, seconds, port);
    },
  },
  {
    method: "DELETE",
    path: "/v1/ports/leases/:port",
    summary: "Ends a lease before its time",
    query: query({ holder: z.string() }),
    answer: emptyAnswer,
    run: (agent, call) => {
      agent.networks.endPortLease(Number(call.params["port"]), call.query["holder"] ?? "");
      return {};
    },
  },
  {
    method: "GET",
    path: "/v1/explain",
    summary: "Where packets to a peer or an address go, and why",
    query: query({ peer: z.string().optional(), address: z.string().optional() }),
    answer: explainAnswer,
    run: async (agent, call) => {
      const { peer, address } = call.query;
      if ((peer === undefined) === (address === undefined)) {
        throw new ApiError("invalid", "name either a peer or an address");
      }
      const networks = await details(agent);
      return address === undefined
        ? explainPeer(networks, peer ?? "", agent.reachability)
        : explainAddress(networks, address, agent.reachability);
    },
  },
  {
    method: "GET",
    path: "/metrics",
    summary: "Prometheus text",
    type: "text/plain",
    run: async (agent) => {
      const { boot, reachability } = agent.status();
      const node = { hasInternet: boot?.internet, reachability: reachability ?? undefined };
      return await metricsText(await details(agent), node, Date.now());
    },
  },
];
