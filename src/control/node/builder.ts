/**
 * Makes the machine so as one network, or what all share, is wanted: looks, plans, executes. Remembers what it has made, so that a
 * change of WireGuard settings alone needs no look at the machine.
 */
import { listLinks, listNamespaces } from "../linux/ip.ts";
import { Shells } from "../linux/shell.ts";
import type { DesiredNetwork } from "../model/desired-state.ts";
import { isId, MARK, markOf, namespaceName, SHARED_MARK, tunName } from "../model/names.ts";
import { RefusedError } from "../model/problem.ts";
import type { Action } from "./action.ts";
import { networkWanted, tunnelMtu } from "./blueprint.ts";
import type { Devices } from "./devices.ts";
import { Executor } from "./execute.ts";
import { type ExitSettings, exitClash, exitWanted, needsExit, type Underlay } from "./exit.ts";
import { findMarks, observe, type SeenPlace } from "./observe.ts";
import { type DevicePlan, plan } from "./plan.ts";
import { Turns } from "./reconcile.ts";
import { readUnderlay } from "./underlay.ts";
import type { Wanted, WantedPlace } from "./wanted.ts";
import {
  type KeepaliveOf,
  settingsDifference,
  wantedEndpoints,
  wipeSnapshot,
} from "./wireguard.ts";

export interface BuilderParts {
  readonly devices: Devices;
  readonly exit: ExitSettings;
  /** Where UDP sockets are opened. */
  readonly sockets: () => string | undefined;
  /** See {@link Underlay.seed}. */
  readonly seed: string;
  /** All that are desired. */
  readonly networks: () => readonly DesiredNetwork[];
  readonly keepaliveOf?: KeepaliveOf | undefined;
  readonly onAction?: ((action: Action) => void) | undefined;
  readonly stepsAtOnce?: number | undefined;
}

interface Built {
  /** What may be on the machine: what was wanted at last. */
  wanted: Wanted;
  /** It was made so, as JSON; undefined: that is not sure. */
  settled: string | undefined;
}

const NOTHING_SEEN: SeenPlace = {
  namespace: undefined,
  mark: undefined,
  isPristine: false,
  links: [],
  routes: [],
  chains: [],
  sysctls: new Map(),
};

export class Builder {
  exit: ExitSettings;
  readonly #parts: BuilderParts;
  readonly #shells = new Shells();
  readonly #executor: Executor;
  readonly #built = new Map<string, Built>();
  /** What networks share is made by one at a time. */
  readonly #shared = new Turns(1);
  #underlay: Underlay = { mtu: 1500, lan: [], device6: undefined, seed: "" };
  /** Names of the host's links and namespaces at the start: what is not there needs no look. */
  #atStart: ReadonlySet<string> | undefined;

  constructor(parts: BuilderParts) {
    this.#parts = parts;
    this.exit = parts.exit;
    const { devices, onAction, stepsAtOnce } = parts;
    this.#executor = new Executor(this.#shells, devices, { onAction, stepsAtOnce });
  }

  /** True if what the networks rest on is not as it was. */
  async refreshUnderlay(): Promise<boolean> {
    const before = JSON.stringify(this.#underlay);
    this.#underlay = await readUnderlay(this.#parts.sockets(), this.#parts.seed);
    return JSON.stringify(this.#underlay) !== before;
  }

  /**
   * Looks what there is. Returns ids of networks that left something and are not desired any more, to be removed; `keep`: ids that
   * are not to be touched.
   */
  async begin(keep: readonly string[]): Promise<string[]> {
    const { links, namespaces } = await findMarks(this.#shells);
    const known = new Set([...this.#parts.networks().map(({ resource }) => resource.id), ...keep]);
    const marks = [...links, ...namespaces].map(({ mark }) => mark);
    // What is no network's is the uplink's, a probe's, the exit's: others look after it.
    const ids = new Set(marks.map((mark) => mark.slice(MARK.length)).filter(isId));
    for (const id of ids) this.#foundBefore(id, links, namespaces);
    const names = [...(await listLinks()).map(({ ifname }) => ifname), ...(await listNamespaces())];
    this.#atStart = new Set(names);
    return [...ids].filter((id) => !known.has(id));
  }

  /** Removes what networks share, if none needs it. */
  async tidyShared(): Promise<void> {
    if (!this.#parts.networks().some(needsExit)) await this.#buildShared();
  }

  /** From now on others may have made what was not there at the start. */
  began(): void {
    this.#atStart = undefined;
  }

  close(): void {
    this.#shells.close();
  }

  /** What was made is not sure any more, of one network or of all. */
  forget(id?: string): void {
    this.#atStart = undefined;
    for (const [key, built] of this.#built) {
      if (id === undefined || key === id) built.settled = undefined;
    }
  }

  /** Makes a network as it is wanted; throws what was refused. */
  async build(network: DesiredNetwork): Promise<void> {
    const { id } = network.resource;
    if (needsExit(network)) await this.#buildShared();
    const wanted = networkWanted(network, this.exit, this.#underlay);
    const text = JSON.stringify(wanted);
    const built = this.#built.get(id);
    const hasDevice = this.#parts.devices.has(tunName(id));
    if (built?.settled === text && hasDevice) {
      await this.#executor.run(await this.#settings(network), this.#parts.sockets());
      return;
    }
    const actions = await this.#planOf(network, wanted, built?.wanted ?? wanted);
    // From here on until it has succeeded both may be there.
    const both: Built = { wanted: merge(wanted, built?.wanted), settled: undefined };
    this.#built.set(id, both);
    await this.#executor.run(actions, this.#parts.sockets());
    this.#built.set(id, { wanted, settled: text });
  }

  /** Removes all of a network. */
  async remove(id: string): Promise<void> {
    const nothing: Wanted = { mark: markOf(id), places: [] };
    const name = tunName(id);
    const before = this.#built.get(id)?.wanted ?? nothing;
    const device: DevicePlan = {
      name,
      wanted: undefined,
      exists: this.#parts.devices.has(name),
      settings: [],
    };
    const actions = plan(nothing, before, await observe(this.#shells, [before]), device);
    await this.#executor.run(actions, undefined);
    this.#built.delete(id);
    await this.tidyShared();
  }

  /** What {@link build} would do, after a look at the machine. */
  async plan(network: DesiredNetwork): Promise<Action[]> {
    const wanted = networkWanted(network, this.exit, this.#underlay);
    const before = this.#built.get(network.resource.id)?.wanted ?? wanted;
    this.#atStart = undefined;
    return await this.#planOf(network, wanted, before);
  }

  async planShared(): Promise<Action[]> {
    const wanted = exitWanted(this.exit, this.#underlay, this.#parts.networks());
    const before = this.#built.get(SHARED_MARK)?.wanted ?? wanted;
    return plan(wanted, before, await observe(this.#shells, [wanted, before]));
  }

  async #buildShared(): Promise<void> {
    await this.#shared.run(SHARED_MARK, async () => {
      const clash = exitClash(this.exit, this.#underlay.lan);
      if (clash !== undefined) {
        throw new RefusedError(
          "conflict",
          `the exit's range ${this.exit.range} overlaps ${clash}, which this node is in: set another one`,
        );
      }
      const wanted = exitWanted(this.exit, this.#underlay, this.#parts.networks());
      const text = JSON.stringify(wanted);
      const built = this.#built.get(SHARED_MARK);
      if (built?.settled === text) return;
      const before = built?.wanted ?? everythingShared(this.exit, this.#underlay);
      const actions = plan(wanted, before, await observe(this.#shells, [wanted, before]));
      this.#built.set(SHARED_MARK, { wanted: merge(wanted, before), settled: undefined });
      await this.#executor.run(actions, undefined);
      this.#built.set(SHARED_MARK, { wanted, settled: text });
    });
  }

  async #planOf(network: DesiredNetwork, wanted: Wanted, before: Wanted): Promise<Action[]> {
    const { id } = network.resource;
    const name = tunName(id);
    const seen = this.#isUntouched(wanted, before)
      ? new Map([[undefined, NOTHING_SEEN]])
      : await observe(this.#shells, [wanted, before]);
    const device: DevicePlan = {
      name,
      wanted: {
        mtu: tunnelMtu(network.resource, this.#underlay),
        namespace: namespaceName(id),
      },
      exists: this.#parts.devices.has(name),
      settings: await this.#settings(network),
    };
    return plan(wanted, before, seen, device);
  }

  /** Nothing of these names was there at the start, and nothing was made since. */
  #isUntouched(wanted: Wanted, before: Wanted): boolean {
    const { places } = merge(wanted, before);
    const isKnown = (name: string): boolean => this.#atStart?.has(name) !== false;
    if (this.#atStart === undefined || wanted !== before) return false;
    return !places.some(
      ({ namespace, links }) =>
        (namespace !== undefined && isKnown(namespace)) ||
        (namespace === undefined && links.some(({ name }) => isKnown(name))),
    );
  }

  /** WireGuard settings and sockets that differ; of a device that isn't there yet, all of them. */
  async #settings(network: DesiredNetwork): Promise<Action[]> {
    const { resource } = network;
    const name = tunName(resource.id);
    const { devices, sockets, keepaliveOf } = this.#parts;
    const state = (await devices.state(name)) ?? {
      snapshot: { listenPort: 0, fwmark: 0, peers: [] },
      endpoints: new Map<string, string>(),
    };
    const operations = settingsDifference(resource, state, keepaliveOf);
    wipeSnapshot(state.snapshot);
    const actions: Action[] = [];
    if (devices.has(name) && devices.socketsIn(name) !== sockets()) {
      actions.push({ kind: "sockets", name, namespace: sockets() });
    }
    const endpoints = wantedEndpoints(resource.peers);
    if (operations.length > 0) actions.push({ kind: "settings", name, operations, endpoints });
    return actions;
  }

  /** Takes what carries a network's mark for what was wanted of it before. */
  #foundBefore(
    id: string,
    links: readonly { readonly name: string; readonly mark: string }[],
    namespaces: readonly { readonly name: string; readonly mark: string }[],
  ): void {
    const mark = markOf(id);
    const place = (namespace: string | undefined): WantedPlace => ({
      namespace,
      mark: namespace === undefined ? undefined : mark,
      sysctls: [],
      links: [],
      routes: [],
      tables: [],
    });
    const host: WantedPlace = {
      ...place(undefined),
      links: links
        .filter((link) => link.mark === mark)
        .map(({ name }) => ({ name, kind: "veth", alias: mark, addresses: [] })),
      tables: [{ family: "bridge", name: `wirehaul_${id}`, rules: "" }],
    };
    const inside = namespaces.filter((found) => found.mark === mark).map(({ name }) => place(name));
    this.#built.set(id, { wanted: { mark, places: [host, ...inside] }, settled: undefined });
  }
}

/** Both, for looking; the first one's where they differ. */
function merge(a: Wanted, b: Wanted | undefined): Wanted {
  if (b === undefined || a === b) return a;
  // Each once: what fails again and again must not grow.
  const all = [...a.places, ...b.places].map((place) => [JSON.stringify(place), place] as const);
  return { mark: a.mark, places: [...new Map(all).values()] };
}

/** All that could be there of the way out, from a time when networks needed it. */
function everythingShared(exit: ExitSettings, underlay: Underlay): Wanted {
  const user = { resource: { internet: true, lan: [] }, exitIndex: 2, workloads: [] };
  return exitWanted(exit, underlay, [user as unknown as DesiredNetwork]);
}
