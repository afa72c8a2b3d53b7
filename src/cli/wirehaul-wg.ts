/**
 * `wirehaul-wg [-f/--foreground] INTERFACE-NAME`: one WireGuard interface, in place of wireguard-go: same arguments,
 * environment (WG_TUN_FD, WG_UAPI_FD, WG_PROCESS_FOREGROUND, LOG_LEVEL), UAPI socket and exit codes. In addition
 * --crypto=openssl|noble (or WIREHAUL_CRYPTO), --lanes N|auto (or WIREHAUL_LANES), and a start in the background returns only when the interface is ready.
 */
import { spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import type { Server } from "node:net";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { Engine } from "../engine/engine.ts";
import { laneCount } from "../engine/lane-count.ts";
import { createTun, givenTunName, nameProblem, type Tun } from "../engine/tun.ts";
import { listenUapi, listenUapiFd, UapiServer } from "../engine/uapi-server.ts";
import { loadNative } from "../io/load-native.ts";
import { VERSION } from "../version.ts";
import { type LogLevel, logLevel, writeLog } from "./log.ts";
import {
  cryptoBackend,
  descriptor,
  descriptors,
  laneNice,
  lanesOption,
  parseArguments,
} from "./wirehaul-wg-settings.ts";

const EXIT_OK = 0;
const EXIT_SETUP_FAILED = 1;
/** G device.DefaultMTU: 1500 less IPv6, UDP and WireGuard headers. */
const DEFAULT_MTU = 1420;
/** Our own: a pipe on which the background process says "ready" or why not. */
const ENV_READY_FD = "WIREHAUL_READY_FD";
/** Which descriptor that is in the background process; 3 and 4 are the TUN and the UAPI socket. */
const READY_FD = 5;
/** Our own: the descriptors of the TUN's queues but the first; in the background process they follow READY_FD. */
const ENV_TUN_QUEUES = "WIREHAUL_TUN_QUEUES";

const USAGE =
  "Usage: wirehaul-wg [-f/--foreground] [--crypto=openssl|noble] [--lanes=N|auto] INTERFACE-NAME\n       wirehaul-wg --version\n";

export async function main(args: readonly string[]): Promise<number> {
  if (args.length === 1 && args[0] === "--version") {
    process.stdout.write(
      `wirehaul-wg v${VERSION}\n\nUserspace WireGuard daemon for ${process.platform}-${process.arch}, in TypeScript.\n`,
    );
    return EXIT_OK;
  }
  if (args.length === 1 && (args[0] === "--help" || args[0] === "-h")) {
    process.stdout.write(USAGE);
    return EXIT_OK;
  }
  const parsed = parseArguments(args);
  if (parsed === undefined) {
    process.stderr.write(USAGE);
    return EXIT_SETUP_FAILED;
  }
  // The process in the background learns it by the environment, as it does all else.
  if (parsed.crypto !== undefined) process.env["WIREHAUL_CRYPTO"] = parsed.crypto;
  if (parsed.lanes !== undefined) process.env["WIREHAUL_LANES"] = parsed.lanes;
  const level = logLevel(process.env["LOG_LEVEL"]);
  const isForeground = parsed.isForeground || process.env["WG_PROCESS_FOREGROUND"] === "1";
  const readyFd = descriptor(process.env, ENV_READY_FD);
  try {
    if (isForeground) return await serve(parsed.name, level, readyFd);
    return await startInBackground(parsed.name, level);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (readyFd === undefined) writeLog(level, "error", parsed.name, reason, true);
    else await tellParent(readyFd, `failed: ${reason}`);
    return EXIT_SETUP_FAILED;
  }
}

/** Serves the interface until it is deleted, its socket removed, or a signal comes. */
async function serve(name: string, level: LogLevel, readyFd: number | undefined): Promise<number> {
  const givenTun = descriptor(process.env, "WG_TUN_FD");
  if (givenTun === undefined) {
    const problem = nameProblem(name);
    if (problem !== undefined) throw new Error(problem);
  }
  const engine = new Engine({
    crypto: cryptoBackend(process.env),
    lanes: lanesOption(process.env),
    laneNice: laneNice(process.env),
    verbose: level === "verbose",
    log: (lineLevel, device, text) => writeLog(level, lineLevel, device, text),
  });
  let server: UapiServer | undefined;
  const term = signalled();
  try {
    const device = await engine.createDevice(
      givenTun === undefined
        ? { name, mtu: DEFAULT_MTU }
        : { name, tunFd: givenTun, tunQueueFds: descriptors(process.env, ENV_TUN_QUEUES) },
    );
    const givenUapi = descriptor(process.env, "WG_UAPI_FD");
    const listener: Server =
      givenUapi === undefined ? await listenUapi(device.name) : await listenUapiFd(givenUapi);
    server = new UapiServer(listener, device, (lineLevel, text) =>
      writeLog(level, lineLevel, device.name, text),
    );
    writeLog(level, "verbose", device.name, `wirehaul-wg ${VERSION} serves ${device.name}`);
    if (readyFd !== undefined) await tellParent(readyFd, "ready");
    const reason = await Promise.race([device.ended, server.removed, term]);
    if (reason instanceof Error) {
      writeLog(level, "error", device.name, `The lane died: ${reason.message}`);
      return EXIT_SETUP_FAILED;
    }
    writeLog(level, "verbose", device.name, "Shutting down");
    return EXIT_OK;
  } finally {
    await server?.close();
    await engine.close();
  }
}

/** Settles at SIGTERM or SIGINT. */
function signalled(): Promise<void> {
  return new Promise((resolve) => {
    process.once("SIGTERM", () => resolve());
    process.once("SIGINT", () => resolve());
  });
}

function tellParent(fd: number, text: string): Promise<void> {
  return new Promise((resolve) => {
    const pipe = createWriteStream("", { fd });
    pipe.on("error", () => resolve());
    pipe.end(`${text}\n`, () => resolve());
  });
}

/**
 * Makes the interface and its socket here, so that the errors are ours to tell, hands both to a process of its own and
 * waits until that one is ready.
 */
async function startInBackground(name: string, level: LogLevel): Promise<number> {
  const native = loadNative();
  const givenTun = descriptor(process.env, "WG_TUN_FD");
  const givenUapi = descriptor(process.env, "WG_UAPI_FD");
  cryptoBackend(process.env);
  const lanes = laneCount(native, lanesOption(process.env), () => undefined);
  const tun =
    givenTun === undefined
      ? createTun(native, name, DEFAULT_MTU, lanes)
      : { fds: [givenTun], name: givenTunName(native, givenTun) };
  const server =
    givenUapi === undefined ? await listenUapi(tun.name) : await listenUapiFd(givenUapi);
  try {
    return await handOver(tun, server, level);
  } catch (error) {
    // Else the listener would keep this process alive, and with it the interface.
    server.close();
    throw error;
  }
}

/** Starts the process that serves; does not return if that succeeds. */
async function handOver(tun: Tun, server: Server, level: LogLevel): Promise<number> {
  const [tunFd, ...queues] = tun.fds;
  const uapiFd = listenerFd(server);
  const shown = process.env["LOG_LEVEL"] !== undefined && level !== "silent" ? "inherit" : "ignore";
  const child = spawn(
    process.execPath,
    [
      ...process.execArgv,
      fileURLToPath(new URL("./wirehaul-wg-main.js", import.meta.url)),
      tun.name,
    ],
    {
      detached: true,
      stdio: ["ignore", shown, shown, tunFd, uapiFd, "pipe", ...queues],
      env: {
        ...process.env,
        WG_TUN_FD: "3",
        WG_UAPI_FD: "4",
        WG_PROCESS_FOREGROUND: "1",
        [ENV_READY_FD]: String(READY_FD),
        [ENV_TUN_QUEUES]: queues.map((_, index) => READY_FD + 1 + index).join(","),
      },
    },
  );
  const answer = await firstLine(child);
  if (answer === "ready") {
    // The child serves the listener now; closing ours would remove the socket file, leaving without closing does not.
    process.exit(EXIT_OK);
  }
  throw new Error(answer.replace(/^failed: /, ""));
}

/** The descriptor of a listening server, to hand to a child process. */
function listenerFd(server: Server): number {
  const handle = (server as unknown as { _handle?: { fd?: number } })._handle;
  if (handle?.fd === undefined || handle.fd < 0) {
    throw new Error("the listening socket has no descriptor on this version of Node.js");
  }
  return handle.fd;
}

function firstLine(child: ReturnType<typeof spawn>): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const pipe = (child.stdio as readonly (Readable | Writable | null | undefined)[])[READY_FD];
    pipe?.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes("\n")) resolve(text.trim());
    });
    child.once("error", (error) => resolve(`failed: ${error.message}`));
    child.once("exit", (code, signal) =>
      resolve(text.trim() || `failed: the process ended before it was ready (${signal ?? code})`),
    );
  });
}
