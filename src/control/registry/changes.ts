/**
 * Who hears of what: reads each change once for all streams of this process, in the order of revisions, woken by the database and, should
 * that fail, by a clock. Who was away gets what it missed first, then what is new: nothing is left out, nothing comes twice.
 */
import type { Actor } from "./actor.ts";
import { CHANNEL, type Change, type Store } from "./store/store.ts";

/** Ours: the longest that a lost notification costs. */
const LOOK_MS = 5_000;
const ROWS_AT_ONCE = 1_000;
const COLUMNS = "revision, kind, subject, node, owner, farm, body";

export interface Listener {
  /** Starts after what was missed; `isReset`: that is not known any more, look at everything. */
  hello(revision: number, isReset: boolean): void;
  change(change: Change): void;
  /** The listener's rights have changed: it has to come again. */
  end(): void;
}

interface Subscription {
  readonly actor: Actor;
  readonly listener: Listener;
  /** It has seen all up to here, maybe at a registry that was ahead of this one. */
  after: number;
  farms: ReadonlySet<number>;
  /** Undefined: it has caught up. */
  waiting: Change[] | undefined;
}

export class Changes {
  readonly #store: Store;
  readonly #log: (level: "info" | "error", text: string) => void;
  readonly #subscriptions = new Set<Subscription>();
  #last = 0;
  #timer: NodeJS.Timeout | undefined;
  #reading: Promise<void> | undefined;
  #isAskedAgain = false;

  constructor(store: Store, log: (level: "info" | "error", text: string) => void) {
    this.#store = store;
    this.#log = log;
  }

  async start(): Promise<void> {
    this.#last = (await this.#store.position()).revision;
    await this.#store.database.listen(CHANNEL, () => this.#wake());
    this.#timer = setInterval(() => this.#wake(), LOOK_MS);
    this.#timer.unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    for (const { listener } of this.#subscriptions) listener.end();
    this.#subscriptions.clear();
    await this.#reading;
  }

  /** Tells the listener all that the actor may see after `since` (undefined: from now on). Returns what ends it. */
  async subscribe(
    actor: Actor,
    since: number | undefined,
    listener: Listener,
  ): Promise<() => void> {
    const upTo = this.#last;
    const subscription: Subscription = {
      ...{ actor, listener, after: since ?? upTo, farms: new Set<number>(), waiting: [] },
    };
    this.#subscriptions.add(subscription);
    const end = (): void => {
      this.#subscriptions.delete(subscription);
    };
    try {
      if (actor.kind === "user") {
        const farms = await this.#store.database.rows<{ id: number }>(
          "select id from farms where owner = $1",
          [actor.id],
        );
        subscription.farms = new Set(farms.map(({ id }) => id));
      }
      const { pruned, revision } = await this.#store.position();
      const isReset = since !== undefined && (since < pruned || since > revision);
      if (isReset) subscription.after = upTo;
      listener.hello(isReset || since === undefined ? upTo : since, isReset);
      if (since !== undefined && !isReset) await this.#catchUp(subscription, since, upTo);
    } catch (error) {
      end();
      throw error;
    }
    const { waiting = [] } = subscription;
    subscription.waiting = undefined;
    for (const change of waiting) this.#tell(subscription, change);
    return end;
  }

  async #catchUp(subscription: Subscription, since: number, upTo: number): Promise<void> {
    const { actor, farms } = subscription;
    const [where, ...values] = whereOf(actor, farms);
    for (let from = since; from < upTo; ) {
      const rows = await this.#store.database.rows<Change>(
        `select ${COLUMNS} from changes where revision > $1 and revision <= $2 and ${where}
         order by revision limit ${ROWS_AT_ONCE}`,
        [from, upTo, ...values],
      );
      for (const change of rows) this.#tell(subscription, change);
      from = rows.length < ROWS_AT_ONCE ? upTo : (rows.at(-1)?.revision ?? upTo);
    }
  }

  #wake(): void {
    this.#isAskedAgain = true;
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
  }

  async #read(): Promise<void> {
    while (this.#isAskedAgain) {
      this.#isAskedAgain = false;
      try {
        const rows = await this.#store.database.rows<Change>(
          `select ${COLUMNS} from changes where revision > $1 order by revision limit ${ROWS_AT_ONCE}`,
          [this.#last],
        );
        for (const change of rows) {
          this.#last = change.revision;
          for (const subscription of this.#subscriptions) this.#offer(subscription, change);
        }
        if (rows.length === ROWS_AT_ONCE) this.#isAskedAgain = true;
      } catch (error) {
        this.#log("error", `changes can't be read for now: ${(error as Error).message}`);
      }
    }
  }

  #offer(subscription: Subscription, change: Change): void {
    if (change.revision <= subscription.after || !isFor(subscription, change)) return;
    if (subscription.waiting === undefined) this.#tell(subscription, change);
    else subscription.waiting.push(change);
  }

  #tell(subscription: Subscription, change: Change): void {
    if (!this.#subscriptions.has(subscription)) return;
    const { actor, listener } = subscription;
    // What a node has to do is between it and the registry: others hear that it is something new.
    const { body, ...rest } = change;
    listener.change(actor.kind === "node" ? { ...rest, body } : rest);
    if (concernsRights(actor, change)) {
      this.#subscriptions.delete(subscription);
      listener.end();
    }
  }
}

function concernsRights(actor: Actor, { kind, node, owner }: Change): boolean {
  if (actor.kind === "node") return kind === "node" && node === actor.keyId;
  return actor.kind === "user" && (kind === "user" || kind === "farm") && owner === actor.id;
}

function isFor({ actor, farms }: Subscription, { node, owner, farm }: Change): boolean {
  if (actor.kind === "node") return node === actor.keyId;
  if (actor.kind !== "user") return false;
  return actor.role === "admin" || owner === actor.id || (farm != null && farms.has(farm));
}

/** The same as SQL; values are $3 and on. */
function whereOf(actor: Actor, farms: ReadonlySet<number>): [string, ...unknown[]] {
  if (actor.kind === "node") return ["node = $3", actor.keyId];
  if (actor.kind !== "user") return ["false"];
  if (actor.role === "admin") return ["true"];
  return ["(owner = $3 or farm = any($4::bigint[]))", actor.id, [...farms]];
}
