/** The old API's routes as data: paths, bodies and status codes of BCDB (research, section 4), served below `/api/v1` and `/explorer`. */
import { z } from "zod";
import { RefusedError } from "../../model/problem.ts";
import type { Actor } from "../actor.ts";
import type { PlanNetwork } from "../planning.ts";
import type { Query } from "../schemas.ts";
import type { Store } from "../store/store.ts";
import * as nodes from "./nodes.ts";
import * as pools from "./pools.ts";
import { resultSchema, signSchema, workloadSchema } from "./workload-body.ts";
import * as workloads from "./workloads.ts";

export interface OldCall {
  readonly store: Store;
  readonly planNetwork: PlanNetwork | undefined;
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string>>;
  /** Rejects for a request that isn't signed. */
  readonly actor: () => Promise<Actor>;
}

export interface OldAnswer {
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

export interface OldRoute {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  readonly path: string;
  /** Of success. */
  readonly status: 200 | 201;
  readonly body?: z.ZodType | undefined;
  readonly run: (call: OldCall, body: unknown) => Promise<OldAnswer>;
}

const SIZE = 100;
const SIZE_MAX = 1_000;
/** BCDB passes over what it doesn't know. */
export const OLD_QUERY: Query = z.record(z.string(), z.string().max(256)) as unknown as Query;

export function taking<Body>(
  route: Omit<OldRoute, "run" | "body"> & {
    readonly body: z.ZodType<Body>;
    readonly run: (call: OldCall, body: Body) => Promise<unknown>;
  },
): OldRoute {
  return {
    ...route,
    run: async (call, body) => ({ body: (await route.run(call, body as Body)) ?? null }),
  };
}

export function number(text: string | undefined, otherwise: number): number {
  if (text === undefined || text === "") return otherwise;
  if (!/^\d{1,15}$/.test(text)) throw new RefusedError("invalid", `"${text}" is no whole number`);
  return Number(text);
}

export function paged({ query }: OldCall): { readonly page: number; readonly size: number } {
  const page = Math.max(1, number(query["page"], 1));
  const size = number(query["size"], SIZE);
  return { page, size: Math.min(Math.max(1, size), SIZE_MAX) };
}

export function optional(text: string | undefined): number | undefined {
  return text === undefined ? undefined : number(text, 0);
}

const node = ({ params }: OldCall): string => params["node"] ?? "";

export const OLD_ROUTES: readonly OldRoute[] = [
  taking({
    method: "POST",
    path: "/nodes",
    status: 201,
    body: nodes.registrationSchema,
    run: async ({ store, actor }, body) => nodes.registerOld(store, await actor(), body),
  }),
  {
    method: "GET",
    path: "/nodes",
    status: 200,
    run: async (call) => {
      const farm = optional(call.query["farm"]);
      const { nodes: body, pages } = await nodes.listOldNodes(call.store, { ...paged(call), farm });
      return { body, headers: { pages: String(pages) } };
    },
  },
  {
    method: "GET",
    path: "/nodes/:node",
    status: 200,
    run: async (call) => ({ body: await nodes.showOldNode(call.store, node(call)) }),
  },
  taking({
    method: "POST",
    path: "/nodes/:node/interfaces",
    status: 201,
    body: nodes.ifacesSchema,
    run: async (call, body) => nodes.setIfaces(call.store, await call.actor(), node(call), body),
  }),
  taking({
    method: "POST",
    path: "/nodes/:node/ports",
    status: 200,
    body: nodes.oldPortsSchema,
    run: async (call, body) => nodes.setPorts(call.store, await call.actor(), node(call), body),
  }),
  taking({
    method: "POST",
    path: "/nodes/:node/uptime",
    status: 200,
    body: nodes.uptimeSchema,
    run: async (call, body) => nodes.setUptime(call.store, await call.actor(), node(call), body),
  }),
  taking({
    method: "POST",
    path: "/nodes/:node/capacity",
    status: 200,
    body: nodes.capacitySchema,
    run: async (call, body) => nodes.setCapacity(call.store, await call.actor(), node(call), body),
  }),
  taking({
    method: "POST",
    path: "/nodes/:node/used_resources",
    status: 200,
    body: nodes.usedSchema,
    run: async (call, body) => nodes.setUsed(call.store, await call.actor(), node(call), body),
  }),
  taking({
    method: "POST",
    path: "/nodes/:node/configure_free",
    status: 200,
    body: nodes.freeSchema,
    run: async (call, body) => nodes.setFree(call.store, await call.actor(), node(call), body),
  }),
  taking({
    method: "POST",
    path: "/nodes/:node/configure_public",
    status: 201,
    body: nodes.publicSchema,
    run: async (call, body) => nodes.setPublic(call.store, await call.actor(), node(call), body),
  }),
  taking({
    method: "POST",
    path: "/reservations/pools",
    status: 201,
    body: pools.wishSchema,
    run: async ({ store, actor }, body) => pools.addPool(store, await actor(), body),
  }),
  {
    method: "GET",
    path: "/reservations/pools/:pool",
    status: 200,
    run: async ({ store, params }) => ({
      body: await pools.showPool(store, number(params["pool"], 0)),
    }),
  },
  {
    method: "GET",
    path: "/reservations/pools/owner/:owner",
    status: 200,
    run: async ({ store, params }) => ({
      body: await pools.listPools(store, number(params["owner"], 0)),
    }),
  },
  taking({
    method: "POST",
    path: "/reservations/workloads",
    status: 201,
    body: workloadSchema,
    run: async ({ store, actor }, body) => workloads.addWorkload(store, await actor(), body),
  }),
  {
    method: "GET",
    path: "/reservations/workloads",
    status: 200,
    run: async (call) => {
      const { customer_tid: owner, next_action: action } = call.query;
      const filter = { ...paged(call), owner: optional(owner), action: optional(action) };
      return { body: await workloads.listWorkloads(call.store, await call.actor(), filter) };
    },
  },
  {
    method: "GET",
    path: "/reservations/workloads/:id",
    status: 200,
    run: async ({ store, actor, params }) => ({
      body: await workloads.showWorkload(store, await actor(), number(params["id"], 0)),
    }),
  },
  taking({
    method: "POST",
    path: "/reservations/workloads/:id/sign/provision",
    status: 201,
    body: signSchema,
    run: async ({ store, actor, params }, body) =>
      workloads.signProvision(store, await actor(), number(params["id"], 0), body),
  }),
  taking({
    method: "POST",
    path: "/reservations/workloads/:id/sign/delete",
    status: 201,
    body: signSchema,
    run: async ({ store, actor, params }, body) =>
      workloads.signDelete(store, await actor(), number(params["id"], 0), body),
  }),
  {
    method: "GET",
    path: "/reservations/nodes/:node/workloads",
    status: 200,
    run: async (call) => {
      const from = number(call.query["from"], 0);
      const found = await workloads.poll(call.store, await call.actor(), node(call), from);
      return { body: found.workloads, headers: { "x-last-id": String(found.lastId) } };
    },
  },
  {
    method: "GET",
    path: "/reservations/nodes/workloads/:gwid",
    status: 200,
    run: async ({ store, actor, params }) => ({
      body: await workloads.showByNode(store, await actor(), params["gwid"] ?? ""),
    }),
  },
  taking({
    method: "PUT",
    path: "/reservations/nodes/:node/workloads/:gwid",
    status: 201,
    body: resultSchema,
    run: async (call, body) =>
      workloads.setResult(
        call.store,
        await call.actor(),
        node(call),
        call.params["gwid"] ?? "",
        body,
      ),
  }),
  {
    method: "DELETE",
    path: "/reservations/nodes/:node/workloads/:gwid",
    status: 200,
    run: async (call) => {
      await workloads.setDeleted(
        call.store,
        await call.actor(),
        node(call),
        call.params["gwid"] ?? "",
      );
      return { body: null };
    },
  },
];
