/**
 * Finds out what a NIC leads to, without touching the host's own addresses and routes: the NIC goes into a namespace of its own, gets
 * addresses there, asks the registry from there, and comes back. What a killed run left in such a namespace is brought back at the start.
 */
import { fileURLToPath } from "node:url";
import { z } from "zod";
import type { Clock } from "../../linux/clock.ts";
import { run } from "../../linux/command.ts";
import {
  commandIn,
  ipBatch,
  type LinkAddress,
  listAddresses,
  listLinks,
  listNamespaces,
  listRoutes,
} from "../../linux/ip.ts";
import { markOf, readSpeed } from "../../linux/nics.ts";
import { boundToUs } from "../../linux/supervised.ts";
import { setSysctls } from "../../linux/sysctl.ts";
import { type Lease, requestLease } from "../../linux/udhcpc.ts";
import { MARK } from "../../model/names.ts";
import {
  isStatic,
  linesFor,
  type StaticSettings,
  wantedOfLease,
  wantedOfSettings,
} from "./addressing.ts";
import type { Answer, CheckOptions, Target } from "./connectivity.ts";
import type { ProbeResult } from "./score.ts";

export interface ProbeTimes {
  /** How long a NIC may take to find its carrier. */
  readonly carrierMs: number;
  /** DISCOVERs, one a second. */
  readonly dhcpTries: number;
  /** How long a router may take to advertise itself, with the check for duplicates after it. */
  readonly routerMs: number;
  readonly askMs: number;
}

/** Ours: a switch with spanning tree forwards after 10 s at the latest in its usual set-up; routers answer a solicitation in 3 s. */
export const PROBE_TIMES: ProbeTimes = {
  carrierMs: 10_000,
  dhcpTries: 10,
  routerMs: 6_000,
  askMs: 5_000,
};

export interface ProbeOptions {
  readonly nic: string;
  readonly settings: StaticSettings;
  readonly registry: Target;
  readonly hosts: readonly Target[];
  readonly hook: string;
  readonly clock: Clock;
  readonly times: ProbeTimes;
  /** Name servers that are asked when neither DHCP nor settings name any. */
  readonly dns: readonly string[];
  readonly signal: AbortSignal;
}

/** A result, and the lease that came with it: the bridge starts with it. */
export interface Probed {
  readonly result: ProbeResult;
  readonly lease?: Lease | undefined;
}

const PREFIX = "wh-probe-";
const PROBE_MARK = `${MARK}/probe`;
const POLL_MS = 100;

const answersSchema: z.ZodType<Answer[]> = z.array(
  z.object({
    url: z.string(),
    families: z.array(z.union([z.literal(4), z.literal(6)])),
    fault: z.string().optional(),
  }),
);

/** Asks targets from inside a namespace. */
export async function askFrom(
  namespace: string,
  targets: readonly Target[],
  options: CheckOptions,
): Promise<Answer[]> {
  const program = fileURLToPath(new URL("./ask-main.js", import.meta.url));
  const command = commandIn(namespace, [process.execPath, program]);
  const output = await run(boundToUs(command), {
    input: JSON.stringify({ targets, options }),
    limitMs: options.timeoutMs * 3 + 10_000,
  });
  return answersSchema.parse(JSON.parse(output));
}

/** Probes one NIC of the process's own namespace; the NIC is back and down when it resolves. Rejects only if it can't be moved. */
export async function probe(options: ProbeOptions): Promise<Probed> {
  const { nic } = options;
  const namespace = `${PREFIX}${nic}`;
  await run(["ip", "netns", "add", namespace]);
  try {
    await ipBatch(["link set dev lo up", `link set dev lo alias ${PROBE_MARK}`], namespace);
    await setSysctls([["net/ipv6/conf/default/accept_ra", 2]], namespace);
    await ipBatch([`link set dev ${nic} nomaster`, `link set dev ${nic} netns ${namespace}`]);
    return await inspect(options, namespace);
  } finally {
    await bringBack(namespace);
  }
}

/** Moves all NICs of a probe's namespace back to ours and removes it. */
async function bringBack(namespace: string): Promise<void> {
  for (const { ifname, link_type } of await listLinks(namespace)) {
    if (link_type === "loopback") continue;
    await ipBatch([`link set dev ${ifname} down`], namespace);
    await ipBatch([`link set dev ${ifname} netns ${process.pid}`], namespace);
  }
  await run(["ip", "netns", "delete", namespace]);
}

/** Brings back what a killed run left in its namespaces; returns the namespaces' names. */
export async function recoverProbes(): Promise<string[]> {
  const found: string[] = [];
  for (const name of await listNamespaces()) {
    if (!name.startsWith(PREFIX)) continue;
    const links = await listLinks(name);
    const lo = links.find(({ link_type }) => link_type === "loopback");
    // Killed before it was marked: then it is empty as well.
    if (markOf(lo?.ifalias) !== "/probe" && links.length > 1) continue;
    await bringBack(name);
    found.push(name);
  }
  return found;
}

async function inspect(options: ProbeOptions, namespace: string): Promise<Probed> {
  const { nic, settings, times, signal } = options;
  await setSysctls(
    [
      [`net/ipv6/conf/${nic}/disable_ipv6`, 0],
      [`net/ipv6/conf/${nic}/accept_ra`, 2],
      [`net/ipv6/conf/${nic}/autoconf`, 1],
    ],
    namespace,
  );
  await ipBatch([`address flush dev ${nic}`, `link set dev ${nic} up`], namespace);
  const hasCarrier = await poll(options, times.carrierMs, async () => {
    const links = await listLinks(namespace);
    return links.some(({ ifname, flags }) => ifname === nic && flags.includes("LOWER_UP"));
  });
  const nothing = { nic, carrier: hasCarrier, addresses: [], registry: [], hosts: [], sources: [] };
  if (!hasCarrier || signal.aborted) return { result: nothing };
  const faults: string[] = [];
  const say = (error: Error): undefined => {
    faults.push(error.message);
    return undefined;
  };
  let lease: Lease | undefined;
  if (isStatic(settings)) {
    await ipBatch(linesFor(nic, wantedOfSettings(settings)), namespace).catch(say);
  }
  const leased = async (): Promise<void> => {
    if (isStatic(settings)) return;
    lease = await requestLease({ link: nic, namespace, hook: options.hook }, times.dhcpTries);
    if (lease === undefined) faults.push("no DHCP server answers");
    else await ipBatch(linesFor(nic, wantedOfLease(lease, lease.seconds)), namespace);
  };
  const advertised = poll(options, times.routerMs, async () => {
    const [addresses, routes] = await Promise.all([
      globalAddresses(nic, namespace),
      listRoutes(6, namespace),
    ]);
    const usable = addresses.some(
      ({ family, tentative }) => family === "inet6" && tentative !== true,
    );
    return usable && routes.some(({ dst }) => dst === "default");
  });
  await Promise.all([leased().catch(say), advertised]);
  const asked = await answersFrom(options, namespace, lease).catch((error: Error) => {
    faults.push(error.message);
    return [];
  });
  const [routes4, routes6, addresses, speedMbps] = await Promise.all([
    listRoutes(4, namespace),
    listRoutes(6, namespace),
    globalAddresses(nic, namespace),
    readSpeed(nic, namespace),
  ]);
  const gateway = (list: typeof routes4): string | undefined =>
    list.find(({ dst, gateway: via }) => dst === "default" && via !== undefined)?.gateway;
  const registry = asked.find(({ url }) => url === options.registry.url)?.families ?? [];
  const hosts = asked.filter(({ url }) => url !== options.registry.url);
  const sources = [
    ...(isStatic(settings) ? ["static"] : []),
    ...(lease === undefined ? [] : ["dhcp"]),
    ...(routes6.some(({ protocol }) => protocol === "ra") ? ["router advertisement"] : []),
  ];
  const result: ProbeResult = {
    nic,
    carrier: true,
    speedMbps,
    addresses: addresses.map(({ local, prefixlen }) => `${local}/${prefixlen}`),
    gateway4: gateway(routes4),
    gateway6: gateway(routes6),
    registry,
    hosts: ([4, 6] as const).filter((f) => hosts.some(({ families }) => families.includes(f))),
    sources,
    fault: faults.length === 0 ? undefined : faults.join("; "),
  };
  return { result, lease };
}

async function answersFrom(
  options: ProbeOptions,
  namespace: string,
  lease: Lease | undefined,
): Promise<Answer[]> {
  const routes = [...(await listRoutes(4, namespace)), ...(await listRoutes(6, namespace))];
  // Nothing to ask through; or the probe was called off.
  if (options.signal.aborted || !routes.some(({ dst }) => dst === "default")) return [];
  return await askFrom(namespace, [options.registry, ...options.hosts], {
    dns: [...options.settings.dns, ...(lease?.dns ?? []), ...options.dns],
    timeoutMs: options.times.askMs,
  });
}

async function globalAddresses(nic: string, namespace: string): Promise<LinkAddress[]> {
  const list = await listAddresses(namespace);
  const addresses = list.find(({ ifname }) => ifname === nic)?.addr_info ?? [];
  return addresses.filter(({ scope }) => scope === "global");
}

async function poll(
  { clock, signal }: ProbeOptions,
  limitMs: number,
  isSo: () => Promise<boolean>,
): Promise<boolean> {
  const deadline = clock.now() + limitMs;
  for (;;) {
    if (await isSo()) return true;
    if (signal.aborted || clock.now() >= deadline) return false;
    await clock.wait(POLL_MS, signal);
  }
}
