/** Asks a node by its API socket. */
import { request } from "node:http";

/** Where `wirehaul node run` listens unless told otherwise. */
export const API_SOCKET = "/run/wirehaul/api.sock";

/** Refused or failed; `code` as in docs/errors.md, "unreachable": nobody answered. */
export class ApiFault extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = "ApiFault";
    this.code = code;
  }
}

/** The answer's JSON; rejects with an {@link ApiFault}. */
export async function askApi(
  socketPath: string,
  method: string,
  path: string,
  body?: string,
): Promise<unknown> {
  const { status, text } = await send(socketPath, method, path, body);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ApiFault("unreachable", `${socketPath} is served by another program`);
  }
  if (status === 200) return value;
  const { code = "failed", message = text } =
    (value as { error?: { code?: string; message?: string } }).error ?? {};
  throw new ApiFault(code, message);
}

function send(
  socketPath: string,
  method: string,
  path: string,
  body: string | undefined,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { "content-type": "application/json" };
    const asking = request({ socketPath, method, path, headers }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
      response.on("error", reject);
    });
    asking.on("error", (error: NodeJS.ErrnoException) =>
      reject(new ApiFault("unreachable", explain(error, socketPath))),
    );
    asking.end(body);
  });
}

function explain({ code, message }: NodeJS.ErrnoException, path: string): string {
  if (code === "ENOENT" || code === "ECONNREFUSED") {
    return `no node serves ${path}: start one with "wirehaul node run"`;
  }
  if (code === "EACCES")
    return `no right to ask at ${path}: run as root, or join the socket's group`;
  if (code === "ECONNRESET" || code === "EPIPE") {
    return `${path}: the node has ended the connection; if too many ask at once, try again`;
  }
  return `${path}: ${message}`;
}
