/**
 * Makes the node's networks what the registry wants: applied one by one, each as a whole or not at all, and tried again for ever; then
 * key and port are told. A port that something here has is refused; the plan with another one comes by itself. Networks that were made
 * on this node are left alone.
 */
import { parseNetworkResource } from "../../model/network-resource.ts";
import {
  type NodePart,
  type RegistryClient,
  RegistryFault,
  type RotationTask,
  type SealedKey,
} from "../../registry/client.ts";
import { PortTakenError } from "../ports.ts";
import { Retries, Turns } from "../reconcile.ts";
import type { NetworkSummary } from "../view.ts";
import { isSameNetwork } from "./difference.ts";
import { OwnRotation, type OwnRotationOptions, type RotationCarrier } from "./own-rotation.ts";
import { portNow } from "./rotation.ts";
import type { GridNetwork } from "./source.ts";

/** What is needed of `Networks`. */
export interface Carrier extends RotationCarrier {
  apply(value: unknown, isOfGrid: boolean): Promise<NetworkSummary>;
  remove(id: string, options: { readonly drain: true; readonly isOfGrid: true }): Promise<void>;
}

export interface ParticipationOptions {
  readonly networks: Carrier;
  readonly client: Pick<RegistryClient, "join"> & OwnRotationOptions["client"];
  /** What the registry wants of a network now; undefined: that there is none. */
  readonly wanted: (id: string) => NodePart | undefined;
  /** What the registry wants done for rotations in it. */
  readonly tasks: (id: string) => readonly RotationTask[];
  /** The private key (base64, a secret) that a user has brought for this node in a network. Throws if it is not for it. */
  readonly openKey: (network: string, sealed: SealedKey) => string;
  /** Something is not as the registry's last words say: has the difference asked for. */
  readonly onDoubt: () => void;
  readonly log: (level: "info" | "error", text: string) => void;
  readonly random?: (() => number) | undefined;
}

/** Ours: the registry takes 50 requests a second of a key, and each joining is a write there. */
const AT_ONCE = 4;

export class Participation {
  readonly #options: ParticipationOptions;
  readonly #turns = new Turns(AT_ONCE);
  readonly #retries: Retries;
  readonly #rotation: OwnRotation;
  /** Key and port that the registry has been told, by network. */
  readonly #told = new Map<string, string>();
  readonly #problems = new Map<string, string>();
  #isStopped = false;

  constructor(options: ParticipationOptions) {
    this.#options = options;
    this.#retries = new Retries(options.random);
    this.#rotation = new OwnRotation(options);
  }

  /** Why networks of the registry's are not as it wants them. */
  get problems(): { readonly network: string; readonly problem: string }[] {
    return [...this.#problems].map(([network, problem]) => ({ network, problem }));
  }

  /** Looks at these networks; settles when each was tried once. */
  async follow(ids: Iterable<string>): Promise<void> {
    await Promise.all(
      [...new Set(ids)].map((id) =>
        this.#turns.run(id, async () => {
          if (!this.#isStopped) await this.#try(id);
        }),
      ),
    );
  }

  /** The registry answers again: what waits for it waits no longer. */
  async again(): Promise<void> {
    await this.follow([...this.#problems.keys()]);
  }

  /** The registry may have forgotten what it was told. */
  forget(): void {
    this.#told.clear();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#retries.stop();
    await this.#turns.idle();
  }

  async #try(id: string): Promise<void> {
    try {
      await this.#makeSo(id);
      this.#problems.delete(id);
      this.#retries.clear(id);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const isNews = this.#problems.get(id) !== why;
      this.#problems.set(id, why);
      const delayMs = this.#retries.later(id, () => void this.follow([id]));
      if (isNews) {
        const next = `next try in ${Math.ceil(delayMs / 1000)} s`;
        this.#options.log("error", `the grid's network ${id}: ${why}; ${next}`);
      }
    }
  }

  async #makeSo(id: string): Promise<void> {
    const wish = this.#options.wanted(id);
    if (wish === undefined) {
      this.#told.delete(id);
      const { networks } = this.#options;
      if (this.#stored(id) !== undefined) {
        await networks.remove(id, { drain: true, isOfGrid: true });
      }
      return;
    }
    const fault = await this.#rotation.begin(id);
    await this.#applyAndJoin(id, wish);
    await this.#rotation.finish(id);
    if (fault !== undefined) throw fault;
  }

  #stored(id: string): GridNetwork | undefined {
    return this.#options.networks.ofGrid().find(({ resource }) => resource.id === id);
  }

  async #applyAndJoin(id: string, { sealedKey, ...part }: NodePart): Promise<void> {
    const { networks, client } = this.#options;
    const stored = this.#stored(id);
    const planned = parseNetworkResource(part);
    if (planned.listenPort === undefined) {
      throw new Error("the registry has leased no port for it yet");
    }
    const isOthers = stored !== undefined && stored.resource.owner !== planned.owner;
    const port = portNow(planned.listenPort, isOthers ? undefined : stored);
    const wanted = { ...planned, listenPort: port };
    let { publicKey } = stored ?? {};
    if (isOthers) {
      // Another user's: nothing of the one before, its key among it, is handed on.
      await networks.remove(id, { drain: true, isOfGrid: true });
      publicKey = undefined;
    }
    const isThere = stored !== undefined && isSameNetwork(stored.resource, wanted);
    if (!isThere || stored.problem !== undefined) {
      try {
        // A network that is there keeps its key: another one is a rotation's to bring.
        const isBrought = sealedKey !== undefined && publicKey === undefined;
        const made = isBrought
          ? { ...wanted, privateKey: this.#options.openKey(id, sealedKey) }
          : wanted;
        ({ publicKey } = await networks.apply(made, true));
      } catch (error) {
        if (!(error instanceof PortTakenError) || error.port !== port) throw error;
        await this.#refuse(id, port, error.message);
      }
    }
    const telling = `${publicKey} ${port}`;
    if (publicKey === undefined || this.#told.get(id) === telling) return;
    try {
      await client.join(id, { publicKey, port });
      this.#told.set(id, telling);
    } catch (error) {
      // It has another port for us by now, or we are in it no longer: words of it that are still to come.
      if (isFault(error, "conflict", "missing")) this.#options.onDoubt();
      throw error;
    }
  }

  /** Throws always: without a port there is nothing to join with. */
  async #refuse(id: string, port: number, why: string): Promise<never> {
    try {
      await this.#options.client.refuseLease(port);
      this.#options.log("info", `the grid's network ${id}: ${why}; refused, another is leased`);
    } catch (error) {
      if (!isFault(error, "missing")) throw error;
    }
    this.#options.onDoubt();
    throw new Error(`port ${port} is taken here and was refused: it waits for another one`);
  }
}

function isFault(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof RegistryFault && codes.includes(error.code);
}
