/**
 * A lane's worker thread seen from the engine: starts it, sends requests, wakes it, hands out what it reports, stops it.
 */
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import type { Native } from "../io/native.ts";
import type {
  FromLane,
  LaneData,
  LaneReply,
  LaneRequest,
  SnapshotPart,
  ToLane,
} from "../lane/messages.ts";
import { movableRequest } from "../lane/secrets.ts";

export interface LaneThreadEvents {
  gone(key: number): void;
  log(key: number, level: "verbose" | "error", text: string): void;
  /** Initiations for the handshake pool; the answer goes back by {@link LaneThread.solved}. */
  initiations(key: number, bytes: Uint8Array<ArrayBuffer>, count: number): void;
  /** The thread dies, and this is what it knew of an interface. */
  lastWords(key: number, part: SnapshotPart): void;
  /** The thread ended without being told to. */
  died(reason: Error): void;
}

export class LaneThread {
  readonly lane: number;
  readonly #native: Native;
  readonly #worker: Worker;
  readonly #eventFd: number;
  readonly #pending = new Map<number, PromiseWithResolversLike<LaneReply>>();
  readonly #exited: Promise<void>;
  #nextId = 1;
  #isStopping = false;
  #hasEnded = false;
  #isReleased = false;

  constructor(native: Native, options: Omit<LaneData, "eventFd">, events: LaneThreadEvents) {
    this.#native = native;
    this.lane = options.lane;
    const eventFd = native.eventOpen();
    if (eventFd < 0) throw new Error(`eventfd cannot be opened: errno ${-eventFd}`);
    this.#eventFd = eventFd;
    const workerData: LaneData = { ...options, eventFd };
    // From dist/src/engine; the sources themselves are never run, Node 20 cannot.
    this.#worker = new Worker(new URL("../../workers/lane.js", import.meta.url), {
      workerData,
      // The lane keeps nothing: a small young generation keeps the thread's memory small.
      resourceLimits: { maxYoungGenerationSizeMb: 4 },
    });
    this.#worker.on("message", (message: FromLane) => this.#handle(message, events));
    this.#exited = new Promise((resolve) => {
      let reason = new Error("the lane has ended");
      this.#worker.once("error", (error) => {
        reason = error;
        this.#fail(error);
      });
      // After all of its messages.
      this.#worker.once("exit", () => {
        this.#hasEnded = true;
        this.#fail(reason);
        if (!this.#isStopping) events.died(reason);
        resolve();
      });
    });
  }

  /**
   * Asks the lane about interface `key`; rejects when the lane dies first. Keys in the request stay the caller's: copies of them
   * move to the lane, which wipes them.
   */
  request(key: number, request: LaneRequest): Promise<LaneReply> {
    if (this.#hasEnded) return Promise.reject(new Error("the lane has ended"));
    const id = this.#nextId++;
    const pending = withResolvers<LaneReply>();
    this.#pending.set(id, pending);
    const { message, moved } = movableRequest(request);
    this.#send({ kind: "request", id, key, request: message }, moved);
    return pending.promise;
  }

  /** Gives initiations back, solved; undefined: they are lost. Takes the memory over. */
  solved(key: number, bytes: Uint8Array<ArrayBuffer> | undefined, count: number): void {
    if (this.#hasEnded) bytes?.fill(0);
    else
      this.#send({ kind: "solved", key, bytes, count }, bytes === undefined ? [] : [bytes.buffer]);
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Makes the way between this lane and another. */
  connect(other: LaneThread): void {
    const { port1, port2 } = new MessageChannel();
    this.#meet(other, port1);
    other.#meet(this, port2);
  }

  #meet(other: LaneThread, port: MessagePort): void {
    const { lane } = other;
    this.#send({ kind: "sibling", lane, port, eventFd: other.#eventFd }, [port]);
  }

  /** Closes its event, when nobody can signal it any more. */
  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#native.fdClose(this.#eventFd);
  }

  /** Ends the thread; its interfaces are closed and their keys wiped. */
  async stop(): Promise<void> {
    if (!this.#isStopping) {
      this.#isStopping = true;
      if (!this.#hasEnded) this.#send({ kind: "stop" });
    }
    await this.#exited;
  }

  #send(message: ToLane, moved: readonly (ArrayBuffer | MessagePort)[] = []): void {
    this.#worker.postMessage(message, moved);
    this.#native.eventSignal(this.#eventFd);
  }

  #handle(message: FromLane, events: LaneThreadEvents): void {
    switch (message.kind) {
      case "reply":
        this.#pending.get(message.id)?.resolve(message.reply);
        this.#pending.delete(message.id);
        break;
      case "initiations":
        events.initiations(message.key, message.bytes, message.count);
        break;
      case "lastWords":
        events.lastWords(message.key, message.part);
        break;
      case "gone":
        events.gone(message.key);
        break;
      case "log":
        events.log(message.key, message.level, message.text);
        break;
    }
  }

  #fail(reason: Error): void {
    for (const pending of this.#pending.values()) pending.reject(reason);
    this.#pending.clear();
  }
}

interface PromiseWithResolversLike<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (reason: Error) => void;
}

/** Promise.withResolvers, which Node 20 lacks. */
function withResolvers<T>(): PromiseWithResolversLike<T> {
  let resolve!: (value: T) => void;
  let reject!: (reason: Error) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
