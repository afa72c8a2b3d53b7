/**
 * Probes the peers of the registry's networks: an ICMP echo through the tunnel, from the network's namespace to the peer's tunnel address.
 * By ICMP and not between agents, since the other side's kernel answers by itself: a peer may be a kernel's WireGuard, a client with
 * wg-quick, or a node whose agent has other things to do. One socket a network and family, no process; the cost is bounded by
 * {@link PER_TICK_MAX}, whatever the number of peers: a probe of 16 bytes to each of 200 peers every 10 s is 20 packets a second.
 */
import { randomBytes } from "node:crypto";
import { formatHex } from "../../../bytes/hex.ts";
import type { Clock } from "../../linux/clock.ts";
import { type Cidr, formatCidr } from "../../model/cidr.ts";
import { decodeEcho, encodeEcho, NONCE_BYTES } from "./echo.ts";
import { ProbeRecord } from "./probe-record.ts";
import { type ProbeTarget, probeTarget } from "./probe-targets.ts";
import type { GridNetwork } from "./source.ts";

/** Where echoes go out. */
export interface EchoSocket {
  send(bytes: Uint8Array, address: string): void;
  close(): void;
}

export interface ProberOptions {
  readonly clock: Clock;
  /** The registry's networks, as they are now. */
  readonly networks: () => readonly GridNetwork[];
  /** Prefixes of the node's own interfaces. */
  readonly lans: () => readonly Cidr[];
  /** Opens a socket in a network's namespace; throws why not. */
  readonly open: (
    network: string,
    family: 4 | 6,
    onMessage: (bytes: Uint8Array) => void,
  ) => EchoSocket;
  /** A peer answers no more, or again. */
  readonly onTurn: () => void;
}

/** As the contract of `PUT nodes/:id/links` has it: relays in use and LAN peers, all others. */
const URGENT_MS = 2_000;
const CALM_MS = 10_000;
/** Ours: as long as until the next urgent probe. */
const ANSWER_MS = 2_000;
/** Ours: probes of many networks don't go out in step. */
const JITTER = 0.1;
const TICK_MS = 250;
/** Ours: 400 a second; with more peers than that carries, each is probed less often. */
export const PER_TICK_MAX = 100;

interface Aim {
  target: ProbeTarget;
  readonly record: ProbeRecord;
  nextMs: number;
  /** The probe under way: hex of its nonce, when it was sent. */
  waiting: { readonly nonce: string; readonly sentMs: number } | undefined;
}

interface Course {
  revision: number;
  readonly aims: Map<string, Aim>;
  readonly sockets: Map<4 | 6, EchoSocket>;
  /** By the nonce of a probe under way. */
  readonly waiting: Map<string, Aim>;
}

export class Prober {
  readonly #options: ProberOptions;
  readonly #courses = new Map<string, Course>();
  readonly #abort = new AbortController();
  #isStale = true;
  #lans = "";
  #sequence = 0;
  #running: Promise<void> | undefined;

  constructor(options: ProberOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
    for (const course of this.#courses.values()) closeSockets(course);
    this.#courses.clear();
  }

  /** Networks have changed. */
  poke(): void {
    this.#isStale = true;
  }

  /** What is known of a peer; undefined: it is not probed. */
  recordOf(network: string, publicKey: string): ProbeRecord | undefined {
    const aim = this.#courses.get(network)?.aims.get(publicKey);
    return aim?.target.address === undefined ? undefined : aim.record;
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    while (!this.#abort.signal.aborted) {
      this.tick();
      await clock.wait(TICK_MS, this.#abort.signal);
    }
  }

  /** One round: what was not answered in time is missed, what is due is sent. */
  tick(): void {
    const now = this.#options.clock.now();
    if (this.#isStale) this.#follow(now);
    let turns = 0;
    const due: [string, Course, Aim][] = [];
    for (const [id, course] of this.#courses) {
      for (const aim of course.aims.values()) {
        if (aim.waiting !== undefined && now - aim.waiting.sentMs >= ANSWER_MS) {
          if (settle(course, aim, (record) => record.missed())) turns += 1;
          if (aim.record.isDoubtful) aim.nextMs = Math.min(aim.nextMs, now);
        }
        if (aim.nextMs <= now && aim.target.address !== undefined) due.push([id, course, aim]);
      }
    }
    // The longest overdue first: where not all can be sent, none is left out for ever.
    due.sort(([, , a], [, , b]) => a.nextMs - b.nextMs);
    for (const [id, course, aim] of due.slice(0, PER_TICK_MAX)) this.#send(id, course, aim, now);
    if (turns > 0) this.#options.onTurn();
  }

  #follow(now: number): void {
    this.#isStale = false;
    const lans = this.#options.lans();
    const lansText = lans.map(formatCidr).join(" ");
    const isMoved = lansText !== this.#lans;
    this.#lans = lansText;
    const networks = this.#options.networks();
    const ids = new Set(networks.map(({ resource }) => resource.id));
    for (const [id, course] of this.#courses) {
      if (ids.has(id)) continue;
      closeSockets(course);
      this.#courses.delete(id);
    }
    for (const { resource } of networks) {
      const { id, revision, peers } = resource;
      const course = this.#courses.get(id) ?? {
        ...{ revision: -1, aims: new Map(), sockets: new Map(), waiting: new Map() },
      };
      this.#courses.set(id, course);
      if (course.revision === revision && !isMoved) continue;
      // Its namespace may be another one of the same name.
      if (course.revision !== revision) closeSockets(course);
      course.revision = revision;
      const keys = new Set(peers.map(({ publicKey }) => publicKey));
      for (const key of course.aims.keys()) if (!keys.has(key)) course.aims.delete(key);
      for (const peer of peers) this.#aim(course, probeTarget(peer, lans), now);
    }
  }

  #aim(course: Course, target: ProbeTarget, now: number): void {
    const known = course.aims.get(target.publicKey);
    if (known !== undefined && known.target.address === target.address) {
      if (target.isUrgent && !known.target.isUrgent) known.nextMs = now;
      known.target = target;
      return;
    }
    const { clock } = this.#options;
    const nextMs = now + clock.random() * URGENT_MS;
    course.aims.set(target.publicKey, {
      ...{ target, record: new ProbeRecord(), nextMs, waiting: undefined },
    });
  }

  #send(id: string, course: Course, aim: Aim, now: number): void {
    const { clock } = this.#options;
    const { address = "", isUrgent } = aim.target;
    const interval = isUrgent || aim.record.isDoubtful ? URGENT_MS : CALM_MS;
    aim.nextMs = now + interval * (1 - JITTER * clock.random());
    if (aim.waiting !== undefined) course.waiting.delete(aim.waiting.nonce);
    const nonce = new Uint8Array(randomBytes(NONCE_BYTES));
    const hex = formatHex(nonce);
    aim.waiting = { nonce: hex, sentMs: now };
    course.waiting.set(hex, aim);
    const family = address.includes(":") ? 6 : 4;
    this.#sequence = (this.#sequence + 1) & 0xffff;
    try {
      this.#socket(id, course, family).send(encodeEcho(family, this.#sequence, nonce), address);
    } catch {
      // The namespace is not there (yet): not answered, and the next probe tries again.
    }
  }

  #socket(id: string, course: Course, family: 4 | 6): EchoSocket {
    const known = course.sockets.get(family);
    if (known !== undefined) return known;
    const socket = this.#options.open(id, family, (bytes) => this.#take(course, family, bytes));
    course.sockets.set(family, socket);
    return socket;
  }

  #take(course: Course, family: 4 | 6, bytes: Uint8Array): void {
    const nonce = decodeEcho(family, bytes);
    const aim = nonce === undefined ? undefined : course.waiting.get(formatHex(nonce));
    if (aim?.waiting === undefined) return;
    const roundTripMs = Math.max(0, this.#options.clock.now() - aim.waiting.sentMs);
    if (settle(course, aim, (record) => record.answered(roundTripMs))) this.#options.onTurn();
  }
}

/** True: whether it is alive has turned, or is known now. */
function settle(course: Course, aim: Aim, with_: (record: ProbeRecord) => void): boolean {
  if (aim.waiting !== undefined) course.waiting.delete(aim.waiting.nonce);
  aim.waiting = undefined;
  const before = aim.record.isAlive;
  with_(aim.record);
  return aim.record.isAlive !== before;
}

function closeSockets(course: Course): void {
  for (const socket of course.sockets.values()) socket.close();
  course.sockets.clear();
  course.waiting.clear();
  for (const aim of course.aims.values()) aim.waiting = undefined;
}
