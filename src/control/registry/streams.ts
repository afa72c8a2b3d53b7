/** Server-sent events (HTML Living Standard 9.2): one connection each, bounded in number and in what waits to be sent. */
import type { ServerResponse } from "node:http";
import { ApiError } from "../api/errors.ts";
import type { Actor } from "./actor.ts";
import type { Changes } from "./changes.ts";

/** Ours: NATs and proxies forget connections without traffic after a minute or more. */
const BEAT_MS = 20_000;
/** Ours: who takes so little that this much waits is cut off, and gets the difference when it is back. */
const WAITING_BYTES_MAX = 4 * 1024 * 1024;

export class Streams {
  readonly #changes: Changes;
  readonly #max: number;
  readonly #maxPerKey: number;
  readonly #open = new Map<ServerResponse, string>();
  readonly #perKey = new Map<string, number>();
  readonly #beat: NodeJS.Timeout;

  constructor(changes: Changes, max: number, maxPerKey: number) {
    this.#changes = changes;
    this.#max = max;
    this.#maxPerKey = maxPerKey;
    this.#beat = setInterval(() => {
      for (const response of this.#open.keys()) send(response, ": \n\n");
    }, BEAT_MS);
    this.#beat.unref();
  }

  get count(): number {
    return this.#open.size;
  }

  /** Throws an ApiError for who may have no (further) stream. */
  check({ kind, keyId }: Actor): void {
    if (kind === "stranger") throw new ApiError("forbidden", "the key is not known here");
    if (this.#open.size >= this.#max) {
      throw new ApiError("too_many", "this registry has no room for more streams: use another one");
    }
    if ((this.#perKey.get(keyId) ?? 0) >= this.#maxPerKey) {
      throw new ApiError(
        "too_many",
        `there are ${this.#maxPerKey} streams of this key already: end one`,
      );
    }
  }

  /** Resolves when the stream has caught up. The answer is this function's from now on. */
  async serve(actor: Actor, since: number | undefined, response: ServerResponse): Promise<void> {
    const { keyId } = actor;
    this.#open.set(response, keyId);
    this.#perKey.set(keyId, (this.#perKey.get(keyId) ?? 0) + 1);
    let end: (() => void) | undefined;
    response.on("error", () => response.destroy());
    response.on("close", () => {
      end?.();
      this.#open.delete(response);
      const left = (this.#perKey.get(keyId) ?? 1) - 1;
      if (left === 0) this.#perKey.delete(keyId);
      else this.#perKey.set(keyId, left);
    });
    response.socket?.setNoDelay(true);
    response.writeHead(200, {
      "content-type": "text/event-stream",
      "cache-control": "no-store",
      "x-accel-buffering": "no",
    });
    try {
      end = await this.#changes.subscribe(actor, since, {
        hello: (revision, isReset) => {
          send(
            response,
            eventText(isReset ? "reset" : "hello", revision, JSON.stringify({ revision })),
          );
        },
        change: (kind, revision, text) => send(response, eventText(kind, revision, text)),
        end: () => {
          response.end();
        },
      });
      if (response.destroyed) end();
    } catch {
      // The headers are sent: the client comes again, and is told what is wrong then.
      response.destroy();
    }
  }

  close(): void {
    clearInterval(this.#beat);
    for (const response of this.#open.keys()) response.destroy();
  }
}

/** JSON has no line feeds: one line of data. */
function eventText(kind: string, revision: number, json: string): string {
  return `id: ${revision}\nevent: ${kind}\ndata: ${json}\n\n`;
}

function send(response: ServerResponse, text: string): void {
  if (response.destroyed || response.writableEnded) return;
  response.write(text);
  if (response.writableLength > WAITING_BYTES_MAX) response.destroy();
}
