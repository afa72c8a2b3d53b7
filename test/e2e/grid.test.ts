/**
 * A whole grid: a registry, six nodes in all kinds of places, three tenants of whom two have the same addresses. Everybody reaches what is
 * his and nothing else, in the LAN directly; a guest joins with wg-quick; the registry stops and all power is cut; a relay dies.
 */
import { join } from "node:path";
import { expect } from "vitest";
import { GridLab, type Tenant } from "../../src/cli/demo/grid-lab.ts";
import { addressOf, type GridNode, workloadName } from "../../src/cli/demo/grid-node.ts";
import { registryUrl } from "../../src/cli/demo/grid-sites.ts";
import { startCommand } from "../../src/cli/demo/implementations.ts";
import type { Lab } from "../../src/cli/demo/lab.ts";
import { until } from "../../src/control/linux/command.ts";
import type {
  NetworkDetails,
  NetworkStatus,
  PairStatus,
} from "../../src/control/registry/client.ts";
import { labTest } from "./harness/lab-test.ts";
import { REFERENCE } from "./harness/subject.ts";

const TIMEOUT_MS = 600_000;
/** The first packet of a pair may wait for a handshake, and that for a retry (WP 6.4: 5 s). */
const REACH_MS = 60_000;
/** From a relay's death until traffic goes on: probes each 2 s, three of them missed, a report and a push. */
const FAILOVER_MS = 15_000;
const PINGS = 3;

/** Ordered pairs of different nodes. */
function pairsOf(nodes: readonly GridNode[]): (readonly [GridNode, GridNode])[] {
  return nodes.flatMap((from) =>
    nodes.filter((to) => to !== from).map((to) => [from, to] as const),
  );
}

async function untilReaches(
  from: GridNode,
  to: GridNode,
  network: NetworkDetails,
  limitMs = REACH_MS,
): Promise<void> {
  const address = addressOf(network, to.id);
  await until(
    `${network.name} on ${from.label} reaches ${to.label}`,
    () => from.reaches(address, workloadName(network)),
    limitMs,
  );
}

/** Each tenant's workloads, in each direction. */
async function untilAllReach(
  nodes: readonly GridNode[],
  tenants: readonly Tenant[],
): Promise<void> {
  for (const [from, to] of pairsOf(nodes)) {
    await Promise.all(tenants.map(({ network }) => untilReaches(from, to, network)));
  }
}

async function pingFrom(node: GridNode, { network }: Tenant, address: string): Promise<void> {
  const command = ["ping", "-n", "-c", `${PINGS}`, "-i", "0.05", "-W", "1", address];
  await node.attempt(command, workloadName(network));
}

/** What of a tenant's pings comes to whom. */
async function arrivals(
  from: GridNode,
  to: GridNode,
  tenant: Tenant,
  address: string,
  all: readonly Tenant[],
): Promise<number[]> {
  const count = (): Promise<number[]> =>
    Promise.all(all.map((one) => to.echoes(workloadName(one.network))));
  const before = await count();
  await pingFrom(from, tenant, address);
  return (await count()).map((value, at) => value - before[at]!);
}

async function statusOf(grid: GridLab, { person, network }: Tenant): Promise<NetworkStatus> {
  return await grid.ask<NetworkStatus>(person, "network", "status", network.id);
}

function pairIn({ pairs }: NetworkStatus, one: GridNode, other: GridNode): PairStatus {
  const found = pairs.find(
    ({ from, to }) => (from === one.id && to === other.id) || (from === other.id && to === one.id),
  );
  if (found === undefined) throw new Error(`no pair ${one.label}, ${other.label}`);
  return found;
}

/** An unmodified wg-quick outside the grid, over the file that the registry's command wrote. */
async function guestReachesAll(
  lab: Lab,
  grid: GridLab,
  { person, network }: Tenant,
): Promise<void> {
  const { guest } = grid.sites;
  const name = lab.interfaceName("q");
  const file = join(lab.folder, `${name}.conf`);
  await guest.wirehaul([
    ...["network", "client", "add", network.name, "laptop", "--access", "a", "--output", file],
    ...["--registry", registryUrl({ hasV4: true }), "--key", person.keyFile],
  ]);
  const program = startCommand(REFERENCE)!.find((word) => !word.startsWith("-"))!;
  const environment = { WG_QUICK_USERSPACE_IMPLEMENTATION: program };
  await guest.exec(["wg-quick", "up", file], undefined, { environment });
  for (const node of grid.nodes) {
    const address = addressOf(network, node.id);
    await until(`the guest reaches ${node.label}`, () => guest.reaches(address), REACH_MS);
  }
  await guest.exec(["wg-quick", "down", file], undefined, { environment });
}

labTest(
  "three tenants on six nodes, through all that happens to them",
  async (lab) => {
    const grid = await GridLab.make(lab);
    await grid.startNodes();
    const { nodes } = grid;
    const [a, b, c, d, e] = nodes as [GridNode, GridNode, GridNode, GridNode, GridNode];
    const tenants = await Promise.all(
      (
        [
          ["red", "10.1.0.0/16"],
          ["green", "10.1.0.0/16"],
          ["blue", "10.2.0.0/16"],
        ] as const
      ).map(async ([name, cidr]): Promise<Tenant> => {
        const person = await grid.person(name);
        return { person, network: await grid.network(person, cidr) };
      }),
    );
    const [red, , blue] = tenants as [Tenant, Tenant, Tenant];

    await untilAllReach(nodes, tenants);
    // Each tenant's packets come to his own workload, though another's has the same address there.
    for (const [at, tenant] of tenants.entries()) {
      const own = addressOf(tenant.network, e.id);
      const wanted = tenants.map((_, other) => (other === at ? PINGS : 0));
      expect(await arrivals(b, e, tenant, own, tenants)).toEqual(wanted);
    }
    expect(await arrivals(b, e, red, addressOf(blue.network, e.id), tenants)).toEqual([0, 0, 0]);
    expect(await arrivals(b, e, blue, addressOf(red.network, e.id), tenants)).toEqual([0, 0, 0]);

    // Neighbours in a LAN speak directly; nobody else seems to be in one, though e has the addresses of c.
    for (const tenant of tenants) {
      const status = await until(
        `${tenant.network.name}: c and d are in one LAN`,
        async () => {
          const now = await statusOf(grid, tenant);
          return pairIn(now, c, d).path === "lan" ? now : undefined;
        },
        REACH_MS,
        500,
      );
      expect(status.pairs.filter(({ path }) => path === "lan")).toHaveLength(1);
      expect(pairIn(status, a, b).path).toBe("v6");
      expect(pairIn(status, c, e).path).toBe("relay");
    }

    await guestReachesAll(lab, grid, red);

    // Without the registry, after a power cut everywhere.
    await grid.stopRegistry();
    await Promise.all(nodes.map((node) => node.cutPower()));
    await Promise.all(nodes.map((node) => node.start()));
    await untilAllReach(nodes, tenants);
    await grid.startRegistry();
    await Promise.all(nodes.map((node) => node.untilReady()));

    // The relay between c and e dies, and the other one takes over.
    const [relayId] = pairIn(await statusOf(grid, red), c, e).relays;
    const relay = [a, b].find(({ id }) => id === relayId)!;
    const other = relay === a ? b : a;
    await relay.end("SIGKILL");
    await Promise.all([
      untilReaches(c, e, red.network, FAILOVER_MS),
      untilReaches(e, d, red.network, FAILOVER_MS),
    ]);
    expect(pairIn(await statusOf(grid, red), c, e).relays).toEqual([other.id]);
    await relay.start();
    await untilAllReach(nodes, tenants);
  },
  TIMEOUT_MS,
);
