/**
 * The registry's API: HTTP or HTTPS with JSON. Every request but the description and the health check is signed (signature.ts); bodies,
 * rates, lists and streams have bounds; every refusal has the one shape of `../api/errors.ts`.
 */
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from "fastify";
import { z } from "zod";
import { ApiError, answerBadRequest, ERROR_STATUS, errorBody } from "../api/errors.ts";
import { describeApi } from "../api/openapi.ts";
import { parseOrRefuse } from "../model/problem.ts";
import type { Actor } from "./actor.ts";
import { authenticate, readSignature } from "./authentication.ts";
import { Changes } from "./changes.ts";
import { planAnew, tick } from "./health/links.ts";
import { Replans } from "./health/replans.ts";
import { RegistryMetrics } from "./metrics.ts";
import { FARM_ROUTES } from "./old/farms.ts";
import { OLD_QUERY, OLD_ROUTES } from "./old/routes.ts";
import { authenticateOld } from "./old/signature.ts";
import type { PlanNetwork } from "./planning.ts";
import { Rate } from "./rate.ts";
import { expireRotations } from "./rotation-expiry.ts";
import { ROTATION_ROUTES } from "./rotation-routes.ts";
import { ROUTES, type Route } from "./routes.ts";
import { sinceQuery } from "./schemas.ts";
import { type Database, faultOf, UnavailableError } from "./store/database.ts";
import { Store } from "./store/store.ts";
import { Streams } from "./streams.ts";

/** Ours: the census of a large node, or a network of 1,000 nodes, has a tenth of it. */
export const BODY_BYTES_MAX: number = 1024 * 1024;
const REQUEST_MS = 30_000;
const KEYS_REMEMBERED = 50_000;
const SWEEP_MS = 60_000;
/** Ours: how late what time alone changes may be. */
const TICK_MS = 5_000;
/** Ours: a node that was away for longer asks for everything. */
const CHANGES_KEPT_DAYS = 7;
const NO_QUERY: z.ZodType = z.strictObject({});
/** RFC 8259 8.1. What is in no text is not guessed. */
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export interface Limits {
  /** Requests a second and at once; a node's heartbeat is one in 30 s. */
  readonly perKey: readonly [perSecond: number, burst: number];
  /** Of one address, before anything is verified: a NAT may have a farm behind it. */
  readonly perAddress: readonly [perSecond: number, burst: number];
  readonly streams: number;
  readonly streamsPerKey: number;
}

export const LIMITS: Limits = {
  perKey: [50, 200],
  perAddress: [500, 2_000],
  streams: 20_000,
  streamsPerKey: 4,
};

export interface RegistryOptions {
  /** Migrated. */
  readonly database: Database;
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  /** PEM files. */
  readonly tls?: { readonly certificate: string; readonly key: string } | undefined;
  /** Names (and ports) by which clients call it; requests that were signed for others are refused. Empty: any. */
  readonly authorities: readonly string[];
  readonly planNetwork?: PlanNetwork | undefined;
  /** The old API takes the old signatures too, which leave path and body unsigned. */
  readonly oldSignatures: boolean;
  readonly limits: Limits;
  /** Between looks at what time alone changes. */
  readonly tickMs?: number | undefined;
  readonly log: (level: "info" | "error", text: string) => void;
}

export class RegistryServer {
  readonly #options: RegistryOptions;
  readonly #store: Store;
  readonly #changes: Changes;
  readonly #streams: Streams;
  readonly #app: FastifyInstance;
  readonly #bodies = new WeakMap<FastifyRequest, Buffer>();
  readonly #metrics = new RegistryMetrics();
  readonly #planNetwork: PlanNetwork | undefined;
  readonly #replans: Replans;
  readonly #perKey: Rate;
  readonly #perAddress: Rate;
  #sweeper: NodeJS.Timeout | undefined;
  #ticker: NodeJS.Timeout | undefined;
  #ticking: Promise<void> | undefined;
  #isClosing = false;

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.#planNetwork = this.#metrics.timed(options.planNetwork);
    const { database, limits, log } = options;
    this.#store = new Store(database);
    this.#replans = new Replans((network) => planAnew(this.#store, network, this.#planNetwork));
    this.#changes = new Changes(this.#store, log);
    this.#streams = new Streams(this.#changes, limits.streams, limits.streamsPerKey);
    this.#perKey = new Rate(...limits.perKey, KEYS_REMEMBERED);
    this.#perAddress = new Rate(...limits.perAddress, KEYS_REMEMBERED);
    this.#app = this.#build();
  }

  /** Serves when it resolves; returns the URL. */
  async listen(): Promise<string> {
    const { host, port, tls, log } = this.#options;
    await this.#changes.start();
    await this.#app.listen({ host, port });
    this.#sweeper = setInterval(() => {
      this.#store
        .sweep(CHANGES_KEPT_DAYS)
        .then(() => expireRotations(this.#store, this.#options.planNetwork))
        .catch((error: Error) => log("error", `nothing is swept for now: ${error.message}`));
    }, SWEEP_MS);
    this.#sweeper.unref();
    this.#tickLater();
    const { address, family, port: actual } = this.#app.server.address() as AddressInfo;
    const name = family === "IPv6" ? `[${address}]` : address;
    return `${tls === undefined ? "http" : "https"}://${name}:${actual}`;
  }

  /** Reads the certificate again; throws, and keeps the old one, if it can't be used. */
  reload(): void {
    const { tls } = this.#options;
    if (tls === undefined) return;
    (this.#app.server as unknown as { setSecureContext(o: object): void }).setSecureContext(
      readTls(tls),
    );
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeper);
    this.#isClosing = true;
    clearTimeout(this.#ticker);
    await this.#ticking;
    this.#streams.close();
    await this.#app.close();
    await this.#changes.stop();
  }

  /** One after the other, however long one takes. */
  #tickLater(): void {
    this.#ticker = setTimeout(() => {
      this.#ticking = tick(this.#store, this.#replans)
        .catch((error: Error) =>
          this.#options.log("error", `health is not judged for now: ${error.message}`),
        )
        .then(() => {
          if (!this.#isClosing) this.#tickLater();
        });
    }, this.#options.tickMs ?? TICK_MS);
    this.#ticker.unref();
  }

  #build(): FastifyInstance {
    const { tls } = this.#options;
    const settings = {
      bodyLimit: BODY_BYTES_MAX,
      requestTimeout: REQUEST_MS,
      forceCloseConnections: true,
      exposeHeadRoutes: false,
      logger: false,
      clientErrorHandler: answerBadRequest,
      routerOptions: { maxParamLength: 256 },
    } as const;
    const app = (
      tls === undefined ? fastify(settings) : fastify({ ...settings, https: readTls(tls) })
    ) as FastifyInstance;
    app.setErrorHandler((error: Error, request, reply) => {
      const { status, code, message } = this.#refusal(error, request);
      return reply.code(status).send({ error: { code, message } });
    });
    app.setNotFoundHandler(() => {
      throw new ApiError("no_route", "there is no such route: see GET /openapi.json");
    });
    app.addHook("onRequest", async (request) => {
      if (!this.#perAddress.take(request.ip, performance.now())) {
        throw new ApiError("too_many", "too many requests from this address: wait a second");
      }
    });
    app.addHook("onResponse", async (_request, reply) => {
      this.#metrics.count(reply.statusCode, reply.elapsedTime);
    });
    app.removeAllContentTypeParsers();
    const parse = app.getDefaultJsonParser("error", "error");
    app.addContentTypeParser("application/json", { parseAs: "buffer" }, (request, body, done) => {
      this.#bodies.set(request, body as Buffer);
      // Old clients name a type where there is no body.
      if (body.length === 0 && !request.url.startsWith("/api/v2")) {
        done(null, undefined);
        return;
      }
      let text: string;
      try {
        text = utf8.decode(body as Buffer);
      } catch {
        done(new ApiError("bad_json", "the body is no UTF-8"));
        return;
      }
      parse(request, text, done);
    });
    for (const route of [...ROUTES, ...ROTATION_ROUTES]) this.#add(app, route);
    for (const prefix of ["/api/v1", "/explorer"]) this.#addOld(app, prefix);
    this.#addEvents(app);
    this.#addOpen(app);
    return app;
  }

  #add(app: FastifyInstance, route: Route): void {
    app.route({
      method: route.method,
      url: route.path,
      onRequest: checkSignature,
      handler: async (request, reply) => {
        const actor = await this.#actorOf(request);
        if (route.body === undefined && request.body !== undefined && request.body !== null) {
          throw new ApiError("invalid", "this route takes no body");
        }
        const query = parseOrRefuse(route.query ?? NO_QUERY, request.query, "the query");
        const body =
          route.body === undefined
            ? undefined
            : parseOrRefuse(route.body, request.body, "the body");
        const answer = await route.run(
          {
            store: this.#store,
            planNetwork: this.#planNetwork,
            replans: this.#replans,
            actor,
            params: plainParams(request.params as Record<string, string>),
            query: query as Record<string, string>,
          },
          body,
        );
        if (route.status === 204) return reply.code(204).send();
        return reply.type("application/json").send(JSON.stringify(answer));
      },
    });
  }

  #addOld(app: FastifyInstance, prefix: string): void {
    app.register(
      async (old) => {
        old.setErrorHandler((error: Error, request, reply) => {
          const { status, message } = this.#refusal(error, request);
          if (status === 401) {
            reply.header("www-authenticate", 'Signature headers="(created) date threebot-id"');
          }
          return reply.code(status).send({ error: message });
        });
        for (const route of [...OLD_ROUTES, ...FARM_ROUTES]) {
          old.route({
            method: route.method,
            url: route.path,
            handler: async (request, reply) => {
              const query = parseOrRefuse(OLD_QUERY, request.query, "the query");
              const body =
                route.body === undefined
                  ? undefined
                  : parseOrRefuse(route.body, request.body, "the body");
              const answer = await route.run(
                {
                  store: this.#store,
                  planNetwork: this.#options.planNetwork,
                  params: plainParams(request.params as Record<string, string>),
                  query,
                  actor: () => this.#oldActorOf(request),
                },
                body,
              );
              return reply
                .code(route.status)
                .headers(answer.headers ?? {})
                .type("application/json")
                .send(JSON.stringify(answer.body));
            },
          });
        }
      },
      { prefix },
    );
  }

  async #oldActorOf(request: FastifyRequest): Promise<Actor> {
    const isNew = request.headers["signature-input"] !== undefined;
    if (isNew || !this.#options.oldSignatures) return await this.#actorOf(request);
    const actor = await authenticateOld(this.#store.database, request.headers, Date.now());
    this.#countRequest(actor);
    return actor;
  }

  #countRequest({ keyId }: Actor): void {
    if (!this.#perKey.take(keyId, performance.now())) {
      throw new ApiError("too_many", "too many requests with this key: wait a second");
    }
  }

  /** What an error is to who asks; logs what is ours. */
  #refusal(
    error: Error,
    request: FastifyRequest,
  ): { readonly status: number; readonly code: string; readonly message: string } {
    const { code, message } = errorBody(inOurWords(error)).error;
    if (code === "failed" || code === "unavailable") {
      this.#options.log("error", `${request.method} ${request.url}: ${message}`);
    }
    // What the database says of itself is for the log.
    const told = code === "failed" ? "it is in the registry's log" : message;
    return { status: ERROR_STATUS[code], code, message: told };
  }

  #addEvents(app: FastifyInstance): void {
    app.get("/api/v2/events", { onRequest: checkSignature }, async (request, reply) => {
      const actor = await this.#actorOf(request);
      const { since } = parseOrRefuse(sinceQuery, request.query, "the query");
      // A browser's or another client's own way to say where it was (HTML Living Standard 9.2).
      const last = since ?? request.headers["last-event-id"];
      const from = typeof last === "string" && /^\d{1,15}$/.test(last) ? Number(last) : undefined;
      this.#streams.check(actor);
      reply.hijack();
      await this.#streams.serve(actor, from, reply.raw);
    });
  }

  #addOpen(app: FastifyInstance): void {
    const events = {
      method: "GET",
      path: "/api/v2/events",
      summary: "Changes as they come (server-sent events), after a revision",
      query: sinceQuery,
      type: "text/event-stream",
    };
    const description = JSON.stringify(
      describeApi("Wirehaul registry", [...ROUTES, ...ROTATION_ROUTES, events]),
    );
    app.get("/openapi.json", async (_request, reply) =>
      reply.type("application/json").send(description),
    );
    app.get("/metrics", async (_request, reply) =>
      reply
        .type("text/plain; version=0.0.4")
        .send(await this.#metrics.text(this.#store, this.#streams.count)),
    );
    app.get("/health", async (_request, reply: FastifyReply) => {
      const { revision } = await this.#store.position();
      return reply.send({ revision, streams: this.#streams.count });
    });
  }

  async #actorOf(request: FastifyRequest): Promise<Actor> {
    const signature = readSignature(request.headers, Date.now());
    const { authorities } = this.#options;
    const { host: authority = "" } = request.headers;
    if (authorities.length > 0 && !authorities.includes(authority.toLowerCase())) {
      throw new ApiError(
        "unsigned",
        `the request is for "${authority}", this is ${authorities.join(", ")}`,
      );
    }
    const signed = {
      ...{ method: request.method, authority, target: request.url },
      body: this.#bodies.get(request) ?? Buffer.alloc(0),
    };
    const actor = await authenticate(
      this.#store.database,
      signature,
      signed,
      request.headers["content-digest"],
    );
    this.#countRequest(actor);
    return actor;
  }
}

/** Ids and names have no control characters: nothing of such a name is there. */
function plainParams(params: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  if (Object.values(params).some((value) => /\p{Cc}/u.test(value))) {
    throw new ApiError("missing", "there is nothing of such a name");
  }
  return params;
}

/** "PostgreSQL Error Codes" class 22, data exception: such as a zero byte in a text. */
function inOurWords(error: Error): Error {
  if (error instanceof UnavailableError) return new ApiError("unavailable", error.message);
  if (faultOf(error)?.code.startsWith("22") === true) {
    return new ApiError("invalid", "a text or a number in the request can't be stored");
  }
  return error;
}

/** Before a body is read. */
async function checkSignature(request: FastifyRequest): Promise<void> {
  readSignature(request.headers, Date.now());
}

function readTls({ certificate, key }: { readonly certificate: string; readonly key: string }): {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly minVersion: "TLSv1.2";
} {
  return { cert: readFileSync(certificate), key: readFileSync(key), minVersion: "TLSv1.2" };
}
