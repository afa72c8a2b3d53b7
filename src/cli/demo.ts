/**
 * `wirehaul demo [--keep] [--json]`: a grid in small, on machines that are namespaces of this one. `wirehaul demo tunnel`: a tunnel,
 * measured. Touches nothing outside namespaces of its own and removes them, whatever happens.
 */
import { existsSync } from "node:fs";
import { showGrid } from "./demo/grid-demo.ts";
import { SWEEP, sweepAfter, watchOver } from "./demo/guard.ts";
import {
  findProgram,
  IMPLEMENTATIONS,
  type Implementation,
  startCommand,
} from "./demo/implementations.ts";
import { KeptGrid } from "./demo/kept-grid.ts";
import { Lab } from "./demo/lab.ts";
import { formatGrid, formatTunnel, isSuccess, Palette } from "./demo/report.ts";
import { showTunnel, type TunnelWish } from "./demo/tunnel-demo.ts";

const USAGE = `Usage: wirehaul demo [--keep] [--json]
       wirehaul demo tunnel [--peer ${IMPLEMENTATIONS.join("|")}] [--seconds N] [--json]
`;
const SECONDS_MAX = 3600;
const LOG_SHOWN = 4_000;
const TOOLS = ["ip", "ping", "wg", "nft", "sysctl", "nsenter", "unshare"];
const DEVICE = "/dev/net/tun";

export type Options =
  | { readonly kind: "grid"; readonly isKept: boolean; readonly isJson: boolean }
  | ({ readonly kind: "tunnel"; readonly isJson: boolean } & TunnelWish);

/** Undefined: the usage is to be shown. */
export function parseDemo(args: readonly string[]): Options | undefined {
  return args[0] === "tunnel" ? parseTunnel(args.slice(1)) : parseGrid(args);
}

function parseGrid(args: readonly string[]): Options | undefined {
  if (!args.every((option) => ["--keep", "--json"].includes(option))) return undefined;
  return { kind: "grid", isKept: args.includes("--keep"), isJson: args.includes("--json") };
}

function parseTunnel(args: readonly string[]): Options | undefined {
  let peer: Implementation | undefined = "wirehaul";
  let seconds = 3;
  let isJson = false;
  const rest = [...args];
  for (let option = rest.shift(); option !== undefined; option = rest.shift()) {
    if (option === "--json") isJson = true;
    else if (option === "--peer") {
      const name = rest.shift();
      peer = IMPLEMENTATIONS.find((known) => known === name);
    } else if (option === "--seconds") seconds = Number(rest.shift());
    else return undefined;
  }
  if (peer === undefined) return undefined;
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > SECONDS_MAX) return undefined;
  return { kind: "tunnel", peer, seconds, isJson };
}

/** What this machine lacks, in one line with the way to get it; undefined if nothing. */
function obstacle(options: Options): string | undefined {
  if (process.getuid?.() !== 0) {
    return "root is needed to make network namespaces: run it with sudo";
  }
  if (!existsSync(DEVICE)) {
    return `there is no ${DEVICE}: load the module with "modprobe tun", or give the device to this container`;
  }
  const tools = options.kind === "tunnel" ? [...TOOLS, "iperf3"] : TOOLS;
  const missing = tools.filter((name) => findProgram(name) === undefined);
  if (missing.length > 0) {
    return `missing: ${missing.join(", ")}; in the checkout, run: npm run setup -- demo`;
  }
  if (options.kind === "tunnel" && startCommand(options.peer) === undefined) {
    return `${options.peer} is not on this machine${options.peer === "wireguard-go" ? "; run: apt-get install --no-install-recommends wireguard-go" : ""}`;
  }
  return undefined;
}

export async function demo(args: readonly string[]): Promise<number> {
  if (args[0] === SWEEP) {
    await sweepAfter(Number(args[1]));
    return 0;
  }
  const options = parseDemo(args);
  if (options === undefined) {
    process.stderr.write(USAGE);
    return 1;
  }
  const problem = obstacle(options);
  if (problem !== undefined) {
    process.stderr.write(`wirehaul demo: ${problem}\n`);
    return 1;
  }
  const endWatch = watchOver();
  const lab = new Lab();
  try {
    return await show(lab, options);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    process.stderr.write(`wirehaul demo: ${reason}\n`);
    const logs = lab.logs();
    if (logs !== "") process.stderr.write(`\n${logs.slice(-LOG_SHOWN)}`);
    return 1;
  } finally {
    await lab.close();
    endWatch();
  }
}

/** Gives the exit code. */
async function show(lab: Lab, options: Options): Promise<number> {
  const { isJson } = options;
  const tell = (text: string): void => {
    if (process.stderr.isTTY || !isJson) process.stderr.write(`${text}\n`);
  };
  const palette = new Palette(process.stdout.isTTY);
  const print = (report: object, text: string): void => {
    process.stdout.write(isJson ? `${JSON.stringify(report, null, 2)}\n` : text);
  };
  if (options.kind === "tunnel") {
    const report = await showTunnel(lab, options, tell);
    print(report, formatTunnel(report, palette));
    return isSuccess(report) ? 0 : 1;
  }
  const { grid, tenants, report } = await showGrid(lab, tell);
  print(report, formatGrid(report, palette));
  if (options.isKept) {
    const kept = new KeptGrid(grid, tenants);
    (isJson ? process.stderr : process.stdout).write(kept.instructions());
    await kept.untilTold();
  }
  return isSuccess(report) ? 0 : 1;
}
