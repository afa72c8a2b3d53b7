/** Callers of networkd by zbus: the product's own client, and a program with zbus's Go clients of both wires (test/e2e/zbus). */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { TestContext } from "vitest";
import { findProgram, ROOT } from "../../../src/cli/demo/implementations.ts";
import type { KeyPair } from "../../../src/cli/demo/keys.ts";
import type { Lab } from "../../../src/cli/demo/lab.ts";
import { callBus } from "../../../src/control/bus/client.ts";
import { toGoIp, toGoIpNet } from "../../../src/control/bus/go-types.ts";
import type { Wire } from "../../../src/control/bus/message.ts";
import { attempt, type Background, until } from "../../../src/control/linux/command.ts";
import type { RedisServer } from "./redis.ts";
import { skip } from "./skip.ts";

const SOURCE = fileURLToPath(new URL("../zbus", import.meta.url));
const PROGRAM = join(ROOT, "node_modules", ".cache", "wirehaul", "peers", "zbus");
const BUILD_MS = 240_000;
const CALL_MS = 60_000;

/** Calls a method of networkd from TypeScript. */
export async function callNetworkd(
  redis: RedisServer,
  wire: Wire,
  method: string,
  args: readonly unknown[],
  results = 1,
): Promise<readonly unknown[]> {
  return await callBus(redis.address, {
    module: "network",
    object: ["network", "0.0.1"],
    method,
    args,
    wire,
    results,
    timeoutMs: CALL_MS,
  });
}

let built: Promise<string | undefined> | undefined;

/** Builds the Go program; undefined, or why it can't be. */
async function build(): Promise<string | undefined> {
  const go = findProgram("go");
  if (go === undefined) return "there is no Go toolchain here for zbus's own client";
  mkdirSync(dirname(PROGRAM), { recursive: true });
  const command = [go, "build", "-C", SOURCE, "-o", PROGRAM, "."];
  const { code, stderr } = await attempt(command, { limitMs: BUILD_MS });
  return code === 0 ? undefined : `zbus's own client can't be built: ${stderr.slice(-500)}`;
}

/** Skips the test where the Go program can't be built. */
export async function requireGo(context: TestContext): Promise<void> {
  built ??= build();
  const reason = await built;
  if (reason !== undefined) skip(context, reason);
}

interface Line {
  readonly id?: number;
  readonly results?: readonly unknown[];
  readonly error?: string | null;
  readonly listening?: string;
  readonly stream?: string;
  readonly value?: unknown;
}

export interface GoAnswer {
  readonly results: readonly unknown[];
  readonly error: string | null;
}

/** zbus's Go clients. A stub that crashes ends the program, and fails what is asked of it. */
export class GoCaller {
  readonly #child: ChildProcess;
  readonly #lines: Line[] = [];
  #errors = "";
  #hasEnded = false;
  #count = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.once("close", () => {
      this.#hasEnded = true;
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#errors += text;
    });
    createInterface({ input: child.stdout! }).on("line", (text) => {
      if (text.startsWith("{")) this.#lines.push(JSON.parse(text) as Line);
    });
  }

  static start(lab: Lab, redis: RedisServer): GoCaller {
    const child = spawn(PROGRAM, [`unix://${redis.path}`], { stdio: "pipe" });
    if (child.pid !== undefined) lab.adopt(child.pid);
    return new GoCaller(child);
  }

  /** `args` as Go's JSON has them. */
  async call(wire: Wire, method: string, ...args: readonly unknown[]): Promise<GoAnswer> {
    return await this.#ask({ wire, method, args }, `Go's ${method} returns`);
  }

  /** The module's status. */
  async status(): Promise<{
    readonly objects: unknown;
    readonly workers: readonly { readonly state: string; readonly action?: string }[];
  }> {
    const { results } = await this.#ask({ status: true }, "Go gets the status");
    return results[0] as Awaited<ReturnType<GoCaller["status"]>>;
  }

  /** Subscribes to a stream; settles when Redis has taken it. */
  async listen(wire: Wire, name: string): Promise<void> {
    this.#write({ wire, stream: name });
    await this.#until(`Go listens to ${name}`, () =>
      this.#lines.some(({ listening }) => listening === name),
    );
  }

  /** Events of a stream so far. */
  events(name: string): unknown[] {
    return this.#lines.filter(({ stream }) => stream === name).map(({ value }) => value);
  }

  /** Waits for an event; fails if the program has crashed. */
  async untilEvent(name: string, isIt: (value: unknown) => boolean): Promise<void> {
    await this.#until(`an event of ${name}`, () => this.events(name).some(isIt));
  }

  async #ask(request: object, what: string): Promise<GoAnswer> {
    const id = ++this.#count;
    this.#write({ id, ...request });
    const line = await this.#until(what, () => this.#lines.find((other) => other.id === id));
    return { results: line.results ?? [], error: line.error ?? null };
  }

  #write(request: object): void {
    this.#child.stdin?.write(`${JSON.stringify(request)}\n`);
  }

  async #until<Value>(what: string, look: () => Value | undefined | false): Promise<Value> {
    return await until(
      what,
      () => {
        if (this.#hasEnded) throw new Error(`Go's program has ended: ${this.#errors}`);
        return look();
      },
      CALL_MS,
    );
  }
}

/** zbus's Go server as the identity daemon, which opens what begins with "sealed:". */
export async function startIdentityd(
  lab: Lab,
  redis: RedisServer,
  wire: Wire,
): Promise<Background> {
  const daemon = lab.spawn([PROGRAM, "identityd", `unix://${redis.path}`, `${wire}`]);
  await daemon.waitFor("identityd");
  return daemon;
}

/** One side of a network of two nodes: 10.X.<side + 1>.0/24 of 10.X.0.0/16. */
export interface ZosSide {
  readonly id: string;
  /** The second octet. */
  readonly octet: number;
  readonly side: 0 | 1;
  readonly keys: readonly [KeyPair, KeyPair];
  readonly ports: readonly [number, number];
  readonly outer: readonly [string, string];
  /** In place of the key itself. */
  readonly sealed?: string | undefined;
}

/** A network of zos as `prefix` writes prefixes: for the wire, or for Go's JSON. */
export function zosNetwork(
  { id, octet, side, keys, ports, outer, sealed }: ZosSide,
  prefix: (text: string) => unknown,
): Readonly<Record<string, unknown>> {
  const other = side === 0 ? 1 : 0;
  const part = (of: number): string => `10.${octet}.${of + 1}.0/24`;
  return {
    NetID: id,
    NetworkIPRange: prefix(`10.${octet}.0.0/16`),
    Subnet: prefix(part(side)),
    WGPrivateKey: sealed ?? keys[side].privateKey,
    WGListenPort: ports[side],
    Peers: [
      {
        Subnet: prefix(part(other)),
        WGPublicKey: keys[other].publicKey,
        AllowedIPs: [prefix(part(other)), prefix(`100.64.${octet}.${other + 1}/32`)],
        Endpoint: `${outer[other]}:${ports[other]}`,
      },
    ],
  };
}

/** The bytes of an address in Go's JSON. */
export function goJsonBytes(address: string): string {
  return Buffer.from(toGoIp(address) ?? []).toString("base64");
}

/** `net.IPNet` in Go's JSON. */
export function goJsonPrefix(text: string): Readonly<Record<string, string>> {
  const { Mask } = toGoIpNet(text);
  return { IP: text.split("/")[0] ?? "", Mask: Buffer.from(Mask).toString("base64") };
}
