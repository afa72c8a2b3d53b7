/**
 * A program that has to run as long as we do: its standard output comes line by line, it is started again with backoff whenever it
 * ends, and it ends with us even when we are killed (setpriv's --pdeathsig).
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { backoffMs } from "../model/backoff.ts";
import { Bell, type Clock } from "./clock.ts";

export interface SupervisedOptions {
  readonly command: readonly string[];
  readonly clock: Clock;
  readonly onLine: (line: string) => void;
  /** It was started (again). */
  readonly onStart?: (() => void) | undefined;
  /** It ended though nobody stopped it, with the last line of its standard error. */
  readonly onEnd?: ((why: string) => void) | undefined;
}

/** After this long a life, the next death counts as the first. Ours. */
const HEALTHY_MS = 30_000;
const GRACE_MS = 2_000;

/** A command line that gets SIGKILL when the thread that starts it dies. */
export function boundToUs(command: readonly string[]): string[] {
  return ["setpriv", "--pdeathsig", "KILL", ...command];
}

export class Supervised {
  readonly #options: SupervisedOptions;
  readonly #bell: Bell;
  readonly #done: Promise<void>;
  #child: ChildProcess | undefined;
  #isStopping = false;

  constructor(options: SupervisedOptions) {
    this.#options = options;
    this.#bell = new Bell(options.clock);
    this.#done = this.#loop();
  }

  get isRunning(): boolean {
    return this.#child !== undefined;
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  /** Ends it for good and waits until it has ended. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#bell.ring();
    this.signal("SIGTERM");
    const timer = setTimeout(() => this.signal("SIGKILL"), GRACE_MS);
    await this.#done;
    clearTimeout(timer);
  }

  async #loop(): Promise<void> {
    const { clock, onEnd } = this.#options;
    let failures = 0;
    while (!this.#isStopping) {
      const started = clock.now();
      const why = await this.#live();
      if (this.#isStopping) return;
      failures = clock.now() - started > HEALTHY_MS ? 1 : failures + 1;
      onEnd?.(why);
      await this.#bell.wait(backoffMs(failures, clock.random()));
    }
  }

  /** One life of it; resolves with the reason of its end. */
  #live(): Promise<string> {
    const [program = "", ...args] = boundToUs(this.#options.command);
    return new Promise((resolve) => {
      const child = spawn(program, args, {
        stdio: ["ignore", "pipe", "pipe"],
        env: { ...process.env, LC_ALL: "C" },
      });
      let last = "";
      child.once("spawn", () => {
        this.#child = child;
        if (this.#isStopping) child.kill("SIGTERM");
        else this.#options.onStart?.();
      });
      createInterface({ input: child.stdout }).on("line", this.#options.onLine);
      createInterface({ input: child.stderr }).on("line", (line) => {
        last = line;
      });
      child.once("error", (error) => resolve(`${program} cannot be started: ${error.message}`));
      child.once("close", (code, signal) => {
        this.#child = undefined;
        resolve(`ended with ${signal ?? code}${last === "" ? "" : `: ${last}`}`);
      });
    });
  }
}
