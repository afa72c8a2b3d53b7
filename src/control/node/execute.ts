/**
 * Carries a plan out: what a shell can do in a row in one process, what the engine does in between. The first action that is refused
 * ends it; undoing is planning anew.
 */
import { doSteps, type Step } from "../linux/namespace.ts";
import type { Shells } from "../linux/shell.ts";
import { type Action, stepOf } from "./action.ts";
import type { Devices } from "./devices.ts";

export interface ExecutorOptions {
  /** Told of each action before it is begun. */
  readonly onAction?: ((action: Action) => void) | undefined;
  /** Steps that one shell does at most. Ours: what fits well below the limits of a pipe's other end; 1 shows each alone. */
  readonly stepsAtOnce?: number | undefined;
}

const STEPS_AT_ONCE = 4_096;

export class Executor {
  readonly #shells: Shells;
  readonly #devices: Devices;
  readonly #options: ExecutorOptions;

  constructor(shells: Shells, devices: Devices, options: ExecutorOptions = {}) {
    this.#shells = shells;
    this.#devices = devices;
    this.#options = options;
  }

  /** `sockets`: the namespace where a new device's sockets are opened. */
  async run(actions: readonly Action[], sockets: string | undefined): Promise<void> {
    const limit = this.#options.stepsAtOnce ?? STEPS_AT_ONCE;
    let steps: Step[] = [];
    const flush = async (): Promise<void> => {
      const some = steps;
      steps = [];
      await doSteps(this.#shells, some);
    };
    for (const action of actions) {
      const step = stepOf(action);
      if (step === undefined || steps.length >= limit) await flush();
      this.#options.onAction?.(action);
      if (step === undefined) await this.#engineAction(action, sockets);
      else steps.push(step);
    }
    await flush();
  }

  async #engineAction(action: Action, sockets: string | undefined): Promise<void> {
    switch (action.kind) {
      case "tun":
        return await this.#devices.create(action.name, action.mtu, action.namespace, sockets);
      case "closeTun":
        return await this.#devices.close(action.name);
      case "settings":
        return await this.#devices.set(action.name, action.operations, action.endpoints);
      case "sockets":
        return await this.#devices.moveSockets(action.name, action.namespace);
      default:
        throw new Error(`${action.kind} is no action of the engine`);
    }
  }
}
