/**
 * The census of the machine's NICs: read at the start and after each change, published until it has arrived. Changes that come together
 * become one; a change that comes while a publication fails is in the next attempt: none is lost. Items 10, 11 and 19 of
 * docs/networkd.md.
 */
import { Bell, type Clock } from "../linux/clock.ts";
import { readNics } from "../linux/nics.ts";
import { backoffMs } from "../model/backoff.ts";
import { BRIDGE_MARKS, type Nic } from "../model/nic.ts";
import { isMatch, type NicMatch } from "./boot/candidates.ts";

export interface CensusOptions {
  readonly clock: Clock;
  readonly match: NicMatch;
  /** Takes it to the registry; rejects: it will be tried again, with what the census is then. */
  readonly publish: (nics: readonly Nic[]) => Promise<void>;
  /** What is published beside the NICs; a change of it is published, see {@link Census.tell}. */
  readonly beside?: (() => unknown) | undefined;
  /** Resolves when there is somebody to publish to: what goes out then is of that moment. */
  readonly whenReady?: (() => Promise<void>) | undefined;
  readonly onChange?: ((nics: readonly Nic[]) => void) | undefined;
  /** NICs that are away in a probe's namespace just now: they count as they were. */
  readonly away?: (() => ReadonlySet<string>) | undefined;
  readonly log: (text: string) => void;
  /** Reads the machine; tests bring their own. */
  readonly read?: (() => Promise<readonly Nic[]>) | undefined;
}

/** Ours: a burst of events is over. */
const SETTLE_MS = 250;
/** A read that takes long, on a machine with thousands of links, is done this much more seldom. Ours. */
const REST_FACTOR = 10;
/** Speeds change without an event. Ours. */
const REREAD_MS = 60_000;

export class Census {
  readonly #options: CensusOptions;
  readonly #events: Bell;
  readonly #news: Bell;
  readonly #abort = new AbortController();
  #current: readonly Nic[] | undefined;
  #published: string | undefined;
  #waiting: (() => void)[] = [];
  readonly #stopped: Promise<void> = new Promise((resolve) => {
    this.#abort.signal.addEventListener("abort", () => resolve(), { once: true });
  });
  #running: Promise<unknown> | undefined;

  constructor(options: CensusOptions) {
    this.#options = options;
    this.#events = new Bell(options.clock);
    this.#news = new Bell(options.clock);
  }

  start(): void {
    this.#running ??= Promise.all([this.#watch(), this.#publish()]);
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    this.#events.ring();
    this.#news.ring();
    await this.#running;
  }

  /** Something about links, addresses or routes has changed. */
  poke(): void {
    this.#events.ring();
  }

  /** What is published beside the NICs has changed. */
  tell(): void {
    this.#news.ring();
  }

  /** What was published may be lost: it is published again. */
  again(): void {
    this.#published = undefined;
    this.#news.ring();
  }

  /** As last read; empty before the first time. */
  get nics(): readonly Nic[] {
    return this.#current ?? [];
  }

  get isPublished(): boolean {
    return this.#published !== undefined && this.#published === this.#text();
  }

  /** Resolves once a census has arrived at the registry: the buses open then (item 12). */
  whenPublished(): Promise<void> {
    if (this.#published !== undefined) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #text(): string {
    return JSON.stringify([this.#current, this.#options.beside?.()]);
  }

  async #watch(): Promise<void> {
    const { clock, log } = this.#options;
    let failures = 0;
    while (!this.#abort.signal.aborted) {
      const started = clock.now();
      let pause = REREAD_MS;
      try {
        if (!(await this.#read())) pause = SETTLE_MS;
        failures = 0;
      } catch (error) {
        failures += 1;
        pause = backoffMs(failures, clock.random());
        log(`the census can't be taken: ${(error as Error).message}`);
      }
      await clock.wait((clock.now() - started) * REST_FACTOR, this.#abort.signal);
      if (await this.#events.wait(pause)) await clock.wait(SETTLE_MS, this.#abort.signal);
    }
  }

  /** False: a NIC that is not known yet is away, so that there is nothing to say of it. */
  async #read(): Promise<boolean> {
    const { match, away, onChange, read } = this.#options;
    const before = away?.() ?? new Set<string>();
    const links = await (read ?? readNics)();
    const absent = new Set([...before, ...(away?.() ?? [])]);
    const nics = links.filter(
      (nic) =>
        !absent.has(nic.name) &&
        ((isMatch(match, nic) && nic.mark === undefined) ||
          (nic.kind === "bridge" && nic.mark !== undefined && BRIDGE_MARKS.includes(nic.mark))),
    );
    for (const name of absent) {
      const known = this.#current?.find((nic) => nic.name === name);
      if (known === undefined) return false;
      nics.push(known);
    }
    nics.sort((a, b) => (a.name < b.name ? -1 : 1));
    if (JSON.stringify(nics) === JSON.stringify(this.#current)) return true;
    this.#current = nics;
    onChange?.(nics);
    this.#news.ring();
    return true;
  }

  async #publish(): Promise<void> {
    const { clock, publish, whenReady, log } = this.#options;
    let failures = 0;
    while (!this.#abort.signal.aborted) {
      await Promise.race([whenReady?.(), this.#stopped]);
      if (this.#abort.signal.aborted) return;
      const nics = this.#current;
      if (nics === undefined || this.isPublished) {
        await this.#news.wait(REREAD_MS);
        continue;
      }
      try {
        const text = this.#text();
        await publish(nics);
        failures = 0;
        this.#published = text;
        for (const resolve of this.#waiting.splice(0)) resolve();
      } catch (error) {
        failures += 1;
        if (failures === 1) log(`the census can't be published: ${(error as Error).message}`);
        await this.#news.wait(backoffMs(failures, clock.random()));
      }
    }
  }
}
