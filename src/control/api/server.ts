/**
 * The node's API: HTTP with JSON on a Unix socket, for root and the socket's group. Who asks is looked up at the kernel
 * (SO_PEERCRED, SO_PEERGROUPS), not believed. Every refusal has the one shape of errors.ts.
 */
import { chmodSync, lstatSync, mkdirSync, rmSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { dirname } from "node:path";
import { type FastifyInstance, type FastifyReply, fastify } from "fastify";
import { z } from "zod";
import { loadNative } from "../../io/load-native.ts";
import { parseOrRefuse } from "../model/problem.ts";
import type { Agent } from "../node/agent.ts";
import { ApiError, answerBadRequest, ERROR_STATUS, errorBody } from "./errors.ts";
import { describeApi } from "./openapi.ts";
import { type Call, ROUTES } from "./routes.ts";

/** Ours: a network with some thousands of peers has a tenth of it. */
export const BODY_BYTES_MAX: number = 4 * 1024 * 1024;
/** Ours: what is sent through a socket on the same machine is there at once. */
const REQUEST_MS = 30_000;
/** Ours: how often requests that take too long are looked for. */
const LOOK_MS = 5_000;
/** Ours: those who may ask are few; with a body of the longest each this is what memory has to hold. */
const CONNECTIONS_MAX = 64;
const SOCKET_MODE = 0o660;
/** Ours: of who is in more groups than that, only the primary one counts (Linux allows 65,536). */
const GROUPS_MAX = 1_024;
const NO_QUERY: z.ZodType<Record<string, string>> = z.strictObject({});

export interface ApiServerOptions {
  readonly agent: Agent;
  /** Path of the socket. */
  readonly path: string;
  readonly log: (level: "info" | "error", text: string) => void;
}

export class ApiServer {
  readonly #options: ApiServerOptions;
  readonly #app: FastifyInstance;

  constructor(options: ApiServerOptions) {
    this.#options = options;
    this.#app = build(options);
  }

  /** Serves when it resolves. Rejects if another program does. */
  async listen(): Promise<void> {
    const { path } = this.#options;
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    await removeStale(path);
    // Nobody but root gets in between: the mode is right from the first moment.
    const before = process.umask(0o777 & ~SOCKET_MODE);
    try {
      await this.#app.listen({ path });
    } finally {
      process.umask(before);
    }
    chmodSync(path, SOCKET_MODE);
  }

  async close(): Promise<void> {
    await this.#app.close();
  }
}

function build({ agent, path, log }: ApiServerOptions): FastifyInstance {
  const native = loadNative();
  const app = fastify({
    bodyLimit: BODY_BYTES_MAX,
    requestTimeout: REQUEST_MS,
    forceCloseConnections: true,
    exposeHeadRoutes: false,
    logger: false,
    http: {
      // On a Unix socket there is one host.
      requireHostHeader: false,
      headersTimeout: REQUEST_MS,
      connectionsCheckingInterval: LOOK_MS,
    },
    clientErrorHandler: answerBadRequest,
    // Paths that make no sense; without this the answer has another form.
    frameworkErrors: (error, _request, reply) => {
      const body = errorBody(error);
      const plain = reply as unknown as FastifyReply;
      void plain.code(ERROR_STATUS[body.error.code]).send(body);
    },
  });
  const { server } = app;
  server.maxConnections = CONNECTIONS_MAX;
  let isFull = false;
  server.on("drop", () => {
    if (!isFull) log("error", `${path}: ${CONNECTIONS_MAX} connections at once are the most`);
    isFull = true;
  });
  server.on("connection", () => {
    isFull = false;
  });
  server.on("connect", (_request, socket) =>
    answerBadRequest(new ApiError("bad_request", "this is no proxy"), socket),
  );
  server.on("checkExpectation", (request) =>
    answerBadRequest(
      new ApiError("bad_request", "only 100-continue can be expected"),
      request.socket,
    ),
  );
  app.setErrorHandler((error: Error, request, reply) => {
    const body = errorBody(error);
    const { code, message } = body.error;
    if (code === "failed") log("error", `${request.method} ${request.url}: ${message}`);
    return reply.code(ERROR_STATUS[code]).send(body);
  });
  app.setNotFoundHandler(() => {
    throw new ApiError("no_route", "there is no such route: see GET /openapi.json");
  });
  app.addHook("onRequest", async (request) => {
    const peer = peerOf(native, request.raw.socket);
    const { gid } = lstatSync(path);
    if (
      peer.uid === 0 ||
      peer.uid === process.geteuid?.() ||
      (gid !== 0 && peer.groups.includes(gid))
    ) {
      return;
    }
    log("error", `refused a request of user ${peer.uid} (process ${peer.pid})`);
    throw new ApiError("forbidden", "root and the group of the socket may ask, nobody else");
  });
  for (const { method, path: url, query, body, answer: shape, run } of ROUTES) {
    app.route({
      method,
      url,
      handler: async (request, reply) => {
        // The node's own parsers say what is wrong; a body where none belongs is a mistake that would be passed over.
        if (body === undefined && request.body !== undefined && request.body !== null) {
          throw new ApiError("invalid", "this route takes no body");
        }
        const asked = parseOrRefuse(query ?? NO_QUERY, request.query, "the query");
        if (body !== undefined && method === "POST") parseOrRefuse(body, request.body, "the body");
        const call: Call = {
          params: request.params as Record<string, string>,
          query: asked as Record<string, string>,
          body: request.body,
        };
        const answer = await run(agent, call);
        if (shape === undefined) return reply.type("text/plain; version=0.0.4").send(answer);
        return reply.type("application/json").send(JSON.stringify(answer));
      },
    });
  }
  const description = JSON.stringify(describeApi("Wirehaul node", ROUTES));
  app.get("/openapi.json", async (_request, reply) =>
    reply.type("application/json").send(description),
  );
  return app;
}

interface Peer {
  readonly pid: number;
  readonly uid: number;
  /** The primary group and the others. */
  readonly groups: readonly number[];
}

function peerOf(native: ReturnType<typeof loadNative>, socket: Socket): Peer {
  // Node.js keeps the descriptor in the handle, and has no other way to it.
  const { fd = -1 } = (socket as unknown as { _handle?: { fd?: number } })._handle ?? {};
  const out = new Int32Array(3 + GROUPS_MAX);
  const groups = native.peerCredentials(fd, out);
  if (groups < 0) {
    throw new ApiError("forbidden", "who asks cannot be found out");
  }
  const [pid = 0, uid = 0] = out;
  return { pid, uid: uid >>> 0, groups: Array.from(out.subarray(2, 3 + groups), (id) => id >>> 0) };
}

/** A socket that nobody serves is left of a process that was killed. */
async function removeStale(path: string): Promise<void> {
  const isServed = await new Promise<boolean>((resolve) => {
    const probe = createConnection(path);
    probe.on("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.on("error", () => resolve(false));
  });
  if (isServed) throw new Error(`another program serves ${path}: end it, or choose another socket`);
  rmSync(path, { force: true });
}
