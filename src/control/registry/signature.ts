/**
 * Signed requests: HTTP Message Signatures (RFC 9421) with ed25519, in one fixed form: method, authority, path, query and the digest of
 * the body (RFC 9530), with time, nonce and key. Pure but for the digest; who has the key and whether the nonce is new is not asked here.
 */
import { createHash } from "node:crypto";
import { type Identity, isSignedBy } from "./key.ts";

/** Ours: a request is good for five minutes, on either side of the clock. */
export const WINDOW_S = 300;
const LABEL = "wirehaul";
const COMPONENTS = '("@method" "@authority" "@path" "@query" "content-digest")';
/** The parameters in the one order that is accepted: two texts never mean the same. */
const INPUT =
  /^wirehaul=(\("@method" "@authority" "@path" "@query" "content-digest"\);created=(\d{1,12});nonce="([A-Za-z0-9_-]{22,64})";keyid="([1-9A-HJ-NP-Za-km-z]{32,44})";alg="ed25519")$/;
const SIGNATURE = /^wirehaul=:([A-Za-z0-9+/]{86}==):$/;

/** What is signed of a request. */
export interface SignedRequest {
  readonly method: string;
  /** The Host header. */
  readonly authority: string;
  /** Path and query as in the request line. */
  readonly target: string;
  readonly body: Uint8Array;
}

export interface SignatureHeaders {
  readonly "content-digest": string;
  readonly "signature-input": string;
  readonly signature: string;
}

export interface Signature {
  readonly keyId: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly nonce: string;
  readonly parameters: string;
  readonly bytes: Buffer;
}

export function digestOf(body: Uint8Array): string {
  return `sha-256=:${createHash("sha256").update(body).digest("base64")}:`;
}

/** The signature base (RFC 9421 2.5). */
export function signatureBase(
  { method, authority, target }: Omit<SignedRequest, "body">,
  digest: string,
  parameters: string,
): string {
  const cut = target.indexOf("?");
  const path = cut < 0 ? target : target.slice(0, cut);
  // RFC 9421 2.2.7: an absent query is "?".
  const query = cut < 0 ? "?" : target.slice(cut);
  return [
    `"@method": ${method.toUpperCase()}`,
    `"@authority": ${authority.toLowerCase()}`,
    `"@path": ${path}`,
    `"@query": ${query}`,
    `"content-digest": ${digest}`,
    `"@signature-params": ${parameters}`,
  ].join("\n");
}

/** Headers that sign a request. `now`: milliseconds since 1970; `nonce`: 22 to 64 letters of base64url, never twice. */
export function signRequest(
  identity: Identity,
  request: SignedRequest,
  now: number,
  nonce: string,
): SignatureHeaders {
  const digest = digestOf(request.body);
  const parameters = `${COMPONENTS};created=${Math.floor(now / 1000)};nonce="${nonce}";keyid="${identity.keyId}";alg="ed25519"`;
  const bytes = identity.sign(signatureBase(request, digest, parameters));
  return {
    "content-digest": digest,
    "signature-input": `${LABEL}=${parameters}`,
    signature: `${LABEL}=:${bytes.toString("base64")}:`,
  };
}

/** Reads the headers; undefined: they are missing, or not in the form of {@link signRequest}. */
export function parseSignature(
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
): Signature | undefined {
  const { "signature-input": input, signature } = headers;
  if (typeof input !== "string" || typeof signature !== "string") return undefined;
  const [, parameters = "", created = "", nonce = "", keyId = ""] = INPUT.exec(input) ?? [];
  const [, text = ""] = SIGNATURE.exec(signature) ?? [];
  const bytes = Buffer.from(text, "base64");
  if (parameters === "" || bytes.length !== 64) return undefined;
  // The unused bits of the last letter are zero: one text for one signature.
  if (bytes.toString("base64") !== text) return undefined;
  return { keyId, created: Number(created), nonce, parameters, bytes };
}

/** True if the time of a signature is within the window. `now`: milliseconds since 1970. */
export function isTimely({ created }: Signature, now: number): boolean {
  return Math.abs(Math.floor(now / 1000) - created) <= WINDOW_S;
}

/** True if the signature is that of this request, by its key. `digestHeader`: Content-Digest as it came. */
export function isGenuine(
  signature: Signature,
  request: SignedRequest,
  digestHeader: unknown,
): boolean {
  const digest = digestOf(request.body);
  return (
    digestHeader === digest &&
    isSignedBy(
      signature.keyId,
      signatureBase(request, digest, signature.parameters),
      signature.bytes,
    )
  );
}
