/**
 * The UAPI socket of one device (https://www.wireguard.com/xplatform/), which `wg` and `wg-quick` speak to: listens, frames
 * requests, answers. Text and its errors are `src/uapi`; the socket file, its rights and its end are here.
 */
import { chmodSync, linkSync, lstatSync, mkdirSync, rmSync, unlinkSync, watch } from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { collectGarbage } from "../io/collect.ts";
import { loadNative } from "../io/load-native.ts";
import { EIO } from "../uapi/errors.ts";
import { formatErrno, formatGet } from "../uapi/format.ts";
import { type Request, RequestReader } from "../uapi/request.ts";
import { wipeSnapshot } from "../uapi/snapshot.ts";
import { acceptConnections } from "./accept.ts";
import type { Device } from "./device.ts";

/** Where `wg` looks (wireguard-tools ipc-uapi-unix.h). */
export const SOCKET_FOLDER = "/var/run/wireguard";

export function socketPath(name: string): string {
  return `${SOCKET_FOLDER}/${name}.sock`;
}

/** Connections served at once; more are closed. Ours: `wg` uses one. */
const CONNECTIONS_MAX = 64;

/**
 * Listens on the device's socket path. A socket that nobody listens on any more is replaced, a live one refused. The folder
 * is made if it is missing; the socket is its owner's and root's only, and goes away when the server is closed.
 *
 * It gets its name only once it listens: `wg` removes a socket that refuses its connection (wireguard-tools ipc-uapi-unix.h), as
 * one does between bind(2) and listen(2).
 */
export async function listenUapi(name: string): Promise<Server> {
  const path = socketPath(name);
  if (exists(path) && (await isAlive(path))) throw new Error(inUse(path, name));
  // `wg` looks at names that end with ".sock".
  const nameless = `${path}.${process.pid}`;
  const server = createServer({ allowHalfOpen: true });
  const mask = process.umask();
  try {
    mkdirSync(SOCKET_FOLDER, { recursive: true, mode: 0o755 });
    rmSync(path, { force: true });
    rmSync(nameless, { force: true });
    process.umask(0o077);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(nameless, resolve);
    });
    chmodSync(nameless, 0o700);
    linkSync(nameless, path);
    unlinkSync(nameless);
  } catch (error) {
    server.close();
    rmSync(nameless, { force: true });
    const isTaken = (error as NodeJS.ErrnoException).code === "EEXIST";
    throw new Error(isTaken ? inUse(path, name) : folderProblem(error));
  } finally {
    process.umask(mask);
  }
  const { ino } = lstatSync(path);
  server.once("close", () => {
    if (lstatSync(path, { throwIfNoEntry: false })?.ino === ino) unlinkSync(path);
  });
  return server;
}

function inUse(path: string, name: string): string {
  return `${path} is in use by another program: interface ${name} is served already; stop that one first`;
}

/** Why there can't be a socket in the folder. */
function folderProblem(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
  const user = process.geteuid?.() ?? 0;
  switch (code) {
    case "EACCES":
    case "EPERM":
      return `no right to write in ${SOCKET_FOLDER} (${code}): run as root, or make the folder for this user with "install -d -o ${user} -m 0755 ${SOCKET_FOLDER}"`;
    case "EROFS":
      return `${SOCKET_FOLDER} is on a file system that can't be written (${code}): in a unit, set RuntimeDirectory=wireguard`;
    default:
      return `no socket can be made in ${SOCKET_FOLDER}: ${error instanceof Error ? error.message : code}`;
  }
}

/** Listens on an inherited descriptor (WG_UAPI_FD). */
export async function listenUapiFd(fd: number): Promise<Server> {
  const server = createServer({ allowHalfOpen: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) =>
      reject(new Error(`descriptor ${fd} is not a listening UNIX socket (${error.message})`)),
    );
    server.listen({ fd }, resolve);
  });
  return server;
}

/** Operations of a set, and characters or bytes of an answer, from which on their garbage is collected. Ours: some 1 MB. */
const LARGE_SET = 1_000;
const LARGE_ANSWER = 200_000;
/** V8 judges by the last 5 seconds (GCTracer::kThroughputTimeFrameMs). */
const COLLECT_AFTER_MS = [100, 6_000];

export type UapiLog = (level: "verbose" | "error", text: string) => void;

export class UapiServer {
  readonly #server: Server;
  readonly #device: Device;
  readonly #path: string;
  readonly #log: UapiLog;
  readonly #sockets = new Set<Socket>();
  /** Settles when the socket file has been removed by somebody else, which asks us to end, as wireguard-go does. */
  readonly removed: Promise<void>;
  readonly #stopWatching: () => void;
  #collection: NodeJS.Timeout | undefined;

  constructor(server: Server, device: Device, log: UapiLog) {
    this.#server = server;
    this.#device = device;
    this.#path = socketPath(device.name);
    this.#log = log;
    acceptConnections(server, (socket) => this.#serve(socket));
    const { removed, stop } = watchRemoval(this.#path);
    this.removed = removed;
    this.#stopWatching = stop;
  }

  /** Stops listening, drops connections, removes the socket file. */
  async close(): Promise<void> {
    this.#stopWatching();
    clearTimeout(this.#collection);
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
    if (exists(this.#path) && !(await isAlive(this.#path))) unlinkSync(this.#path);
  }

  #serve(socket: Socket): (bytes: Uint8Array) => void {
    if (this.#sockets.size >= CONNECTIONS_MAX) {
      socket.destroy();
      return () => undefined;
    }
    this.#sockets.add(socket);
    const reader = new RequestReader();
    // One request after the other: answers come in the order of the questions.
    let chain = Promise.resolve();
    socket.on("end", () => {
      for (const request of reader.end()) chain = chain.then(() => this.#answer(socket, request));
      chain = chain.then(() => {
        socket.end();
      });
    });
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#sockets.delete(socket));
    return (bytes) => {
      for (const request of reader.push(bytes)) {
        chain = chain.then(() => this.#answer(socket, request));
      }
    };
  }

  async #answer(socket: Socket, request: Request): Promise<void> {
    if (socket.destroyed) return;
    try {
      const answer = await this.#reply(request);
      if (answer === undefined) socket.destroySoon();
      else if (typeof answer === "string") socket.write(answer);
      // Holds keys; until it is sent, the bytes are the socket's.
      else socket.write(answer, () => answer.fill(0));
      if (isLarge(request, answer)) this.#collectSoon();
    } catch (error) {
      // The lane is gone: there is nobody to answer.
      this.#log("error", error instanceof Error ? error.message : String(error));
      socket.destroy();
    }
  }

  /** Once for requests that follow each other; and once more when V8 sees that it is quiet, and gives its young generation back. */
  #collectSoon(delaysMs: readonly number[] = COLLECT_AFTER_MS): void {
    const [delayMs, ...later] = delaysMs;
    clearTimeout(this.#collection);
    if (delayMs === undefined) return;
    this.#collection = setTimeout(() => {
      collectGarbage(loadNative());
      this.#collectSoon(later);
    }, delayMs).unref();
  }

  /** The answer, or undefined: the connection is to be closed. */
  async #reply(request: Request): Promise<string | Uint8Array | undefined> {
    switch (request.kind) {
      case "get": {
        const snapshot = await this.#device.snapshot();
        const answer = formatGet(snapshot, formatErrno(0));
        wipeSnapshot(snapshot);
        return answer;
      }
      case "status":
        return `status=${JSON.stringify(await this.#device.status())}\n${formatErrno(0)}`;
      case "set": {
        const { operations, error } = request;
        // After the end of the stream wireguard-go completes the last peer, after a bad line of it it does not.
        const isComplete =
          error === undefined || error.errno === EIO || error.completesPeer === true;
        const status = await this.#device.apply(operations, isComplete);
        if (error !== undefined && status === 0) this.#log("error", error.message);
        return formatErrno(status === 0 ? (error?.errno ?? 0) : status);
      }
      case "error":
        this.#log("error", request.message);
        return formatErrno(request.errno);
      default:
        this.#log("error", "invalid UAPI operation");
        return undefined;
    }
  }
}

function isLarge(request: Request, answer: string | Uint8Array | undefined): boolean {
  return (
    (answer?.length ?? 0) > LARGE_ANSWER ||
    (request.kind === "set" && request.operations.length > LARGE_SET)
  );
}

function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** True if somebody accepts connections at `path`. */
function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createConnection(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", () => resolve(false));
  });
}

function watchRemoval(path: string): {
  readonly removed: Promise<void>;
  readonly stop: () => void;
} {
  let stop = (): void => undefined;
  const removed = new Promise<void>((resolve) => {
    try {
      const watcher = watch(path, () => {
        if (exists(path)) return;
        watcher.close();
        resolve();
      });
      watcher.on("error", () => watcher.close());
      stop = () => watcher.close();
    } catch {
      // The file is gone already, or inotify's limit is reached: the socket is then served without its watch.
      if (!exists(path)) resolve();
    }
  });
  return { removed, stop };
}
