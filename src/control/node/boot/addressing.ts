/**
 * What gives a link its addresses, and keeps them: static settings, or a supervised DHCP client beside router advertisements. Whatever
 * it set and no longer wants, it takes away; the order is new before old, so that what stays in use is never missing.
 */

import type { Clock } from "../../linux/clock.ts";
import { ipBatch, listAddresses, listRoutes } from "../../linux/ip.ts";
import { setSysctls } from "../../linux/sysctl.ts";
import { DhcpClient, type DhcpEvent, type Lease } from "../../linux/udhcpc.ts";
import { contains, formatHost, networkOf, parseCidr, parseHost } from "../../model/cidr.ts";
import type { NicSettings } from "../../model/node-config.ts";

/** Static settings; without addresses: DHCP and router advertisements. */
export type StaticSettings = Pick<NicSettings, "addresses" | "gateways" | "dns">;

export const AUTOMATIC: StaticSettings = { addresses: [], gateways: [], dns: [] };

export function isStatic(settings: StaticSettings): boolean {
  return settings.addresses.length > 0;
}

interface WantedRoute {
  readonly to: string;
  readonly via: string;
  readonly protocol: "static" | "dhcp";
  readonly source?: string | undefined;
}

interface Wanted {
  readonly addresses: readonly string[];
  readonly routes: readonly WantedRoute[];
  /** Seconds that the addresses live from now on; undefined: for ever. */
  readonly seconds?: number | undefined;
}

/** What a link with static settings has. */
export function wantedOfSettings(settings: StaticSettings): Wanted {
  return {
    addresses: settings.addresses,
    routes: settings.gateways.map((via) => ({
      to: "default",
      via,
      protocol: "static",
    })),
  };
}

/** What a link with a lease has. */
export function wantedOfLease(lease: Lease, seconds: number | undefined): Wanted {
  const source = lease.address.slice(0, lease.address.indexOf("/"));
  const gateway = lease.gateway;
  const routes = lease.routes.map(({ to, via }) => ({ to, via }));
  if (gateway !== undefined) routes.push({ to: "default", via: gateway });
  return {
    addresses: [lease.address],
    routes: routes.map(({ to, via }) => ({ to, via, protocol: "dhcp", source })),
    seconds,
  };
}

/** Lines for `ip -batch` that give a link what it lacks. Setting again what is there changes nothing but lifetimes. */
export function linesFor(link: string, wanted: Wanted): string[] {
  const life = wanted.seconds === undefined ? "forever" : `${Math.max(1, wanted.seconds)}`;
  const subnets = wanted.addresses.flatMap((text) => parseCidr(text) ?? []);
  return [
    ...wanted.addresses.map((address) => {
      const broadcast = address.includes(":") ? "" : " broadcast +";
      return `address replace ${address}${broadcast} dev ${link} valid_lft ${life} preferred_lft ${life}`;
    }),
    ...wanted.routes.map(({ to, via, protocol, source }) => {
      const gateway = parseHost(via);
      const isOnSubnet = gateway !== undefined && subnets.some((cidr) => contains(cidr, gateway));
      // A gateway outside the subnet is on the wire all the same: some hosters lease a /32.
      const onlink = gateway?.family === 6 || isOnSubnet ? "" : " onlink";
      const src = source === undefined ? "" : ` src ${source}`;
      return `route replace ${to} via ${via} dev ${link} proto ${protocol}${src}${onlink}`;
    }),
  ];
}

export interface AddressingOptions {
  readonly link: string;
  readonly namespace?: string | undefined;
  readonly hook: string;
  readonly clock: Clock;
  readonly log: (text: string) => void;
  /** A lease came, changed or went. */
  readonly onChange: () => void;
}

/** Keeps one link's addresses. The link is Wirehaul's own: what else is on it is taken away. */
export class Addressing {
  readonly #options: AddressingOptions;
  #settings: StaticSettings = AUTOMATIC;
  #client: DhcpClient | undefined;
  #lease: Lease | undefined;
  #leaseEnds: number | undefined;
  /** Whether the last of the client's rounds found no server. */
  #isServerAway = false;
  #queue: Promise<void> = Promise.resolve();

  constructor(options: AddressingOptions) {
    this.#options = options;
  }

  get lease(): Lease | undefined {
    return this.#lease;
  }

  get isServerAway(): boolean {
    return this.#isServerAway;
  }

  get dns(): readonly string[] {
    return isStatic(this.#settings) ? this.#settings.dns : (this.#lease?.dns ?? []);
  }

  /** Changes over to settings; with DHCP it returns before there is a lease. A link that just came gets all of it again. */
  async apply(settings: StaticSettings, firstLease?: Lease): Promise<void> {
    this.#settings = settings;
    const { link, namespace } = this.#options;
    const hasStatic6 = settings.addresses.some((address) => address.includes(":"));
    // 2: also where the machine forwards (Documentation/networking/ip-sysctl).
    await setSysctls(
      [
        [`net/ipv6/conf/${link}/accept_ra`, hasStatic6 ? 0 : 2],
        [`net/ipv6/conf/${link}/autoconf`, hasStatic6 ? 0 : 1],
      ],
      namespace,
    );
    if (isStatic(settings)) {
      await this.#stopClient();
      this.#lease = undefined;
    } else if (firstLease !== undefined) {
      this.#take(firstLease);
    }
    await this.settle();
    if (!isStatic(settings)) this.#startClient();
  }

  /** After the carrier came back: the server may be another one. */
  renew(): void {
    this.#client?.renew();
  }

  /** Puts right what is not as it should be. Calls come one after the other. */
  settle(): Promise<void> {
    const next = this.#queue.then(() => this.#settle());
    this.#queue = next.catch(() => undefined);
    return next;
  }

  /** Ends the client; addresses stay. */
  async stop(): Promise<void> {
    await this.#stopClient();
    await this.#queue;
  }

  #take(lease: Lease): void {
    this.#lease = lease;
    const { seconds } = lease;
    this.#leaseEnds =
      seconds === undefined ? undefined : this.#options.clock.now() + seconds * 1000;
  }

  #wanted(): Wanted | undefined {
    if (isStatic(this.#settings)) return wantedOfSettings(this.#settings);
    if (this.#lease === undefined) return undefined;
    const left =
      this.#leaseEnds === undefined
        ? undefined
        : Math.round((this.#leaseEnds - this.#options.clock.now()) / 1000);
    return wantedOfLease(this.#lease, left);
  }

  async #settle(): Promise<void> {
    const { link, namespace } = this.#options;
    const wanted = this.#wanted();
    // Without a lease there is nothing to say: an address of an earlier life goes when its time has come.
    if (wanted === undefined) return;
    await ipBatch(linesFor(link, wanted), namespace);
    await this.#removeOthers(wanted);
  }

  async #removeOthers(wanted: Wanted): Promise<void> {
    const { link, namespace } = this.#options;
    const keep = new Set(wanted.addresses.flatMap((text) => canonical(text) ?? []));
    const lists = await listAddresses(namespace);
    const addresses = lists.find(({ ifname }) => ifname === link)?.addr_info ?? [];
    const lines = addresses.flatMap(({ family, local, prefixlen, scope, dynamic }) => {
      if (local === undefined || scope === "link") return [];
      // Router advertisements' own.
      if (family === "inet6" && dynamic === true && !this.#hasStatic6()) return [];
      const text = `${local}/${prefixlen}`;
      return keep.has(canonical(text) ?? text) ? [] : [`address del ${text} dev ${link}`];
    });
    for (const family of [4, 6] as const) {
      for (const { dst, gateway, dev, protocol } of await listRoutes(family, namespace)) {
        if (dev !== link || gateway === undefined) continue;
        if (protocol === "ra" && !this.#hasStatic6()) continue;
        const isWanted = wanted.routes.some(
          ({ to, via, protocol: by }) => sameRoute(to, dst) && via === gateway && by === protocol,
        );
        if (!isWanted && protocol !== "kernel") {
          lines.push(`route del ${dst} via ${gateway} dev ${link} proto ${protocol ?? "boot"}`);
        }
      }
    }
    for (const line of lines) {
      // It may have gone by itself, a route with its address.
      await ipBatch([line], namespace).catch(() => undefined);
    }
  }

  #hasStatic6(): boolean {
    return this.#settings.addresses.some((address) => address.includes(":"));
  }

  #startClient(): void {
    if (this.#client !== undefined) return;
    this.#client = new DhcpClient({
      link: this.#options.link,
      namespace: this.#options.namespace,
      hook: this.#options.hook,
      clock: this.#options.clock,
      onEvent: (event) => this.#onEvent(event),
      onEnd: (why) => this.#options.log(`udhcpc on ${this.#options.link} ${why}; starting again`),
    });
  }

  async #stopClient(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.stop();
  }

  #onEvent(event: DhcpEvent): void {
    const { log, link, onChange } = this.#options;
    if (event.event === "bound" || event.event === "renew") {
      this.#isServerAway = false;
      const before = this.#lease?.address;
      this.#take(event.lease);
      if (before !== event.lease.address) log(`${link} has the lease ${event.lease.address}`);
    } else if (event.event === "leasefail") {
      this.#isServerAway = true;
    } else if (event.event === "deconfig" && this.#lease !== undefined) {
      // Its time has come, or the server took it back.
      log(`${link} has lost the lease ${this.#lease.address}`);
      this.#lease = undefined;
      this.#queue = this.#queue.then(() => this.#dropLease()).catch(() => undefined);
    }
    this.settle().then(onChange, (error: Error) => {
      log(`${link}: ${error.message}`);
      onChange();
    });
  }

  async #dropLease(): Promise<void> {
    await this.#removeOthers({ addresses: [], routes: [] });
  }
}

function canonical(text: string): string | undefined {
  const cidr = parseCidr(text);
  return cidr === undefined ? undefined : `${formatHost(cidr)}/${cidr.length}`;
}

function sameRoute(a: string, b: string): boolean {
  if (a === b) return true;
  const [left, right] = [parseCidr(a), parseCidr(b.includes("/") ? b : `${b}/32`)];
  if (left === undefined || right === undefined) return false;
  const [x, y] = [networkOf(left), networkOf(right)];
  return x.family === y.family && x.address === y.address && x.length === y.length;
}
