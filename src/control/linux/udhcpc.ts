/**
 * DHCPv4 through busybox's `udhcpc`: one lease for a probe, or a client that runs for ever. Its hook script prints each event as a
 * line of JSON; nothing of the lease is applied here.
 */
import { chmodSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { parseHost } from "../model/cidr.ts";
import type { Clock } from "./clock.ts";
import { attempt } from "./command.ts";
import { commandIn } from "./ip.ts";
import { boundToUs, Supervised } from "./supervised.ts";

export interface Lease {
  /** With the subnet's length. */
  readonly address: string;
  /** Default route; undefined: the server names no router. */
  readonly gateway?: string | undefined;
  /** Other routes that the server asks for (RFC 3442). */
  readonly routes: readonly { readonly to: string; readonly via: string }[];
  readonly dns: readonly string[];
  readonly mtu?: number | undefined;
  readonly server?: string | undefined;
  /** Undefined: for ever. */
  readonly seconds?: number | undefined;
}

export type DhcpEvent =
  | { readonly event: "bound" | "renew"; readonly lease: Lease }
  | { readonly event: "deconfig" | "leasefail" | "nak" };

/**
 * A value with any other character than those of numbers, addresses and lists is dropped, so that the quotes hold whatever a
 * server sends.
 */
export const HOOK_SCRIPT = `#!/bin/sh
# Prints a DHCP event as one line of JSON. Made by Wirehaul.
v() {
  case "$2" in *[!0-9A-Fa-f.:/\\ ]*) return ;; esac
  printf ',"%s":"%s"' "$1" "$2"
}
case "$1" in bound|renew|deconfig|leasefail|nak) ;; *) exit 0 ;; esac
{
  printf '{"event":"%s"' "$1"
  v ip "$ip"; v mask "$mask"; v router "$router"; v dns "$dns"; v mtu "$mtu"
  v lease "$lease"; v serverid "$serverid"; v staticroutes "$staticroutes"
  printf '}\\n'
}
`;

/** 2^32 - 1: a lease for ever (RFC 2131 section 3.3). */
const FOREVER = 0xffff_ffff;
/** IPv6 needs 1280 (RFC 8200 section 5); a smaller offer is a fault of the server. */
const MTU_MIN = 1280;
/** Ours: a DISCOVER per second is answered within a few of them, or the server is away; then a pause before the next round. */
const ROUND = ["-t", "5", "-T", "1", "-A", "5"];
const OPTIONS = ["-O", "mtu", "-O", "staticroutes"];

const text = z.string().default("");
const hookSchema = z.object({
  event: z.enum(["bound", "renew", "deconfig", "leasefail", "nak"]),
  ip: text,
  mask: text,
  router: text,
  dns: text,
  mtu: text,
  lease: text,
  serverid: text,
  staticroutes: text,
});

/** Writes the hook script into a folder (made if need be) and returns its path. */
export function installHook(folder: string): string {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, "udhcpc-hook");
  writeFileSync(`${path}.new`, HOOK_SCRIPT);
  chmodSync(`${path}.new`, 0o700);
  renameSync(`${path}.new`, path);
  return path;
}

function isAddress4(word: string): boolean {
  return parseHost(word)?.family === 2;
}

/** Parses a line of the hook; undefined: it is none, or a lease without a usable address. */
export function parseHookLine(line: string): DhcpEvent | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  const { data } = hookSchema.safeParse(value);
  if (data === undefined) return undefined;
  if (data.event !== "bound" && data.event !== "renew") return { event: data.event };
  const length = Number(data.mask === "" ? 32 : data.mask);
  if (!isAddress4(data.ip) || !Number.isInteger(length) || length < 1 || length > 32) {
    return undefined;
  }
  const words = (list: string): string[] => list.split(" ").filter(isAddress4);
  const routes = staticRoutes(data.staticroutes);
  const seconds = Number(data.lease);
  const mtu = Number(data.mtu);
  // A client that has the classless routes ignores the router option (RFC 3442).
  const gateway =
    routes.length > 0 ? routes.find(({ to }) => to === "0.0.0.0/0")?.via : words(data.router)[0];
  return {
    event: data.event,
    lease: {
      address: `${data.ip}/${length}`,
      gateway,
      routes: routes.filter(({ to }) => to !== "0.0.0.0/0"),
      dns: words(data.dns),
      mtu: Number.isInteger(mtu) && mtu >= MTU_MIN ? mtu : undefined,
      server: words(data.serverid)[0],
      seconds: seconds > 0 && seconds < FOREVER ? seconds : undefined,
    },
  };
}

/** "0.0.0.0/0 10.0.0.1 10.2.0.0/16 10.0.0.2"; a route without a router (0.0.0.0) is on the link, as the subnet is already. */
function staticRoutes(list: string): { to: string; via: string }[] {
  const words = list.split(" ").filter((word) => word !== "");
  const routes: { to: string; via: string }[] = [];
  for (let i = 0; i + 1 < words.length; i += 2) {
    const [to = "", via = ""] = [words[i], words[i + 1]];
    if (/^[0-9.]+\/[0-9]+$/.test(to) && isAddress4(via) && via !== "0.0.0.0") {
      routes.push({ to, via });
    }
  }
  return routes;
}

export interface LinkPlace {
  readonly link: string;
  readonly namespace?: string | undefined;
  /** Path of the hook script. */
  readonly hook: string;
}

/** Asks once for a lease; undefined: no server answered within `tries` seconds, or so. */
export async function requestLease(place: LinkPlace, tries: number): Promise<Lease | undefined> {
  const command = ["udhcpc", "-f", "-q", "-n", "-i", place.link, "-s", place.hook];
  const asking = [...command, "-t", `${tries}`, "-T", "1", ...OPTIONS];
  const result = await attempt(boundToUs(commandIn(place.namespace, asking)), {
    // It pauses a little longer than told; a lease that takes half a minute is none.
    limitMs: (tries + 30) * 1000,
  });
  for (const line of result.stdout.split("\n")) {
    const event = parseHookLine(line);
    if (event?.event === "bound") return event.lease;
  }
  return undefined;
}

export interface DhcpClientOptions extends LinkPlace {
  readonly clock: Clock;
  readonly onEvent: (event: DhcpEvent) => void;
  readonly onEnd?: ((why: string) => void) | undefined;
}

/** Keeps a lease on a link until it is stopped. "deconfig", its first word after each start, is not passed on. */
export class DhcpClient {
  readonly #process: Supervised;
  #hasSpoken = false;

  constructor(options: DhcpClientOptions) {
    const client = ["udhcpc", "-f", "-i", options.link, "-s", options.hook, ...ROUND, ...OPTIONS];
    this.#process = new Supervised({
      command: commandIn(options.namespace, client),
      clock: options.clock,
      onEnd: options.onEnd,
      onStart: () => {
        this.#hasSpoken = false;
      },
      onLine: (line) => {
        const event = parseHookLine(line);
        if (event === undefined) return;
        const isFirst = !this.#hasSpoken;
        this.#hasSpoken = true;
        if (!isFirst || event.event !== "deconfig") options.onEvent(event);
      },
    });
  }

  /** Asks the server to confirm the lease now: after the carrier was away. */
  renew(): void {
    this.#process.signal("SIGUSR1");
  }

  async stop(): Promise<void> {
    await this.#process.stop();
  }
}
