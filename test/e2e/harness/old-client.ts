/** Who speaks the old API: signs three headers, and workloads by the SHA-256 of their challenge, as the reference client does. */
import { createHash } from "node:crypto";
import type { Identity } from "../../../src/control/registry/client.ts";
import { keyBytes } from "../../../src/control/registry/key.ts";
import { sendRaw } from "./grid.ts";

/** As the reference client signs; its "expires" is malformed. */
export function oldHeaders(
  identity: Identity,
  keyId: string,
  seconds: number = Math.floor(Date.now() / 1000),
): Record<string, string> {
  const date = new Date(seconds * 1000).toUTCString();
  const text = `(created): ${seconds}\ndate: ${date}\nthreebot-id: ${keyId}`;
  const signature = identity.sign(text).toString("base64");
  return {
    date,
    "threebot-id": keyId,
    authorization: `Signature keyId="${keyId}",algorithm="ed25519",created="${seconds}",expires="\u00e9",headers="(created) date threebot-id",signature="${signature}"`,
    "content-type": "application/json",
  };
}

export const hex: (keyId: string) => string = (keyId) => keyBytes(keyId)?.toString("hex") ?? "";
export const signHash: (identity: Identity, text: string) => string = (identity, text) =>
  identity.sign(createHash("sha256").update(text).digest()).toString("hex");

export interface OldReply {
  readonly status: number;
  readonly body: string;
  readonly value: Record<string, unknown>;
}

/** A request signed by an identity under its name: a node's id, a user's number. */
export async function askOld(
  url: string,
  [identity, keyId]: readonly [Identity, string],
  method: string,
  path: string,
  body?: unknown,
): Promise<OldReply> {
  const text = body === undefined ? "" : JSON.stringify(body);
  // node:http frames no body of DELETE by itself.
  const length = text === "" ? {} : { "content-length": String(Buffer.byteLength(text)) };
  const headers = { ...oldHeaders(identity, keyId), ...length };
  const answer = await sendRaw(url, method, path, headers, text);
  return { ...answer, value: JSON.parse(answer.body) as Record<string, unknown> };
}
