/** Where a bus is: an address such as `redis+unix:///run/redis/redis.sock`, made into what the client library takes. Pure. */
import type { RedisOptions } from "ioredis";

export interface BusAddress {
  /** Without a password: for people. */
  readonly text: string;
  readonly connection: Pick<
    RedisOptions,
    "path" | "host" | "port" | "username" | "password" | "db" | "tls"
  >;
}

/** Redis's own. */
const PORT = 6379;

/**
 * Parses `redis+unix:///PATH` (zos: `unix:///PATH`), `redis://[[USER]:PASSWORD@]HOST[:PORT][/NUMBER]` to this machine, `rediss://...` (TLS)
 * to any. `password` is for one that no list of processes should show. Throws what is wrong.
 */
export function parseBusAddress(text: string, password?: string | undefined): BusAddress {
  const secret = password === undefined || password === "" ? {} : { password };
  const [, path] = /^(?:redis\+)?unix:\/\/(\/[^?#]+)$/.exec(text) ?? [];
  if (path !== undefined) return { text: `redis+unix://${path}`, connection: { path, ...secret } };
  if (!URL.canParse(text)) throw new Error(FORM);
  const url = new URL(text);
  const isTls = url.protocol === "rediss:";
  if (!isTls && url.protocol !== "redis:") throw new Error(FORM);
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  if (host === "") throw new Error(FORM);
  if (!isTls && !isThisMachine(host)) {
    throw new Error(`the bus would go to ${host} unencrypted: use rediss://, or a Unix socket`);
  }
  const [, number] = /^\/?(\d*)$/.exec(url.pathname) ?? [];
  if (number === undefined) throw new Error(FORM);
  return {
    text: `${url.protocol}//${url.host}${number === "" ? "" : `/${number}`}`,
    connection: {
      host,
      port: url.port === "" ? PORT : Number(url.port),
      ...(number === "" ? {} : { db: Number(number) }),
      ...(url.username === "" ? {} : { username: decodeURIComponent(url.username) }),
      ...(url.password === "" ? {} : { password: decodeURIComponent(url.password) }),
      ...secret,
      ...(isTls ? { tls: {} } : {}),
    },
  };
}

const FORM =
  "the bus is no redis+unix:///PATH, redis://HOST[:PORT][/NUMBER] or rediss://HOST[:PORT][/NUMBER]";

function isThisMachine(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}
