/** Prometheus text of a registry: requests, streams, and what the grid has. Counts only: it is open to who can reach the port. */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Store } from "./store/store.ts";

/** Ours: a node says every 30 s that it is there; three of them missed. */
const SEEN_S = 90;

interface Counts {
  readonly pending: number;
  readonly approved: number;
  readonly seen: number;
  readonly networks: number;
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
  (select count(*) from network_nodes) as members,
  (select count(*) from network_nodes where public_key is null) as waiting,
  (select count(*) from port_leases) as leases,
  (select revision from log_position) as revision`;

export class RegistryMetrics {
  readonly #registry = new Registry();
  readonly #requests: Counter;
  readonly #seconds: Histogram;
  readonly #gauges: Readonly<Record<keyof Counts, Gauge>>;
  readonly #streams: Gauge;

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
    this.#gauges = {
      pending: gauge("nodes_pending", "Nodes that wait for approval"),
      approved: gauge("nodes_approved", "Nodes of the grid"),
      seen: gauge("nodes_seen", `Nodes with a heartbeat within ${SEEN_S} s`),
      networks: gauge("networks", "Networks"),
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

  async text(store: Store, streams: number): Promise<string> {
    const [counts] = await store.database.rows<Counts>(COUNTS, [SEEN_S]);
    for (const [name, value] of Object.entries(counts ?? {})) {
      this.#gauges[name as keyof Counts].set(value as number);
    }
    this.#streams.set(streams);
    return await this.#registry.metrics();
  }
}
