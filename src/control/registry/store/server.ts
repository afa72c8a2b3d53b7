/** A PostgreSQL server: a pool of connections, and one that listens and comes back when it is lost. */
import pg from "pg";
import { type Database, faultOf, type Queries, UnavailableError, withRetries } from "./database.ts";

/** Ours: statements are short; more connections than that wait for the same locks. */
const CONNECTIONS_MAX = 10;
const CONNECT_MS = 5_000;
/** Ours: a statement that takes longer is stuck; planning a network of 200 nodes takes tens of milliseconds. */
const STATEMENT_MS = 30_000;
const LISTEN_AGAIN_MS = 500;
/** "PostgreSQL Error Codes" class 57: shut down, or starting; 53300: no connection is left. */
const GONE: readonly string[] = ["57P01", "57P02", "57P03", "53300"];
const INT8 = 20;

const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: "text") =>
    oid === INT8 ? Number : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
};

/** Errors of the connection, not of the statement. */
function explain(error: unknown): unknown {
  const fault = faultOf(error);
  if (fault === undefined || GONE.includes(fault.code) || fault.code.startsWith("08")) {
    return new UnavailableError(error);
  }
  return error;
}

function queriesOf(connection: pg.Pool | pg.PoolClient): Queries {
  const ask = async <Row>(text: string, values?: readonly unknown[]): Promise<Row[]> => {
    try {
      const { rows } = await connection.query(text, values === undefined ? undefined : [...values]);
      return rows as Row[];
    } catch (error) {
      throw explain(error);
    }
  };
  return {
    rows: (text, values = []) => ask(text, values),
    script: async (text) => {
      await ask(text);
    },
  };
}

/** `url`: "postgres://user:password@host/name", or with "?host=/folder" for a Unix socket. */
export async function openServer(
  url: string,
  log: (level: "info" | "error", text: string) => void,
): Promise<Database> {
  const settings: pg.ClientConfig = {
    connectionString: url,
    connectionTimeoutMillis: CONNECT_MS,
    statement_timeout: STATEMENT_MS,
    idle_in_transaction_session_timeout: STATEMENT_MS,
    application_name: "wirehaul registry",
    keepAlive: true,
    types,
  };
  const pool = new pg.Pool({ ...settings, max: CONNECTIONS_MAX });
  // Of connections that nobody uses just now; who uses one is told by its query.
  pool.on("error", (error) => log("error", `the database closed a connection: ${error.message}`));
  const listeners: Listener[] = [];
  const database: Database = {
    ...queriesOf(pool),
    transaction: (run) => withRetries(() => transact(pool, run)),
    listen: async (channel, heard) => {
      const listener = new Listener(settings, channel, heard, log);
      listeners.push(listener);
      await listener.start();
    },
    close: async () => {
      await Promise.all(listeners.map((listener) => listener.stop()));
      await pool.end();
    },
  };
  return database;
}

async function transact<T>(pool: pg.Pool, run: (queries: Queries) => Promise<T>): Promise<T> {
  let client: pg.PoolClient;
  try {
    client = await pool.connect();
  } catch (error) {
    throw explain(error);
  }
  const queries = queriesOf(client);
  let lost: Error | undefined;
  const onError = (error: Error): void => {
    lost = error;
  };
  client.on("error", onError);
  try {
    await queries.script("begin");
    const value = await run(queries);
    await queries.script("commit");
    return value;
  } catch (error) {
    if (error instanceof UnavailableError) lost = error;
    else {
      await queries.script("rollback").catch((failed: Error) => {
        lost = failed;
      });
    }
    throw error;
  } finally {
    client.off("error", onError);
    client.release(lost);
  }
}

class Listener {
  readonly #settings: pg.ClientConfig;
  readonly #channel: string;
  readonly #heard: (payload: string) => void;
  readonly #log: (level: "info" | "error", text: string) => void;
  #client: pg.Client | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(
    settings: pg.ClientConfig,
    channel: string,
    heard: (payload: string) => void,
    log: (level: "info" | "error", text: string) => void,
  ) {
    this.#settings = settings;
    this.#channel = channel;
    this.#heard = heard;
    this.#log = log;
  }

  /** `isAgain`: tells, as soon as it listens, that something may have been missed. */
  async start(isAgain = false): Promise<void> {
    // A listening connection is idle for long: the timeout of a statement does not count there.
    const client = new pg.Client(this.#settings);
    this.#client = client;
    client.on("notification", ({ payload = "" }) => this.#heard(payload));
    client.on("error", (error) => this.#again(client, error));
    client.on("end", () => this.#again(client, new Error("the connection has ended")));
    try {
      await client.connect();
      await client.query(`listen ${pg.escapeIdentifier(this.#channel)}`);
      if (isAgain) this.#heard("");
    } catch (error) {
      this.#again(client, error as Error);
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#client?.end().catch(() => undefined);
  }

  #again(client: pg.Client, error: Error): void {
    if (this.#isStopped || client !== this.#client) return;
    this.#client = undefined;
    this.#log("error", `the database's notifications are lost for now: ${error.message}`);
    client.end().catch(() => undefined);
    this.#timer = setTimeout(() => {
      void this.start(true);
    }, LISTEN_AGAIN_MS);
  }
}
