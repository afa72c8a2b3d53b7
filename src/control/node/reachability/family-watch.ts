/** Follows whether this node can be reached in one family: probes again and again, measures a mapping's lifetime where there is one. */
import { Bell, type Clock } from "../../linux/clock.ts";
import { type BackoffLimits, backoffMs } from "../../model/backoff.ts";
import { type FamilyReachability, keepaliveFor, UNKNOWN } from "../../model/reachability.ts";
import type { Bounds } from "./lifetime.ts";
import { measureLifetime } from "./measure.ts";
import { type Contact, type Probed, probe } from "./probe.ts";
import type { ResponderName } from "./responder-name.ts";

export interface FamilyWatchOptions {
  readonly clock: Clock;
  readonly family: 4 | 6;
  readonly responders: readonly ResponderName[];
  readonly portRange: readonly [number, number];
  /** Of WireGuard's sockets, when a probe begins. */
  readonly namespace: () => string | undefined;
  /** Its state is another. */
  readonly onChange: () => void;
  readonly log: (text: string) => void;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  /** As it was before a restart of the program: holds until it is measured again. */
  readonly before?: FamilyReachability | undefined;
  /** Tests bring their own. */
  readonly probe?: typeof probe | undefined;
  readonly measure?: typeof measureLifetime | undefined;
}

/** Ours: a firewall that was changed is noticed in that time; it costs a responder ten packets. */
const PERIOD_MS = 300_000;
/** Ours: as probes, but for nodes that nobody answers. */
const BACKOFF: BackoffLimits = { baseMs: 2_000, maxMs: PERIOD_MS };
/** Ours: a NAT of the same address hardly changes its mind; six minutes of a few sockets each time. */
const MEASURED_FOR_MS = 6 * 3_600_000;
const SENTENCE_MAX = 300;

export class FamilyWatch {
  readonly #options: FamilyWatchOptions;
  readonly #bell: Bell;
  readonly #abort = new AbortController();
  #attempt = new AbortController();
  #running: Promise<void> | undefined;
  #state: FamilyReachability = UNKNOWN;
  /** When and before which address a lifetime was measured. */
  #measured: { readonly atMs: number; readonly address: string | undefined } | undefined;
  /** The addresses are not those of the last verdict. */
  #isStale = true;
  #failures = 0;

  constructor(options: FamilyWatchOptions) {
    this.#options = options;
    this.#bell = new Bell(options.clock);
    const { before, clock } = options;
    if (before === undefined) return;
    this.#state = { ...before, why: "as measured before the restart" };
    this.#isStale = false;
    const { lifetimeMs, seen } = before;
    if (lifetimeMs === null || seen === null) return;
    this.#measured = { atMs: clock.now(), address: seen.slice(0, seen.lastIndexOf(":")) };
  }

  get state(): FamilyReachability {
    return this.#state;
  }

  start(): void {
    this.#running ??= this.#follow();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    this.#attempt.abort();
    this.#bell.ring();
    await this.#running;
  }

  /** What was measured may not hold any longer: begins anew. */
  restart(): void {
    this.#isStale = true;
    this.#measured = undefined;
    this.#failures = 0;
    this.#attempt.abort();
    this.#bell.ring();
  }

  async #follow(): Promise<void> {
    while (!this.#abort.signal.aborted) {
      this.#attempt = new AbortController();
      const { signal } = this.#attempt;
      const probed = await this.#probeSurely(signal);
      if (!signal.aborted) {
        this.#failures = probed.verdict === "unknown" ? this.#failures + 1 : 0;
        this.#learn(probed);
        await this.#measure(probed, signal);
      }
      await this.#bell.wait(signal.aborted ? 0 : this.#pause());
    }
  }

  /** With jitter, so that many nodes don't ask in step. */
  #pause(): number {
    const random = this.#options.clock.random();
    if (this.#failures > 0) return backoffMs(this.#failures, random, BACKOFF);
    return PERIOD_MS * (0.75 + random / 2);
  }

  /** A verdict that is not the one of before is asked for twice. */
  async #probeSurely(signal: AbortSignal): Promise<Probed> {
    const first = await this.#probe(signal);
    const { verdict } = this.#state;
    if (this.#isStale || [first.verdict, verdict].includes("unknown")) return first;
    return first.verdict === verdict ? first : await this.#probe(signal);
  }

  async #probe(signal: AbortSignal): Promise<Probed> {
    const { clock, family, responders, portRange, namespace } = this.#options;
    try {
      const place = { clock, family, namespace: namespace() };
      return await (this.#options.probe ?? probe)({ ...place, responders, portRange, signal });
    } catch (error) {
      const why = (error as Error).message;
      return { verdict: "unknown", why, seen: undefined, contacts: [] };
    }
  }

  #learn({ verdict, why, seen }: Probed): void {
    const { wallMs } = this.#options;
    const sentence = why.slice(0, SENTENCE_MAX);
    const before = this.#state;
    if (verdict === "unknown") {
      // Responders that are away change nothing, as long as we are where we were.
      if (this.#isStale) this.#set({ ...UNKNOWN, why: sentence });
      else this.#set({ ...before, why: `as measured before; now nobody answers: ${sentence}` });
      return;
    }
    this.#isStale = false;
    const isHidden = verdict === "hidden";
    if (!isHidden || this.#measured?.address !== addressOf(seen)) this.#measured = undefined;
    const isKnown = isHidden && this.#measured !== undefined;
    this.#set({
      verdict,
      why: sentence,
      seen: seen === undefined ? null : textOf(seen),
      address: isHidden || seen === undefined ? null : seen.address,
      lifetimeMs: isKnown ? before.lifetimeMs : null,
      lifetimeBelowMs: isKnown ? before.lifetimeBelowMs : null,
      keepaliveSeconds: isKnown ? before.keepaliveSeconds : keepaliveFor(null),
      checkedMs: wallMs(),
    });
  }

  async #measure({ verdict, contacts, seen }: Probed, signal: AbortSignal): Promise<void> {
    const { clock, family, namespace, log, measure } = this.#options;
    const now = clock.now();
    if (verdict !== "hidden") return;
    if (this.#measured !== undefined && now - this.#measured.atMs < MEASURED_FOR_MS) return;
    const place = { clock, family, namespace: namespace() };
    const bounds = await firstMeasured(contacts, (contact) =>
      (measure ?? measureLifetime)(place, contact, signal),
    );
    if (bounds === undefined || signal.aborted) {
      if (!signal.aborted) log(`IPv${family}: no responder helps to measure a mapping's lifetime`);
      return;
    }
    const { aliveMs, deadMs } = bounds;
    this.#measured = { atMs: now, address: addressOf(seen) };
    this.#set({
      ...this.#state,
      lifetimeMs: aliveMs,
      lifetimeBelowMs: deadMs ?? null,
      keepaliveSeconds: keepaliveFor(aliveMs),
    });
  }

  #set(state: FamilyReachability): void {
    const { family, log, onChange } = this.#options;
    const before = this.#state;
    this.#state = state;
    if (before.verdict !== state.verdict) log(`IPv${family}: ${state.verdict}: ${state.why}`);
    if (before.keepaliveSeconds !== state.keepaliveSeconds && state.lifetimeMs !== null) {
      const lifetime = state.lifetimeMs / 1000;
      const { keepaliveSeconds } = state;
      log(`IPv${family}: a silent mapping lives ${lifetime} s: keepalive ${keepaliveSeconds} s`);
    }
    onChange();
  }
}

async function firstMeasured(
  contacts: readonly Contact[],
  measure: (contact: Contact) => Promise<Bounds | undefined>,
): Promise<Bounds | undefined> {
  for (const contact of contacts) {
    const bounds = await measure(contact);
    if (bounds !== undefined) return bounds;
  }
  return undefined;
}

/** As {@link textOf} has it, without the port. */
function addressOf(seen: Probed["seen"]): string | undefined {
  if (seen === undefined) return undefined;
  return textOf(seen).slice(0, textOf(seen).lastIndexOf(":"));
}

function textOf({ address, port }: { readonly address: string; readonly port: number }): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
