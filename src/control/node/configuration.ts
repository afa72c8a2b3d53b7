/**
 * The node's phase-two configuration in force: checked against the census, applied live, on probation until the registry has been
 * reached through it, and taken back if it isn't. Only what has passed is saved: a power cut during probation comes back with the
 * configuration before. Items 16 to 20 of docs/networkd.md.
 */
import { Bell, type Clock } from "../linux/clock.ts";
import { readNics } from "../linux/nics.ts";
import { backoffMs } from "../model/backoff.ts";
import type { Nic } from "../model/nic.ts";
import { type NodeConfig, nicWithRole, parseNodeConfig } from "../model/node-config.ts";
import { refusalsOf } from "../model/node-config-check.ts";
import { planRoles, reservedNics } from "../model/role-plan.ts";
import { AUTOMATIC } from "./boot/addressing.ts";
import type { Boot } from "./boot/boot.ts";
import type { UplinkSettings } from "./boot/uplink.ts";
import type { Roles } from "./roles.ts";

export interface ConfigurationOptions {
  readonly initial: NodeConfig;
  readonly boot: Pick<Boot, "configure" | "hold" | "isRegistryReached" | "probing" | "status">;
  readonly roles: Pick<Roles, "apply">;
  /** The uplink bridge's name. */
  readonly bridge: string;
  /** Writes it to disk; rejects if it could not. */
  readonly save: (config: NodeConfig) => Promise<void>;
  readonly clock: Clock;
  readonly probationMs: number;
  readonly log: (text: string) => void;
  /** The operator's own choice of an uplink, which holds as long as the configuration gives nobody the role. */
  readonly uplink?: UplinkSettings | undefined;
  /** Reads the machine; tests bring their own. */
  readonly read?: (() => Promise<readonly Nic[]>) | undefined;
}

export type ConfigurationState = "applied" | "on probation" | "rolled back" | "failing";

export interface ConfigurationStatus {
  readonly state: ConfigurationState;
  readonly why: string;
  readonly config: NodeConfig;
}

/** A configuration that can't work here; nothing was changed. */
export class ConfigRefused extends Error {
  readonly reasons: readonly string[];

  constructor(reasons: readonly string[]) {
    super(`the node configuration is refused: ${reasons.join("; ")}`);
    this.reasons = reasons;
  }
}

/** A configuration that was tried and taken back. */
export class ConfigRolledBack extends Error {
  constructor(why: string) {
    super(`the node configuration was taken back: ${why}`);
  }
}

/** Ours: DHCP, duplicate address detection and spanning tree are through in that time, twice. */
export const PROBATION_MS = 60_000;
const ASK_MS = 1_000;
const QUIET_MS = 100;
const RECHECK_MS = 30_000;

/** What a configuration says of the uplink. */
export function uplinkSettings(
  config: NodeConfig,
  nics: readonly Nic[],
  fallback?: UplinkSettings,
): UplinkSettings {
  const reserved = reservedNics(config, nics);
  const settings = nicWithRole(config, "management");
  if (settings === undefined) {
    return { addressing: AUTOMATIC, ...fallback, reserved };
  }
  return { chosen: settings.nic, addressing: settings, mtu: settings.mtu, reserved };
}

export class Configuration {
  readonly #options: ConfigurationOptions;
  readonly #bell: Bell;
  readonly #abort = new AbortController();
  #config: NodeConfig;
  #state: ConfigurationState = "applied";
  #why = "as it was at the start";
  #queue: Promise<unknown> = Promise.resolve();
  #running: Promise<void> | undefined;

  constructor(options: ConfigurationOptions) {
    this.#options = options;
    this.#config = options.initial;
    this.#bell = new Bell(options.clock);
  }

  /** Applies what it has, and again whenever something has changed. */
  start(): void {
    this.#running ??= this.#keep();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    this.#bell.ring();
    await this.#running;
    await this.#queue;
  }

  /** Something about links has changed. */
  poke(): void {
    this.#bell.ring();
  }

  status(): ConfigurationStatus {
    return { state: this.#state, why: this.#why, config: this.#config };
  }

  /**
   * Changes over to a configuration from outside. Rejects with {@link ConfigRefused} or {@link ConfigRolledBack}; then the one before
   * is in force. Without probation it stays even if the registry doesn't answer.
   */
  change(value: unknown, isOnProbation = true): Promise<void> {
    return this.#enqueue(() => this.#change(value, isOnProbation));
  }

  #enqueue<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#queue.then(work);
    this.#queue = next.catch(() => undefined);
    return next;
  }

  async #change(value: unknown, isOnProbation: boolean): Promise<void> {
    const { boot, clock } = this.#options;
    const config = parseNodeConfig(value);
    boot.hold(true);
    try {
      // A NIC that is away in a probe's namespace would be missing.
      while (boot.probing.size > 0 && !this.#abort.signal.aborted) {
        await clock.wait(QUIET_MS, this.#abort.signal);
      }
      await this.#check(config);
      await this.#try(config, isOnProbation);
    } finally {
      boot.hold(false);
    }
  }

  async #check(config: NodeConfig): Promise<void> {
    const reasons = refusalsOf(config, await this.#read());
    if (config.revision < this.#config.revision) {
      reasons.push(`revision ${config.revision} is older than ${this.#config.revision}`);
    }
    if (reasons.length > 0) throw new ConfigRefused(reasons);
  }

  async #try(config: NodeConfig, isOnProbation: boolean): Promise<void> {
    const { boot, log, save } = this.#options;
    const before = this.#config;
    const prefer = boot.status().uplink?.nic;
    this.#enter("on probation", `revision ${config.revision}`);
    try {
      await this.#apply(config).catch((error: Error) => {
        // Somebody at the machine means it: what can't be done now is tried again for as long as it takes.
        if (isOnProbation) throw error;
        log(`the node configuration can't be applied yet: ${error.message}`);
      });
      if (isOnProbation) await this.#prove();
      await save(config);
    } catch (error) {
      const why = (error as Error).message;
      log(`revision ${config.revision} of the node configuration is taken back: ${why}`);
      await this.#apply(before, prefer).catch((fault: Error) =>
        log(`taking back: ${fault.message}`),
      );
      this.#enter("rolled back", why);
      this.#bell.ring();
      throw new ConfigRolledBack(why);
    }
    this.#config = config;
    this.#enter("applied", `revision ${config.revision}`);
    this.#bell.ring();
  }

  async #apply(config: NodeConfig, prefer?: string): Promise<void> {
    const { boot, roles, bridge, uplink } = this.#options;
    const nics = await this.#read();
    await boot.configure({ ...uplinkSettings(config, nics, uplink), prefer });
    await roles.apply(planRoles(config, nics, bridge));
  }

  async #prove(): Promise<void> {
    const { clock, boot, probationMs } = this.#options;
    const deadline = clock.now() + probationMs;
    while (!(await boot.isRegistryReached())) {
      if (this.#abort.signal.aborted) throw new Error("the agent is stopping");
      if (clock.now() >= deadline) {
        throw new Error(`the registry was not reached within ${probationMs / 1000} s`);
      }
      await clock.wait(ASK_MS, this.#abort.signal);
    }
  }

  async #keep(): Promise<void> {
    const { clock, roles, bridge, log } = this.#options;
    let failures = 0;
    while (!this.#abort.signal.aborted) {
      try {
        await this.#enqueue(async () => {
          await roles.apply(planRoles(this.#config, await this.#read(), bridge));
        });
        if (failures > 0 || this.#state === "failing") this.#enter("applied", "all is in place");
        failures = 0;
      } catch (error) {
        failures += 1;
        const { message } = error as Error;
        if (this.#why !== message) log(`the node configuration can't be applied: ${message}`);
        this.#enter("failing", message);
      }
      await this.#bell.wait(failures === 0 ? RECHECK_MS : backoffMs(failures, clock.random()));
    }
  }

  #enter(state: ConfigurationState, why: string): void {
    this.#state = state;
    this.#why = why;
  }

  async #read(): Promise<readonly Nic[]> {
    return await (this.#options.read ?? readNics)();
  }
}
