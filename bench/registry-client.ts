/** Nodes as a registry sees them, light enough for thousands in one process: signed requests, each on a connection of its own, and streams. */
import { randomBytes } from "node:crypto";
import { type ClientRequest, request } from "node:http";
import type { Identity } from "../src/control/registry/key.ts";
import { signRequest } from "../src/control/registry/signature.ts";

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body?: object | undefined;
}

function send(url: URL, identity: Identity, { method, path, body }: Asked): ClientRequest {
  const bytes = Buffer.from(body === undefined ? "" : JSON.stringify(body));
  const signed = { method, authority: url.host, target: path, body: bytes };
  const nonce = randomBytes(18).toString("base64url");
  const headers: Record<string, string> = { ...signRequest(identity, signed, Date.now(), nonce) };
  if (body !== undefined) headers["content-type"] = "application/json";
  const { hostname: host, port } = url;
  const asking = request({ host, port, method, path, headers, agent: false });
  asking.end(bytes);
  return asking;
}

/** The answer's JSON; rejects for all but success. */
export async function ask<T>(url: URL, identity: Identity, asked: Asked): Promise<T> {
  return await new Promise((resolve, reject) => {
    const asking = send(url, identity, asked);
    asking.on("error", reject);
    asking.on("response", (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
      });
      response.on("error", reject);
      response.on("end", () => {
        if (response.statusCode === 200) resolve((text === "" ? undefined : JSON.parse(text)) as T);
        else reject(new Error(`${asked.method} ${asked.path}: ${response.statusCode} ${text}`));
      });
    });
  });
}

/** A stream of changes; resolves when it is there. `heard` gets the kind of each event; `lost`: it has ended. Returns what ends it. */
export async function openStream(
  url: URL,
  identity: Identity,
  heard: (kind: string, text: string) => void,
  lost: (why: string) => void,
): Promise<() => void> {
  return await new Promise((resolve, reject) => {
    const asking = send(url, identity, { method: "GET", path: "/api/v2/events" });
    let isOpen = false;
    const end = (why: string): void => {
      if (isOpen) lost(why);
      else reject(new Error(why));
    };
    asking.on("error", ({ message }) => end(message));
    asking.on("response", (response) => {
      if (response.statusCode !== 200) {
        response.resume();
        end(`the stream is refused: ${response.statusCode}`);
        return;
      }
      let text = "";
      response.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
        for (let cut = text.indexOf("\n\n"); cut >= 0; cut = text.indexOf("\n\n")) {
          const event = text.slice(0, cut);
          text = text.slice(cut + 2);
          const [, kind] = /^event: (.+)$/m.exec(event) ?? [];
          if (kind === undefined) continue;
          if (kind === "hello") {
            isOpen = true;
            resolve(() => {
              lost = () => undefined;
              asking.destroy();
            });
          }
          heard(kind, event);
        }
      });
      response.on("error", ({ message }) => end(message));
      response.on("close", () => end("it has been closed"));
    });
  });
}

/** Runs `work` for each, so many at once. */
export async function inParallel<T>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: Math.min(atOnce, items.length) }, async () => {
      while (next < items.length) await work(items[next++]!);
    }),
  );
}
