/**
 * Who hears of what, in the order of revisions: what this process has committed itself is told at once; what others have is read once for all
 * streams, woken by the database and, should that fail, by a clock. Who was away gets what it missed first, then what is new: nothing is left
 * out, nothing comes twice.
 */
import type { Actor } from "./actor.ts";
import { CHANNEL, changeText, type LoggedChange, type Store } from "./store/store.ts";

/** Ours: the longest that a lost notification costs. */
const LOOK_MS = 5_000;
const ROWS_AT_ONCE = 1_000;
/** A body goes on as it is: it is not read here. */
const COLUMNS = "revision, kind, subject, node, owner, farm, body::text as body";

export interface Listener {
  /** Starts after what was missed; `isReset`: that is not known any more, look at everything. */
  hello(revision: number, isReset: boolean): void;
  /** `text`: the whole change as JSON. */
  change(kind: string, revision: number, text: string): void;
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
  waiting: LoggedChange[] | undefined;
}

export class Changes {
  readonly #store: Store;
  readonly #log: (level: "info" | "error", text: string) => void;
  readonly #subscriptions = new Set<Subscription>();
  /** Those of nodes, by the node: a change of one node asks no other. */
  readonly #ofNodes = new Map<string, Set<Subscription>>();
  readonly #ofUsers = new Set<Subscription>();
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
    this.#store.onChanges = (changes) => this.#take(changes);
    await this.#store.database.listen(CHANNEL, () => this.#wake());
    this.#timer = setInterval(() => this.#wake(), LOOK_MS);
    this.#timer.unref();
  }

  async stop(): Promise<void> {
    this.#store.onChanges = undefined;
    clearInterval(this.#timer);
    for (const { listener } of this.#subscriptions) listener.end();
    this.#subscriptions.clear();
    this.#ofNodes.clear();
    this.#ofUsers.clear();
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
    this.#add(subscription);
    const end = (): void => this.#remove(subscription);
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

  #add(subscription: Subscription): void {
    this.#subscriptions.add(subscription);
    const { kind, keyId } = subscription.actor;
    if (kind === "user") this.#ofUsers.add(subscription);
    if (kind !== "node") return;
    const others = this.#ofNodes.get(keyId);
    if (others === undefined) this.#ofNodes.set(keyId, new Set([subscription]));
    else others.add(subscription);
  }

  #remove(subscription: Subscription): void {
    this.#subscriptions.delete(subscription);
    this.#ofUsers.delete(subscription);
    const { keyId } = subscription.actor;
    const others = this.#ofNodes.get(keyId);
    others?.delete(subscription);
    if (others?.size === 0) this.#ofNodes.delete(keyId);
  }

  async #catchUp(subscription: Subscription, since: number, upTo: number): Promise<void> {
    const { actor, farms } = subscription;
    const [where, ...values] = whereOf(actor, farms);
    for (let from = since; from < upTo; ) {
      const rows = await this.#store.database.rows<LoggedChange>(
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
        const rows = await this.#store.database.rows<LoggedChange>(
          `select ${COLUMNS} from changes where revision > $1 order by revision limit ${ROWS_AT_ONCE}`,
          [this.#last],
        );
        for (const change of rows) this.#pass(change);
        if (rows.length === ROWS_AT_ONCE) this.#isAskedAgain = true;
      } catch (error) {
        this.#log("error", `changes can't be read for now: ${(error as Error).message}`);
      }
    }
  }

  /** Committed by this process. Where something before it is missing here, it waits for that and is read. */
  #take(changes: readonly LoggedChange[]): void {
    if (changes[0]?.revision !== this.#last + 1) return;
    try {
      for (const change of changes) this.#pass(change);
    } catch (error) {
      // It is written: that it was not told is no fault of who asked for it.
      this.#log("error", `a change can't be told: ${(error as Error).message}`);
    }
  }

  #pass(change: LoggedChange): void {
    // Read while it was told already.
    if (change.revision <= this.#last) return;
    this.#last = change.revision;
    const theirs = change.node === null ? undefined : this.#ofNodes.get(change.node);
    for (const subscription of theirs ?? []) this.#offer(subscription, change);
    for (const subscription of this.#ofUsers) this.#offer(subscription, change);
  }

  #offer(subscription: Subscription, change: LoggedChange): void {
    if (change.revision <= subscription.after || !isFor(subscription, change)) return;
    if (subscription.waiting === undefined) this.#tell(subscription, change);
    else subscription.waiting.push(change);
  }

  #tell(subscription: Subscription, change: LoggedChange): void {
    if (!this.#subscriptions.has(subscription)) return;
    const { actor, listener } = subscription;
    // What a node has to do is between it and the registry: others hear that it is something new.
    const { body: _body, ...rest } = change;
    const text = actor.kind === "node" ? changeText(change) : JSON.stringify(rest);
    listener.change(change.kind, change.revision, text);
    if (concernsRights(actor, change)) {
      this.#remove(subscription);
      listener.end();
    }
  }
}

function concernsRights(actor: Actor, { kind, node, owner }: LoggedChange): boolean {
  if (actor.kind === "node") return kind === "node" && node === actor.keyId;
  return actor.kind === "user" && (kind === "user" || kind === "farm") && owner === actor.id;
}

function isFor({ actor, farms }: Subscription, { node, owner, farm }: LoggedChange): boolean {
  if (actor.kind === "node") return node === actor.keyId;
  if (actor.kind !== "user") return false;
  return actor.role === "admin" || owner === actor.id || (farm !== null && farms.has(farm));
}

/** The same as SQL; values are $3 and on. */
function whereOf(actor: Actor, farms: ReadonlySet<number>): [string, ...unknown[]] {
  if (actor.kind === "node") return ["node = $3", actor.keyId];
  if (actor.kind !== "user") return ["false"];
  if (actor.role === "admin") return ["true"];
  return ["(owner = $3 or farm = any($4::bigint[]))", actor.id, [...farms]];
}
