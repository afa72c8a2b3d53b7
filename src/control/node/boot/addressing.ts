/**
 * What gives a link its addresses, and keeps them: static settings, or a supervised DHCP client beside router advertisements. Whatever
 * it set and no longer wants, it takes away; the order is new before old, so that what stays in use is never missing.
 */

import type { Clock } from "../../linux/clock.ts";
import { ipBatch, listAddresses, listRoutes, type RouteInfo } from "../../linux/ip.ts";
import { setSysctls } from "../../linux/sysctl.ts";
import { DhcpClient, type DhcpEvent, type Lease } from "../../linux/udhcpc.ts";
import {
  contains,
  formatCidr,
  isSame,
  networkOf,
  parseCidr,
  parseHost,
  parseInterfaceAddress,
} from "../../model/cidr.ts";
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

/** What a link has: addresses but link-local ones, routes with a gateway. */
interface Present {
  readonly addresses: readonly {
    readonly text: string;
    readonly family: "inet" | "inet6";
    readonly isDynamic: boolean;
  }[];
  readonly routes: readonly RouteInfo[];
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

/** A lease for ever: still one that ends, by which the kernel, and we, know it from a static address. Ours: a year. */
const FOREVER_S = 31_536_000;

/** What a link with a lease has. */
export function wantedOfLease(lease: Lease, seconds: number | undefined): Wanted {
  const source = lease.address.slice(0, lease.address.indexOf("/"));
  const gateway = lease.gateway;
  const routes = lease.routes.map(({ to, via }) => ({ to, via }));
  if (gateway !== undefined) routes.push({ to: "default", via: gateway });
  return {
    addresses: [lease.address],
    routes: routes.map(({ to, via }) => ({ to, via, protocol: "dhcp", source })),
    seconds: seconds ?? FOREVER_S,
  };
}

/** Lines for `ip -batch` that give a link what is wanted; `addresses` are all that it has then. */
export function linesFor(
  link: string,
  wanted: Wanted,
  addresses: readonly string[] = wanted.addresses,
): string[] {
  const life = wanted.seconds === undefined ? "forever" : `${Math.max(1, wanted.seconds)}`;
  const subnets = addresses.flatMap((text) => parseInterfaceAddress(text) ?? []);
  return [
    ...wanted.addresses.map((address) => {
      const broadcast = address.includes(":") ? "" : " broadcast +";
      return `address replace ${address}${broadcast} dev ${link} valid_lft ${life} preferred_lft ${life}`;
    }),
    ...wanted.routes.map(({ to, via, protocol, source }) => {
      const gateway = parseHost(via);
      const isOnSubnet = gateway !== undefined && subnets.some((cidr) => contains(cidr, gateway));
      // A gateway outside the subnet is on the wire all the same: some hosters lease a /32.
      const onlink = gateway?.family === 10 || isOnSubnet ? "" : " onlink";
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
  /** The lease has ended, by its time or the server's word. */
  #isLost = false;
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
        // Otherwise the new address of a subnet goes with the old one.
        [`net/ipv4/conf/${link}/promote_secondaries`, 1],
      ],
      namespace,
    );
    if (isStatic(settings)) {
      await this.reset();
    } else if (firstLease !== undefined) {
      this.#take(firstLease);
    }
    await this.settle(firstLease !== undefined);
    if (!isStatic(settings)) this.#startClient();
  }

  /** The link is on another network now: what was leased on the one before is void. */
  async reset(): Promise<void> {
    await this.#stopClient();
    this.#lease = undefined;
    this.#isLost = false;
    this.#isServerAway = false;
  }

  /** After the carrier came back: the server may be another one. */
  renew(): void {
    this.#client?.renew();
  }

  /**
   * Puts right what is not as it should be, and touches nothing else: each change is an event to whoever watches. `isRenewed`: the
   * lease's time starts anew. Calls come one after the other.
   */
  settle(isRenewed = false): Promise<void> {
    const next = this.#queue.then(() => this.#settle(isRenewed));
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
    this.#isLost = false;
    const { seconds } = lease;
    this.#leaseEnds =
      seconds === undefined ? undefined : this.#options.clock.now() + seconds * 1000;
  }

  #wanted(): Wanted {
    if (isStatic(this.#settings)) return wantedOfSettings(this.#settings);
    if (this.#lease === undefined) return { addresses: [], routes: [] };
    const left =
      this.#leaseEnds === undefined
        ? undefined
        : Math.round((this.#leaseEnds - this.#options.clock.now()) / 1000);
    return wantedOfLease(this.#lease, left);
  }

  async #settle(isRenewed: boolean): Promise<void> {
    // All of one moment: an event may come while this waits.
    const wanted = this.#wanted();
    const isWaiting = this.#isWaiting();
    const isPatient = isWaiting && !this.#isServerAway;
    await this.#addMissing(wanted, isRenewed);
    // The kernel takes routes away together with an address.
    if (await this.#removeOthers(wanted, isWaiting, isPatient))
      await this.#addMissing(wanted, false);
  }

  async #addMissing(wanted: Wanted, isRenewed: boolean): Promise<void> {
    const { link, namespace } = this.#options;
    const present = await this.#read();
    const isThere = (address: string): boolean =>
      present.addresses.some(({ text }) => text === canonical(address));
    const missing: Wanted = {
      ...wanted,
      addresses: wanted.addresses.filter((address) => isRenewed || !isThere(address)),
      routes: wanted.routes.filter(
        (route) => !present.routes.some((other) => isSameRoute(route, other)),
      ),
    };
    const lines = linesFor(link, missing, wanted.addresses);
    await ipBatch(lines, namespace);
  }

  async #read(): Promise<Present> {
    const { link, namespace } = this.#options;
    const lists = await listAddresses(namespace);
    const addresses = lists.find(({ ifname }) => ifname === link)?.addr_info ?? [];
    const routes = [...(await listRoutes(4, namespace)), ...(await listRoutes(6, namespace))];
    return {
      addresses: addresses.flatMap(({ local, prefixlen, scope, family, dynamic }) => {
        const text = canonical(`${local ?? ""}/${prefixlen}`);
        if (text === undefined || scope === "link") return [];
        return [{ text, family, isDynamic: dynamic === true }];
      }),
      routes: routes.filter(({ dev, gateway }) => dev === link && gateway !== undefined),
    };
  }

  /**
   * True: there was something. `isWaiting`: leases of an earlier life stay, and end by themselves; `isPatient`: static addresses
   * too, until a server has answered or had its time to.
   */
  async #removeOthers(wanted: Wanted, isWaiting: boolean, isPatient: boolean): Promise<boolean> {
    const { link, namespace } = this.#options;
    const present = await this.#read();
    const keep = new Set(wanted.addresses.map((text) => canonical(text)));
    const isKept = (family: string, isDynamic: boolean): boolean => {
      // Router advertisements' own are the kernel's matter.
      if (family === "inet6") return isDynamic && !this.#hasStatic6();
      return isPatient || (isDynamic && isWaiting);
    };
    const lines = present.addresses.flatMap(({ text, family, isDynamic }) =>
      keep.has(text) || isKept(family, isDynamic) ? [] : [`address del ${text} dev ${link}`],
    );
    for (const route of present.routes) {
      const { dst, gateway, protocol } = route;
      if (protocol === "kernel" || (protocol === "ra" && !this.#hasStatic6())) continue;
      const isRoute4 = !(gateway ?? "").includes(":");
      if (isRoute4 && (isPatient || (protocol === "dhcp" && isWaiting))) continue;
      if (wanted.routes.some((other) => isSameRoute(other, route))) continue;
      lines.push(`route del ${dst} via ${gateway} dev ${link} proto ${protocol ?? "boot"}`);
    }
    for (const line of lines) {
      // It may have gone by itself, a route with its address.
      await ipBatch([line], namespace).catch(() => undefined);
    }
    return lines.length > 0;
  }

  /** With DHCP, and without a word from a server so far. */
  #isWaiting(): boolean {
    return !isStatic(this.#settings) && this.#lease === undefined && !this.#isLost;
  }

  #hasStatic6(): boolean {
    return this.#settings.addresses.some((address) => address.includes(":"));
  }

  #startClient(): void {
    if (this.#client !== undefined) return;
    const client = new DhcpClient({
      link: this.#options.link,
      namespace: this.#options.namespace,
      hook: this.#options.hook,
      clock: this.#options.clock,
      onEvent: (event) => {
        // The last words of one that was told to stop are about another network.
        if (this.#client === client) this.#onEvent(event);
      },
      onEnd: (why) => this.#options.log(`udhcpc on ${this.#options.link} ${why}; starting again`),
    });
    this.#client = client;
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
      this.#isLost = true;
    }
    this.settle(event.event === "bound" || event.event === "renew").then(
      onChange,
      (error: Error) => {
        log(`${link}: ${error.message}`);
        onChange();
      },
    );
  }
}

function canonical(text: string): string | undefined {
  const cidr = parseCidr(text);
  return cidr === undefined ? undefined : formatCidr(cidr);
}

function isSameRoute(wanted: WantedRoute, { dst, gateway, protocol }: RouteInfo): boolean {
  if (wanted.protocol !== protocol) return false;
  const [here, there] = [parseHost(wanted.via), parseHost(gateway ?? "")];
  if (here === undefined || there === undefined || !isSame(here, there)) return false;
  if (dst === "default") return wanted.to === "default" || /\/0$/.test(wanted.to);
  const [left, right] = [parseCidr(wanted.to), parseCidr(dst)];
  if (left === undefined || right === undefined) return false;
  return isSame(networkOf(left), networkOf(right));
}
