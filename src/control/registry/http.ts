/**
 * HTTP to a registry, where the caller says whom to trust (`fetch` can't be told), and faults in words that say what to do. Follows no
 * redirect: a signature is for one place, and where that leads to, nobody would accept it. Signs nothing.
 */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";

export interface HttpRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | undefined;
  /** Certificates in PEM that are trusted in place of the system's. */
  readonly ca?: string | undefined;
  /** Ends it, and the answer that is being read; its reason is told. */
  readonly signal: AbortSignal;
}

/** Nobody answered, or not who should have. */
export class HttpFault extends Error {
  readonly isUntrusted: boolean;

  constructor(message: string, isUntrusted: boolean, cause: unknown) {
    super(message, { cause });
    this.name = "HttpFault";
    this.isUntrusted = isUntrusted;
  }
}

/** Ours: a node asks one registry, a person's command too. */
const IDLE_MAX = 4;
const plain = new HttpAgent({ keepAlive: true, maxFreeSockets: IDLE_MAX });
const secure = new Map<string, HttpsAgent>();

function agentOf({ protocol }: URL, ca: string | undefined): HttpAgent {
  if (protocol !== "https:") return plain;
  const name = ca ?? "";
  let agent = secure.get(name);
  if (agent === undefined) {
    const trusted = ca === undefined ? {} : { ca };
    agent = new HttpsAgent({ keepAlive: true, maxFreeSockets: IDLE_MAX, ...trusted });
    secure.set(name, agent);
  }
  return agent;
}

/** Resolves when the head of the answer is there; rejects with an {@link HttpFault}. */
export async function send(url: URL, request: HttpRequest): Promise<IncomingMessage> {
  try {
    return await attempt(url, request);
  } catch (error) {
    // The other side closed the connection while we took it up again: nothing was read of this request, or it is refused as a replay.
    if (!(error instanceof StaleError)) throw faultOf(url, error);
  }
  return await attempt(url, request, "fresh").catch((error: unknown) => {
    throw faultOf(url, error);
  });
}

class StaleError extends Error {}

function attempt(
  url: URL,
  { method, headers, body, ca, signal }: HttpRequest,
  connection: "any" | "fresh" = "any",
): Promise<IncomingMessage> {
  const ask = url.protocol === "https:" ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const asked = ask(url, {
      ...{ method, signal, agent: connection === "fresh" ? false : agentOf(url, ca) },
      ...(ca === undefined ? {} : { ca }),
      headers: { ...headers, ...(body === undefined ? {} : { "content-length": body.length }) },
    });
    asked.once("response", resolve);
    asked.on("error", (error: NodeJS.ErrnoException) => {
      const isStale = asked.reusedSocket && error.code === "ECONNRESET" && !signal.aborted;
      reject(isStale ? new StaleError("stale", { cause: error }) : error);
    });
    asked.end(body);
  });
}

/** All of an answer; rejects with an {@link HttpFault} if it is cut off, or longer than `max` bytes. */
export async function textOf(url: URL, answer: IncomingMessage, max: number): Promise<string> {
  const pieces: Buffer[] = [];
  let length = 0;
  try {
    for await (const piece of answer as AsyncIterable<Buffer>) {
      length += piece.length;
      if (length > max) throw new Error(`its answer is longer than ${max} bytes`);
      pieces.push(piece);
    }
  } catch (error) {
    throw faultOf(url, error);
  }
  return Buffer.concat(pieces).toString();
}

/** "OpenSSL: X509_verify_cert_error_string" as Node names them (tls: "X509 certificate error codes"). */
const EXPIRED: readonly string[] = ["CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID"];
const UNTRUSTED: readonly string[] = [
  "CERT_SIGNATURE_FAILURE",
  "CERT_UNTRUSTED",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "INVALID_CA",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
];

/** In words. An error that is in words already stays. */
export function faultOf({ origin }: URL, error: unknown): HttpFault {
  if (error instanceof HttpFault) return error;
  const { code = "", message } = innermost(error);
  if (UNTRUSTED.includes(code)) {
    const text = `the certificate of the registry at ${origin} is signed by nobody that is trusted here (${message}): name the file with the right CA (--registry-ca)`;
    return new HttpFault(text, true, error);
  }
  if (EXPIRED.includes(code)) {
    const now = new Date().toISOString();
    const text = `the certificate of the registry at ${origin} is not good at this time (${message}): renew it, or set the clock of this machine, which says ${now}`;
    return new HttpFault(text, true, error);
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    const text = `the certificate of the registry at ${origin} is another's (${message}): call it by a name that is in the certificate`;
    return new HttpFault(text, true, error);
  }
  const hint = code === "EPROTO" ? " (does it speak TLS at all?)" : "";
  return new HttpFault(
    `the registry at ${origin} does not answer: ${message}${hint}`,
    false,
    error,
  );
}

/** Of an abort what it was for; of several attempts the first. */
function innermost(error: unknown): { readonly code?: string; readonly message: string } {
  if (!(error instanceof Error)) return { message: String(error) };
  if (error instanceof AggregateError && error.errors.length > 0) return innermost(error.errors[0]);
  if (error.name === "AbortError" && error.cause instanceof Error) return innermost(error.cause);
  const { code } = error as NodeJS.ErrnoException;
  return { message: error.message.trim(), ...(code === undefined ? {} : { code }) };
}
