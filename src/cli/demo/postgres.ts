/** Debian's PostgreSQL on a Unix socket in a lab's folder, run by a user who is nobody: it refuses to be root. */
import { chmodSync, chownSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type Background, run } from "../../control/linux/command.ts";
import type { Lab } from "./lab.ts";

/** Debian's nobody and nogroup. */
const USER_ID = 65_534;
const VERSIONS = "/usr/lib/postgresql";

function program(name: string): string {
  const [version = "15"] = readdirSync(VERSIONS).sort((a, b) => Number(b) - Number(a));
  return join(VERSIONS, version, "bin", name);
}

function asNobody(command: readonly string[]): string[] {
  return ["setpriv", `--reuid=${USER_ID}`, `--regid=${USER_ID}`, "--clear-groups", ...command];
}

export class Postgres {
  readonly #lab: Lab;
  readonly #folder: string;
  readonly #settings: readonly string[];
  #server: Background | undefined;

  private constructor(lab: Lab, folder: string, settings: readonly string[]) {
    this.#lab = lab;
    this.#folder = folder;
    this.#settings = settings;
  }

  /** The process that all others of the server come from; 0: it is stopped. */
  get pid(): number {
    return this.#server?.pid ?? 0;
  }

  /** `settings`: "NAME=VALUE" of postgresql.conf, beside Debian's own. */
  static async start(lab: Lab, settings: readonly string[] = []): Promise<Postgres> {
    chmodSync(lab.folder, 0o755);
    const folder = join(lab.folder, "pg");
    mkdirSync(folder, { mode: 0o700 });
    chownSync(folder, USER_ID, USER_ID);
    const options = ["-U", "registry", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"];
    await run(asNobody([program("initdb"), "-D", join(folder, "data"), ...options]));
    const postgres = new Postgres(lab, folder, settings);
    await postgres.resume();
    return postgres;
  }

  /** Starts it again after {@link stop}. */
  async resume(): Promise<void> {
    const settings = [
      ...["listen_addresses=", `unix_socket_directories=${this.#folder}`],
      ...this.#settings,
    ];
    this.#server = this.#lab.spawn(
      asNobody([
        program("postgres"),
        "-D",
        join(this.#folder, "data"),
        ...settings.flatMap((setting) => ["-c", setting]),
      ]),
    );
    await this.#server.waitFor("database system is ready to accept connections");
  }

  /** As a machine that loses its power: what was committed is on the disk, and nothing else is. */
  async kill(): Promise<void> {
    this.#server?.signal("SIGQUIT");
    await this.#server?.ended;
  }

  /** At once: connections are broken off. */
  async stop(): Promise<void> {
    this.#server?.signal("SIGINT");
    await this.#server?.ended;
  }

  /** An empty database; returns its URL. */
  async database(name: string): Promise<string> {
    await this.sql("postgres", `create database ${name}`);
    return `postgres://registry@localhost/${name}?host=${encodeURIComponent(this.#folder)}`;
  }

  async sql(database: string, text: string): Promise<string> {
    const place = ["-h", this.#folder, "-U", "registry", "-d", database];
    return await run([program("psql"), ...place, "-v", "ON_ERROR_STOP=1", "-Atqc", text]);
  }
}
