/**
 * A storm: hosts that know each other on a virtual network in virtual time, everything drawn from one seed. What goes wrong is in
 * weather.ts (datagrams), trouble.ts (hosts), mischief.ts (a peer that breaks the rules); what must hold all the while, and once it is
 * over, is in invariants.ts. This file lets time pass and carries everything from one to the other.
 */
import { isZero } from "../../src/bytes/equal.ts";
import {
  REKEY_ATTEMPT_TIME,
  TYPE_COOKIE_REPLY,
  ZERO_KEYS_AFTER_TIME,
} from "../../src/wire/constants.ts";
import { Dice } from "./dice.ts";
import { difference } from "./fingerprint.ts";
import { forgery } from "./forgery.ts";
import { Host, type HostTools } from "./host.ts";
import { type Invariant, must } from "./invariants.ts";
import { nextAct, type Stage } from "./mischief.ts";
import { Nat, type NatKind } from "./nat.ts";
import { arrival, Network } from "./network.ts";
import type { Datagram } from "./node.ts";
import { type Act, Rogue } from "./rogue.ts";
import { makeTrouble, type Scene } from "./trouble.ts";
import { fingerprint, isWiped, keypairsOf, Watch } from "./watch.ts";
import { CALM, drawWeather } from "./weather.ts";

const STORM_MS = 30_000;
const STEP_MS = 500;
/** Virtual: how often a pair tries to speak after the storm. */
const RETRY_MS = 1_000;
const BURST = 150;
const RECEIVE_MAX = 16;
const ROGUE = 99;
const STRANGER = "203.0.113.9:9";
/** Lengths of inner packets; the last is the MTU of the tunnels. */
const LENGTHS = [60, 84, 84, 84, 576, 1_280, 1_420];
const MTU = 1_420;
const ETHERNET_MTU = 1_500;
const NO_KEY = new Uint8Array(32);
/** Things that happen at one moment; more, and time stands still. */
const ROUNDS_MAX = 10_000;

export interface StormTools extends HostTools {
  /** Every secret that was made since the storm began; undefined: they are not told. */
  readonly secrets?: Uint8Array[];
}

export class Storm implements Scene {
  readonly dice: Dice;
  readonly hosts: Host[] = [];
  readonly network: Network;
  now = 1_000_000;
  handshakes = 0;
  /** How often each kind of trouble and mischief was made, and cookies asked for. */
  readonly counts: Map<string, number> = new Map<string, number>();
  /** What happened, for who has to find out why. */
  readonly story: string[] = [];
  readonly watch: Watch = new Watch();
  readonly #tools: StormTools;
  readonly #rogue: Rogue | undefined;
  readonly #agreed = new Map<string, Uint8Array>();
  readonly #isDetailed: boolean;

  /** `isDetailed`: the story has every datagram in it. */
  constructor(seed: number, tools: StormTools, isDetailed = false) {
    this.#tools = tools;
    this.#isDetailed = isDetailed;
    if (tools.secrets !== undefined) tools.secrets.length = 0;
    const dice = new Dice(seed);
    this.dice = dice;
    this.network = new Network(dice, drawWeather(dice));
    this.#tell(`weather: ${JSON.stringify(this.network.weather)}`);
    if (dice.chance(0.3)) {
      this.#rogue = this.#unwatched(() => new Rogue(ROGUE, `10.0.0.${ROGUE}`, dice, tools));
    }
    const count = dice.chance(0.003) ? 10 : dice.pick([2, 2, 3, 3, 4]);
    for (let index = 0; index < count; index++) this.#addHost(index);
    for (const host of this.hosts) this.introduce(host);
  }

  /** The storm, and the calm after it. Throws {@link Broken}. */
  run(): void {
    const end = this.now + STORM_MS;
    while (this.now < end) {
      this.pass(STEP_MS * this.dice.next());
      this.#talk();
      if (this.dice.chance(this.network.weather.trouble)) this.#trouble();
      if (this.dice.chance(this.network.weather.mischief)) this.#mischief();
      this.watch.check(this.hosts);
    }
    this.#calm();
    this.#converse(LENGTHS[1]!, "again");
    for (const { link } of this.hosts) link.mtu = ETHERNET_MTU;
    this.#converse(MTU, "large");
    this.#fallSilent();
    this.#close();
  }

  count = (name: string): void => {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
  };

  introduce = (host: Host): void => {
    for (const { index } of [...this.hosts, ...(this.#rogue === undefined ? [] : [this.#rogue])]) {
      if (index !== host.index) this.acquaint(host, index);
    }
  };

  acquaint = (host: Host, index: number): void => {
    if (index === ROGUE) {
      const { identity, inner } = this.#rogue!;
      const endpoint = this.dice.chance(0.5) ? STRANGER : undefined;
      host.addPeer({ index, inner, publicKey: identity.publicKey, presharedKey: NO_KEY, endpoint });
      return;
    }
    const { publicKey, inner, link } = this.hosts[index]!;
    // One of a pair always knows the other, or they could never meet.
    const isTold = link.nat === undefined && (host.index < index || this.dice.chance(0.5));
    const presharedKey = this.#agreed.get(pairOf(host.index, index)) ?? NO_KEY;
    host.addPeer({
      index,
      inner,
      publicKey,
      presharedKey,
      endpoint: isTold ? link.address : undefined,
    });
  };

  agree = (a: Host, b: Host): Uint8Array => {
    const key = this.dice.chance(0.2) ? NO_KEY : this.dice.bytes(32);
    this.#agreed.set(pairOf(a.index, b.index), key);
    return key;
  };

  /** Time goes on, from one thing that happens to the next. */
  pass = (ms: number): void => {
    const end = this.now + Math.ceil(ms);
    let rounds = 0;
    while (this.now < end) {
      let next = Math.min(end, this.network.nextMs);
      for (const host of this.hosts) next = Math.min(next, host.nextMs());
      if (next > this.now) rounds = 0;
      else if (++rounds > ROUNDS_MAX) throw new Error("time stands still");
      this.now = Math.max(next, this.now);
      for (const host of this.hosts) host.setTime(this.now);
      for (const host of this.hosts) {
        if (host.nextMs() > this.now) continue;
        host.work(this.now);
        this.#carry(host);
      }
      let datagram = this.network.land(this.now);
      for (; datagram !== undefined; datagram = this.network.land(this.now)) this.#land(datagram);
      for (const { host, act } of this.#rogue?.takeAnswers() ?? []) this.#perform(host, act);
    }
  };

  #addHost(index: number): void {
    const { dice } = this;
    // One can be reached by all.
    const isBehind = index > 0 && dice.chance(0.2);
    const kind = dice.pick<NatKind>(["open", "restricted", "symmetric"]);
    const nat = isBehind
      ? new Nat(`198.51.100.${index + 1}`, kind, dice.pick([5_000, 30_000, 120_000]), 20_000)
      : undefined;
    const link = {
      address: isBehind ? `192.168.${index}.2:1000` : `192.0.2.${index + 1}:1000`,
      mtu: dice.pick([1_280, 1_400, ETHERNET_MTU, ETHERNET_MTU]),
      nat,
    };
    const lanes = dice.pick([1, 1, 1, 2, 3]);
    const options = {
      index,
      inner: `10.0.0.${index + 1}`,
      link,
      secret: dice.bytes(32),
      lanes,
      seed: dice.below(2 ** 31),
      aheadMs: dice.below(10 * STORM_MS),
    };
    const cipher = this.watch.cipherFor(this.#tools.cipher, () => this.hosts[index]!);
    this.hosts.push(new Host(options, { ...this.#tools, cipher }, this.now));
    this.#tell(`host ${index}: ${lanes} lanes, ${JSON.stringify(link)}`);
  }

  /** Carries on what a host has to say. */
  #carry(host: Host): void {
    for (;;) {
      for (const packet of host.takeDelivered()) this.watch.arrives(host, packet);
      for (const datagram of host.takeOutgoing()) this.#launch(host, datagram);
      if (host.node.notes.length === 0 || host.notesUntilMs > 0) return;
      if (this.dice.chance(this.network.weather.lateNotes)) {
        host.notesUntilMs = this.now + 1 + this.dice.below(50);
        return;
      }
      host.node.settle();
    }
  }

  #launch(host: Host, sent: Datagram): void {
    const { network, dice } = this;
    this.watch.leaves(sent);
    if (sent.bytes[0] === TYPE_COOKIE_REPLY) this.count("cookieReply");
    this.#detail(() => `${host.index} sends ${described(sent)}`);
    if (sent.to === STRANGER && this.#rogue !== undefined) {
      const rogue = this.#rogue;
      this.#unwatched(() => rogue.hear(host, sent, this.now));
      return;
    }
    network.launch(sent, host.link, this.now);
    if (dice.chance(network.weather.replayed)) network.repeat(this.now);
    if (dice.chance(network.weather.forged)) this.#forge();
  }

  #land(datagram: Datagram): void {
    for (const host of this.hosts) {
      const arrived = arrival(datagram, host.link, this.now);
      if (arrived === undefined) continue;
      this.#detail(() => `${host.index} gets ${described(arrived)}`);
      host.receive(arrived);
      this.#carry(host);
      return;
    }
  }

  /** Somebody speaks to somebody, and may lie about who it is. */
  #talk(): void {
    const { dice } = this;
    if (!dice.chance(0.6)) return;
    const host = dice.pick(this.hosts);
    if (host.isAsleep || host.owners.size === 0) return;
    const destination = dice.pick([...host.owners.keys()]);
    const source = dice.chance(0.1) ? dice.pick(this.hosts).inner : host.inner;
    // Now and then more than may wait.
    const isBurst = dice.chance(0.01);
    const packets = Array.from({ length: isBurst ? BURST : 1 + dice.below(3) }, () => {
      const length = isBurst ? LENGTHS[0]! : dice.pick(LENGTHS);
      return this.watch.packet(
        host.index,
        source,
        destination,
        length,
        host.owners.get(destination),
      );
    });
    this.#detail(
      () =>
        `${host.index} speaks to ${destination} as ${source}: ${packets.map(({ mark }) => mark)}`,
    );
    host.send(
      dice.below(3),
      packets.map(({ bytes }) => bytes),
    );
    this.#carry(host);
  }

  /** A forged datagram: whatever it is, it changes nothing that only an authentic one may. */
  #forge(): void {
    const target = this.dice.pick(this.hosts);
    const bytes = forgery(this.dice, this.#tools.suite, this.network.seen, target.publicKey);
    if (bytes === undefined) return;
    this.#perform(target, { what: "is forged", messages: [bytes], effect: "nothing" });
  }

  #trouble(): void {
    const host = this.dice.pick(this.hosts);
    if (host.isAsleep) return;
    const what = makeTrouble(this, host);
    if (what !== undefined) this.#tell(`host ${host.index} ${what}`);
    for (const each of this.hosts) {
      each.setTime(this.now);
      if (!each.isAsleep) each.work(this.now);
      this.#carry(each);
    }
  }

  #mischief(): void {
    const rogue = this.#rogue;
    const host = this.dice.pick(this.hosts);
    if (rogue === undefined || host.isAsleep || !host.peers.has(ROGUE)) return;
    const stage: Stage = {
      now: this.now,
      count: this.count,
      seen: this.network.seen,
      packet: (to, source, length) =>
        this.watch.packet(ROGUE, source ?? rogue.inner, to.inner, length, to.index).bytes,
    };
    const act = this.#unwatched(() => nextAct(rogue, host, stage));
    if (act !== undefined) this.#perform(host, act);
  }

  /** Messages come to a host, which may make of them what is said. */
  #perform(host: Host, { what, messages, effect }: Act): void {
    if (host.isAsleep) return;
    this.#detail(() => `to ${host.index}: ${what} (${effect})`);
    const without = effect === "nothing" ? undefined : this.#rogue?.identity.publicKey;
    // What is due now is not of their making.
    for (const lane of host.lanes) lane.settle();
    const before = fingerprint(host, without);
    const datagrams = messages.map((bytes) => ({
      bytes,
      from: STRANGER,
      to: host.link.address,
      tos: 0,
    }));
    for (let at = 0; at < datagrams.length; at += RECEIVE_MAX) {
      const some = datagrams.slice(at, at + RECEIVE_MAX);
      if (datagrams.length <= RECEIVE_MAX) for (const datagram of some) host.receive(datagram);
      else host.flood(some);
      this.watch.checkTables(host);
    }
    for (const lane of host.lanes) lane.settle();
    const after = fingerprint(host, without);
    const invariant = effect === "nothing" ? "unauthentic" : "own";
    must(
      after === before,
      invariant,
      () => `host ${host.index}: ${what}: ${difference(before, after)}`,
    );
    if (effect === "once") {
      const answers = host.lanes.flatMap(({ outgoing }) =>
        outgoing.filter(({ bytes }) => bytes[0] === 2),
      );
      must(answers.length <= 1, "flood", () => `host ${host.index} answers ${answers.length}`);
    }
    this.#carry(host);
  }

  /** The storm is over: what flies is lost, all settings are right, and everybody is told where the others are. */
  #calm(): void {
    this.#tell("calm");
    const { hosts, network, dice } = this;
    network.weather = { ...CALM };
    network.clear();
    // One may still be behind: the others can begin. But not behind a NAT, which only it can open.
    const reachable = hosts.filter(({ link }) => link.nat === undefined);
    const behind = dice.chance(0.5) ? dice.pick(reachable) : undefined;
    for (const host of hosts) {
      host.asleepUntilMs &&= Math.min(host.asleepUntilMs, this.now);
      if (host !== behind) host.skewMs = host.skewMaxMs;
      host.setTime(this.now);
      host.work(this.now);
      this.#carry(host);
    }
    network.clear();
    const isThrownOut = dice.chance(0.8);
    for (const host of hosts) {
      if (isThrownOut) host.removePeer(ROGUE);
      for (const other of hosts) {
        if (other === host) continue;
        const known = host.peers.get(other.index);
        if (known === undefined || Buffer.compare(known, other.publicKey) !== 0) {
          host.removePeer(other.index);
          this.acquaint(host, other.index);
        }
        host.setPresharedKey(
          other.index,
          this.#agreed.get(pairOf(host.index, other.index)) ?? NO_KEY,
        );
        host.moveAddress(other.inner, other.index);
        if (other.link.nat === undefined) host.setEndpoint(other.index, other.link.address);
      }
      host.node.settle();
      this.#carry(host);
    }
  }

  /** Every pair speaks, both ways, within REKEY_ATTEMPT_TIME; but two behind NATs, who have nobody to introduce them. */
  #converse(length: number, invariant: Invariant): void {
    const end = this.now + REKEY_ATTEMPT_TIME;
    let silent = this.hosts.flatMap((from) =>
      this.hosts
        .filter((to) => to !== from && (from.link.nat === undefined || to.link.nat === undefined))
        .map((to) => ({ from, to, marks: [] as number[] })),
    );
    while (silent.length > 0) {
      const [first] = silent;
      must(
        this.now < end,
        invariant,
        () => `${first!.from.index} does not speak to ${first!.to.index}`,
      );
      for (const { from, to, marks } of silent) {
        const { bytes, mark } = this.watch.packet(
          from.index,
          from.inner,
          to.inner,
          length,
          to.index,
        );
        marks.push(mark);
        from.send(this.dice.below(3), [bytes]);
        this.#carry(from);
      }
      this.pass(RETRY_MS);
      this.watch.check(this.hosts);
      silent = silent.filter(({ marks }) => !marks.some((mark) => this.watch.hasArrived(mark)));
    }
  }

  /** Nobody says anything any more: keys are wiped in time. */
  #fallSilent(): void {
    for (const host of this.hosts) {
      for (const index of host.peers.keys()) host.setKeepalive(index, 0);
      host.node.settle();
      this.#carry(host);
      for (const { tunnel } of host.lanes) {
        for (const { handshakes } of tunnel.state.allPeers()) this.handshakes += handshakes;
      }
    }
    const held = this.hosts.flatMap(keypairsOf);
    must(held.length > 0, "silent", () => "there were no sessions");
    // The last keepalives and handshakes run out first.
    this.pass(2 * ZERO_KEYS_AFTER_TIME);
    for (const keypair of held) must(isWiped(keypair), "silent", () => "a session has its keys");
    for (const host of this.hosts) {
      const { index, lanes } = host;
      const { length } = keypairsOf(host);
      must(length === 0, "silent", () => `host ${index} has ${length} sessions`);
      for (const { tunnel } of lanes) {
        must(
          tunnel.state.handshakes.count === 0,
          "silent",
          () => `host ${index} is in a handshake`,
        );
      }
      must(host.nextMs() === Number.POSITIVE_INFINITY, "silent", () => `host ${index} waits`);
    }
    this.watch.checkSecrets(this.#tools.secrets ?? [], this.hosts);
  }

  #close(): void {
    for (const host of this.hosts) host.close();
    for (const secret of this.#tools.secrets ?? []) {
      must(isZero(secret), "closed", () => `one of ${secret.length} bytes is left`);
    }
  }

  /** Does the rogue's work, whose secrets are its own. */
  #unwatched<Result>(work: () => Result): Result {
    const { secrets } = this.#tools;
    const count = secrets?.length ?? 0;
    const result = work();
    if (secrets !== undefined) secrets.length = count;
    return result;
  }

  #tell(text: string): void {
    this.story.push(`${this.now}: ${text}`);
  }

  #detail(text: () => string): void {
    if (this.#isDetailed) this.#tell(text());
  }
}

function pairOf(a: number, b: number): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}

function described({ bytes, from, to }: Datagram): string {
  const type = ["?", "initiation", "response", "cookie reply", "transport"][bytes[0] ?? 0] ?? "?";
  const index = Buffer.from(bytes.subarray(4, 16)).toString("hex");
  return `${type} ${index} of ${bytes.length} bytes, ${from} to ${to}`;
}
