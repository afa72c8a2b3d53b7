/**
 * The bus of zos (zbus over Redis): the queue of networkd's calls, its status, its streams. Redis may go at any time: it is tried again
 * for ever, and nothing that was asked or answered is lost by it. Whom Redis lets write to its queues commands the node.
 */
import type { Clock } from "../linux/clock.ts";
import { backoffMs } from "../model/backoff.ts";
import type { BusStatus } from "../node/agent.ts";
import type { BusAddress } from "./address.ts";
import { answer, type BusDrop, MODULE, OBJECT, readRequest, refusal } from "./answer.ts";
import { callBus } from "./client.ts";
import { Consumer, type Reply } from "./consumer.ts";
import { type BusRequest, encodeReply } from "./message.ts";
import type { BusNode } from "./methods.ts";
import { encodeMsgpack } from "./msgpack.ts";
import { Session } from "./session.ts";
import { streamsOf } from "./streams.ts";

export interface BusOptions {
  readonly node: BusNode;
  readonly address: BusAddress;
  readonly clock: Clock;
  readonly log: (level: "info" | "error", text: string) => void;
}

/** Ours: calls of different networks go on side by side, those of one wait for each other. */
const SLOTS = 32;
const STATUS_SLOTS = 4;
/** As zos: its listeners have no other way to know than the next event. */
const STREAM_MS = 2_000;
const REPEAT_MS = 30_000;
/** zos's own limit on opening a key. */
const OPEN_MS = 30_000;
/** Ours: a network takes less to be built. */
const STOP_MS = 10_000;

interface Worker {
  readonly action: string;
  readonly since: Date;
}

export class Bus {
  readonly #options: BusOptions;
  readonly #abort = new AbortController();
  readonly #consumers: readonly Consumer[];
  readonly #workers = new Set<Worker>();
  readonly #drops = new Map<BusDrop, number>();
  readonly #started = new Date();
  #session: Session | undefined;
  #why = "not connected yet";
  #calls = 0;
  #errors = 0;
  #failures = 0;
  #running: Promise<void> | undefined;

  constructor(options: BusOptions) {
    this.#options = options;
    const onRefused = (): void => this.#drop("reply_refused", "ReplyTo is no list");
    const common = { giveUp: (message: Uint8Array) => this.#giveUp(message), onRefused };
    this.#consumers = [
      new Consumer({
        ...common,
        queue: `${MODULE}.${OBJECT}`,
        slots: SLOTS,
        handle: (message) => this.#call(message),
      }),
      new Consumer({
        ...common,
        queue: `${MODULE}.zbus@1.0`,
        slots: STATUS_SLOTS,
        handle: async (message) => this.#tellStatus(message),
      }),
    ];
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Takes no more calls, lets those that run end, and answers them. */
  async stop(): Promise<void> {
    if (this.#abort.signal.aborted) return;
    this.#abort.abort();
    await Promise.all(this.#consumers.map((consumer) => consumer.stop(STOP_MS)));
    this.#session?.end();
    await this.#running;
  }

  status(): BusStatus {
    return {
      address: this.#options.address.text,
      isConnected: this.#session?.isEnded === false,
      why: this.#why,
      calls: this.#calls,
      errors: this.#errors,
      busy: this.#consumers.reduce((sum, { busy }) => sum + busy, 0),
      drops: Object.fromEntries(this.#drops),
    };
  }

  async #run(): Promise<void> {
    const { address, clock, log } = this.#options;
    const { signal } = this.#abort;
    while (!signal.aborted) {
      try {
        const session = await Session.open(address, this.#consumers.length);
        this.#session = session;
        await this.#serve(session);
        throw new Error("the connection was lost");
      } catch (error) {
        const why = (error as Error).message;
        if (!signal.aborted && this.#why !== why) {
          log("error", `the bus at ${address.text} fails: ${why}; it is tried again for ever`);
        }
        this.#why = why;
      }
      if (signal.aborted) return;
      this.#failures += 1;
      await clock.wait(backoffMs(this.#failures, clock.random()), signal);
    }
  }

  /** Rejects when the session has ended. */
  async #serve(session: Session): Promise<void> {
    const { address, log } = this.#options;
    let isServed = false;
    const served = (): void => {
      if (isServed) return;
      isServed = true;
      this.#failures = 0;
    };
    log("info", `the bus is open at ${address.text}`);
    this.#why = "connected";
    const works = [
      ...this.#consumers.map((consumer, at) => consumer.serve(session, at, served)),
      this.#publish(session),
    ];
    try {
      await Promise.all(works);
    } finally {
      // While it stops, answers are still on their way.
      if (!this.#abort.signal.aborted) session.end();
      await Promise.allSettled(works);
    }
  }

  async #call(message: Uint8Array): Promise<Reply | undefined> {
    const { node } = this.#options;
    const context = {
      node,
      open: (sealed: Uint8Array) => this.#open(sealed, message),
    };
    const answered = await answer(message, context, (request) => this.#begin(request));
    return this.#replyOf(answered);
  }

  async #open(sealed: Uint8Array, message: Uint8Array): Promise<Uint8Array> {
    const request = readRequest(message);
    const wire = "inputs" in request ? request.wire : 1;
    const [opened] = await callBus(this.#options.address, {
      module: "identityd",
      object: ["manager", "0.0.1"],
      method: "Decrypt",
      args: [sealed],
      wire,
      results: 1,
      timeoutMs: OPEN_MS,
    });
    if (!(opened instanceof Uint8Array)) throw new Error("identityd's answer to Decrypt is no key");
    return opened;
  }

  #begin(request: BusRequest): () => void {
    const worker = { action: `[${request.object}].${request.method}()`, since: new Date() };
    this.#workers.add(worker);
    return () => this.#workers.delete(worker);
  }

  #replyOf(answered: Awaited<ReturnType<typeof answer>>): Reply | undefined {
    if ("drop" in answered) {
      this.#drop(answered.drop, answered.why);
      return undefined;
    }
    this.#calls += 1;
    if (answered.isError) this.#errors += 1;
    return { to: answered.to, bytes: answered.bytes };
  }

  #tellStatus(message: Uint8Array): Reply | undefined {
    const request = readRequest(message);
    if (!("inputs" in request)) return this.#replyOf(request);
    const busy = [...this.#workers].map(({ action, since }) => ({
      State: "busy",
      StartTime: since,
      Action: action,
    }));
    const free = new Array(Math.max(0, SLOTS - busy.length)).fill({
      State: "free",
      StartTime: this.#started,
      Action: "",
    });
    const [name = "", version = ""] = OBJECT.split("@");
    const status = { Objects: [{ Name: name, Version: version }], Workers: [...busy, ...free] };
    const bytes = encodeReply(request, { results: [status], hasError: false });
    return { to: request.replyTo, bytes };
  }

  #giveUp(message: Uint8Array): Reply | undefined {
    const request = readRequest(message);
    if (!("inputs" in request)) return this.#replyOf(request);
    const error = "the node has ended several times while it worked on this call";
    this.#options.log("error", `the bus: ${request.object}.${request.method}: ${error}`);
    return { to: request.replyTo, bytes: refusal(request, error) };
  }

  /** Said at 1, 2, 4, 8 ... of a kind: somebody may send them without end. */
  #drop(reason: BusDrop, why: string): void {
    const count = (this.#drops.get(reason) ?? 0) + 1;
    this.#drops.set(reason, count);
    if ((count & (count - 1)) !== 0) return;
    this.#options.log("error", `the bus dropped a message (${count} of this kind): ${why}`);
  }

  /** Each stream at once when it has changed, and again and again for those who come later. */
  async #publish(session: Session): Promise<void> {
    const { node, clock } = this.#options;
    const { signal } = this.#abort;
    const told = new Map<string, { readonly text: string; readonly at: number }>();
    while (!signal.aborted && !session.isEnded) {
      for (const [name, value] of Object.entries(streamsOf(node))) {
        const bytes = encodeMsgpack(value);
        const text = Buffer.from(bytes).toString("latin1");
        const last = told.get(name);
        if (last?.text === text && clock.now() - last.at < REPEAT_MS) continue;
        await session.publish(`${MODULE}.${OBJECT}.${name}`, bytes);
        told.set(name, { text, at: clock.now() });
      }
      await Promise.race([clock.wait(STREAM_MS, signal), session.ended]);
    }
  }
}
