/**
 * Brings the machine to the Internet and keeps it there: finds the NIC that leads to the registry, makes it the uplink, asks the
 * registry again and again, tries other NICs when the uplink stays dead. Nothing here gives up: whatever fails is tried again with
 * backoff and jitter, and `status` says what is being waited for. Items 1 to 9 of docs/networkd.md.
 */
import { Bell, type Clock } from "../../linux/clock.ts";
import { ipBatch } from "../../linux/ip.ts";
import { readNics } from "../../linux/nics.ts";
import { setSysctls } from "../../linux/sysctl.ts";
import { backoffMs } from "../../model/backoff.ts";
import { findNic, type Nic } from "../../model/nic.ts";
import { AUTOMATIC } from "./addressing.ts";
import { ForeignLink } from "./bridge.ts";
import { type Candidates, type NicMatch, selectCandidates } from "./candidates.ts";
import { type Answer, ask, checkTarget, type Target } from "./connectivity.ts";
import { PROBE_TIMES, type Probed, type ProbeTimes, probe, recoverProbes } from "./probe.ts";
import { isBetter, type NicScore, type ProbeResult, scoreNics } from "./score.ts";
import { ANY_UPLINK, Uplink, type UplinkFacts, type UplinkSettings } from "./uplink.ts";

export type BootState =
  | "starting"
  | "waiting for a NIC"
  | "probing"
  | "attaching"
  | "checking"
  | "online"
  | "offline"
  | "blocked"
  | "stopped";

export interface BootTimes extends ProbeTimes {
  /** Between two questions to a registry that answers. */
  readonly checkMs: number;
  /** An uplink without any answer for so long is dead: other NICs are tried. */
  readonly deadMs: number;
  /** The longest delay between two attempts at anything. */
  readonly retryMaxMs: number;
}

export interface BootOptions {
  readonly registry: Target;
  /** Other hosts that show that the Internet is there. */
  readonly hosts: readonly Target[];
  /** The uplink bridge's name. */
  readonly bridge: string;
  readonly match: NicMatch;
  readonly hook: string;
  readonly clock: Clock;
  readonly times: BootTimes;
  /** Name servers for when the uplink's network names none. */
  readonly dns: readonly string[];
  readonly resolvConf?: string | undefined;
  readonly uplink?: UplinkSettings | undefined;
  readonly log: (text: string) => void;
  readonly onState?: ((status: BootStatus) => void) | undefined;
  /** The registry answers now; or doesn't any more. */
  readonly onInternet?: ((isUp: boolean) => void) | undefined;
}

export interface BootStatus {
  readonly state: BootState;
  /** In one sentence. */
  readonly why: string;
  readonly internet: boolean;
  readonly uplink?: UplinkFacts | undefined;
  /** The last choice, explained, the best first; those that were not probed last. */
  readonly nics: readonly NicScore[];
  /** The last answers of the registry and the hosts. */
  readonly answers: readonly Answer[];
}

/** New settings on their way, and who waits for them. */
interface Change {
  readonly settings: UplinkSettings;
  readonly done: (error?: Error) => void;
}

/** Events of the monitor come in bursts. Ours: half a second is soon enough for a cable. */
const SETTLE_MS = 500;
/** Looking takes at most a tenth of the time. Ours. */
const REST_FACTOR = 10;

/** Ours: a node that lost the registry notices within a minute, and waits a minute more before it looks for another way. */
export const BOOT_TIMES: BootTimes = {
  ...PROBE_TIMES,
  checkMs: 30_000,
  deadMs: 60_000,
  retryMaxMs: 30_000,
};

export class Boot {
  readonly #options: BootOptions;
  readonly #uplink: Uplink;
  readonly #bell: Bell;
  readonly #abort = new AbortController();
  #settings: UplinkSettings;
  #state: BootState = "starting";
  #why = "";
  #isUp = false;
  #facts: UplinkFacts | undefined;
  #scores: readonly NicScore[] = [];
  #answers: readonly Answer[] = [];
  #failures = 0;
  /** A probe's namespace may be there whose probe has ended: of an earlier run, or one that failed. */
  #hasStrays = true;
  #nextCheck = 0;
  #tendMs = 0;
  #isHeld = false;
  #deadSince: number | undefined;
  #others = { at: Number.NEGATIVE_INFINITY, failures: 0 };
  #change: Change | undefined;
  #running: Promise<void> | undefined;
  readonly #probing = new Set<string>();
  #online: (() => void)[] = [];

  constructor(options: BootOptions) {
    for (const target of [options.registry, ...options.hosts]) checkTarget(target);
    this.#options = options;
    this.#settings = options.uplink ?? ANY_UPLINK;
    this.#bell = new Bell(options.clock);
    this.#uplink = new Uplink({ ...options, onChange: () => this.#bell.ring() });
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Ends what runs. The bridge and its addresses stay: a restart goes on with them. */
  async stop(): Promise<void> {
    this.#abort.abort();
    this.#bell.ring();
    await this.#running;
    await this.#uplink.stop();
    this.#change?.done(new Error("the agent is stopping"));
    this.#enter("stopped", "told to stop");
  }

  status(): BootStatus {
    return {
      state: this.#state,
      why: this.#why,
      internet: this.#isUp,
      uplink: this.#facts,
      nics: this.#scores,
      answers: this.#answers,
    };
  }

  /** Something about links, addresses or routes has changed. */
  poke(): void {
    this.#bell.ring();
  }

  /** Resolves as soon as the registry answers (at once, if it does now): what needs the Internet starts then. */
  whenOnline(): Promise<void> {
    if (this.#isUp) return Promise.resolve();
    return new Promise((resolve) => this.#online.push(resolve));
  }

  /** Asks the registry now. */
  async isRegistryReached(): Promise<boolean> {
    const answer = await ask(this.#options.registry, this.#askOptions());
    return answer.families.length > 0;
  }

  /** Changes the uplink's settings live; rejects with the reason if the chosen NIC is no uplink, and then nothing has changed. */
  configure(settings: UplinkSettings): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#change?.done(new Error("another change came in between"));
      this.#change = {
        settings,
        done: (error) => {
          this.#change = undefined;
          if (error === undefined) resolve();
          else reject(error);
        },
      };
      this.#bell.ring();
    });
  }

  /** NICs that are away in a probe's namespace. */
  get probing(): ReadonlySet<string> {
    return this.#probing;
  }

  /** While held, the uplink stays as it is even if it is dead: a configuration on probation must fail by itself. */
  hold(isHeld: boolean): void {
    this.#isHeld = isHeld;
    this.#deadSince = undefined;
  }

  get #isStopping(): boolean {
    return this.#abort.signal.aborted;
  }

  async #run(): Promise<void> {
    let isAdopted = false;
    while (!this.#isStopping) {
      try {
        if (this.#hasStrays) {
          for (const name of await recoverProbes()) this.#options.log(`brought back from ${name}`);
          this.#hasStrays = false;
        }
        if (!isAdopted) {
          await this.#uplink.adopt(this.#settings);
          isAdopted = true;
          if (this.#uplink.nic !== undefined) {
            this.#enter("checking", `${this.#uplink.nic} is on ${this.#options.bridge} already`);
          }
        }
        await this.#turn();
      } catch (error) {
        const isForeign = error instanceof ForeignLink;
        this.#fail(isForeign ? "blocked" : "offline", (error as Error).message);
        await this.#pause();
      }
    }
  }

  async #turn(): Promise<void> {
    if (this.#change !== undefined) await this.#take(this.#change);
    else if (this.#uplink.nic === undefined) await this.#choose();
    else await this.#watch();
  }

  async #take(change: Change): Promise<void> {
    const before = this.#settings;
    try {
      await this.#adapt(change.settings);
      change.done();
    } catch (error) {
      this.#settings = before;
      // As it was, as far as it goes; the next turn puts right what is missing.
      await this.#uplink.change(before).catch((fault: Error) => this.#options.log(fault.message));
      change.done(error as Error);
    }
    this.#failures = 0;
  }

  /** Makes new settings true. */
  async #adapt(settings: UplinkSettings): Promise<void> {
    const { nic } = this.#uplink;
    this.#settings = settings;
    if (nic === undefined) return;
    const name = settings.chosen ?? settings.prefer ?? nic;
    const chosen = findNic(await readNics(), name)?.name;
    if (chosen === undefined) throw new Error(`${name}: there is no such NIC`);
    if (chosen === nic) {
      this.#enter("attaching", `new settings for ${nic}`);
      this.#nextCheck = 0;
      return await this.#uplink.change(settings);
    }
    const [probed] = await this.#probeAll([chosen]);
    const score = scoreNics(probed === undefined ? [] : [probed.result], chosen)[0];
    if (probed === undefined || score?.rank === undefined) {
      throw new Error(`${chosen} can't be the uplink: ${score?.why ?? "it can't be probed"}`);
    }
    this.#scores = [score];
    await this.#attach(probed);
  }

  /** Probes all candidates and makes the best one the uplink. */
  async #choose(): Promise<void> {
    const candidates = await this.#candidates();
    if (candidates.names.length === 0) {
      this.#scores = unprobed(candidates);
      const why = this.#scores.map(({ nic, why: reason }) => `${nic} ${reason}`).join("; ");
      this.#fail("waiting for a NIC", why === "" ? "there is none" : why);
      return await this.#pause();
    }
    this.#enter("probing", candidates.names.join(", "));
    const probes = await this.#probeAll(candidates.names);
    if (this.#isStopping) return;
    const scores = this.#score(probes, candidates);
    const best = probes.find(({ result }) => result.nic === scores[0]?.nic);
    if (best === undefined || scores[0]?.rank === undefined) {
      await this.#idle(candidates.names);
      const why = scores.map(({ nic, why: reason }) => `${nic}: ${reason}`).join("; ");
      this.#fail("waiting for a NIC", why);
      return await this.#pause();
    }
    await this.#attach(best);
    await this.#idle(candidates.names.filter((name) => name !== best.result.nic));
  }

  async #attach({ result, lease }: Probed): Promise<void> {
    const score = this.#scores.find(({ nic }) => nic === result.nic);
    this.#enter("attaching", `${result.nic}: ${score?.why ?? ""}`);
    await this.#uplink.attach(result.nic, this.#settings, lease);
    this.#deadSince = undefined;
    this.#failures = 0;
    this.#nextCheck = 0;
    this.#enter("checking", `${result.nic} is the uplink`);
  }

  /** One look at the uplink, then a pause. */
  async #watch(): Promise<void> {
    const { clock, times, registry, hosts } = this.#options;
    const nic = this.#uplink.nic ?? "";
    const before = JSON.stringify(this.#facts);
    const started = clock.now();
    this.#facts = await this.#uplink.tend();
    this.#tendMs = clock.now() - started;
    if (this.#facts === undefined) return this.#fail("offline", `the NIC ${nic} has gone`);
    // NICs that came after the choice.
    const { names } = this.#select(this.#uplink.nics);
    await this.#idle(
      names.filter((name) => !this.#uplink.nics.some((n) => n.name === name && n.up)),
    );
    const isSame = this.#isUp && JSON.stringify(this.#facts) === before;
    // Something has happened on the machine, as always; not to the uplink.
    if (isSame && started < this.#nextCheck) return await this.#sleep(this.#nextCheck - started);
    const options = this.#askOptions();
    this.#answers = this.#facts.carrier
      ? await Promise.all([registry, ...hosts].map(async (target) => await ask(target, options)))
      : [];
    if (this.#isStopping) return;
    const [first, ...rest] = this.#answers;
    if (first !== undefined && first.families.length > 0) {
      this.#succeed(
        `${registry.url} answers by ${first.families.map((f) => `IPv${f}`).join(", ")}`,
      );
      const pause = times.checkMs * (0.75 + clock.random() / 2);
      this.#nextCheck = clock.now() + pause;
      return await this.#sleep(pause);
    }
    const isAlive = rest.some(({ families }) => families.length > 0);
    this.#fail(this.#state === "checking" ? "checking" : "offline", this.#reason(isAlive));
    this.#deadSince = isAlive || this.#isHeld ? undefined : (this.#deadSince ?? clock.now());
    const isDead = this.#deadSince !== undefined && clock.now() - this.#deadSince >= times.deadMs;
    if (isDead && (await this.#tryOthers(this.#facts))) return;
    await this.#pause();
  }

  #reason(isAlive: boolean): string {
    const { carrier, nic, gateway4, gateway6, isServerAway } = this.#facts ?? {};
    if (carrier !== true) return `${nic} has no carrier`;
    if (gateway4 === undefined && gateway6 === undefined) {
      return `${nic} has no default gateway${isServerAway === true ? ", and no DHCP server answers" : ""}`;
    }
    const fault = this.#answers[0]?.fault ?? "no answer";
    return `${this.#options.registry.url}: ${fault}${isAlive ? "; the Internet is there" : ""}`;
  }

  /** Probes the NICs that are not in use; true: one of them is the uplink now. */
  async #tryOthers(facts: UplinkFacts): Promise<boolean> {
    const { clock, times } = this.#options;
    const limits = { baseMs: times.deadMs, maxMs: times.deadMs * 10 };
    const { at, failures } = this.#others;
    if (clock.now() - at < (failures === 0 ? 0 : backoffMs(failures, clock.random(), limits))) {
      return false;
    }
    const candidates = await this.#candidates();
    const names = candidates.names.filter((name) => name !== facts.nic);
    const probes = await this.#probeAll(names);
    this.#others = { at: clock.now(), failures: failures + 1 };
    if (this.#isStopping || this.#isHeld) {
      await this.#idle(names);
      return false;
    }
    const current: ProbeResult = { ...facts, registry: [], hosts: [], sources: [facts.addressing] };
    const scores = this.#score([...probes, { result: current }], candidates);
    const better = scores
      .map(({ nic }) => probes.find(({ result }) => result.nic === nic))
      .find((probed) => probed !== undefined && isBetter(probed.result, current));
    await this.#idle(names.filter((name) => name !== better?.result.nic));
    if (better === undefined) return false;
    this.#options.log(`${facts.nic} stays dead; ${better.result.nic} takes its place`);
    await this.#attach(better);
    this.#others = { at: Number.NEGATIVE_INFINITY, failures: 0 };
    return true;
  }

  async #candidates(): Promise<Candidates> {
    return this.#select(await readNics());
  }

  #select(nics: readonly Nic[]): Candidates {
    const { match, bridge } = this.#options;
    const { chosen, reserved } = this.#settings;
    return selectCandidates(nics, { match, bridge, chosen, reserved });
  }

  #score(probes: readonly Probed[], candidates: Candidates): readonly NicScore[] {
    const results = probes.map(({ result }) => result);
    this.#scores = [...scoreNics(results, candidates.chosen), ...unprobed(candidates)];
    return this.#scores;
  }

  /** All at once, each in its own namespace. */
  async #probeAll(names: readonly string[]): Promise<Probed[]> {
    const { chosen, addressing } = this.#settings;
    const nics = await readNics();
    const chosenName = chosen === undefined ? undefined : findNic(nics, chosen)?.name;
    return await Promise.all(
      names.map(async (nic): Promise<Probed> => {
        const settings = nic === chosenName ? addressing : AUTOMATIC;
        this.#probing.add(nic);
        try {
          return await probe({ ...this.#options, nic, settings, signal: this.#abort.signal });
        } catch (error) {
          const fault = (error as Error).message;
          this.#options.log(`${nic} can't be probed: ${fault}`);
          this.#hasStrays = true;
          const nothing = { addresses: [], registry: [], hosts: [], sources: [] };
          return { result: { nic, carrier: true, fault, ...nothing } };
        } finally {
          this.#probing.delete(nic);
        }
      }),
    );
  }

  /** NICs without a use are up, so that the census sees their carrier, and have no addresses. */
  async #idle(names: readonly string[]): Promise<void> {
    for (const name of names) {
      try {
        await setSysctls([[`net/ipv6/conf/${name}/disable_ipv6`, 1]]);
        await ipBatch([`link set dev ${name} up`]);
      } catch (error) {
        this.#options.log(`${name} can't be brought up: ${(error as Error).message}`);
      }
    }
  }

  #askOptions(): { dns: string[]; timeoutMs: number } {
    const { dns, times } = this.#options;
    return { dns: [...this.#uplink.dns, ...dns], timeoutMs: times.askMs };
  }

  #succeed(why: string): void {
    this.#failures = 0;
    this.#deadSince = undefined;
    this.#others = { at: Number.NEGATIVE_INFINITY, failures: 0 };
    this.#enter("online", why);
    this.#turnInternet(true);
    for (const resolve of this.#online.splice(0)) resolve();
  }

  #fail(state: BootState, why: string): void {
    this.#failures += 1;
    if (this.#uplink.nic === undefined) this.#facts = undefined;
    this.#enter(state, why);
    this.#turnInternet(false);
  }

  #turnInternet(isUp: boolean): void {
    if (this.#isUp === isUp) return;
    this.#isUp = isUp;
    this.#options.onInternet?.(isUp);
  }

  #enter(state: BootState, why: string): void {
    if (this.#state === state && this.#why === why) return;
    if (this.#state !== state) this.#options.log(`${state}: ${why}`);
    this.#state = state;
    this.#why = why;
    this.#options.onState?.(this.status());
  }

  async #pause(): Promise<void> {
    const { clock, times } = this.#options;
    const limits = { baseMs: 500, maxMs: times.retryMaxMs };
    await this.#sleep(backoffMs(this.#failures, clock.random(), limits));
  }

  /** Sleeps for `ms`, or until something happens; changes that come together are one. */
  async #sleep(ms: number): Promise<void> {
    if ((await this.#bell.wait(ms)) && !this.#isStopping && this.#change === undefined) {
      // On a machine with thousands of links, which takes long to look at, it is done more seldom.
      const rest = Math.max(SETTLE_MS, this.#tendMs * REST_FACTOR);
      await this.#options.clock.wait(rest, this.#abort.signal);
    }
  }
}

function unprobed({ excluded }: Candidates): NicScore[] {
  return [...excluded].map(([nic, why]) => ({ nic, why, criteria: [] }));
}
