/**
 * Looks for handshakes of the new keys of peers that rotate, and tells the registry: that is what leads routes to the new key where the
 * peer itself can't say that it uses it. Looks at nothing while nobody rotates.
 */
import type { InterfaceStatus } from "../../../lane/status.ts";
import { Bell, type Clock } from "../../linux/clock.ts";
import { type RegistryClient, RegistryFault, type RotationTask } from "../../registry/client.ts";

export type WatchTask = Extract<RotationTask, { readonly kind: "watch" }>;

export interface WatchOptions {
  readonly clock: Clock;
  /** All that there are now, of all networks. */
  readonly tasks: () => readonly WatchTask[];
  readonly statusOf: (network: string) => Promise<Pick<InterfaceStatus, "peers"> | undefined>;
  readonly report: RegistryClient["reportRotation"];
  readonly log: (level: "info" | "error", text: string) => void;
}

/** Ours: until the registry knows, what the peer sends is dropped here. */
const LOOK_MS = 1_000;
const IDLE_MS = 60_000;
/** Ours: a task that is still there so long after it was answered is answered again. */
const AGAIN_MS = 10_000;

export class Watch {
  readonly #options: WatchOptions;
  readonly #bell: Bell;
  readonly #abort = new AbortController();
  /** When a task was answered. */
  readonly #answered = new Map<string, number>();
  #running: Promise<void> | undefined;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#bell = new Bell(options.clock);
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    this.#bell.ring();
    await this.#running;
  }

  /** There may be other tasks. */
  poke(): void {
    this.#bell.ring();
  }

  async #run(): Promise<void> {
    let isFailing = false;
    while (!this.#abort.signal.aborted) {
      const isIdle = this.#options.tasks().length === 0;
      await this.#bell.wait(isIdle ? IDLE_MS : LOOK_MS);
      if (this.#abort.signal.aborted) return;
      try {
        await this.look();
        isFailing = false;
      } catch (error) {
        const { message } = error as Error;
        if (!isFailing)
          this.#options.log("error", `a peer's new key can't be reported: ${message}`);
        isFailing = true;
      }
    }
  }

  /** One look at all. Rejects with what the registry did not take; the next look tries again. */
  async look(): Promise<void> {
    const { clock, tasks, statusOf } = this.#options;
    const all = tasks();
    const names = new Set(all.map(nameOf));
    for (const name of this.#answered.keys()) if (!names.has(name)) this.#answered.delete(name);
    const due = all.filter(
      (task) => clock.now() - (this.#answered.get(nameOf(task)) ?? -AGAIN_MS) >= AGAIN_MS,
    );
    for (const network of new Set(due.map((task) => task.network))) {
      const status = await statusOf(network);
      const seen = new Set(
        status?.peers.flatMap(({ publicKey, lastHandshakeMs }) =>
          lastHandshakeMs > 0 ? [publicKey] : [],
        ),
      );
      for (const task of due) {
        if (task.network === network && seen.has(task.publicKey)) await this.#tell(task);
      }
    }
  }

  async #tell(task: WatchTask): Promise<void> {
    const { clock, report } = this.#options;
    const { network, node, publicKey } = task;
    try {
      await report(network, node, { publicKey });
    } catch (error) {
      // It is over by now.
      const isOver = error instanceof RegistryFault && ["conflict", "missing"].includes(error.code);
      if (!isOver) throw error;
    }
    this.#answered.set(nameOf(task), clock.now());
  }
}

function nameOf({ network, node, publicKey }: WatchTask): string {
  return `${network} ${node} ${publicKey}`;
}
