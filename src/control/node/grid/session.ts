/**
 * The node at its registry: registers until it is let in, then hears what is wanted of it and says that it lives. Goes on for ever, with
 * backoff and jitter; a node that was deleted hears it, gives up its networks of the grid, and asks no more.
 */
import { readFileSync } from "node:fs";
import { hostname, release, uptime } from "node:os";
import { Bell, type Clock } from "../../linux/clock.ts";
import { backoffMs } from "../../model/backoff.ts";
import {
  type NetworkChange,
  type NodeView,
  type RegistryClient,
  type RegistryEvent,
  RegistryFault,
  type RotationTask,
} from "../../registry/client.ts";
import { WantedNetworks } from "./difference.ts";
import { speechOf } from "./speech.ts";

/** "old": the registry speaks the older language, which has no networks. */
export type GridState = "unregistered" | "pending" | "approved" | "deleted" | "old";

export interface SessionOptions {
  /** Asks until the signal comes. */
  readonly client: (signal: AbortSignal) => RegistryClient;
  readonly url: string;
  /** Certificates in PEM that are trusted in place of the system's. */
  readonly ca?: string | undefined;
  readonly farm: number;
  /** Undefined: the machine's name and the start of the key. */
  readonly name?: string | undefined;
  /** Holds a token for one node; undefined: it waits for approval. */
  readonly tokenFile?: string | undefined;
  readonly clock: Clock;
  readonly log: (level: "info" | "error", text: string) => void;
  /** These networks may be wanted otherwise now. */
  readonly onChange: (ids: readonly string[]) => void;
  /** It takes part, maybe again: what the registry was told before may be lost. */
  readonly onApproved: () => void;
  /** The stream is there again. */
  readonly onReconnect: () => void;
  /** It has been deleted: its networks have to go. */
  readonly onDeleted: () => void;
}

/** Ours: a sign of life each 30 s, a tenth more or less, so that nodes don't beat in step. */
const BEAT_MS = 30_000;
const BEAT_JITTER = 0.1;
/** Ours: the stream brings a change within a second or so; later than that it was missed. */
const LATE_MS = 5_000;
/** Ours: the plan that follows from what we did comes by the stream; only if not it is asked for. */
const DOUBT_MS = 1_000;
/** Ours: to a node that waits for its farmer a quarter of a minute is nothing. */
const PENDING = { baseMs: 1_000, maxMs: 15_000 };
/** Ours: a registry is seldom replaced by a newer one. */
const OLD_AGAIN_MS = 600_000;

export class Session {
  readonly wanted: WantedNetworks = new WantedNetworks();
  readonly #options: SessionOptions;
  readonly #client: RegistryClient;
  readonly #abort = new AbortController();
  readonly #bell: Bell;
  #state: GridState = "unregistered";
  #why = "starting";
  #heardMs: number | null = null;
  #newest = 0;
  #waits = 0;
  #isLost = false;
  /** Ends what goes on while the node takes part. */
  #part: AbortController | undefined;
  #running: Promise<void> | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#client = options.client(this.#abort.signal);
    this.#bell = new Bell(options.clock);
  }

  get state(): GridState {
    return this.#state;
  }

  /** One sentence about the state, or about what stands in the way. */
  get why(): string {
    return this.#why;
  }

  /** When the registry was last heard, in milliseconds since 1970; null: not since the start. */
  get heardMs(): number | null {
    return this.#heardMs;
  }

  /** How many revisions of the registry's are between what is known and the newest for this node. */
  get lag(): number {
    return Math.max(0, this.#newest - (this.wanted.revision ?? 0));
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    this.#part?.abort();
    await this.#running;
  }

  /** Has the difference asked for soon. */
  doubt(): void {
    this.#bell.ring();
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#abort;
    let failures = 0;
    while (!signal.aborted && this.#state !== "deleted") {
      try {
        const pauseMs = await this.#round();
        failures = 0;
        if (pauseMs > 0) await clock.wait(pauseMs, signal);
      } catch (error) {
        failures += 1;
        this.#failed(error, failures === 1);
        await clock.wait(backoffMs(failures, clock.random()), signal);
      }
    }
  }

  /** One attempt to be in the grid, for as long as it is; then the pause before the next. */
  async #round(): Promise<number> {
    const { clock, url, ca, log } = this.#options;
    if ((await speechOf({ url, ca }, this.#abort.signal)) === "old") {
      if (this.#state !== "old")
        log("info", `${url} is an older registry: networks are local only`);
      this.#state = "old";
      this.#why = "an older registry, which takes the census only";
      this.#heard();
      return OLD_AGAIN_MS * (0.5 + clock.random());
    }
    const state = await this.#register();
    this.#heard();
    if (state !== this.#state) log("info", `at the registry this node is ${state}`);
    this.#state = state;
    if (state === "deleted") {
      this.#end();
      return 0;
    }
    if (state === "pending") {
      this.#why = "waits for its farmer's approval";
      this.#waits += 1;
      return backoffMs(this.#waits, clock.random(), PENDING);
    }
    this.#waits = 0;
    await this.#takePart();
    return 0;
  }

  async #register(): Promise<NodeView["state"]> {
    const { farm, log } = this.#options;
    const name = this.#options.name ?? nameOf(hostname(), this.#client.keyId);
    const node = { farm, name, hostname: hostname(), osVersion: release() };
    const token = this.#token();
    try {
      const withToken = token === undefined ? node : { ...node, token };
      return (await this.#client.register(withToken)).state;
    } catch (error) {
      if (!(error instanceof RegistryFault) || error.code !== "forbidden") throw error;
      const state = await this.#stateThere();
      if (state !== undefined) return state;
      if (token === undefined) throw error;
      log("error", `the registry refuses the token: ${error.message}; asking for approval`);
      return (await this.#client.register(node)).state;
    }
  }

  /** Read each time: its file may be put right meanwhile. */
  #token(): string | undefined {
    const { tokenFile, log } = this.#options;
    if (tokenFile === undefined) return undefined;
    try {
      const text = readFileSync(tokenFile, "utf8").trim();
      return text === "" ? undefined : text;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (this.#waits === 0) log("error", `${tokenFile} can't be read (${code}): no token`);
      return undefined;
    }
  }

  /** What the registry has of this node; undefined: nothing. */
  async #stateThere(): Promise<NodeView["state"] | undefined> {
    try {
      return (await this.#client.node(this.#client.keyId)).state;
    } catch (error) {
      if (error instanceof RegistryFault && error.code === "missing") return undefined;
      throw error;
    }
  }

  /** Until the node has no part any more, or is told to end. */
  async #takePart(): Promise<void> {
    const { onApproved, onChange } = this.#options;
    const part = new AbortController();
    this.#part = part;
    if (this.#abort.signal.aborted) part.abort();
    const { signal } = part;
    signal.addEventListener("abort", () => this.#bell.ring());
    const whole = await this.#client.desired();
    this.#heard();
    this.#why = "in the grid";
    this.#isLost = false;
    onApproved();
    onChange(this.wanted.take(whole));
    await Promise.all([this.#listen(signal), this.#beat(signal)]);
  }

  async #listen(signal: AbortSignal): Promise<void> {
    const { revision } = this.wanted;
    for await (const event of this.#client.events(signal, revision, (fault) => this.#lost(fault))) {
      this.#heard();
      await this.#insist(signal, () => this.#hear(event));
    }
  }

  async #hear(event: RegistryEvent): Promise<void> {
    const { onChange, onReconnect } = this.#options;
    if (event.kind === "reset") {
      onChange(this.wanted.take(await this.#client.desired()));
      return;
    }
    if (event.kind === "hello") {
      this.#why = "in the grid";
      if (this.#isLost) onReconnect();
      this.#isLost = false;
      return;
    }
    if (!("subject" in event)) return;
    if (event.kind === "plan") {
      const { subject, revision, body } = event;
      const change = this.wanted.change(subject, revision, body as NetworkChange);
      if (change === "stale") await this.#fetchDifference();
      else if (change === "changed") onChange([subject]);
      return;
    }
    if (event.kind === "rotation" && event.body !== undefined) {
      const { subject, revision } = event;
      const { tasks } = event.body as { readonly tasks: readonly RotationTask[] };
      if (this.wanted.tell(subject, revision, tasks)) onChange([subject]);
      return;
    }
    this.wanted.pass(event.revision);
    if (event.kind === "node") await this.#look();
  }

  async #fetchDifference(): Promise<void> {
    const { onChange } = this.#options;
    for (;;) {
      const since = this.wanted.revision ?? 0;
      const difference = await this.#client.desired(this.wanted.revision);
      this.#heard();
      const { revision } = difference;
      // The stream was quicker: what it told meanwhile must not be taken back. (Below `since`: a registry that was restored.)
      if (revision >= since && revision < (this.wanted.revision ?? 0)) continue;
      onChange(this.wanted.take(difference));
      return;
    }
  }

  async #beat(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    let next = clock.now();
    while (!signal.aborted) {
      if (await this.#bell.wait(Math.max(0, next - clock.now()))) {
        await clock.wait(DOUBT_MS, signal);
        if (!signal.aborted) await this.#attempt(() => this.#fetchDifference());
        continue;
      }
      next = clock.now() + BEAT_MS * (1 - BEAT_JITTER + 2 * BEAT_JITTER * clock.random());
      await this.#attempt(async () => {
        const { revision } = await this.#client.heartbeat({ uptime: Math.floor(uptime()) });
        this.#heard();
        // What went wrong before is over; what the stream lacks it says itself.
        if (!this.#isLost) this.#why = "in the grid";
        this.#newest = revision;
        if (this.lag > 0) await clock.wait(LATE_MS, signal);
        if (this.lag > 0 && !signal.aborted) await this.#fetchDifference();
      });
    }
  }

  /** Something that is tried again later anyhow. */
  async #attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#failed(error, false);
      if (isRefusal(error))
        await this.#look().catch((again: unknown) => this.#failed(again, false));
    }
  }

  /** Until it succeeds. */
  async #insist(signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    const { clock } = this.#options;
    for (let failures = 1; !signal.aborted; failures++) {
      try {
        await work();
        return;
      } catch (error) {
        this.#failed(error, failures === 1);
        if (isRefusal(error)) await this.#look().catch(() => undefined);
        await clock.wait(backoffMs(failures, clock.random()), signal);
      }
    }
  }

  /** Asks what this node is now: one that is no longer in the grid begins anew, or ends. */
  async #look(): Promise<void> {
    const state = await this.#stateThere();
    this.#heard();
    if (state === "approved") return;
    if (state === "deleted") {
      this.#state = "deleted";
      this.#end();
    }
    this.#part?.abort();
  }

  #end(): void {
    this.#why = "it was deleted from the grid: its networks of the grid are removed";
    this.#options.log("error", `the registry has deleted this node: ${this.#why}`);
    this.wanted.clear();
    this.#options.onDeleted();
  }

  #lost(fault: RegistryFault): void {
    this.#isLost = true;
    this.#failed(fault, true);
    if (isRefusal(fault)) void this.#look().catch(() => undefined);
  }

  #failed(error: unknown, isNews: boolean): void {
    const why = error instanceof Error ? error.message : String(error);
    if (this.#state === "deleted" || this.#abort.signal.aborted) return;
    if (isNews && why !== this.#why) this.#options.log("error", `the registry: ${why}`);
    this.#why = why;
  }

  #heard(): void {
    this.#heardMs = Date.now();
  }
}

/** The registry knows no (approved) node of this key. */
function isRefusal(error: unknown): boolean {
  return error instanceof RegistryFault && ["forbidden", "missing"].includes(error.code);
}

/** A name that the registry takes and no other node of the farm has. */
export function nameOf(machine: string, keyId: string): string {
  const plain = machine.replace(/[^A-Za-z0-9._-]/g, "").replace(/^[^A-Za-z0-9]+/, "");
  return `${plain === "" ? "node" : plain.slice(0, 50)}-${keyId.slice(0, 8)}`;
}
