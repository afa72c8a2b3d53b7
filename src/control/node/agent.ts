/**
 * A node: boot, census, configuration and networks put together, and one clean stop. Networks are rebuilt from the disk at once, whoever
 * answers or not; the census is taken, then the interfaces to the outside open. Without a registry the machine's NICs stay its owner's:
 * no boot, no roles. Whom the node listens to is not its matter.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../linux/clock.ts";
import { namespacePath } from "../linux/ip.ts";
import { Monitor } from "../linux/monitor.ts";
import { readNics } from "../linux/nics.ts";
import { Shells } from "../linux/shell.ts";
import { installHook } from "../linux/udhcpc.ts";
import { EXIT_NAMESPACE } from "../model/names.ts";
import type { NetworkPeer } from "../model/network-resource.ts";
import type { Nic } from "../model/nic.ts";
import { EMPTY_NODE_CONFIG } from "../model/node-config.ts";
import { RefusedError } from "../model/problem.ts";
import {
  autoKeepalive,
  type FamilyReachability,
  lasting,
  type Reachability,
} from "../model/reachability.ts";
import { OVERLAY_NAMESPACE, planRoles, type RoleLeg, type RolePlan } from "../model/role-plan.ts";
import { Boot, type BootStatus, type BootTimes } from "./boot/boot.ts";
import type { NicMatch } from "./boot/candidates.ts";
import type { Target } from "./boot/connectivity.ts";
import { ANY_UPLINK } from "./boot/uplink.ts";
import { Census } from "./census.ts";
import {
  Configuration,
  type ConfigurationStatus,
  PROBATION_MS,
  uplinkSettings,
} from "./configuration.ts";
import { DEFAULT_EXIT, type ExitSettings } from "./exit.ts";
import { Grid, type GridSettings, type GridStatus } from "./grid/grid.ts";
import { Networks } from "./networks.ts";
import { DEFAULT_RANGE, DEFAULT_RESERVED } from "./ports.ts";
import { Outside } from "./reachability/outside.ts";
import type { ResponderName } from "./reachability/responder-name.ts";
import { Roles } from "./roles.ts";
import { Store } from "./store.ts";

export interface AgentOptions {
  /** Folder of the desired state. */
  readonly folder: string;
  /** Folder for what lives no longer than the process. */
  readonly runFolder: string;
  /** Undefined: the NICs are not the node's to set up. */
  readonly registry?: Target | undefined;
  /** Undefined: the node has no part in a grid, and tells the registry its census only. */
  readonly grid?: GridSettings | undefined;
  /** Other hosts that show that the Internet is there. */
  readonly hosts: readonly Target[];
  /** Name of the uplink bridge. */
  readonly bridge: string;
  readonly match: NicMatch;
  readonly times: BootTimes;
  /** The operator's choice of an uplink, by name or MAC address. */
  readonly uplink?: string | undefined;
  readonly probationMs?: number | undefined;
  /** Whom to ask whether this node can be reached; none: nothing is measured. */
  readonly responders?: readonly ResponderName[] | undefined;
  /** UDP port at which other nodes are answered, with the one after; undefined: they are not. */
  readonly respondPort?: number | undefined;
  readonly clock: Clock;
  readonly log: (level: "info" | "error", text: string) => void;
  /** Takes to an older registry what the node tells of itself. */
  readonly publish: (published: Published) => Promise<void>;
}

/** The census, and what goes with it. */
export interface Published {
  readonly nics: readonly Nic[];
  /** Null: nobody is asked. */
  readonly reachability: PublishedReachability | null;
  /** Listen ports of networks, ascending. */
  readonly wireguardPorts: readonly number[];
}

/** A bus of messages, as the node's status shows it. */
export interface BusStatus {
  /** Without a password. */
  readonly address: string;
  readonly isConnected: boolean;
  readonly why: string;
  /** Calls that were answered since the start, and how many of them with an error. */
  readonly calls: number;
  readonly errors: number;
  readonly busy: number;
  /** Messages that could not be answered, by reason. */
  readonly drops: Readonly<Record<string, number>>;
}

/** Of each family what others need to know: no ports of probes, no times, so that it changes only when it has changed. */
export type PublishedReachability = Readonly<
  Record<"ipv4" | "ipv6", Pick<FamilyReachability, "verdict" | "address" | "lifetimeMs">>
>;

export interface AgentStatus {
  /** Null: there is no registry, the NICs are the machine's own. */
  readonly boot: BootStatus | null;
  readonly configuration: ConfigurationStatus | null;
  /** Null: nobody is asked (--responders). */
  readonly reachability: Reachability | null;
  readonly isCensusPublished: boolean;
  /** Null: it has no part in one. */
  readonly grid: GridStatus | null;
  /** Null: there is none, or it waits for the census to arrive. */
  readonly bus: BusStatus | null;
  readonly networks: number;
  /** Networks that are not as they should be. */
  readonly problems: readonly { readonly network: string; readonly problem: string }[];
}

/** Ours: events of links come in bursts, most of which the node makes by itself. */
const FOLLOW_MS = 1_000;
/** Ours: what somebody else has broken, and no event tells of, is mended in that time. */
const MEND_MS = 600_000;

export class Agent {
  readonly networks: Networks;
  readonly #options: AgentOptions;
  readonly #census: Census;
  readonly #boot: Boot | undefined;
  readonly #roles: Roles | undefined;
  readonly #configuration: Configuration | undefined;
  readonly #outside: Outside;
  readonly #store: Store;
  readonly #grid: Grid | undefined;
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #shells = new Shells();
  #monitor: Monitor | undefined;
  #built: Promise<void> = Promise.resolve();
  #follow: NodeJS.Timeout | undefined;
  #exit: ExitSettings = DEFAULT_EXIT;
  #reachable = "";
  #isStopped = false;
  #bus: (() => BusStatus) | undefined;
  #taken: () => void = () => undefined;
  readonly #whenTaken: Promise<void> = new Promise((resolve) => {
    this.#taken = resolve;
  });

  private constructor(options: AgentOptions, nics: readonly Nic[]) {
    this.#options = options;
    const { folder, registry, clock, log, bridge, match } = options;
    const store = new Store(folder);
    this.#store = store;
    const complaints: string[] = [];
    const initial = store.config(complaints);
    const before = store.reachability(complaints);
    for (const text of complaints) log("error", text);
    const config = registry === undefined ? EMPTY_NODE_CONFIG : initial;
    this.#exit = { ...DEFAULT_EXIT, range: config.exitRange };
    const overlay = planRoles(config, nics, bridge).overlayNamespace;
    // After a restart of the program alone, sockets open where they were.
    const sockets =
      overlay !== undefined && existsSync(namespacePath(overlay)) ? overlay : undefined;
    const { responders = [], respondPort } = options;
    this.networks = new Networks({
      folder,
      log,
      exit: this.#exit,
      sockets,
      keepaliveOf: (peer) => this.keepaliveOf(peer),
      onChange: () => {
        this.#census.tell();
        this.#grid?.poke();
      },
      reservedPorts: [
        ...DEFAULT_RESERVED,
        ...(respondPort === undefined ? [] : [respondPort, respondPort + 1]),
      ],
    });
    this.#outside = new Outside({
      clock,
      responders,
      respondPort,
      portRange: DEFAULT_RANGE,
      before,
      namespace: sockets,
      onChange: (state) => this.#reachabilityChanged(state),
      log,
    });
    const say = (text: string): void => log("info", text);
    if (registry !== undefined) {
      const hook = installHook(join(options.runFolder, "boot"));
      const operator = { ...ANY_UPLINK, chosen: options.uplink };
      const common = { clock, hook, log: say };
      const boot = new Boot({
        ...common,
        registry,
        hosts: options.hosts,
        bridge,
        match,
        times: options.times,
        dns: [],
        uplink: uplinkSettings(config, nics, operator),
      });
      const roles = new Roles({
        ...common,
        onOverlay: async (namespace) => {
          await this.#built;
          await this.networks.moveSockets(namespace);
          this.#outside.move(namespace);
        },
      });
      this.#boot = boot;
      this.#roles = roles;
      this.#configuration = new Configuration({
        ...common,
        initial: config,
        boot,
        roles: { apply: (plan) => this.#applyRoles(roles, plan) },
        bridge,
        read: () => readNics(undefined, this.#shells),
        probationMs: options.probationMs ?? PROBATION_MS,
        uplink: operator,
        save: async (changed) => store.saveConfig(changed),
      });
    }
    const { grid } = options;
    if (grid !== undefined) {
      const { networks } = this;
      this.#grid = new Grid({
        ...{ ...grid, folder, networks, clock, log },
        nics: () => this.#census.nics,
        onApproved: () => this.#census.again(),
      });
    }
    this.#census = new Census({
      clock,
      log: say,
      match,
      read: () => readNics(undefined, this.#shells),
      publish: (nics) => this.#publish(nics),
      beside: () => ({ ...this.#beside(), ports: this.#takenPorts(), relay: this.#grid?.relay }),
      whenReady: () => this.#whenOnline(),
      away: () => this.#boot?.probing ?? new Set(),
      onChange: () => {
        this.#taken();
        this.#grid?.poke();
      },
    });
  }

  /** Reads disk and NICs; changes nothing before {@link start}. */
  static async make(options: AgentOptions): Promise<Agent> {
    return new Agent(options, await readNics());
  }

  /** Begins all work at once; resolves when the networks were tried once and the census is taken. */
  async start(): Promise<void> {
    const { clock, log } = this.#options;
    this.#built = this.networks.start();
    this.#census.start();
    this.#boot?.start();
    this.#configuration?.start();
    this.#outside.start();
    this.#monitor = new Monitor(clock, () => {
      this.#boot?.poke();
      this.#census.poke();
      this.#configuration?.poke();
      this.#outside.poke();
      this.#followSoon();
    });
    await this.#built;
    await this.#whenTaken;
    this.#grid?.start();
    const mend = setInterval(() => {
      void this.networks.reconcile().catch((error: Error) => log("error", error.message));
    }, MEND_MS);
    this.#timers.add(mend);
  }

  /** Tunnels end; bridges, namespaces and addresses stay, a restart goes on with them. */
  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    for (const timer of this.#timers) clearInterval(timer);
    clearTimeout(this.#follow);
    await Promise.all([
      this.#grid?.stop(),
      this.#configuration?.stop(),
      this.#boot?.stop(),
      this.#census.stop(),
      this.#outside.stop(),
      this.#monitor?.stop(),
    ]);
    await this.#roles?.stop();
    this.#shells.close();
    await this.#built.catch(() => undefined);
    await this.networks.stop();
  }

  /** Resolves once a census has arrived at the registry: then a bus may announce the node. */
  whenPublished(): Promise<void> {
    return this.#census.whenPublished();
  }

  /** As in the status. */
  get boot(): BootStatus | null {
    return this.#boot?.status() ?? null;
  }

  /** As in the status. */
  get configuration(): ConfigurationStatus | null {
    return this.#configuration?.status() ?? null;
  }

  /** Has the status show a bus. */
  showBus(status: () => BusStatus): void {
    this.#bus = status;
  }

  get nics(): readonly Nic[] {
    return this.#census.nics;
  }

  status(): AgentStatus {
    const networks = this.networks.list();
    return {
      boot: this.boot,
      configuration: this.configuration,
      reachability: this.#outside.state ?? null,
      isCensusPublished: this.#census.isPublished,
      grid: this.#grid?.status() ?? null,
      bus: this.#bus?.() ?? null,
      networks: networks.length,
      problems: networks.flatMap(({ id, problem }) =>
        problem === null ? [] : [{ network: id, problem }],
      ),
    };
  }

  /** Whether this node can be reached; undefined: nobody is asked. */
  get reachability(): Reachability | undefined {
    return this.#outside.state;
  }

  /** What a peer's keepalive "auto" is now, in seconds. */
  keepaliveOf(peer: Pick<NetworkPeer, "endpoint">): number {
    return autoKeepalive(peer, this.#outside.state);
  }

  /** See Configuration.change; refused where the NICs are not the node's. */
  async configure(value: unknown, isOnProbation: boolean): Promise<ConfigurationStatus> {
    if (this.#configuration === undefined) {
      throw new RefusedError(
        "conflict",
        "this node has no registry, so its NICs are the machine's own: start it with --registry",
      );
    }
    await this.#configuration.change(value, isOnProbation);
    return this.#configuration.status();
  }

  /** Back to no roles and no static addresses. */
  async unconfigure(isOnProbation: boolean): Promise<ConfigurationStatus> {
    const revision = this.#configuration?.status().config.revision ?? 0;
    return await this.configure({ ...EMPTY_NODE_CONFIG, revision: revision + 1 }, isOnProbation);
  }

  /** The exit's namespace is the networks' own: its NIC goes there as a setting, the rest is made here. */
  async #applyRoles(roles: Roles, plan: RolePlan): Promise<void> {
    const leg = plan.legs.find(({ namespace }) => namespace === EXIT_NAMESPACE);
    const legs = plan.legs.filter((other) => other !== leg);
    if (leg !== undefined) refuseLeg(leg);
    await roles.apply({ ...plan, legs });
    const exit: ExitSettings = { ...this.#exit, nic: leg === undefined ? undefined : nicOf(leg) };
    if (JSON.stringify(exit) === JSON.stringify(this.#exit)) return;
    await this.#built;
    await this.networks.setExit(exit);
    this.#exit = exit;
  }

  /** What is published beside the NICs. */
  #beside(): Omit<Published, "nics"> {
    const wireguardPorts = this.networks.ports().used.map(({ port }) => port);
    return { reachability: this.#published(), wireguardPorts };
  }

  /** With NICs of the machine's own nobody looks whether the Internet is there: what is sent shows it. */
  #whenOnline(): Promise<void> {
    if (this.#boot !== undefined) return this.#boot.whenOnline();
    // Without a registry there is nobody to publish to, ever.
    return this.#grid === undefined ? new Promise(() => undefined) : Promise.resolve();
  }

  async #publish(nics: readonly Nic[]): Promise<void> {
    const published = { nics, ...this.#beside() };
    const reachability = this.#outside.state ?? null;
    const report = { nics, reachability, ports: this.#takenPorts() };
    const isOld = (await this.#grid?.publish(report)) ?? true;
    if (isOld) await this.#options.publish(published);
  }

  /** Ports that nobody else is to get. */
  #takenPorts(): readonly number[] {
    const { used, leases, reserved } = this.networks.ports();
    return [...new Set([...used, ...leases].map(({ port }) => port).concat(reserved))];
  }

  #published(): PublishedReachability | null {
    const { state } = this.#outside;
    if (state === undefined) return null;
    const of = ({
      verdict,
      address,
      lifetimeMs,
    }: FamilyReachability): PublishedReachability["ipv4"] => ({ verdict, address, lifetimeMs });
    return { ipv4: of(state.ipv4), ipv6: of(state.ipv6) };
  }

  #reachabilityChanged(state: Reachability): void {
    const text = JSON.stringify(lasting(state));
    if (text === this.#reachable) return;
    this.#reachable = text;
    this.#census.tell();
    void this.#built
      .then(() => this.networks.followKeepalive())
      .then(() => this.#store.saveReachability(lasting(state)))
      .catch((error: Error) => this.#options.log("error", `reachability: ${error.message}`));
  }

  #followSoon(): void {
    if (this.#follow !== undefined || this.#isStopped) return;
    this.#follow = setTimeout(() => {
      this.#follow = undefined;
      void this.#built
        .then(() => this.networks.followUnderlay())
        .catch((error: Error) => {
          // Cut off by the end.
          if (!this.#isStopped) this.#options.log("error", `the underlay: ${error.message}`);
        });
    }, FOLLOW_MS);
  }
}

function refuseLeg({ nic, roles, addressing }: RoleLeg): void {
  if (roles.includes("overlay")) {
    throw new Error(
      `${nic}: overlay and exit on one NIC beside management's are not supported: give them to two, or to ${OVERLAY_NAMESPACE}'s alone`,
    );
  }
  if (addressing.addresses.length === 0) {
    throw new Error(`${nic}: the role exit needs static addresses`);
  }
}

function nicOf({ bridge, addressing }: RoleLeg): ExitSettings["nic"] {
  const { addresses, gateways } = addressing;
  return {
    parent: bridge,
    addresses,
    gateway4: gateways.find((gateway) => !gateway.includes(":")),
    gateway6: gateways.find((gateway) => gateway.includes(":")),
  };
}
