/** Prometheus text of a registry: requests, streams, and what the grid has. Counts only: it is open to who can reach the port. */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { PATHS } from "./health/paths.ts";
import type { PlanNetwork } from "./planning.ts";
import type { Store } from "./store/store.ts";

/** Ours: a node says every 30 s that it is there; three of them missed. */
const SEEN_S = 90;

interface Counts {
  readonly pending: number;
  readonly approved: number;
  readonly seen: number;
  readonly networks: number;
  readonly faulty: number;
  readonly members: number;
  readonly waiting: number;
  readonly leases: number;
  readonly revision: number;
}

const COUNTS = `select
  (select count(*) from nodes where state = 'pending') as pending,
  (select count(*) from nodes where state = 'approved') as approved,
  (select count(*) from heartbeats where seen > now() - make_interval(secs => $1)) as seen,
  (select count(*) from networks) as networks,
  (select count(*) from networks where faults <> '[]') as faulty,
  (select count(*) from network_nodes) as members,
  (select count(*) from network_nodes where public_key is null) as waiting,
  (select count(*) from port_leases) as leases,
  (select revision from log_position) as revision`;

const LINKS = `select key as path, sum(value::bigint)::float8 as pairs
  from network_paths, jsonb_each_text(paths) group by key`;
const RELAYS = `select health, count(*) as relays from (
  select coalesce(r.health, 'up') as health from network_nodes m join nodes n on n.id = m.node
  left join relay_states r on r.network = m.network and r.node = m.node
  where 'public' in (n.reachability -> 'v4' ->> 'kind', n.reachability -> 'v6' ->> 'kind')) all_of_them
  group by health`;

export class RegistryMetrics {
  readonly #registry = new Registry();
  readonly #requests: Counter;
  readonly #seconds: Histogram;
  readonly #gauges: Readonly<Record<keyof Counts, Gauge>>;
  readonly #streams: Gauge;
  readonly #links: Gauge;
  readonly #relays: Gauge;
  readonly #planSeconds: Histogram;

  constructor() {
    const registers = [this.#registry];
    const gauge = (name: string, help: string): Gauge =>
      new Gauge({ name: `wirehaul_registry_${name}`, help, registers });
    this.#requests = new Counter({
      ...{ name: "wirehaul_registry_requests_total", help: "Answered requests by status" },
      ...{ labelNames: ["status"], registers },
    });
    this.#seconds = new Histogram({
      ...{ name: "wirehaul_registry_request_seconds", help: "From request to answer", registers },
      buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
    });
    this.#streams = gauge("streams", "Connected streams of changes, at this registry");
    this.#links = new Gauge({
      ...{ name: "wirehaul_registry_links", help: "Pairs of nodes in networks by planned path" },
      ...{ labelNames: ["path"], registers },
    });
    this.#relays = new Gauge({
      ...{ name: "wirehaul_registry_relays", labelNames: ["health"], registers },
      help: "Public nodes in networks by health, once for each network",
    });
    this.#planSeconds = new Histogram({
      ...{ name: "wirehaul_registry_plan_seconds", registers },
      help: "Plans of one network, made at this registry",
      buckets: [0.0005, 0.002, 0.01, 0.05, 0.2, 1, 5],
    });
    this.#gauges = {
      pending: gauge("nodes_pending", "Nodes that wait for approval"),
      approved: gauge("nodes_approved", "Nodes of the grid"),
      seen: gauge("nodes_seen", `Nodes with a heartbeat within ${SEEN_S} s`),
      networks: gauge("networks", "Networks"),
      faulty: gauge(
        "networks_faulty",
        "Networks of which not all is planned: their status says why",
      ),
      members: gauge("network_nodes", "Nodes in networks, once for each network"),
      waiting: gauge("network_nodes_waiting", "Those that have not taken part yet"),
      leases: gauge("port_leases", "Leased ports"),
      revision: gauge("revision", "Of the newest change"),
    };
  }

  count(status: number, milliseconds: number): void {
    this.#requests.inc({ status });
    this.#seconds.observe(milliseconds / 1000);
  }

  /** The planner, counted. */
  timed(planNetwork: PlanNetwork | undefined): PlanNetwork | undefined {
    return (
      planNetwork &&
      ((network, underlay, previous) => {
        const done = this.#planSeconds.startTimer();
        try {
          return planNetwork(network, underlay, previous);
        } finally {
          done();
        }
      })
    );
  }

  async text(store: Store, streams: number): Promise<string> {
    const [counts] = await store.database.rows<Counts>(COUNTS, [SEEN_S]);
    for (const [name, value] of Object.entries(counts ?? {})) {
      this.#gauges[name as keyof Counts].set(value as number);
    }
    this.#streams.set(streams);
    await this.#setHealth(store);
    return await this.#registry.metrics();
  }

  async #setHealth({ database }: Store): Promise<void> {
    const links = await database.rows<{ path: string; pairs: number }>(LINKS);
    const relays = await database.rows<{ health: string; relays: number }>(RELAYS);
    for (const path of PATHS) {
      this.#links.set({ path }, links.find((row) => row.path === path)?.pairs ?? 0);
    }
    for (const health of ["up", "probation", "down"]) {
      this.#relays.set({ health }, relays.find((row) => row.health === health)?.relays ?? 0);
    }
  }
}
