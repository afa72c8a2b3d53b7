/**
 * What the registry asks of a database: PostgreSQL's dialect, in process or from a server. Owns no SQL; {@link openDatabase} is in
 * open.ts.
 */

/** Values of parameters and columns are those of `pg`: 8-byte integers are numbers, JSON is parsed, times are Dates. */
export interface Queries {
  /** One statement with its parameters $1, $2 ... */
  rows<Row>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  /** Several statements, without parameters. */
  script(text: string): Promise<void>;
}

export interface Database extends Queries {
  /** Repeats `run` if the database asks for it (two transactions that wait for each other): it must do nothing but queries. */
  transaction<T>(run: (queries: Queries) => Promise<T>): Promise<T>;
  /** Calls `heard` for each notification; with "" after a time in which some may have been lost. */
  listen(channel: string, heard: (payload: string) => void): Promise<void>;
  close(): Promise<void>;
}

/** The database can't be asked now; nothing is known of the statement that was under way. */
export class UnavailableError extends Error {
  constructor(cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause);
    super(`the registry's database does not answer (${why}): try again`, { cause });
    this.name = "UnavailableError";
  }
}

/** What PostgreSQL says of an error, beside the text. */
export interface DatabaseFault {
  /** SQLSTATE, "PostgreSQL Error Codes". */
  readonly code: string;
  readonly constraint: string | undefined;
}

/** "PostgreSQL Error Codes": digits, or one of F0, HV, P0, XX. A system's error has a code of such a look too: EPIPE. */
const SQLSTATE = /^[0-9FHPX][0-9A-Z]{4}$/;

export function faultOf(error: unknown): DatabaseFault | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, constraint } = error as Error & { code?: unknown; constraint?: unknown };
  if (typeof code !== "string" || !SQLSTATE.test(code)) return undefined;
  return { code, constraint: typeof constraint === "string" ? constraint : undefined };
}

/** Serialization failure, deadlock: the same transaction may pass now. */
const AGAIN: readonly string[] = ["40001", "40P01"];
/** Ours: a deadlock breaks one of two; a handful in a row is no coincidence. */
const ATTEMPTS_MAX = 8;

/** Runs `attempt` again as long as the database asks for it. */
export async function withRetries<T>(attempt: () => Promise<T>): Promise<T> {
  for (let left = ATTEMPTS_MAX - 1; ; left--) {
    try {
      return await attempt();
    } catch (error) {
      if (left === 0 || !AGAIN.includes(faultOf(error)?.code ?? "")) throw error;
    }
  }
}
