/**
 * Looks for handshakes of the new keys of peers that rotate: then their routes are led to these here (`withRoutesMoved`), and the registry
 * is told. Looks closely for a while after anything has changed, then now and then, and at nothing while nobody rotates.
 */
import type { InterfaceStatus } from "../../../lane/status.ts";
import { Bell, type Clock } from "../../linux/clock.ts";
import { type RegistryClient, RegistryFault } from "../../registry/client.ts";
import type { WatchTask } from "./rotation.ts";

export interface WatchOptions {
  readonly clock: Clock;
  /** All that there are now, of all networks. */
  readonly tasks: () => readonly WatchTask[];
  readonly statusOf: (network: string) => Promise<Pick<InterfaceStatus, "peers"> | undefined>;
  /** The new key of a peer is in use in this network: see {@link Watch.seen}. */
  readonly onSeen: (network: string) => void;
  readonly report: RegistryClient["reportRotation"];
  readonly log: (level: "info" | "error", text: string) => void;
}

/** Ours: until it is seen, what the peer sends is dropped here; a peer switches soon after it is told, as we are. */
const CLOSE_LOOK_MS = 20;
const CLOSE_MS = 5_000;
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
  #seen: readonly WatchTask[] = [];
  #closeUntilMs = 0;
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

  /** There may be other tasks, or something is about to happen. */
  poke(): void {
    this.#closeUntilMs = this.#options.clock.now() + CLOSE_MS;
    this.#bell.ring();
  }

  /** Tasks of a network whose new key has been seen. */
  seen(network: string): readonly WatchTask[] {
    return this.#seen.filter((task) => task.network === network);
  }

  async #run(): Promise<void> {
    let isFailing = false;
    while (!this.#abort.signal.aborted) {
      await this.#bell.wait(this.#pauseMs());
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

  #pauseMs(): number {
    const { clock, tasks } = this.#options;
    const names = new Set(this.#seen.map(nameOf));
    const all = tasks();
    if (all.length === 0) return IDLE_MS;
    const isClose =
      clock.now() < this.#closeUntilMs && all.some((task) => !names.has(nameOf(task)));
    return isClose ? CLOSE_LOOK_MS : LOOK_MS;
  }

  /** One look at all. Rejects with what the registry did not take; the next look tries again. */
  async look(): Promise<void> {
    const { clock, tasks, statusOf } = this.#options;
    const all = tasks();
    const names = new Set(all.map(nameOf));
    for (const name of this.#answered.keys()) if (!names.has(name)) this.#answered.delete(name);
    this.#seen = this.#seen.filter((task) => names.has(nameOf(task)));
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
      const found = due.filter((task) => task.network === network && seen.has(task.publicKey));
      const known = new Set(this.#seen.map(nameOf));
      const fresh = found.filter((task) => !known.has(nameOf(task)));
      this.#seen = [...this.#seen, ...fresh];
      if (fresh.length > 0) this.#options.onSeen(network);
      for (const task of found) await this.#tell(task);
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
