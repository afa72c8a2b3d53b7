/**
 * `wirehaul demo`: a registry and five nodes at different places, two tenants with the same addresses on all of them. Set up by the commands
 * that people have, which are told as they run; what is then seen comes back as checks, with the matrix of each network.
 */
import { until } from "../../control/linux/command.ts";
import type { NetworkDetails, NetworkStatus, PairStatus } from "../../control/registry/client.ts";
import { GridLab, type Tenant } from "./grid-lab.ts";
import { addressOf, type GridNode, workloadName } from "./grid-node.ts";
import { PLACES } from "./grid-sites.ts";
import type { Lab } from "./lab.ts";
import { ping } from "./measure.ts";
import type { Check, GridReport } from "./report.ts";

const TENANTS = ["red", "green"] as const;
const RANGE = "10.1.0.0/16";
/** In one LAN. */
const NEIGHBOURS = ["c", "d"] as const;
/** Behind another NAT than they. */
const STRANGER = "e";
/** The first packet of a pair may wait for a handshake, and that for a retry (WP 6.4: 5 s). */
const REACH_MS = 60_000;
/** A LAN is proved by probes before routes move, and each node reports what it measures in its turn. */
const SETTLE_MS = 60_000;
const BURST = { count: 3, intervalSeconds: 0.05 };

export interface ShownGrid {
  readonly grid: GridLab;
  readonly tenants: readonly Tenant[];
  readonly report: GridReport;
}

/** Throws what could not even be set up. The grid still runs. */
export async function showGrid(lab: Lab, tell: (text: string) => void): Promise<ShownGrid> {
  const places = PLACES.filter(({ hasV4, host }) => hasV4 || host === undefined);
  tell("Machines, each a namespace of this one with its own mounts, on an Internet of their own:");
  for (const { label, title } of places) tell(`  ${label}: ${title}`);
  tell("  registry: where people type too");
  const grid = await GridLab.make(lab, { places, tell });
  await grid.startNodes();
  const tenants: Tenant[] = [];
  for (const name of TENANTS) {
    const person = await grid.person(name);
    tenants.push({ person, network: await grid.network(person, RANGE) });
  }
  tell("what reaches what ...");
  const checks = [
    ...(await Promise.all(tenants.map((tenant) => reachesAll(grid, tenant)))),
    await arrivesInOwn(grid, tenants),
    await isDirect(grid, tenants),
    await isRelayed(grid, tenants),
  ];
  await Promise.all(tenants.map((tenant) => untilSettled(grid, tenant)));
  const status: string[] = [];
  for (const { person, network } of tenants) {
    status.push(await grid.type(person, "network", "status", network.name));
  }
  const [{ person }] = tenants as [Tenant];
  const words = ["explain", NEIGHBOURS[0], STRANGER, "--network", person.name];
  const explanation = await grid.type(person, ...words);
  return { grid, tenants, report: { checks, status, explanation } };
}

async function reachesAll(grid: GridLab, { network }: Tenant): Promise<Check> {
  const reached = await Promise.all(
    grid.nodes.map(async (from) => {
      let count = 0;
      for (const to of grid.nodes) {
        if (to !== from && (await comesToReach(from, to, network, REACH_MS))) count += 1;
      }
      return count;
    }),
  );
  const sum = reached.reduce((all, count) => all + count, 0);
  const pairs = grid.nodes.length * (grid.nodes.length - 1);
  return {
    title: `${network.name}: each to each`,
    isGood: sum === pairs,
    text: `${sum} of ${pairs} workloads reached from another, by ping`,
  };
}

/** False: not within `limitMs`. */
async function comesToReach(
  from: GridNode,
  to: GridNode,
  network: NetworkDetails,
  limitMs: number,
): Promise<boolean> {
  const address = addressOf(network, to.id);
  const reaches = (): Promise<boolean> => from.reaches(address, workloadName(network));
  return await until(`${from.label} reaches ${to.label}`, reaches, limitMs).catch(() => false);
}

/** Another tenant has the same address there. */
async function arrivesInOwn(grid: GridLab, tenants: readonly Tenant[]): Promise<Check> {
  const [{ network }] = tenants as [Tenant];
  const [from, to] = [grid.node(NEIGHBOURS[0]), grid.node(STRANGER)];
  const address = addressOf(network, to.id);
  const count = (): Promise<number[]> =>
    Promise.all(tenants.map((one) => to.echoes(workloadName(one.network))));
  const before = await count();
  const place = {
    attempt: (command: readonly string[]) => from.attempt(command, workloadName(network)),
  };
  const { sent } = await ping(place, address, BURST);
  const [own = 0, ...others] = (await count()).map((value, at) => value - (before[at] ?? 0));
  return {
    title: `${network.name}'s pings`,
    isGood: sent > 0 && own === sent && others.every((arrived) => arrived === 0),
    text: `of ${sent} from ${from.label} to ${address}, ${own} arrive in ${network.name}'s workload, ${others.join(", ")} in ${tenants[1]?.network.name}'s of that address`,
  };
}

/** Two in one LAN, though the registry sees them as two that are hidden. */
async function isDirect(grid: GridLab, tenants: readonly Tenant[]): Promise<Check> {
  const [one, other] = [grid.node(NEIGHBOURS[0]), grid.node(NEIGHBOURS[1])];
  const paths = await Promise.all(
    tenants.map(async (tenant) => {
      const path = async (): Promise<string> =>
        pairIn(await statusOf(grid, tenant), one, other)?.path ?? "none";
      const isLan = async (): Promise<boolean> => (await path()) === "lan";
      await until("they meet in the LAN", isLan, SETTLE_MS, 500).catch(() => undefined);
      return await path();
    }),
  );
  return {
    title: `${one.label} and ${other.label}`,
    isGood: paths.every((path) => path === "lan"),
    text: paths.every((path) => path === "lan")
      ? "meet in their LAN, not over a relay"
      : `meet by ${paths.join(", ")}, not in their LAN`,
  };
}

/** Two behind different NATs. */
async function isRelayed(grid: GridLab, tenants: readonly Tenant[]): Promise<Check> {
  const [one, other] = [grid.node(NEIGHBOURS[0]), grid.node(STRANGER)];
  const ways = await Promise.all(
    tenants.map(async (tenant) => {
      const { path, relays = [] } = pairIn(await statusOf(grid, tenant), one, other) ?? {};
      const labels = relays.map((id) => grid.nodes.find((node) => node.id === id)?.label);
      return path === "relay" ? `over ${labels.join(", ")}` : `by ${path ?? "none"}`;
    }),
  );
  return {
    title: `${one.label} and ${other.label}`,
    isGood: ways.every((way) => /^over [ab]$/.test(way)),
    text: `are behind different NATs and meet ${[...new Set(ways)].join(" and ")}`,
  };
}

async function statusOf(grid: GridLab, { person, network }: Tenant): Promise<NetworkStatus> {
  return await grid.ask<NetworkStatus>(person, "network", "status", network.name);
}

function pairIn({ pairs }: NetworkStatus, one: GridNode, other: GridNode): PairStatus | undefined {
  return pairs.find(
    ({ from, to }) => (from === one.id && to === other.id) || (from === other.id && to === one.id),
  );
}

/** All pairs are up and measured, as far as that takes no longer than it should: the matrix shows what is missing. */
async function untilSettled(grid: GridLab, tenant: Tenant): Promise<void> {
  const isSettled = async (): Promise<boolean> =>
    (await statusOf(grid, tenant)).pairs.every(
      ({ state, roundTripMs }) => state === "up" && roundTripMs !== undefined,
    );
  await until("all pairs are measured", isSettled, SETTLE_MS, 500).catch(() => undefined);
}
