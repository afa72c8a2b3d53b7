/**
 * A node in a grid, put together: its key, its session at the registry, its networks as wanted there, what it tells of itself. Whether the
 * registry speaks `/api/v2` is asked of it (speech.ts); with an older one the node goes on as before.
 */
import { availableParallelism, loadavg } from "node:os";
import type { InterfaceStatus } from "../../../lane/status.ts";
import type { Clock } from "../../linux/clock.ts";
import { PingSocket } from "../../linux/ping.ts";
import { type Cidr, parseCidr } from "../../model/cidr.ts";
import { namespaceName } from "../../model/names.ts";
import type { Nic } from "../../model/nic.ts";
import { openSealedKey, RegistryClient } from "../../registry/client.ts";
import { nodeIdentity } from "./identity.ts";
import { Links } from "./links.ts";
import { type Carrier, Participation } from "./participation.ts";
import { Prober } from "./prober.ts";
import { loadShare, type Report, Reports } from "./reports.ts";
import { withRoutesMoved } from "./rotation.ts";
import { type GridState, Session } from "./session.ts";
import { Watch } from "./watch.ts";

export interface GridSettings {
  readonly url: string;
  /** Certificates in PEM that are trusted in place of the system's. */
  readonly ca?: string | undefined;
  readonly farm: number;
  readonly name?: string | undefined;
  readonly tokenFile?: string | undefined;
  /** Others' traffic may go through this node where it is public. */
  readonly isRelay: boolean;
}

export interface GridOptions extends GridSettings {
  /** Of the node's state. */
  readonly folder: string;
  readonly networks: Carrier & {
    deviceStatus(id: string): Promise<InterfaceStatus | undefined>;
  };
  readonly nics: () => readonly Nic[];
  readonly clock: Clock;
  readonly log: (level: "info" | "error", text: string) => void;
  /** It is in the grid, maybe again: all that is published has to be published (again). */
  readonly onApproved: () => void;
}

/** As the node's status shows it. */
export interface GridStatus {
  readonly registry: string;
  /** The node's id: its public key. */
  readonly node: string;
  readonly farm: number;
  readonly state: GridState;
  readonly why: string;
  /** Of the registry, up to which this node knows what is wanted; null: not heard since the start. */
  readonly revision: number | null;
  readonly lag: number;
  /** Milliseconds since 1970; null: not since the start. */
  readonly heardMs: number | null;
  /** Networks of the grid that this node has. */
  readonly networks: number;
  readonly problems: readonly { readonly network: string; readonly problem: string }[];
}

export class Grid {
  readonly #options: GridOptions;
  readonly #client: RegistryClient;
  readonly #session: Session;
  readonly #participation: Participation;
  readonly #reports: Reports;
  readonly #prober: Prober;
  readonly #links: Links;
  readonly #watch: Watch;
  readonly #abort = new AbortController();

  constructor(options: GridOptions) {
    const { url, ca, farm, name, tokenFile, folder, networks, clock, log } = options;
    this.#options = options;
    const identity = nodeIdentity(folder);
    this.#client = new RegistryClient({ url, ca, identity, signal: this.#abort.signal });
    this.#reports = new Reports(this.#client);
    const session = new Session({
      client: (signal) => new RegistryClient({ url, ca, identity, signal }),
      ...{ url, ca, farm, name, tokenFile, clock, log },
      onChange: (ids) => {
        void this.#participation.follow([...ids, ...this.#unwanted()]);
        this.#watch.poke();
      },
      onApproved: () => {
        this.#reports.forget();
        this.#participation.forget();
        this.#links.forget();
        options.onApproved();
      },
      onReconnect: () => void this.#participation.again(),
      onDeleted: () => void this.#participation.follow(this.#unwanted()),
    });
    this.#session = session;
    this.#participation = new Participation({
      ...{ networks, client: this.#client, log, random: () => clock.random() },
      wanted: (id) => {
        const part = session.wanted.get(id);
        return part === undefined ? undefined : withRoutesMoved(part, this.#watch.seen(id));
      },
      tasks: (id) => session.wanted.tasks(id),
      openKey: (network, sealed) => openSealedKey(identity, network, sealed),
      onDoubt: () => session.doubt(),
    });
    this.#prober = new Prober({
      clock,
      networks: () => networks.ofGrid(),
      lans: () => lansOf(options.nics()),
      open: (id, family, onMessage) => PingSocket.open(namespaceName(id), family, onMessage),
      onTurn: () => this.#links.poke(),
    });
    this.#links = new Links({
      ...{ clock, log },
      networks: () => networks.ofGrid(),
      statusOf: (id) => networks.deviceStatus(id),
      recordOf: (id, publicKey) => this.#prober.recordOf(id, publicKey),
      report: (report) => this.#client.reportLinks(report),
      isReady: () => session.state === "approved",
    });
    this.#watch = new Watch({
      ...{ clock, log },
      tasks: () => session.wanted.allTasks().filter((task) => task.kind === "watch"),
      statusOf: (id) => networks.deviceStatus(id),
      onSeen: (id) => void this.#participation.follow([id]),
      report: this.#client.reportRotation,
    });
  }

  /** After the networks were built from the disk: they don't wait for the registry. */
  start(): void {
    this.#options.log("info", `this node is ${this.#client.keyId}`);
    this.#session.start();
    this.#prober.start();
    this.#links.start();
    this.#watch.start();
  }

  /** Networks, or the node's own addresses, have changed. */
  poke(): void {
    this.#prober.poke();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await Promise.all([
      this.#session.stop(),
      this.#prober.stop(),
      this.#links.stop(),
      this.#watch.stop(),
    ]);
    await this.#participation.stop();
  }

  /** True: the registry is an older one, which is told in its own language. Rejects while it isn't known, or nothing is taken. */
  async publish(report: Omit<Report, "relay">): Promise<boolean> {
    const { state, why } = this.#session;
    if (state === "old") return true;
    if (state !== "approved") throw new Error(`this node is not in the grid yet: ${why}`);
    await this.#reports.send({ ...report, relay: this.relay });
    return false;
  }

  /** What it offers to others. */
  get relay(): Report["relay"] {
    const load = loadShare(loadavg()[1] ?? 0, availableParallelism());
    return { isAllowed: this.#options.isRelay, load };
  }

  status(): GridStatus {
    const { url, farm, networks } = this.#options;
    const { state, why, heardMs, lag, wanted } = this.#session;
    return {
      ...{ registry: url, node: this.#client.keyId, farm, state, why, heardMs, lag },
      revision: wanted.revision ?? null,
      networks: networks.ofGrid().length,
      problems: this.#participation.problems,
    };
  }

  /** What the node has of the grid and the registry does not want. */
  #unwanted(): string[] {
    return this.#options.networks
      .ofGrid()
      .map(({ resource }) => resource.id)
      .filter((id) => this.#session.wanted.get(id) === undefined);
  }
}

/** Prefixes that the node's own interfaces are in: a peer with an address there is a neighbour. */
function lansOf(nics: readonly Nic[]): Cidr[] {
  return nics
    .filter(({ up, carrier }) => up && carrier)
    .flatMap(({ addresses }) => addresses.flatMap((address) => parseCidr(address) ?? []));
}
