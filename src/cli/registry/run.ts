/** `wirehaul registry run`: the registry, in the foreground, until it is told to end. */
import { RefusedError } from "../../control/model/problem.ts";
import { ReachabilityResponder } from "../../control/node/reachability/responder.ts";
import { insertUser } from "../../control/registry/people.ts";
import type { PlanNetwork } from "../../control/registry/planning.ts";
import { userSchema } from "../../control/registry/schemas.ts";
import { LIMITS, RegistryServer } from "../../control/registry/server.ts";
import type { Database } from "../../control/registry/store/database.ts";
import { migrate } from "../../control/registry/store/migrations.ts";
import { type DatabasePlace, openDatabase } from "../../control/registry/store/open.ts";
import { Store } from "../../control/registry/store/store.ts";
import { nodeLog } from "../node/log.ts";

export interface RegistryRunOptions extends DatabasePlace {
  /** "HOST:PORT" or "[IPV6]:PORT". */
  readonly listen: string;
  readonly tlsCert?: string | undefined;
  readonly tlsKey?: string | undefined;
  readonly authority: readonly string[];
  /** "NAME=KEY-ID" each. */
  readonly admin: readonly string[];
  readonly oldSignatures?: true | undefined;
  /** Requests a second. */
  readonly ratePerKey?: string | undefined;
  readonly ratePerAddress?: string | undefined;
  /** UDP port; it answers from the one after too. */
  readonly respond?: string | undefined;
  readonly planNetwork?: PlanNetwork | undefined;
}

/** Ours: how often the responder looks which addresses the machine has. */
const ADDRESSES_MS = 30_000;

export async function runRegistry(options: RegistryRunOptions): Promise<number> {
  const log = nodeLog(process.env["LOG_LEVEL"], process.env["JOURNAL_STREAM"] !== undefined);
  const say = (level: "info" | "error", text: string): void => log[level](text);
  const { host, port } = parseListen(options.listen);
  const tls = tlsOf(options);
  const limits = {
    ...LIMITS,
    perKey: rateOf("--rate-per-key", options.ratePerKey, LIMITS.perKey),
    perAddress: rateOf("--rate-per-address", options.ratePerAddress, LIMITS.perAddress),
  };
  const admins = options.admin.map(parseAdmin);
  const respondPort = respondPortOf(options.respond);
  const told = new Promise<string>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      process.once(signal, () => resolve(signal));
    }
  });
  const database = await openDatabase(options, say);
  try {
    const before = await migrate(database);
    log.info(before === 0 ? "the database was empty" : `the database had version ${before}`);
    await addAdmins(database, admins);
    const server = new RegistryServer({
      ...{ database, host, port, tls, limits, log: say },
      authorities: options.authority.map((name) => name.toLowerCase()),
      planNetwork: options.planNetwork,
      oldSignatures: options.oldSignatures === true,
    });
    const onHangUp = (): void => {
      try {
        server.reload();
        log.info("the certificate is read again");
      } catch (error) {
        log.error(`the certificate stays as it was: ${(error as Error).message}`);
      }
    };
    process.on("SIGHUP", onHangUp);
    let endResponder: (() => void) | undefined;
    try {
      if (respondPort !== undefined) endResponder = await startResponder(respondPort, say);
      log.info(`serving ${await server.listen()}`);
      log.info(`${await told}: stopping`);
      return 0;
    } finally {
      process.removeListener("SIGHUP", onHangUp);
      endResponder?.();
      await server.close();
    }
  } finally {
    await database.close();
  }
}

function parseListen(text: string): { readonly host: string; readonly port: number } {
  const [, ipv6, other, port] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = ipv6 ?? other;
  if (host === undefined || Number(port) > 65_535) {
    throw new RefusedError("invalid", `--listen: "${text}" is not HOST:PORT or [IPV6]:PORT`);
  }
  return { host, port: Number(port) };
}

function respondPortOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const port = Number(text);
  if (Number.isInteger(port) && port >= 1 && port < 65_535) return port;
  throw new RefusedError(
    "invalid",
    `--respond: "${text}" is none of 1 to 65534, a port with one after it`,
  );
}

/** Tells nodes whether they can be reached: a registry stands where they look for one. Gives what ends it. */
async function startResponder(
  port: number,
  say: (level: "info" | "error", text: string) => void,
): Promise<() => void> {
  const responder = await ReachabilityResponder.open({ port });
  say("info", `answers nodes at UDP port ${port}, and from ${port + 1}`);
  const timer = setInterval(() => {
    responder.serve().catch((error: Error) => {
      say("error", `can't answer nodes at UDP port ${port}: ${error.message}`);
    });
  }, ADDRESSES_MS);
  return () => {
    clearInterval(timer);
    responder.close();
  };
}

function tlsOf({
  tlsCert,
  tlsKey,
}: RegistryRunOptions): { readonly certificate: string; readonly key: string } | undefined {
  if (tlsCert === undefined && tlsKey === undefined) return undefined;
  if (tlsCert === undefined || tlsKey === undefined) {
    throw new RefusedError("invalid", "--tls-cert and --tls-key belong together");
  }
  return { certificate: tlsCert, key: tlsKey };
}

/** With four seconds of it at once. */
function rateOf(
  flag: string,
  text: string | undefined,
  otherwise: readonly [number, number],
): readonly [number, number] {
  if (text === undefined) return otherwise;
  const rate = Number(text);
  if (!(rate >= 1 && rate <= 1_000_000)) {
    throw new RefusedError("invalid", `${flag}: "${text}" is none of 1 to 1000000`);
  }
  return [rate, 4 * rate];
}

interface Admin {
  readonly name: string;
  readonly key: string;
}

function parseAdmin(text: string): Admin {
  const cut = text.indexOf("=");
  const result = userSchema.safeParse({
    ...{ name: text.slice(0, cut), key: text.slice(cut + 1), role: "admin" },
  });
  if (cut < 1 || !result.success) {
    throw new RefusedError(
      "invalid",
      `--admin: "${text}" is not NAME=KEY, with a key that \`wirehaul registry key new\` shows`,
    );
  }
  return result.data;
}

/** Those that are there already stay. */
async function addAdmins(database: Database, admins: readonly Admin[]): Promise<void> {
  for (const { name, key } of admins) {
    const [there] = await database.rows<{ role: string }>("select role from users where key = $1", [
      key,
    ]);
    if (there === undefined) {
      await insertUser(new Store(database), "operator", { name, key, role: "admin" });
    } else if (there.role !== "admin") {
      throw new RefusedError(
        "conflict",
        `--admin: the key of ${name} is a ${there.role}'s already`,
      );
    }
  }
}
