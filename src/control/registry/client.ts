/**
 * `wirehaul/client`: asks a registry, with every request signed, and hears of changes. For nodes, users and programs of theirs; types are
 * those of the registry itself. Retries nothing but the stream of changes.
 */
import { randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Nic } from "../model/nic.ts";
import type { NetworkStatus, PairStatus } from "./health/status.ts";
import type { NetworkExplanation } from "./health/view.ts";
import { faultOf, send, textOf } from "./http.ts";
import type { NetworkChange, NodePart } from "./kept-plans.ts";
import { Identity } from "./key.ts";
import type { LeaseView } from "./leases.ts";
import type { NetworkDetails, NetworkSummary } from "./networks.ts";
import type { NodeDetails, NodeView } from "./nodes.ts";
import type { Desired } from "./participation.ts";
import type { FarmView, TokenView, UserView } from "./people.ts";
import type { RotationAnswer, RotationReport } from "./rotation-routes.ts";
import type { RotationTask } from "./rotation-tasks.ts";
import type { RotationView, RotationWish } from "./rotations.ts";
import type {
  Heartbeat,
  Join,
  LinksReport,
  NewClient,
  NewFarm,
  NewLease,
  NewMember,
  NewNetwork,
  NewNode,
  NewUser,
  PeerLink,
  Reachability,
} from "./schemas.ts";
import { openSealedKey, type SealedFor, type SealedKey, sealKey } from "./sealed-key.ts";
import { signRequest } from "./signature.ts";
import type { Change } from "./store/store.ts";

export type {
  Change,
  Desired,
  FarmView,
  LeaseView,
  LinksReport,
  NetworkChange,
  NetworkDetails,
  NetworkExplanation,
  NetworkStatus,
  NetworkSummary,
  NodeDetails,
  NodePart,
  NodeView,
  PairStatus,
  PeerLink,
  RotationTask,
  RotationView,
  SealedFor,
  SealedKey,
  TokenView,
  UserView,
};
export { Identity, openSealedKey, sealKey };

/** Longer than the registry gives a request. */
const ANSWER_MS = 60_000;
/** Three times the registry's sign of life. */
const SILENCE_MS = 60_000;
const AGAIN_MS_FIRST = 250;
const AGAIN_MS_MAX = 30_000;
const NONCE_BYTES = 18;
/** Ours: all that a node of very many large networks has to have. */
const ANSWER_BYTES_MAX: number = 512 * 1024 * 1024;

/** Refused or failed; `code` as in docs/errors.md, "unreachable": nobody answered, "untrusted": somebody else. */
export class RegistryFault extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = "RegistryFault";
    this.code = code;
  }
}

/** `reset`: the registry doesn't know any more what was missed: look at everything. */
export type RegistryEvent =
  | { readonly kind: "hello" | "reset"; readonly revision: number }
  | Change;

type Json = Readonly<Record<string, unknown>> | readonly unknown[];

/** What of a page may be said. */
export interface PageWish {
  readonly after?: string | number | undefined;
  readonly limit?: number | undefined;
}

export interface ClientOptions {
  /** "https://registry.example:8443". */
  readonly url: string;
  readonly identity: Identity;
  /** Certificates in PEM that are trusted in place of the system's. */
  readonly ca?: string | undefined;
  /** Of this machine, in milliseconds since 1970. */
  readonly now?: (() => number) | undefined;
  /** Ends all that is asked. */
  readonly signal?: AbortSignal | undefined;
}

export class RegistryClient {
  readonly #url: URL;
  readonly #identity: Identity;
  readonly #ca: string | undefined;
  readonly #now: () => number;
  readonly #signal: AbortSignal | undefined;

  constructor({ url, identity, ca, now = Date.now, signal }: ClientOptions) {
    this.#ca = ca;
    this.#signal = signal;
    this.#url = new URL(url);
    this.#identity = identity;
    this.#now = now;
  }

  get keyId(): string {
    return this.#identity.keyId;
  }

  /** Any request of the API; rejects with a {@link RegistryFault}. */
  async ask<Answer>(method: string, path: string, body?: Json): Promise<Answer> {
    const controller = new AbortController();
    const end = (): void => controller.abort(new Error("it is told to end"));
    const limit = setTimeout(() => {
      controller.abort(new Error(`no answer within ${ANSWER_MS / 1000} s`));
    }, ANSWER_MS);
    this.#signal?.addEventListener("abort", end);
    if (this.#signal?.aborted === true) end();
    try {
      const response = await this.#send(method, path, body, controller.signal);
      return (await answerOf(this.#url, response)) as Answer;
    } finally {
      clearTimeout(limit);
      this.#signal?.removeEventListener("abort", end);
    }
  }

  readonly me = (): Promise<{ readonly kind: string; readonly keyId: string }> =>
    this.ask("GET", "/api/v2/me");
  readonly addUser = (user: NewUser): Promise<UserView> =>
    this.ask("POST", "/api/v2/users", { ...user });
  readonly users = (page: PageWish = {}): Promise<UserView[]> =>
    this.ask("GET", `/api/v2/users${queryOf(page)}`);
  readonly disableUser = (id: number): Promise<UserView> =>
    this.ask("POST", `/api/v2/users/${id}/disable`);
  readonly addFarm = (farm: NewFarm): Promise<FarmView> =>
    this.ask("POST", "/api/v2/farms", { ...farm });
  readonly farms = (page: PageWish = {}): Promise<FarmView[]> =>
    this.ask("GET", `/api/v2/farms${queryOf(page)}`);
  readonly addToken = (
    farm: number,
    seconds: number,
  ): Promise<TokenView & { readonly token: string }> =>
    this.ask("POST", `/api/v2/farms/${farm}/tokens`, { seconds });
  readonly tokens = (farm: number): Promise<TokenView[]> =>
    this.ask("GET", `/api/v2/farms/${farm}/tokens`);
  readonly removeToken = (farm: number, digest: string): Promise<void> =>
    this.ask("DELETE", `/api/v2/farms/${farm}/tokens/${digest}`);

  readonly nodes = (
    wish: PageWish & { readonly farm?: number; readonly state?: NodeView["state"] } = {},
  ): Promise<NodeView[]> => this.ask("GET", `/api/v2/nodes${queryOf({ ...wish })}`);
  readonly node = (id: string): Promise<NodeDetails> => this.ask("GET", `/api/v2/nodes/${id}`);
  readonly approveNode = (id: string): Promise<NodeDetails> =>
    this.ask("POST", `/api/v2/nodes/${id}/approve`);
  readonly deleteNode = (id: string): Promise<void> => this.ask("DELETE", `/api/v2/nodes/${id}`);

  /** As a node. */
  readonly register = (node: NewNode): Promise<NodeDetails> =>
    this.ask("POST", "/api/v2/nodes", { ...node });
  readonly heartbeat = (beat: Heartbeat): Promise<{ readonly revision: number }> =>
    this.ask("POST", this.#self("heartbeat"), { ...beat });
  readonly reportCensus = (nics: readonly Nic[]): Promise<void> =>
    this.ask("PUT", this.#self("census"), nics);
  readonly reportPorts = (ports: readonly number[]): Promise<void> =>
    this.ask("PUT", this.#self("ports"), { ports });
  readonly reportReachability = (reachability: Reachability): Promise<void> =>
    this.ask("PUT", this.#self("reachability"), { ...reachability });
  /** Of each network that it names the whole state; the others stay as they were. */
  readonly reportLinks = (report: LinksReport): Promise<void> =>
    this.ask("PUT", this.#self("links"), { ...report });
  readonly desired = (since?: number): Promise<Desired> =>
    this.ask("GET", `${this.#self("desired")}${queryOf({ since })}`);
  readonly join = (network: string, join: Join): Promise<void> =>
    this.ask("PUT", this.#self(`networks/${network}`), { ...join });
  readonly answerRotation = (network: string, answer: RotationAnswer): Promise<void> =>
    this.ask("PUT", this.#self(`networks/${network}/rotation`), { ...answer });
  readonly switchedRotation = (network: string): Promise<void> =>
    this.ask("POST", this.#self(`networks/${network}/rotation/switched`));
  readonly refuseRotation = (network: string, reason: string): Promise<void> =>
    this.ask("POST", this.#self(`networks/${network}/rotation/refuse`), { reason });
  /** As a peer of the node that rotates. */
  readonly reportRotation = (
    network: string,
    node: string,
    report: RotationReport,
  ): Promise<void> =>
    this.ask("PUT", this.#self(`networks/${network}/rotations/${node}`), { ...report });
  readonly confirmLease = (port: number): Promise<LeaseView> =>
    this.ask("POST", this.#self(`leases/${port}/confirm`));
  /** Answers with the lease of another port. */
  readonly refuseLease = (port: number): Promise<LeaseView> =>
    this.ask("POST", this.#self(`leases/${port}/refuse`));

  readonly leases = (node: string): Promise<LeaseView[]> =>
    this.ask("GET", `/api/v2/nodes/${node}/leases`);
  readonly leasePort = (node: string, lease: NewLease): Promise<LeaseView> =>
    this.ask("POST", `/api/v2/nodes/${node}/leases`, { ...lease });
  readonly endLease = (node: string, port: number): Promise<void> =>
    this.ask("DELETE", `/api/v2/nodes/${node}/leases/${port}`);

  readonly createNetwork = (
    network: Omit<NewNetwork, "nodes"> & Partial<Pick<NewNetwork, "nodes">>,
  ): Promise<NetworkDetails> => this.ask("POST", "/api/v2/networks", { ...network });
  readonly networks = (page: PageWish = {}): Promise<NetworkSummary[]> =>
    this.ask("GET", `/api/v2/networks${queryOf(page)}`);
  readonly network = (id: string): Promise<NetworkDetails> =>
    this.ask("GET", `/api/v2/networks/${id}`);
  readonly networkStatus = (id: string): Promise<NetworkStatus> =>
    this.ask("GET", `/api/v2/networks/${id}/status`);
  /** `network` absent: in all that hold both. */
  readonly explain = (from: string, to: string, network?: string): Promise<NetworkExplanation[]> =>
    this.ask("GET", `/api/v2/explain${queryOf({ from, to, network })}`);
  readonly deleteNetwork = (id: string, revision?: number): Promise<void> =>
    this.ask("DELETE", `/api/v2/networks/${id}${queryOf({ revision })}`);
  readonly addNode = (id: string, member: NewMember): Promise<NetworkDetails> =>
    this.ask("POST", `/api/v2/networks/${id}/nodes`, { ...member });
  readonly removeNode = (id: string, node: string, revision?: number): Promise<NetworkDetails> =>
    this.ask("DELETE", `/api/v2/networks/${id}/nodes/${node}${queryOf({ revision })}`);
  readonly startRotation = (id: string, node: string, wish: RotationWish): Promise<RotationView> =>
    this.ask("POST", `/api/v2/networks/${id}/nodes/${node}/rotation`, { ...wish });
  readonly rotation = (id: string, node: string): Promise<RotationView> =>
    this.ask("GET", `/api/v2/networks/${id}/nodes/${node}/rotation`);
  readonly endRotation = (id: string, node: string): Promise<RotationView> =>
    this.ask("DELETE", `/api/v2/networks/${id}/nodes/${node}/rotation`);
  /** Of {@link sealKey}. */
  readonly bringKey = (id: string, node: string, sealed: SealedKey): Promise<void> =>
    this.ask("PUT", `/api/v2/networks/${id}/nodes/${node}/sealed-key`, { ...sealed });
  readonly takeKeyBack = (id: string, node: string): Promise<void> =>
    this.ask("DELETE", `/api/v2/networks/${id}/nodes/${node}/sealed-key`);
  readonly addClient = (id: string, client: NewClient): Promise<NetworkDetails> =>
    this.ask("POST", `/api/v2/networks/${id}/clients`, { ...client });
  readonly removeClient = (id: string, name: string, revision?: number): Promise<NetworkDetails> =>
    this.ask(
      "DELETE",
      `/api/v2/networks/${id}/clients/${encodeURIComponent(name)}${queryOf({ revision })}`,
    );

  /**
   * All changes after `since` (absent: from now on), across lost connections, until `signal` says so. `failed` hears of each
   * connection that ends; it goes on by itself.
   */
  async *events(
    signal: AbortSignal,
    since?: number,
    failed: (fault: RegistryFault) => void = () => undefined,
  ): AsyncGenerator<RegistryEvent, void, undefined> {
    let last = since;
    let wait = AGAIN_MS_FIRST;
    while (!signal.aborted) {
      try {
        for await (const event of this.#stream(signal, last)) {
          last = event.revision;
          wait = AGAIN_MS_FIRST;
          yield event;
        }
      } catch (error) {
        if (signal.aborted) return;
        failed(error instanceof RegistryFault ? error : asFault(this.#url, error));
      }
      await pause(wait * (0.5 + Math.random() / 2), signal);
      wait = Math.min(2 * wait, AGAIN_MS_MAX);
    }
  }

  async *#stream(signal: AbortSignal, since: number | undefined): AsyncGenerator<RegistryEvent> {
    // Not AbortSignal.any: on Node 20 it is forgotten by a garbage collection while the body is read.
    const controller = new AbortController();
    let fault: Error | undefined;
    const end = (): void => controller.abort(fault);
    const watch = (): NodeJS.Timeout =>
      setTimeout(() => {
        fault = new Error("it is silent");
        end();
      }, SILENCE_MS);
    let timer = watch();
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
    try {
      const path = `/api/v2/events${queryOf({ since })}`;
      const response = await this.#send("GET", path, undefined, controller.signal);
      if (!isOk(response)) {
        await answerOf(this.#url, response);
        return;
      }
      let text = "";
      const decoder = new TextDecoder();
      for await (const piece of response as AsyncIterable<Buffer>) {
        clearTimeout(timer);
        timer = watch();
        text += decoder.decode(piece, { stream: true });
        for (let cut = text.indexOf("\n\n"); cut >= 0; cut = text.indexOf("\n\n")) {
          const event = parseEvent(text.slice(0, cut));
          text = text.slice(cut + 2);
          if (event !== undefined) yield event;
        }
      }
    } catch (error) {
      throw fault ?? error;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      end();
    }
  }

  #self(rest: string): string {
    return `/api/v2/nodes/${this.keyId}/${rest}`;
  }

  async #send(
    method: string,
    path: string,
    body: Json | undefined,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const bytes = Buffer.from(body === undefined ? "" : JSON.stringify(body));
    const url = new URL(path, this.#url);
    const request = {
      ...{ method, authority: url.host, target: `${url.pathname}${url.search}` },
      body: bytes,
    };
    const nonce = randomBytes(NONCE_BYTES).toString("base64url");
    const headers: Record<string, string> = {
      ...signRequest(this.#identity, request, this.#now(), nonce),
    };
    if (body !== undefined) headers["content-type"] = "application/json";
    try {
      const content = body === undefined ? undefined : bytes;
      return await send(url, { method, headers, body: content, ca: this.#ca, signal });
    } catch (error) {
      throw asFault(url, error);
    }
  }
}

function asFault(url: URL, error: unknown): RegistryFault {
  const { isUntrusted, message } = faultOf(url, error);
  return new RegistryFault(isUntrusted ? "untrusted" : "unreachable", message);
}

function isOk({ statusCode = 0 }: IncomingMessage): boolean {
  return statusCode >= 200 && statusCode < 300;
}

async function answerOf(url: URL, response: IncomingMessage): Promise<unknown> {
  const text = await textOf(url, response, ANSWER_BYTES_MAX).catch((error: unknown) => {
    throw asFault(url, error);
  });
  // Done, and nothing to say.
  if (isOk(response) && text === "") return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new RegistryFault("unreachable", `${url.origin} is no registry`);
  }
  if (isOk(response)) return value;
  const { code = "failed", message = text } =
    (value as { error?: { code?: string; message?: string } }).error ?? {};
  throw new RegistryFault(code, message);
}

function queryOf(parts: object): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parts)) {
    if (value !== undefined) query.set(name, String(value));
  }
  return query.size === 0 ? "" : `?${query}`;
}

/** Undefined: a sign of life. */
function parseEvent(text: string): RegistryEvent | undefined {
  const fields = new Map<string, string>();
  for (const line of text.split("\n")) {
    const cut = line.indexOf(": ");
    if (cut > 0) fields.set(line.slice(0, cut), line.slice(cut + 2));
  }
  const data = fields.get("data");
  if (data === undefined) return undefined;
  return { ...(JSON.parse(data) as object), kind: fields.get("event") ?? "" } as RegistryEvent;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}
