/**
 * Carries out what a node has to do for the rotation of its own key and port, and tells the registry; what that is says `rotation.ts`. All
 * is on the disk before it is told. Private keys are in the calls to {@link RotationCarrier} and nowhere else.
 */
import { RefusedError } from "../../model/problem.ts";
import {
  type RegistryClient,
  RegistryFault,
  type RotationTask,
  type SealedKey,
} from "../../registry/client.ts";
import { freshKey } from "../fresh-key.ts";
import type { NextStep } from "../next-keys.ts";
import { PortTakenError } from "../ports.ts";
import { confirmations, type NextKey, ownStep } from "./rotation.ts";
import type { GridNetwork } from "./source.ts";

/** What is needed of `Networks`. */
export interface RotationCarrier {
  rotate(id: string, step: NextStep): Promise<void>;
  ofGrid(): readonly GridNetwork[];
}

export interface OwnRotationOptions {
  readonly networks: RotationCarrier;
  readonly client: Pick<
    RegistryClient,
    "answerRotation" | "switchedRotation" | "refuseRotation" | "reportRotation" | "refuseLease"
  >;
  /** All tasks that there are in a network now. */
  readonly tasks: (id: string) => readonly RotationTask[];
  /** See `ParticipationOptions`. */
  readonly openKey: (network: string, sealed: SealedKey) => string;
  readonly onDoubt: () => void;
  readonly log: (level: "info" | "error", text: string) => void;
}

/** Ours: of ports that are taken here one after the other. */
const PORTS_MAX = 16;

/** What the registry takes (src/control/registry/schemas.ts, text). */
const REASON_MAX = 256;

export class OwnRotation {
  readonly #options: OwnRotationOptions;

  constructor(options: OwnRotationOptions) {
    this.#options = options;
  }

  /**
   * Before the plan is put in force: the interface takes the new ones, or what nobody asks for goes. What the registry did not take is
   * returned, since the plan does not wait for it: to be tried again. Throws what failed here.
   */
  async begin(id: string): Promise<Error | undefined> {
    const { networks, log } = this.#options;
    const own = this.#own(id);
    const step = own === undefined ? undefined : ownStep(this.#options.tasks(id), own);
    switch (step?.kind) {
      case "switch":
        try {
          await networks.rotate(id, { kind: "use" });
        } catch (error) {
          if (!(error instanceof PortTakenError)) throw error;
          return await this.#refuse(id, error.message);
        }
        log("info", `the grid's network ${id}: uses its new key or port from now on`);
        return await this.#say(id);
      case "say":
        return await this.#say(id);
      case "refuse":
        return await this.#refuse(id, step.reason);
      case "forget":
        await networks.rotate(id, { kind: "forget" });
        log(
          "info",
          `the grid's network ${id}: a rotation is over, and what it had made is forgotten`,
        );
        return undefined;
      default:
        return undefined;
    }
  }

  /** With the plan in force: makes what is asked for, and confirms others' rotations. Throws what has to be tried again. */
  async finish(id: string): Promise<void> {
    const own = this.#own(id);
    const tasks = this.#options.tasks(id);
    if (own === undefined || own.problem !== undefined) return;
    for (const { node, revision } of confirmations(tasks, own.resource.revision)) {
      await this.#tell(() => this.#options.client.reportRotation(id, node, { revision }));
    }
    const step = ownStep(tasks, own);
    if (step?.kind !== "make") return;
    try {
      await this.#make(id, step.key, step.port);
    } catch (error) {
      // A box that can't be opened, or whose key is another's, is no better the next time.
      const isBad = error instanceof RefusedError || isFault(error, "conflict");
      if (typeof step.key === "string" || !isBad) throw error;
      const fault = await this.#refuse(id, (error as Error).message);
      if (fault !== undefined) throw fault;
    }
  }

  async #make(id: string, key: NextKey, wish: number | undefined): Promise<void> {
    const { client, log } = this.#options;
    const port = await this.#keep(id, this.#keyOf(id, key), wish);
    const { publicKey } = this.#own(id)?.next ?? {};
    try {
      await client.answerRotation(id, {
        ...(key === "none" ? {} : { publicKey }),
        ...(port === undefined ? {} : { port }),
      });
    } catch (error) {
      if (isFault(error, "conflict", "missing")) this.#options.onDoubt();
      throw error;
    }
    const what = [...(key === "none" ? [] : ["key"]), ...(port === undefined ? [] : ["port"])];
    log("info", `the grid's network ${id}: a new ${what.join(" and a new ")} is ready`);
  }

  /** The secret that is to be kept; "kept": it is already; undefined: none is asked for. */
  #keyOf(id: string, key: NextKey): { readonly privateKey?: string } | "kept" {
    if (key === "kept") return key;
    if (key === "none") return {};
    if (key === "fresh") return { privateKey: freshKey() };
    return { privateKey: this.#options.openKey(id, key) };
  }

  /** On the disk when it resolves, with the port that is free: the one that is wished, or one leased in its place. */
  async #keep(
    id: string,
    key: { readonly privateKey?: string } | "kept",
    wish: number | undefined,
  ): Promise<number | undefined> {
    const { networks, client, log } = this.#options;
    let listenPort = wish;
    for (let tries = 1; ; tries++) {
      try {
        await networks.rotate(
          id,
          key === "kept"
            ? { kind: "port", listenPort }
            : {
                kind: "keep",
                next: { ...key, ...(listenPort === undefined ? {} : { listenPort }) },
              },
        );
        return listenPort;
      } catch (error) {
        if (!(error instanceof PortTakenError) || error.port !== listenPort) throw error;
        if (tries >= PORTS_MAX) throw error;
        const { port } = await client.refuseLease(listenPort);
        log("info", `the grid's network ${id}: ${error.message}; refused, ${port} is leased`);
        listenPort = port;
      }
    }
  }

  /** What the registry did not take is returned. */
  async #say(id: string): Promise<Error | undefined> {
    const { client, networks } = this.#options;
    try {
      await client.switchedRotation(id);
    } catch (error) {
      if (isFault(error, "conflict", "missing")) this.#options.onDoubt();
      return error as Error;
    }
    await networks.rotate(id, { kind: "settle" });
    return undefined;
  }

  async #refuse(id: string, reason: string): Promise<Error | undefined> {
    const { client, log } = this.#options;
    log("error", `the grid's network ${id}: a rotation is refused: ${reason}`);
    try {
      await this.#tell(() => client.refuseRotation(id, reason.slice(0, REASON_MAX)));
      return undefined;
    } catch (error) {
      return error as Error;
    }
  }

  /** What is over by now needs no word any more. */
  async #tell(say: () => Promise<void>): Promise<void> {
    try {
      await say();
    } catch (error) {
      if (!isFault(error, "conflict", "missing")) throw error;
      this.#options.onDoubt();
    }
  }

  #own(id: string): GridNetwork | undefined {
    return this.#options.networks.ofGrid().find(({ resource }) => resource.id === id);
  }
}

function isFault(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof RegistryFault && codes.includes(error.code);
}
