/**
 * How this node stands to the outside: both families watched, begun anew when addresses change or WireGuard's sockets move; and, where it
 * may, answers for other nodes. All of it in the namespace of WireGuard's sockets.
 */
import { Bell, type Clock } from "../../linux/clock.ts";
import { listAddresses, listLinks, listRoutes } from "../../linux/ip.ts";
import { backoffMs } from "../../model/backoff.ts";
import { SHARED_MARK } from "../../model/names.ts";
import type { Reachability } from "../../model/reachability.ts";
import { FamilyWatch } from "./family-watch.ts";
import { ReachabilityResponder } from "./responder.ts";
import type { ResponderName } from "./responder-name.ts";

export interface OutsideOptions {
  readonly clock: Clock;
  /** Whom to ask; none: nothing is measured. */
  readonly responders: readonly ResponderName[];
  /** Port to answer others at, from it and the one after; undefined: none. */
  readonly respondPort: number | undefined;
  readonly portRange: readonly [number, number];
  /** As it was before a restart. */
  readonly before: Reachability | undefined;
  /** Of WireGuard's sockets at the start. */
  readonly namespace: string | undefined;
  readonly onChange: (state: Reachability) => void;
  readonly log: (level: "info" | "error", text: string) => void;
}

/** Ours: addresses that come together are looked at once. */
const SETTLE_MS = 1_000;
/** Changes in another namespace come without an event. Ours. */
const LOOK_MS = 60_000;

export class Outside {
  readonly #options: OutsideOptions;
  readonly #watches: readonly [FamilyWatch, FamilyWatch];
  readonly #bell: Bell;
  readonly #abort = new AbortController();
  #namespace: string | undefined;
  #responder: ReachabilityResponder | undefined;
  #served: string | undefined;
  #running: Promise<unknown> | undefined;
  readonly #moves: Bell;

  constructor(options: OutsideOptions) {
    const { clock, responders, portRange, log } = options;
    this.#options = options;
    this.#namespace = options.namespace;
    this.#bell = new Bell(clock);
    this.#moves = new Bell(clock);
    const watch = (family: 4 | 6): FamilyWatch =>
      new FamilyWatch({
        clock,
        family,
        responders,
        portRange,
        namespace: () => this.#namespace,
        onChange: () => this.#changed(),
        log: (text) => log("info", `reachability: ${text}`),
        wallMs: Date.now,
        before: family === 4 ? options.before?.ipv4 : options.before?.ipv6,
      });
    this.#watches = [watch(4), watch(6)];
  }

  /** Undefined: there is nobody to ask. */
  get state(): Reachability | undefined {
    if (this.#options.responders.length === 0) return undefined;
    const [ipv4, ipv6] = this.#watches;
    return { ipv4: ipv4.state, ipv6: ipv6.state };
  }

  start(): void {
    const { responders, respondPort } = this.#options;
    const work: Promise<unknown>[] = [];
    if (responders.length > 0) {
      for (const watch of this.#watches) watch.start();
      work.push(this.#look());
    }
    if (respondPort !== undefined) work.push(this.#respond(respondPort));
    this.#running ??= Promise.all(work);
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    this.#bell.ring();
    this.#moves.ring();
    await Promise.all(this.#watches.map((watch) => watch.stop()));
    await this.#running;
    this.#responder?.close();
  }

  /** Something about links, addresses or routes has changed. */
  poke(): void {
    this.#bell.ring();
    this.#moves.ring();
  }

  /** WireGuard's sockets are in another namespace from now on. */
  move(namespace: string | undefined): void {
    if (namespace === this.#namespace) return;
    this.#namespace = namespace;
    for (const watch of this.#watches) watch.restart();
    this.#moves.ring();
  }

  #changed(): void {
    const { state } = this;
    if (state !== undefined && !this.#abort.signal.aborted) this.#options.onChange(state);
  }

  /** Begins anew in a family whose addresses or default routes are not what they were. */
  async #look(): Promise<void> {
    const { clock, log } = this.#options;
    const before = new Map<string, string>();
    while (!this.#abort.signal.aborted) {
      const namespace = this.#namespace;
      try {
        const now = await footing(namespace);
        for (const [index, watch] of this.#watches.entries()) {
          const key = `${index} ${namespace ?? ""}`;
          const text = now[index]!;
          if (before.has(key) && before.get(key) !== text) watch.restart();
          before.set(key, text);
        }
      } catch (error) {
        log("error", `reachability: the addresses can't be read: ${(error as Error).message}`);
      }
      if (await this.#bell.wait(LOOK_MS)) await clock.wait(SETTLE_MS, this.#abort.signal);
    }
  }

  /** Answers in the namespace of the sockets, at the addresses that there are; tries for ever. */
  async #respond(port: number): Promise<void> {
    const { clock, log } = this.#options;
    let failures = 0;
    while (!this.#abort.signal.aborted) {
      const namespace = this.#namespace;
      if (this.#served !== namespace) {
        this.#responder?.close();
        this.#responder = undefined;
      }
      try {
        if (this.#responder !== undefined) await this.#responder.serve();
        else {
          this.#responder = await ReachabilityResponder.open({ port, namespace });
          this.#served = namespace;
          log("info", `reachability: answers at UDP port ${port}, and from ${port + 1}`);
        }
        failures = 0;
      } catch (error) {
        failures += 1;
        if (failures === 1) {
          const why = (error as Error).message;
          log("error", `reachability: can't answer others at ${port} and ${port + 1}: ${why}`);
        }
      }
      const pause = failures === 0 ? LOOK_MS : backoffMs(failures, clock.random());
      if (await this.#moves.wait(pause)) await clock.wait(SETTLE_MS, this.#abort.signal);
    }
  }
}

/** What each family stands on: global addresses, but for those of the way out that networks share, and default routes. */
async function footing(namespace: string | undefined): Promise<readonly [string, string]> {
  const [links, addresses, routes4, routes6] = await Promise.all([
    listLinks(namespace),
    listAddresses(namespace),
    listRoutes(4, namespace),
    listRoutes(6, namespace),
  ]);
  const own = new Set(
    links.filter(({ ifalias }) => ifalias === SHARED_MARK).map(({ ifname }) => ifname),
  );
  const of = (family: "inet" | "inet6", routes: typeof routes4): string => {
    const found = addresses
      .filter(({ ifname }) => !own.has(ifname))
      .flatMap(({ ifname, addr_info }) =>
        addr_info
          .filter((address) => address.family === family && address.scope === "global")
          .map(({ local, prefixlen }) => `${ifname} ${local}/${prefixlen}`),
      );
    const ways = routes
      .filter(({ dst }) => dst === "default")
      .map(({ gateway, dev }) => `${dev ?? ""} via ${gateway ?? ""}`);
    return [...found, ...ways].sort().join(";");
  };
  return [of("inet", routes4), of("inet6", routes6)];
}
