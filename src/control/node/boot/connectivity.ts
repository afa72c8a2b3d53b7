/**
 * Asks whether the registry, and other hosts, answer: by HTTP or by a TCP connection, in each family that a name has. An answer that
 * sends us elsewhere, or wants a login first, is a captive portal's and doesn't count.
 */
import { lookup, Resolver } from "node:dns/promises";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect, isIP } from "node:net";

export interface Target {
  /** http://, https:// or tcp://host:port. */
  readonly url: string;
  /** Certificates to trust in place of the system's, PEM. */
  readonly ca?: string | undefined;
}

export interface Answer {
  readonly url: string;
  readonly families: readonly (4 | 6)[];
  /** Why there is no answer, or none in one family. */
  readonly fault?: string | undefined;
}

export interface CheckOptions {
  /** Name servers to ask before the system's. */
  readonly dns: readonly string[];
  readonly timeoutMs: number;
}

/** Checks that a target can be asked at all. Throws naming it. */
export function checkTarget({ url }: Target): void {
  const isKnown = URL.canParse(url) && /^(https?|tcp):$/.test(new URL(url).protocol);
  if (!isKnown || new URL(url).hostname === "") {
    throw new Error(`"${url}" is no address to reach: http://, https:// or tcp://host:port`);
  }
  if (new URL(url).protocol === "tcp:" && new URL(url).port === "") {
    throw new Error(`"${url}" has no port`);
  }
}

/** Asks one target in all its families at once. Never rejects. */
export async function ask(target: Target, options: CheckOptions): Promise<Answer> {
  const url = new URL(target.url);
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const faults: string[] = [];
  const families = new Set<4 | 6>();
  const addresses = await resolve(host, options).catch((error: Error) => {
    faults.push(error.message);
    return [];
  });
  const attempts = addresses.map(async (address) => {
    try {
      await askAddress(target, url, host, address, options.timeoutMs);
      families.add(isIP(address) === 6 ? 6 : 4);
    } catch (error) {
      faults.push(`${address}: ${(error as Error).message}`);
    }
  });
  await Promise.all(attempts);
  const fault = faults.length === 0 ? undefined : faults.join("; ");
  return { url: target.url, families: [...families].sort(), fault };
}

/** At most so many addresses of a name are asked. Ours: a name has one or two of each family. */
const ADDRESSES_MAX = 4;

async function resolve(host: string, options: CheckOptions): Promise<string[]> {
  if (isIP(host) !== 0) return [host];
  if (options.dns.length > 0) {
    const resolver = new Resolver({ timeout: options.timeoutMs, tries: 1 });
    resolver.setServers(options.dns);
    const lists = await Promise.all([
      resolver.resolve4(host).catch(() => []),
      resolver.resolve6(host).catch(() => []),
    ]);
    if (lists.flat().length > 0) return lists.flatMap((list) => list.slice(0, ADDRESSES_MAX));
  }
  const found = await lookup(host, { all: true }).catch(() => []);
  if (found.length === 0) throw new Error(`the name ${host} is not known`);
  return found.slice(0, ADDRESSES_MAX * 2).map(({ address }) => address);
}

function askAddress(
  target: Target,
  url: URL,
  host: string,
  address: string,
  timeoutMs: number,
): Promise<void> {
  const signal = AbortSignal.timeout(timeoutMs);
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void =>
      reject(signal.aborted ? new Error(`no answer within ${timeoutMs / 1000} s`) : error);
    if (url.protocol === "tcp:") {
      const socket = connect({ host: address, port: Number(url.port), signal });
      socket.once("error", fail).once("connect", () => {
        socket.destroy();
        resolve();
      });
      return;
    }
    const ask = url.protocol === "https:" ? httpsRequest : httpRequest;
    const asked = ask({
      host: address,
      port: url.port === "" ? undefined : Number(url.port),
      path: `${url.pathname}${url.search}`,
      headers: { host: url.host, "user-agent": "wirehaul" },
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...(target.ca === undefined ? {} : { ca: target.ca }),
      agent: false,
      signal,
    });
    asked.once("error", fail);
    asked.once("response", (response) => {
      const status = response.statusCode ?? 0;
      response.destroy();
      const fault = portalFault(status, response.headers.location, url);
      if (fault === undefined) resolve();
      else reject(new Error(fault));
    });
    asked.end();
  });
}

/** Whether an HTTP status is not the registry's own. 511 is a captive portal's (RFC 6585 section 6). */
export function portalFault(
  status: number,
  location: string | undefined,
  url: URL,
): string | undefined {
  if (status >= 500) return `answers with status ${status}`;
  if (status < 300 || status >= 400 || location === undefined) return undefined;
  const isSame =
    URL.canParse(location, url.href) && new URL(location, url).hostname === url.hostname;
  return isSame ? undefined : `sends us to ${location}: a captive portal?`;
}
