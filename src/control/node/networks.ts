/**
 * The networks of a node: what is desired of them, kept on disk, and made so on the machine. Changes are ordered within one network and
 * concurrent across networks; a create that fails leaves nothing; what fails later is tried again for ever, and stops no other network.
 */
import { loadNative } from "../../io/load-native.ts";
import type { InterfaceStatus } from "../../lane/status.ts";
import type { DesiredNetwork, PortLease } from "../model/desired-state.ts";
import { tunName } from "../model/names.ts";
import { type NetworkResource, parseNetworkResource } from "../model/network-resource.ts";
import { RefusedError } from "../model/problem.ts";
import { checkWorkload, parseWorkload, type Workload } from "../model/workload.ts";
import { type Action, describe } from "./action.ts";
import { Builder } from "./builder.ts";
import { Devices } from "./devices.ts";
import { DEFAULT_EXIT, type ExitSettings, exitClash, freeExitIndex } from "./exit.ts";
import { freshKey } from "./fresh-key.ts";
import { checkSource, type GridNetwork, gridNetworkOf } from "./grid/source.ts";
import { type NextStep, portsOf, withStep } from "./next-keys.ts";
import { DEFAULT_RANGE, DEFAULT_RESERVED, isPortFree, type PortList, Ports } from "./ports.ts";
import { Retries, Turns } from "./reconcile.ts";
import { StateLock } from "./state-lock.ts";
import { Store } from "./store.ts";
import {
  type NetworkDetails,
  type NetworkSummary,
  networkKey,
  type PublicView,
  publicKeyOf,
  publicView,
} from "./view.ts";
import type { KeepaliveOf } from "./wireguard.ts";
import { withMaker } from "./workload-maker.ts";

export interface NetworksOptions {
  /** Folder of the desired state. */
  readonly folder: string;
  readonly exit?: ExitSettings | undefined;
  /** Namespace where UDP sockets are opened; absent: this process's. */
  readonly sockets?: string | undefined;
  readonly lanes?: number | "auto" | undefined;
  readonly portRange?: readonly [number, number] | undefined;
  readonly reservedPorts?: readonly number[] | undefined;
  readonly keepaliveOf?: KeepaliveOf | undefined;
  /** Told after each change of a network, successful or not. */
  readonly onChange?: (() => void) | undefined;
  readonly log?: ((level: "info" | "error", text: string) => void) | undefined;
  /** Told of each action before it is begun; `stepsAtOnce` 1 has each done alone. */
  readonly onAction?: ((action: Action) => void) | undefined;
  readonly stepsAtOnce?: number | undefined;
  /** Milliseconds since 1970; Date.now unless told. */
  readonly now?: (() => number) | undefined;
  readonly random?: (() => number) | undefined;
}

interface Entry {
  desired: DesiredNetwork;
  /** Why it is not as it should be; undefined: it is. */
  problem: string | undefined;
}

/** What a dry run of one network, or of what all share ("exit"), would do. */
export interface DryRun {
  readonly network: string;
  readonly actions: readonly string[];
}

export class Networks {
  readonly #log: (level: "info" | "error", text: string) => void;
  readonly #store: Store;
  readonly #lock: StateLock;
  readonly #devices: Devices;
  readonly #ports: Ports;
  readonly #turns = new Turns();
  readonly #retries: Retries;
  readonly #builder: Builder;
  readonly #entries = new Map<string, Entry>();
  readonly #lost: readonly string[];
  readonly #random: () => number;
  readonly #onChange: () => void;
  #sockets: string | undefined;
  #isStopped = false;

  /** Reads the disk; changes nothing on the machine before {@link start}. */
  constructor(options: NetworksOptions) {
    this.#log = options.log ?? (() => undefined);
    this.#sockets = options.sockets;
    this.#random = options.random ?? Math.random;
    this.#onChange = options.onChange ?? (() => undefined);
    const now = options.now ?? Date.now;
    this.#store = new Store(options.folder, now);
    this.#lock = new StateLock(options.folder);
    const { networks, leases, complaints, lost } = this.#store.load();
    for (const text of complaints) this.#log("error", text);
    for (const id of lost) {
      this.#log(
        "error",
        `network ${id} cannot be read from the disk: what there is of it stays as it is`,
      );
    }
    this.#lost = lost;
    this.#devices = new Devices(
      {
        lost: (name, reason) => this.#deviceLost(name, reason),
        log: (text) => this.#log("error", text),
      },
      options.lanes,
    );
    const native = loadNative();
    this.#ports = new Ports(
      {
        range: options.portRange ?? DEFAULT_RANGE,
        reserved: options.reservedPorts ?? DEFAULT_RESERVED,
        isFree: (port) => isPortFree(native, port, this.#devices.descriptorOf(this.#sockets)),
        now,
        random: this.#random,
        save: (all) => this.#store.saveLeases(all),
      },
      leases,
    );
    this.#retries = new Retries(this.#random);
    this.#builder = new Builder({
      devices: this.#devices,
      seed: this.#store.seed(),
      exit: options.exit ?? DEFAULT_EXIT,
      sockets: () => this.#sockets,
      networks: () => [...this.#entries.values()].map(({ desired }) => desired),
      keepaliveOf: options.keepaliveOf,
      onAction: options.onAction,
      stepsAtOnce: options.stepsAtOnce,
    });
    for (const desired of networks) {
      const { id } = desired.resource;
      this.#entries.set(id, { desired, problem: "not built yet" });
      for (const port of portsOf(desired)) this.#ports.restore(id, port);
    }
  }

  /** Builds what is stored, collects what is left over; settles when each network was tried once. */
  async start(): Promise<void> {
    await this.#builder.refreshUnderlay();
    const leftovers = await this.#builder.begin(this.#lost);
    await Promise.all([
      ...[...this.#entries.keys()].map((id) => this.#rebuild(id)),
      ...leftovers.map((id) => this.#turns.run(id, () => this.#unbuild(id))),
    ]);
    await this.#builder.tidyShared().catch((error: unknown) => {
      const why = error instanceof Error ? error.message : String(error);
      this.#log("error", `removing the way out, which no network needs: ${why}`);
    });
    this.#builder.began();
  }

  /** Ends the tunnels; namespaces, bridges and workloads stay. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#retries.stop();
    await this.#turns.idle();
    this.#builder.close();
    await this.#devices.closeAll();
    this.#lock.release();
  }

  /** Creates a network or changes it; settles when it is so on the machine. What fails is undone. `isOfGrid`: as the registry says. */
  async apply(value: unknown, isOfGrid = false): Promise<NetworkSummary> {
    const resource = parseNetworkResource(value);
    return await this.#turn(resource.id, async () => {
      const before = this.#entries.get(resource.id)?.desired;
      checkSource(resource.id, before, isOfGrid);
      const completed = this.#complete(resource, before);
      const desired: DesiredNetwork = isOfGrid ? { ...completed, isOfGrid } : completed;
      await this.#change(desired, before);
      return this.#summary(resource.id);
    });
  }

  /** Removes a network. Refused while workloads are attached, unless `drain`: then they are detached first. */
  async remove(
    id: string,
    options: { readonly drain?: boolean; readonly isOfGrid?: boolean } = {},
  ): Promise<void> {
    await this.#turn(id, async () => {
      const { desired } = this.#entry(id);
      checkSource(id, desired, options.isOfGrid === true);
      const { workloads } = desired;
      if (workloads.length > 0 && options.drain !== true) {
        const ids = workloads.map((workload) => workload.id).join(", ");
        throw new RefusedError(
          "conflict",
          `network ${id} has workloads (${ids}): detach them first, or drain`,
        );
      }
      this.#store.removeNetwork(id);
      this.#entries.delete(id);
      this.#ports.keep(id, []);
      this.#retries.clear(id);
      await this.#unbuild(id);
    });
  }

  /** A step of a rotation of the registry's; settles when disk and machine have it. What fails is undone. */
  async rotate(id: string, step: NextStep): Promise<void> {
    await this.#turn(id, async () => {
      const before = this.#entry(id).desired;
      checkSource(id, before, true);
      const after = withStep(before, step);
      for (const port of portsOf(after)) this.#ports.claim(id, port, before.resource.owner);
      if (after !== before) await this.#change(after, before);
    });
  }

  list(): NetworkSummary[] {
    return [...this.#entries.keys()].sort().map((id) => this.#summary(id));
  }

  /** What is desired of a network, without its secrets. */
  view(id: string): PublicView {
    return publicView(this.#entry(id).desired);
  }

  /** The same of all networks. */
  views(): PublicView[] {
    return [...this.#entries.values()].map(({ desired }) => publicView(desired));
  }

  /** The registry's networks, as stored. */
  ofGrid(): GridNetwork[] {
    return [...this.#entries.values()].flatMap(({ desired, problem }) =>
      gridNetworkOf(desired, problem),
    );
  }

  /** Its tunnel now; undefined: it does not run. */
  async deviceStatus(id: string): Promise<InterfaceStatus | undefined> {
    return await this.#devices.status(tunName(id)).catch(() => undefined);
  }

  /** All of a network but its secrets. */
  async show(id: string): Promise<NetworkDetails> {
    const { desired } = this.#entry(id);
    const status = await this.deviceStatus(id);
    return { ...this.#summary(id), ...publicView(desired), device: status ?? null };
  }

  /** Attaches a workload (`join`, `tap`, `public`), or changes it; settles when it can be used. What fails is undone. */
  async attach(network: string, value: unknown): Promise<Workload> {
    const workload = parseWorkload(value);
    return await this.#turn(network, async () => {
      const before = this.#entry(network).desired;
      checkWorkload(workload, before.resource, before.workloads);
      const others = before.workloads.filter(({ id }) => id !== workload.id);
      const made = withMaker(workload, before.workloads);
      await this.#change({ ...before, workloads: [...others, made] }, before);
      return made;
    });
  }

  async detach(network: string, id: string): Promise<void> {
    await this.#turn(network, async () => {
      const before = this.#entry(network).desired;
      const workloads = before.workloads.filter((workload) => workload.id !== id);
      if (workloads.length === before.workloads.length) {
        throw new RefusedError("missing", `network ${network} has no workload ${id}`);
      }
      await this.#change({ ...before, workloads }, before);
    });
  }

  /** Ports that networks have, leases, reserved ones: what is published. */
  ports(): PortList {
    return this.#ports.list();
  }

  /** Promises a port to a network's owner for a time. */
  leasePort(holder: string, seconds: number, port?: number | undefined): PortLease {
    return this.#ports.lease(holder, seconds, port);
  }

  endPortLease(port: number, holder: string): void {
    this.#ports.endLease(port, holder);
  }

  /** What would be done now, without doing it. */
  async plan(): Promise<DryRun[]> {
    const shared = { network: "exit", actions: (await this.#builder.planShared()).map(describe) };
    const runs = [...this.#entries.keys()].sort().map((id) =>
      this.#turn(id, async () => {
        const { desired } = this.#entry(id);
        return { network: id, actions: (await this.#builder.plan(desired)).map(describe) };
      }),
    );
    return [shared, ...(await Promise.all(runs))];
  }

  /** Something on the machine has changed, or a setting: looks at all again and mends it. */
  async reconcile(): Promise<void> {
    await this.#builder.refreshUnderlay();
    this.#builder.forget();
    await Promise.all([...this.#entries.keys()].map((id) => this.#rebuild(id)));
  }

  /** MTU, LAN or default routes of the underlay may have changed: mends what rests on them, if they have. */
  async followUnderlay(): Promise<void> {
    if (this.#isStopped) return;
    if (!(await this.#builder.refreshUnderlay()) || this.#isStopped) return;
    await Promise.all([...this.#entries.keys()].map((id) => this.#rebuild(id)));
  }

  /** What "auto" means for keepalives has changed: sets what differs, sessions stay. */
  async followKeepalive(): Promise<void> {
    await Promise.all([...this.#entries.keys()].map((id) => this.#rebuild(id)));
  }

  /** Opens all sockets in another namespace, live; undefined: this process's. */
  async moveSockets(namespace: string | undefined): Promise<void> {
    this.#sockets = namespace;
    await this.reconcile();
  }

  /** Changes the way out, live. */
  async setExit(exit: ExitSettings): Promise<void> {
    this.#builder.exit = exit;
    await this.reconcile();
  }

  /** Stores and builds; puts back what was before if that fails. */
  async #change(desired: DesiredNetwork, before: DesiredNetwork | undefined): Promise<void> {
    const { id } = desired.resource;
    const portsBefore = before === undefined ? [] : portsOf(before);
    try {
      this.#store.saveNetwork(desired);
    } catch (error) {
      this.#ports.keep(id, portsBefore);
      throw error;
    }
    this.#entries.set(id, { desired, problem: undefined });
    try {
      await this.#builder.build(desired);
    } catch (error) {
      this.#ports.keep(id, portsBefore);
      await this.#putBack(id, before);
      throw error;
    }
    this.#retries.clear(id);
    this.#ports.keep(id, portsOf(desired));
  }

  async #putBack(id: string, before: DesiredNetwork | undefined): Promise<void> {
    if (before === undefined) {
      this.#entries.delete(id);
      this.#store.removeNetwork(id);
      await this.#unbuild(id);
      return;
    }
    this.#store.takeBack(id);
    this.#entries.set(id, { desired: before, problem: "a change failed" });
    await this.#build(id);
  }

  /** Fills in what the node chooses, and takes the port. */
  #complete(resource: NetworkResource, before: DesiredNetwork | undefined): DesiredNetwork {
    const { id, owner, revision } = resource;
    if (before !== undefined && before.resource.owner !== owner) {
      throw new RefusedError("conflict", `network ${id} belongs to another owner`);
    }
    // A registry that was restored from a backup counts on from there: what it says now is what is desired.
    if (before?.isOfGrid === undefined && revision < (before?.resource.revision ?? 0)) {
      throw new RefusedError(
        "conflict",
        `network ${id} is at revision ${before?.resource.revision}: ${revision} is older`,
      );
    }
    for (const workload of before?.workloads ?? []) {
      checkWorkload(workload, resource, before?.workloads ?? []);
    }
    const privateKey = resource.privateKey ?? before?.resource.privateKey ?? freshKey();
    const publicKey = publicKeyOf(privateKey);
    const own = resource.peers.findIndex((peer) => peer.publicKey === publicKey);
    if (own >= 0) {
      throw new RefusedError("invalid", `peers.${own}.publicKey is this node's own: leave it out`);
    }
    const { range, range6, subnet6, tunnelAddresses } = resource;
    const prefixes = [range, range6, subnet6, ...tunnelAddresses];
    const clash = exitClash(
      this.#builder.exit,
      prefixes.filter((prefix) => prefix !== undefined),
    );
    if (clash !== undefined) {
      throw new RefusedError(
        "conflict",
        `${clash} overlaps this node's exit range ${this.#builder.exit.range}: choose another`,
      );
    }
    const taken = new Set([...this.#entries.values()].map(({ desired }) => desired.exitIndex));
    const exitIndex = before?.exitIndex ?? freeExitIndex(this.#builder.exit, taken);
    if (exitIndex === undefined) {
      throw new RefusedError("conflict", `the exit's range ${this.#builder.exit.range} is full`);
    }
    const wish = resource.listenPort ?? before?.resource.listenPort;
    if (wish !== undefined) this.#ports.claim(id, wish, owner);
    const listenPort = wish ?? this.#ports.choose(id);
    return {
      resource: { ...resource, privateKey, listenPort },
      exitIndex,
      workloads: before?.workloads ?? [],
      ...(before?.next === undefined ? {} : { next: before.next }),
    };
  }

  #rebuild(id: string): Promise<void> {
    return this.#turns.run(id, () => this.#build(id));
  }

  /** Never throws: what fails is told and tried again. */
  async #build(id: string): Promise<void> {
    const entry = this.#entries.get(id);
    if (entry === undefined || this.#isStopped) return;
    try {
      await this.#builder.build(entry.desired);
      entry.problem = undefined;
      this.#retries.clear(id);
    } catch (error) {
      entry.problem = error instanceof Error ? error.message : String(error);
      const delayMs = this.#retries.later(id, () => void this.#rebuild(id));
      this.#log(
        "error",
        `network ${id}: ${entry.problem}; next try in ${Math.ceil(delayMs / 1000)} s`,
      );
    }
  }

  async #unbuild(id: string): Promise<void> {
    // Meanwhile somebody may have made one of this name again.
    if (this.#entries.has(id) || this.#isStopped) return;
    try {
      await this.#builder.remove(id);
      this.#retries.clear(id);
    } catch (error) {
      const delayMs = this.#retries.later(
        id,
        () => void this.#turns.run(id, () => this.#unbuild(id)),
      );
      const why = error instanceof Error ? error.message : String(error);
      this.#log(
        "error",
        `removing network ${id}: ${why}; next try in ${Math.ceil(delayMs / 1000)} s`,
      );
    }
  }

  #deviceLost(name: string, reason: Error | undefined): void {
    if (this.#isStopped) return;
    this.#log(
      "error",
      `${name} went away${reason === undefined ? "" : ` (${reason.message})`}: it is made again`,
    );
    for (const id of this.#entries.keys()) {
      if (tunName(id) !== name) continue;
      this.#builder.forget(id);
      void this.#rebuild(id);
    }
  }

  #turn<Result>(id: string, work: () => Promise<Result>): Promise<Result> {
    if (this.#isStopped) return Promise.reject(new Error("the node is stopping"));
    return this.#turns.run(id, work).finally(this.#onChange);
  }

  #entry(id: string): Entry {
    const entry = this.#entries.get(id);
    if (entry === undefined) throw new RefusedError("missing", `there is no network ${id}`);
    return entry;
  }

  #summary(id: string): NetworkSummary {
    const { desired, problem } = this.#entry(id);
    const { resource, workloads } = desired;
    return {
      id,
      name: resource.name,
      owner: resource.owner,
      revision: resource.revision,
      publicKey: networkKey(desired),
      listenPort: resource.listenPort,
      workloads: workloads.length,
      problem: problem ?? null,
    };
  }
}
