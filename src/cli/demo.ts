/**
 * `wirehaul demo [--peer wireguard-go] [--seconds N] [--json]`: two network namespaces of this machine, a tunnel between a
 * wirehaul-wg and a second WireGuard, measured; then two tenants on two nodes. Touches nothing outside namespaces of its own and
 * removes them, whatever happens.
 */
import { attempt } from "../control/linux/command.ts";
import { SWEEP, sweepAfter, watchOver } from "./demo/guard.ts";
import {
  findProgram,
  IMPLEMENTATIONS,
  type Implementation,
  startCommand,
} from "./demo/implementations.ts";
import { Lab } from "./demo/lab.ts";
import { iperf, ping, pingUntil } from "./demo/measure.ts";
import { makePair } from "./demo/pair.ts";
import { type DemoReport, formatReport, isSuccess, Palette } from "./demo/report.ts";
import { showTenants } from "./demo/tenants.ts";

const USAGE = `Usage: wirehaul demo [--peer ${IMPLEMENTATIONS.join("|")}] [--seconds N] [--json]\n`;
const SECONDS_MAX = 3600;
const PINGS = { count: 10, intervalSeconds: 0.05 };
const UDP_RATE = 100_000_000;
/** A datagram that fits the tunnel's MTU of 1420 whole. */
const UDP_BYTES = 1200;
const TOOLS = ["ip", "ping", "wg", "iperf3", "nft", "sysctl", "nsenter", "unshare"];

export interface Options {
  readonly peer: Implementation;
  readonly seconds: number;
  readonly isJson: boolean;
}

/** Undefined: the usage is to be shown. */
export function parseDemo(args: readonly string[]): Options | undefined {
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
  return { peer, seconds, isJson };
}

/** What this machine lacks, in one line with the way to get it; undefined if nothing. */
function obstacle(options: Options): string | undefined {
  if (process.getuid?.() !== 0) {
    return "root is needed to make network namespaces: run it with sudo";
  }
  const missing = TOOLS.filter((name) => findProgram(name) === undefined);
  if (missing.length > 0) {
    return `missing: ${missing.join(", ")}; in the checkout, run: npm run setup -- demo`;
  }
  if (startCommand(options.peer) === undefined) {
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
    const report = await measure(lab, options);
    process.stdout.write(
      options.isJson
        ? `${JSON.stringify(report, null, 2)}\n`
        : `${formatReport(report, new Palette(process.stdout.isTTY))}`,
    );
    return isSuccess(report) ? 0 : 1;
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

const LOG_SHOWN = 4_000;

async function measure(lab: Lab, options: Options): Promise<DemoReport> {
  const tell = (text: string): void => {
    if (process.stderr.isTTY || !options.isJson) process.stderr.write(`${text} ...\n`);
  };
  tell(`two namespaces, wirehaul in one, ${options.peer} in the other`);
  const { a, b } = await makePair(lab, { a: "wirehaul", b: options.peer });
  await pingUntil(a.namespace, b.inner4);
  tell("ping");
  const ping4 = await ping(a.namespace, b.inner4, PINGS);
  const ping6 = await ping(a.namespace, b.inner6, PINGS);
  const { seconds } = options;
  tell(`iperf3, three times ${seconds} s`);
  const tcp = await iperf(a.namespace, b.namespace, b.inner4, { seconds });
  const tcpReverse = await iperf(a.namespace, b.namespace, b.inner4, { seconds, isReverse: true });
  const udp = await iperf(a.namespace, b.namespace, b.inner4, {
    seconds,
    isUdp: true,
    rate: UDP_RATE,
    size: UDP_BYTES,
  });
  return {
    implementations: ["wirehaul", options.peer],
    ping4,
    ping6,
    tcp,
    tcpReverse,
    udp,
    show: [await shown(a.node.name), await shown(b.node.name)],
    tenants: await showTenants(lab, tell),
  };
}

/** `wg show` hides the secrets by itself. */
async function shown(name: string): Promise<string> {
  return (await attempt(["wg", "show", name])).stdout;
}
