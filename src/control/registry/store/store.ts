/**
 * Writes to the registry: each is one transaction with the name of who asked (for the audit log), and ends by numbering what has changed
 * for whom. Revisions are in the order of commits: who has seen n has seen all before n.
 */
import { RefusedError } from "../../model/problem.ts";
import { type Database, faultOf, type Queries } from "./database.ts";
import { Memory } from "./memory.ts";

/** The channel on which revisions are told to all registries of a database. */
export const CHANNEL = "wirehaul_changes";

/** Something that others want to know. Absent parts: of no one in particular; admins see all. */
export interface NewChange {
  readonly kind: string;
  readonly subject: string;
  readonly node?: string | undefined;
  readonly owner?: number | undefined;
  readonly farm?: number | undefined;
  /** Never changed afterwards. */
  readonly body?: object | undefined;
}

export interface Change extends NewChange {
  readonly revision: number;
}

/** A change as it is in the log. */
export interface LoggedChange {
  readonly revision: number;
  readonly kind: string;
  readonly subject: string;
  readonly node: string | null;
  readonly owner: number | null;
  readonly farm: number | null;
  /** JSON. */
  readonly body: string | null;
}

export interface Write extends Queries {
  /** Of this process; also what a transaction put there that was rolled back. */
  readonly memory: Memory;
  change(change: NewChange): void;
}

export interface Writer {
  /** Who asks: a key id, or "operator" for the command line. */
  readonly actor: string;
  /** What is asked for, such as "network.create". */
  readonly action: string;
}

/** What a broken constraint means to who asked. */
const CONFLICTS: Readonly<Record<string, string>> = {
  users_name: "there is a user of this name already",
  users_key: "there is a user with this key already",
  farms_name: "there is a farm of this name already",
  nodes_name: "the farm has a node of this name already",
  networks_pkey: "you have a network of this name already",
  networks_name: "you have a network of this name already",
  port_leases_once: "the port is leased already",
  port_leases_holder: "there is a lease of this node for this holder already",
  network_nodes_once: "the node is in the network already",
  network_nodes_subnet: "the subnet is another node's already",
  network_nodes_subnet6: "the IPv6 subnet is another node's already",
  network_nodes_key: "the public key is another node's in this network",
  old_farm_ips_pkey: "the address is a farm's already",
  network_keys_once: "the public key is another's in this network",
  network_clients_name: "the network has a client of this name already",
  network_clients_key: "the public key is another client's in this network",
  network_clients_access: "the node is a client's access",
};

/** "PostgreSQL Error Codes". */
const UNIQUE_VIOLATION = "23505";
const FOREIGN_KEY_VIOLATION = "23503";

function explain(error: unknown): unknown {
  const fault = faultOf(error);
  if (fault === undefined) return error;
  if (fault.code === UNIQUE_VIOLATION) {
    return new RefusedError("conflict", CONFLICTS[fault.constraint ?? ""] ?? "it is there already");
  }
  if (fault.code === FOREIGN_KEY_VIOLATION) {
    return new RefusedError(
      "conflict",
      "something else refers to it, or what it refers to has gone",
    );
  }
  return error;
}

/** Ours: peers of networks that were planned last; some 60 MiB. */
const MEMORY_MAX = 200_000;

export class Store {
  readonly database: Database;
  readonly #memory = new Memory(MEMORY_MAX);
  /** Hears what a write of this process has changed, once it is in the database for good. */
  onChanges: ((changes: readonly LoggedChange[]) => void) | undefined;

  constructor(database: Database) {
    this.database = database;
  }

  /** Rejects with a RefusedError where the schema forbids it; nothing has been written then. */
  async write<T>({ actor, action }: Writer, run: (write: Write) => Promise<T>): Promise<T> {
    try {
      const [value, logged] = await this.database.transaction(async (queries) => {
        await queries.rows(
          "select set_config('wirehaul.actor', $1, true), set_config('wirehaul.action', $2, true)",
          [actor, action],
        );
        const changes: NewChange[] = [];
        const value = await run({
          rows: (text, values) => queries.rows(text, values),
          script: (text) => queries.script(text),
          memory: this.#memory,
          change: (change) => {
            changes.push(change);
          },
        });
        return [value, await append(queries, changes)] as const;
      });
      if (logged.length > 0) this.onChanges?.(logged);
      return value;
    } catch (error) {
      throw explain(error);
    }
  }

  /** The newest revision, and the newest that is no longer in the log. */
  async position(): Promise<{ readonly revision: number; readonly pruned: number }> {
    const [row] = await this.database.rows<{ revision: number; pruned: number }>(
      "select revision, pruned from log_position",
    );
    if (row === undefined) throw new Error("the database has no log position: it is damaged");
    return row;
  }

  /** Forgets what nobody needs any more: old changes, nonces, leases that nobody confirmed. */
  async sweep(changesDays: number): Promise<void> {
    await this.database.rows("delete from nonces where expires < now()");
    await this.database.rows("delete from port_refusals where until < now()");
    await this.write({ actor: "registry", action: "lease.expire" }, (write) =>
      write.rows("delete from port_leases where expires < now()"),
    );
    await this.database.transaction(async (queries) => {
      const gone = await queries.rows<{ revision: number }>(
        "delete from changes where at < now() - make_interval(days => $1) returning revision",
        [changesDays],
      );
      const newest = gone.reduce((most, { revision }) => Math.max(most, revision), 0);
      if (newest > 0) {
        await queries.rows("update log_position set pruned = greatest(pruned, $1)", [newest]);
      }
    });
  }
}

/** Last in its transaction: the row of the position is locked until the commit, so that numbers appear in order. */
async function append(
  queries: Queries,
  changes: readonly NewChange[],
): Promise<readonly LoggedChange[]> {
  if (changes.length === 0) return [];
  const [row] = await queries.rows<{ revision: number }>(
    "update log_position set revision = revision + $1 returning revision",
    [changes.length],
  );
  const last = row?.revision ?? 0;
  const first = last - changes.length + 1;
  const logged = changes.map(
    ({ kind, subject, node = null, owner = null, farm = null, body }, at): LoggedChange => ({
      ...{ revision: first + at, kind, subject, node, owner, farm },
      body: body === undefined ? null : jsonOf(body),
    }),
  );
  await queries.rows(
    `with logged as (
       insert into changes (revision, kind, subject, node, owner, farm, body)
       select revision, kind, subject, node, owner, farm, body
       from jsonb_to_recordset($1::jsonb) as c(revision bigint, kind text, subject text, node text,
         owner bigint, farm bigint, body jsonb))
     select pg_notify($2, $3)`,
    [`[${logged.map(changeText).join()}]`, CHANNEL, String(last)],
  );
  return logged;
}

const texts = new WeakMap<object, string>();

/** JSON of an object that is never changed, made once: bodies of changes are kept, logged and sent. */
export function jsonOf(body: object): string {
  let text = texts.get(body);
  if (text === undefined) {
    text = JSON.stringify(body);
    texts.set(body, text);
  }
  return text;
}

/** JSON of a change with its body. */
export function changeText({ body, ...rest }: LoggedChange): string {
  return `${JSON.stringify(rest).slice(0, -1)},"body":${body ?? "null"}}`;
}
