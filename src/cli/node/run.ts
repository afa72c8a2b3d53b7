/** `wirehaul node run`: the node itself, in the foreground, until it is told to end. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ApiServer } from "../../control/api/server.ts";
import { parseBusAddress } from "../../control/bus/address.ts";
import { Bus } from "../../control/bus/bus.ts";
import { realClock } from "../../control/linux/clock.ts";
import { parseBootParameters } from "../../control/model/boot-parameters.ts";
import { Agent, type Published } from "../../control/node/agent.ts";
import { BOOT_TIMES } from "../../control/node/boot/boot.ts";
import type { GridSettings } from "../../control/node/grid/grid.ts";
import { parseResponder } from "../../control/node/reachability/responder-name.ts";
import { send } from "../../control/registry/http.ts";
import { parseDecimal } from "../../route/address.ts";
import { readCa } from "../registry/trusted.ts";
import { nodeLog } from "./log.ts";

export interface RunOptions {
  readonly state: string;
  readonly socket: string;
  /** Absent: the kernel command line's; neither: the NICs stay the machine's own. */
  readonly registry?: string | undefined;
  /** File of certificates in PEM. */
  readonly registryCa?: string | undefined;
  /** Where zbus is; absent: no bus. */
  readonly bus?: string | undefined;
  /** Number of the farm to join; absent: the kernel command line's; neither: the node tells its census only. */
  readonly farm?: string | undefined;
  readonly joinTokenFile?: string | undefined;
  /** As the registry shows it. */
  readonly name?: string | undefined;
  /** Whether others' traffic may go through this node. */
  readonly relay: boolean;
  /** "none": the NICs stay the machine's own, with a registry too. */
  readonly uplink?: string | undefined;
  readonly bridge: string;
  readonly hosts: readonly string[];
  readonly nicKinds: readonly string[];
  readonly nicNames?: string | undefined;
  /** HOST:PORT, separated by commas. */
  readonly responders: string;
  /** A port. */
  readonly respond?: string | undefined;
}

const PUBLISH_MS = 10_000;
const NO_UPLINK = "none";

export async function runNode(options: RunOptions): Promise<number> {
  const log = nodeLog(process.env["LOG_LEVEL"], process.env["JOURNAL_STREAM"] !== undefined);
  const parameters = parseBootParameters(readFileSync("/proc/cmdline", "utf8"));
  for (const fault of parameters.faults) log.error(`kernel command line: ${fault}`);
  const registry = options.registry ?? parameters.registry;
  const ca = readCa(options.registryCa);
  const busPassword = process.env["WIREHAUL_BUS_PASSWORD"];
  const address = options.bus === undefined ? undefined : parseBusAddress(options.bus, busPassword);
  const say = (level: "info" | "error", text: string): void => log[level](text);
  const responders = options.responders.split(",").filter((text) => text.trim() !== "");
  const agent = await Agent.make({
    responders: responders.map((text) => parseResponder(text.trim())),
    respondPort: portOf(options.respond),
    folder: options.state,
    runFolder: join("/run", "wirehaul"),
    registry:
      registry === undefined || options.uplink === NO_UPLINK ? undefined : { url: registry, ca },
    grid: gridOf(options, registry, ca, parameters.farm),
    hosts: options.hosts.map((url) => ({ url })),
    bridge: options.bridge,
    match: { kinds: options.nicKinds, names: options.nicNames },
    times: BOOT_TIMES,
    uplink: options.uplink ?? parameters.uplink,
    clock: realClock,
    log: say,
    publish: (published) => publish(registry ?? "", ca, published),
  });
  const server = new ApiServer({ agent, path: options.socket, log: say });
  const bus =
    address === undefined
      ? undefined
      : new Bus({ node: agent, address, clock: realClock, log: say });
  const told = new Promise<string>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      process.once(signal, () => resolve(signal));
    }
  });
  try {
    const started = agent.start().then(async () => {
      await server.listen();
      log.info(`serving ${options.socket}`);
      if (bus === undefined) return;
      // Item 12: whoever calls by the bus may count on a node that the registry knows. Without a registry there is nobody to know it.
      const known = registry === undefined ? Promise.resolve() : agent.whenPublished();
      void known.then(() => {
        agent.showBus(() => bus.status());
        bus.start();
      });
    });
    const signal = await Promise.race([told, started.then(() => told)]);
    log.info(`${signal}: stopping`);
    return 0;
  } finally {
    await bus?.stop();
    await server.close();
    await agent.stop();
  }
}

/** A node with a farm takes part in that farm's grid; undefined: in none. */
function gridOf(
  { farm, joinTokenFile, name, relay }: RunOptions,
  registry: string | undefined,
  ca: string | undefined,
  bootFarm: number | undefined,
): GridSettings | undefined {
  const number = farm === undefined ? bootFarm : parseDecimal(farm, Number.MAX_SAFE_INTEGER);
  if (registry === undefined) {
    if (farm !== undefined) throw new Error("--farm needs --registry: whom to ask");
    return undefined;
  }
  if (number === undefined) {
    if (joinTokenFile === undefined) return undefined;
    throw new Error("--join-token-file needs --farm: whose token it is");
  }
  if (number < 1) throw new Error(`--farm ${farm} is no farm's number: 1 or more`);
  return { url: registry, ca, farm: number, name, tokenFile: joinTokenFile, isRelay: relay };
}

/** A port that has one after it. */
function portOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const port = parseDecimal(text, 65_534);
  if (port < 1) throw new Error(`--respond ${text} is no port: 1 to 65534`);
  return port;
}

async function publish(
  registry: string,
  ca: string | undefined,
  published: Published,
): Promise<void> {
  const response = await send(new URL("/census", registry), {
    ...{ method: "POST", headers: { "content-type": "application/json" }, ca },
    body: Buffer.from(JSON.stringify(published)),
    signal: AbortSignal.timeout(PUBLISH_MS),
  });
  response.resume();
  const { statusCode = 0 } = response;
  if (statusCode < 200 || statusCode >= 300) {
    throw new Error(`the registry answers ${statusCode}`);
  }
}
