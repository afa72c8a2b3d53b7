/**
 * The lanes of an engine as one: starts their threads and the ways between them, asks all that serve an interface and puts their
 * answers together, and when one dies, starts them anew with what was known.
 */
import { errnoName } from "../io/errno.ts";
import type { Native } from "../io/native.ts";
import type {
  LaneData,
  LaneReply,
  LaneRequest,
  SnapshotPart,
  StatusPart,
} from "../lane/messages.ts";
import { concealSnapshot } from "../lane/secrets.ts";
import type { LaneStatus } from "../lane/status.ts";
import type { SetOperation } from "../uapi/operation.ts";
import { type DeviceSnapshot, wipeSnapshot } from "../uapi/snapshot.ts";
import { LaneThread } from "./lane-thread.ts";
import { mergeSnapshots, mergeStatus } from "./merge.ts";

/** Ours: deaths of lanes after which they stay dead, and how long one counts: what kills them at once, kills them again. */
const DEATHS_MAX = 5;
const DEATH_COUNTS_MS = 60_000;

export interface LanesEvents {
  /** An interface has gone: deleted by somebody (undefined), or lost with its lane. */
  gone(key: number, reason: Error | undefined): void;
  log(key: number, level: "verbose" | "error", text: string): void;
  /** For the handshake pool; the answer goes to {@link Lanes.solved} with the same lane. */
  initiations(lane: number, key: number, bytes: Uint8Array<ArrayBuffer>, count: number): void;
}

export type LanesOptions = Omit<LaneData, "eventFd" | "lane" | "lanes">;

/** What is needed to serve an interface, again if need be. The descriptors are the owner's. */
interface Served {
  /** One queue: lane 0 serves it alone. Else one for each lane. */
  readonly tunFds: readonly number[];
  namespaceFd: number;
  /** Requests are carried out one after the other, else lanes would see them in different orders. */
  last: Promise<unknown>;
}

export class Lanes {
  readonly count: number;
  readonly #native: Native;
  readonly #options: LanesOptions;
  readonly #events: LanesEvents;
  readonly #served = new Map<number, Served>();
  /** What a dying lane said of its interfaces. */
  readonly #lastWords: {
    readonly lane: number;
    readonly key: number;
    readonly part: SnapshotPart;
  }[] = [];
  readonly #deaths: number[] = [];
  #threads: readonly LaneThread[];
  /** Settles when the lanes that there are can be asked. */
  #ready: Promise<void> = Promise.resolve();
  #isStopping = false;

  constructor(native: Native, count: number, options: LanesOptions, events: LanesEvents) {
    this.count = count;
    this.#native = native;
    this.#options = options;
    this.#events = events;
    this.#threads = this.#start();
  }

  /** Begins to serve an interface. Throws the reason if that can't be. */
  async add(key: number, tunFds: readonly number[], namespaceFd: number): Promise<void> {
    const served: Served = { tunFds, namespaceFd, last: Promise.resolve() };
    this.#served.set(key, served);
    try {
      await this.#turn(key, (threads) => this.#introduce(key, served, threads));
    } catch (error) {
      this.#served.delete(key);
      throw error;
    }
  }

  /** Applies operations on all lanes; wipes the keys in them. Returns 0 or the -errno of the one that was refused. */
  async set(
    key: number,
    operations: readonly SetOperation[],
    isComplete: boolean,
  ): Promise<number> {
    try {
      return await this.#turn(key, async ([leader, ...followers]) => {
        const reply = await ask(leader, key, { kind: "set", operations, isComplete });
        if (reply.kind !== "done") throw new Error(`unexpected answer of the lane: ${reply.kind}`);
        // The leader binds the port, so it may refuse what the others can't know of.
        const { status, applied = 0 } = reply;
        const accepted: LaneRequest = {
          kind: "set",
          operations: status < 0 ? operations.slice(0, applied) : operations,
          isComplete: isComplete && status === 0,
        };
        await Promise.all(followers.map((thread) => thread.request(key, accepted)));
        return status;
      });
    } finally {
      wipe(operations);
    }
  }

  /** Opens the sockets anew in another namespace; 0, or -errno of the leader, then nothing is changed. */
  async moveSockets(key: number, namespaceFd: number): Promise<number> {
    return await this.#turn(key, async ([leader, ...followers]) => {
      const request: LaneRequest = { kind: "moveSockets", namespaceFd };
      const reply = await ask(leader, key, request);
      if (reply.kind !== "done") throw new Error(`unexpected answer of the lane: ${reply.kind}`);
      if (reply.status < 0) return reply.status;
      await Promise.all(followers.map((thread) => thread.request(key, request)));
      const served = this.#served.get(key);
      if (served !== undefined) served.namespaceFd = namespaceFd;
      return 0;
    });
  }

  /** The caller wipes it. */
  async snapshot(key: number): Promise<DeviceSnapshot | undefined> {
    const parts = await this.#askAll(key, { kind: "get" });
    const merged = mergeSnapshots(parts.filter((part) => part.kind === "snapshot"));
    return merged === undefined ? undefined : concealSnapshot(merged);
  }

  async status(key: number): Promise<LaneStatus | undefined> {
    const parts = await this.#askAll(key, { kind: "status" });
    return mergeStatus(parts.filter((part): part is StatusPart => part.kind === "status"));
  }

  /** Keys wiped, sockets closed; the TUN descriptors may be closed now. */
  async remove(key: number): Promise<void> {
    await this.#askAll(key, { kind: "remove" });
    this.#served.delete(key);
  }

  solved(
    lane: number,
    key: number,
    bytes: Uint8Array<ArrayBuffer> | undefined,
    count: number,
  ): void {
    this.#threads[lane]?.solved(key, bytes, count);
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#ready;
    await this.#end();
    this.#served.clear();
  }

  #start(): readonly LaneThread[] {
    const { count } = this;
    const threads = Array.from({ length: count }, (_, lane): LaneThread => {
      const options = { ...this.#options, lane, lanes: count };
      return new LaneThread(this.#native, options, {
        gone: (key) => void this.#gone(key),
        log: (key, level, text) => this.#events.log(key, level, text),
        initiations: (key, bytes, used) => this.#events.initiations(lane, key, bytes, used),
        lastWords: (key, part) => this.#lastWords.push({ lane, key, part }),
        died: (reason) => this.#died(reason),
      });
    });
    for (const [index, one] of threads.entries()) {
      for (const other of threads.slice(index + 1)) one.connect(other);
    }
    return threads;
  }

  async #end(): Promise<void> {
    const threads = this.#threads;
    await Promise.all(threads.map((thread) => thread.stop()));
    // Not before all have ended: each may signal the others.
    for (const thread of threads) thread.release();
  }

  /** Followers first: the leader may send them sockets at once. */
  async #introduce(key: number, served: Served, threads: readonly LaneThread[]): Promise<void> {
    const { namespaceFd, tunFds } = served;
    const isSpread = tunFds.length > 1;
    for (const [lane, thread] of [...threads.entries()].reverse()) {
      const tunFd = tunFds[lane]!;
      const reply = await thread.request(key, { kind: "add", tunFd, namespaceFd, isSpread });
      if (reply.kind !== "failed") continue;
      await Promise.all(threads.map((other) => other.request(key, { kind: "remove" })));
      throw new Error(reply.reason);
    }
  }

  #askAll(key: number, request: LaneRequest): Promise<LaneReply[]> {
    return this.#turn(key, (threads) =>
      Promise.all(threads.map((thread) => thread.request(key, request))),
    );
  }

  /** Does `work` with the lanes of an interface when it is its turn. */
  #turn<Result>(
    key: number,
    work: (threads: readonly LaneThread[]) => Promise<Result>,
  ): Promise<Result> {
    const served = this.#served.get(key);
    if (served === undefined)
      return Promise.reject(new Error("the interface is not served any more"));
    const result = served.last.then(async () => {
      await this.#ready;
      return await work(this.#threads.slice(0, served.tunFds.length));
    });
    // Not the result itself: it may be a snapshot with all keys, and would stay until the next request.
    served.last = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  }

  #died(reason: Error): void {
    if (this.#isStopping) return;
    const now = Date.now();
    this.#deaths.push(now);
    while (this.#deaths[0]! < now - DEATH_COUNTS_MS) this.#deaths.shift();
    // The second of two that die together finds the first's revival under way, which ends it.
    this.#ready = this.#ready
      .then(() => this.#revive(reason))
      .catch((error: Error) => this.#loseAll(error));
  }

  async #revive(reason: Error): Promise<void> {
    if (this.#isStopping || this.#threads.every((thread) => !thread.hasEnded)) return;
    const snapshots = await this.#salvage();
    await this.#end();
    if (this.#deaths.length > DEATHS_MAX) {
      for (const snapshot of snapshots.values()) wipeSnapshot(snapshot);
      this.#loseAll(reason);
      return;
    }
    this.#threads = this.#start();
    for (const [key, served] of [...this.#served]) {
      const snapshot = snapshots.get(key);
      if (snapshot === undefined) {
        this.#lose(key, reason);
        continue;
      }
      this.#events.log(key, "error", `The lane died and was started again: ${reason.message}`);
      try {
        await this.#restore(key, served, snapshot);
      } catch (error) {
        // No lane may hold its descriptors when they are closed.
        const threads = this.#threads.slice(0, served.tunFds.length);
        await Promise.allSettled(threads.map((thread) => thread.request(key, { kind: "remove" })));
        this.#lose(key, error instanceof Error ? error : reason);
      } finally {
        wipeSnapshot(snapshot);
      }
    }
  }

  /** What is known of each interface, from the dead lane itself and from those that live. */
  async #salvage(): Promise<Map<number, DeviceSnapshot>> {
    const snapshots = new Map<number, DeviceSnapshot>();
    for (const [key, { tunFds }] of this.#served) {
      const parts: SnapshotPart[] = [];
      // In their order: the leader knows the port best.
      for (const thread of this.#threads.slice(0, tunFds.length)) {
        const part = await this.#lastKnown(thread, key);
        if (part !== undefined) parts.push(part);
      }
      const snapshot = mergeSnapshots(parts);
      if (snapshot !== undefined) snapshots.set(key, snapshot);
    }
    for (const { key, part } of this.#lastWords) {
      if (!this.#served.has(key)) wipeSnapshot(part.snapshot);
    }
    this.#lastWords.length = 0;
    return snapshots;
  }

  async #lastKnown(thread: LaneThread, key: number): Promise<SnapshotPart | undefined> {
    if (!thread.hasEnded) {
      // It may die in its turn.
      const reply = await thread.request(key, { kind: "get" }).catch(() => undefined);
      if (reply?.kind === "snapshot") return reply;
    }
    const isOurs = (words: { readonly lane: number; readonly key: number }): boolean =>
      words.lane === thread.lane && words.key === key;
    return this.#lastWords.find(isOurs)?.part;
  }

  async #restore(key: number, served: Served, snapshot: DeviceSnapshot): Promise<void> {
    const threads = this.#threads.slice(0, served.tunFds.length);
    await this.#introduce(key, served, threads);
    for (const thread of threads) {
      const reply = await thread.request(key, { kind: "restore", snapshot });
      if (reply.kind === "done" && reply.status < 0) {
        throw new Error(
          `the lane died, and its settings can't be restored: ${errnoName(reply.status)}`,
        );
      }
    }
  }

  /** One lane has noticed that an interface was deleted; the others let it go too before its descriptors are closed. */
  async #gone(key: number): Promise<void> {
    if ((this.#served.get(key)?.tunFds.length ?? 0) > 1) {
      // Where a lane has died meanwhile, the interface is found gone again after.
      await this.#askAll(key, { kind: "remove" }).catch(() => undefined);
    }
    this.#lose(key, undefined);
  }

  #loseAll(reason: Error): void {
    for (const key of [...this.#served.keys()]) this.#lose(key, reason);
  }

  #lose(key: number, reason: Error | undefined): void {
    if (this.#served.delete(key)) this.#events.gone(key, reason);
  }
}

function ask(
  thread: LaneThread | undefined,
  key: number,
  request: LaneRequest,
): Promise<LaneReply> {
  return thread?.request(key, request) ?? Promise.reject(new Error("there is no lane"));
}

function wipe(operations: readonly SetOperation[]): void {
  for (const operation of operations) {
    if (operation.op === "private_key" || operation.op === "preshared_key") operation.key.fill(0);
  }
}
