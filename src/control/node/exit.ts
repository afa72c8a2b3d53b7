/**
 * The shared way out (zos: ndmz): one namespace between the networks' legs and the underlay. Without a NIC of its own it goes through
 * the host, which masquerades it behind its own address: no second DHCP lease. Nothing passes between networks, nothing into the
 * underlay's LAN unless a network is allowed to, nothing in that was not asked for. Pure.
 */
import {
  addressText,
  cidrOf,
  formatCidr,
  hostOf,
  networkOf,
  overlaps,
  sizeOf,
} from "../model/cidr.ts";
import type { DesiredNetwork } from "../model/desired-state.ts";
import { EXIT_BRIDGE, EXIT_NAMESPACE, LINK_GROUP, macOf, SHARED_MARK } from "../model/names.ts";
import type { Wanted, WantedLink, WantedPlace, WantedRoute } from "./wanted.ts";

/** A NIC (or the bridge on it) that the way out has for itself. */
export interface ExitNic {
  readonly parent: string;
  /** With lengths. */
  readonly addresses: readonly string[];
  readonly gateway4?: string | undefined;
  readonly gateway6?: string | undefined;
}

export interface ExitSettings {
  /** IPv4 prefix of the legs' addresses, at most /24. */
  readonly range: string;
  /** IPv6 prefix of the same. */
  readonly range6: string;
  readonly nic?: ExitNic | undefined;
}

/** What is known of the namespace that holds the sockets and the way out. */
export interface Underlay {
  readonly mtu: number;
  /** Prefixes on its links. */
  readonly lan: readonly string[];
  /** The link of the IPv6 default route; undefined: there is none. */
  readonly device6: string | undefined;
  /** Unlike any other node's: MAC addresses on links that nodes share are derived from it. */
  readonly seed: string;
}

/** As zos has it, and a ULA of our own for IPv6. */
export const DEFAULT_EXIT: ExitSettings = {
  range: "100.127.0.0/16",
  range6: "fd77:6878:6974::/64",
};

/** Link in the namespace towards the networks, towards the host; their ends in the host. */
const LEGS = "legs";
const OUT = "out";
const NIC = "nic";
const HOST_LEGS = "wh-legs";
const HOST_OUT = "wh-out";
const GROUP = `group ${LINK_GROUP}`;
/** The namespace's and the host's end of the link between them. */
const INNER_LINK_LOCAL = "fe80::2";
const HOST_LINK_LOCAL = "fe80::1";

/** RFC 6890: what is no public destination, of either family. */
const PRIVATE4: readonly string[] = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "224.0.0.0/3",
];
const PRIVATE6: readonly string[] = ["::/8", "fc00::/7", "fe80::/10", "ff00::/8"];

/** A network's IPv4 and IPv6 address on the way out, with lengths. */
export function exitAddresses({ range, range6 }: ExitSettings, index: number): readonly string[] {
  return [formatCidr(hostOf(cidrOf(range), index)), formatCidr(hostOf(cidrOf(range6), index))];
}

/** The networks' gateways. */
export function exitGateways({ range }: ExitSettings): {
  readonly v4: string;
  readonly v6: string;
} {
  return { v4: addressText(hostOf(cidrOf(range), 1)), v6: "fe80::1" };
}

/** Greatest index that a network can have: the last four addresses are those of the link to the host. */
export function lastExitIndex({ range }: ExitSettings): number {
  return sizeOf(cidrOf(range)) - 5;
}

/** Smallest index that no network has; undefined: the range is full. */
export function freeExitIndex(
  settings: ExitSettings,
  taken: ReadonlySet<number>,
): number | undefined {
  const last = lastExitIndex(settings);
  for (let index = 2; index <= last; index++) if (!taken.has(index)) return index;
  return undefined;
}

/** The /30 at the end of the range: the host's address, then the namespace's. */
function hostLink({ range }: ExitSettings): { readonly host: string; readonly inner: string } {
  const parsed = cidrOf(range);
  const size = sizeOf(parsed);
  const at = (index: number): string => addressText(hostOf(parsed, index));
  return { host: at(size - 3), inner: at(size - 2) };
}

/** True if a network needs the way out. */
export function needsExit({ resource }: DesiredNetwork): boolean {
  return resource.internet || resource.lan.length > 0;
}

/** Which of the prefixes the way out's own range would take away from the machine or from a network; undefined: none. */
export function exitClash(
  { range, range6 }: ExitSettings,
  prefixes: readonly string[],
): string | undefined {
  const own = [range, range6].map(cidrOf);
  // A default route is everything's, and the more specific wins.
  return prefixes.find((text) => {
    const prefix = cidrOf(text);
    return prefix.length > 0 && own.some((other) => overlaps(other, prefix));
  });
}

/** What is shared, for these networks. Nothing, if none needs it. */
export function exitWanted(
  settings: ExitSettings,
  underlay: Underlay,
  networks: readonly DesiredNetwork[],
): Wanted {
  const users = networks.filter(needsExit);
  if (users.length === 0) return { mark: SHARED_MARK, places: [] };
  const places = [hostPlace(settings, underlay), innerPlace(settings, underlay, users)];
  return { mark: SHARED_MARK, places };
}

function hostPlace(settings: ExitSettings, underlay: Underlay): WantedPlace {
  const { mtu, device6 } = underlay;
  const links: WantedLink[] = [
    {
      name: EXIT_BRIDGE,
      kind: "bridge",
      create: `link add name ${EXIT_BRIDGE} address ${macOf(EXIT_BRIDGE)} ${GROUP} type bridge`,
      alias: SHARED_MARK,
      mac: macOf(EXIT_BRIDGE),
      addresses: [],
    },
    cable(HOST_LEGS, LEGS, mtu, { master: EXIT_BRIDGE, addresses: [] }),
  ];
  const sysctls: (readonly [string, string | number])[] = [
    [`net/ipv6/conf/${EXIT_BRIDGE}/disable_ipv6`, 1],
    [`net/ipv6/conf/${HOST_LEGS}/disable_ipv6`, 1],
  ];
  const common = { namespace: undefined, mark: undefined } as const;
  if (settings.nic !== undefined) return { ...common, links, sysctls, routes: [], tables: [] };
  const { host, inner } = hostLink(settings);
  links.push(cable(HOST_OUT, OUT, mtu, { addresses: [`${host}/30`, `${HOST_LINK_LOCAL}/64`] }));
  sysctls.push(["net/ipv4/ip_forward", 1], [`net/ipv6/conf/${HOST_OUT}/accept_ra`, 0]);
  const routes: WantedRoute[] = [
    { to: networkText(settings.range), family: 4, via: inner, dev: HOST_OUT },
  ];
  if (device6 !== undefined) {
    // Forwarding makes a machine deaf to router advertisements unless told otherwise (K ip-sysctl accept_ra).
    sysctls.push([`net/ipv6/conf/${device6}/accept_ra`, 2], ["net/ipv6/conf/all/forwarding", 1]);
  }
  routes.push({
    to: networkText(settings.range6),
    family: 6,
    via: INNER_LINK_LOCAL,
    dev: HOST_OUT,
  });
  return {
    ...common,
    links,
    sysctls,
    routes,
    tables: [{ family: "inet", name: "wirehaul", rules: HOST_RULES }],
  };
}

/** Only answers go in, nothing from workloads to the host itself. */
const HOST_RULES = `  chain input {
    type filter hook input priority filter; policy accept;
    iifname "${HOST_OUT}" ct state established,related accept
    iifname "${HOST_OUT}" icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    iifname "${HOST_OUT}" drop
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname "${HOST_OUT}" ct state invalid drop
    oifname "${HOST_OUT}" ct state established,related accept
    oifname "${HOST_OUT}" drop
    iifname "${HOST_OUT}" tcp flags & (syn|rst) == syn tcp option maxseg size set rt mtu
  }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    iifname "${HOST_OUT}" masquerade
  }`;

function innerPlace(
  settings: ExitSettings,
  underlay: Underlay,
  users: readonly DesiredNetwork[],
): WantedPlace {
  const { nic } = settings;
  const { mtu } = underlay;
  const { host, inner } = hostLink(settings);
  const legs: WantedLink = {
    name: LEGS,
    kind: "veth",
    alias: SHARED_MARK,
    mac: macOf(LEGS),
    mtu,
    addresses: [...exitAddresses(settings, 1), "fe80::1/64"],
  };
  const nicMac = macOf(`${NIC} ${underlay.seed} ${nic?.parent}`);
  const out: WantedLink =
    nic === undefined
      ? {
          name: OUT,
          kind: "veth",
          alias: SHARED_MARK,
          mtu,
          addresses: [`${inner}/30`, `${INNER_LINK_LOCAL}/64`],
        }
      : {
          name: NIC,
          kind: "macvlan",
          create: `link add link ${nic.parent} name ${NIC} netns ${EXIT_NAMESPACE} address ${nicMac} ${GROUP} type macvlan mode bridge`,
          alias: SHARED_MARK,
          mac: nicMac,
          addresses: nic.addresses,
        };
  const via4 = nic === undefined ? host : nic.gateway4;
  const via6 = nic === undefined ? HOST_LINK_LOCAL : nic.gateway6;
  const routes: WantedRoute[] = [];
  if (via4 !== undefined) routes.push({ to: "default", family: 4, via: via4, dev: out.name });
  if (via6 !== undefined) routes.push({ to: "default", family: 6, via: via6, dev: out.name });
  return {
    namespace: EXIT_NAMESPACE,
    mark: SHARED_MARK,
    sysctls: [
      ["net/ipv4/ip_forward", 1],
      ["net/ipv6/conf/all/forwarding", 1],
      [`net/ipv6/conf/${out.name}/accept_ra`, 0],
    ],
    links: [legs, out],
    routes,
    tables: [
      { family: "inet", name: "wirehaul", rules: innerRules(settings, underlay, users, out.name) },
    ],
  };
}

function innerRules(
  settings: ExitSettings,
  underlay: Underlay,
  users: readonly DesiredNetwork[],
  out: string,
): string {
  const own = settings.nic?.addresses ?? [];
  const local = [...underlay.lan, ...own].map(networkText);
  const lan = (family: 2 | 10, known: readonly string[]): string =>
    [...new Set([...known, ...local])].filter((text) => cidrOf(text).family === family).join(", ");
  const special: string[] = [];
  for (const { resource, exitIndex } of users) {
    if (resource.internet && resource.lan.length === 0) continue;
    const [v4 = "", v6 = ""] = exitAddresses(settings, exitIndex).map((text) =>
      addressText(cidrOf(text)),
    );
    for (const text of resource.lan) {
      const to = networkText(text);
      const rule =
        cidrOf(to).family === 2 ? `ip saddr ${v4} ip daddr` : `ip6 saddr ${v6} ip6 daddr`;
      special.push(`    oifname "${out}" ${rule} ${to} accept`);
    }
    if (!resource.internet) special.push(`    ip saddr ${v4} drop`, `    ip6 saddr ${v6} drop`);
  }
  return `  chain input {
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    iifname "${LEGS}" icmp type echo-request accept
    iifname "${LEGS}" icmpv6 type echo-request accept
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    ct state invalid drop
    iifname != "${LEGS}" drop
    ip saddr != ${networkText(settings.range)} drop
    ip6 saddr != ${networkText(settings.range6)} drop
    oifname "${LEGS}" drop
${special.map((line) => `${line}\n`).join("")}    ip daddr { ${lan(2, PRIVATE4)} } drop
    ip6 daddr { ${lan(10, PRIVATE6)} } drop
    oifname "${out}" accept
  }
  chain postrouting {
    type nat hook postrouting priority srcnat;
${settings.nic === undefined ? "" : `    oifname "${out}" masquerade fully-random\n`}  }
  chain clamp {
    type filter hook forward priority mangle;
    tcp flags & (syn|rst) == syn tcp option maxseg size set rt mtu
  }`;
}

function cable(
  name: string,
  far: string,
  mtu: number,
  more: { readonly master?: string; readonly addresses: readonly string[] },
): WantedLink {
  const peer = `peer name ${far} netns ${EXIT_NAMESPACE} address ${macOf(far)} ${GROUP}`;
  return {
    name,
    kind: "veth",
    create: `link add name ${name} ${GROUP} type veth ${peer}`,
    alias: SHARED_MARK,
    mtu,
    ...more,
  };
}

function networkText(text: string): string {
  return formatCidr(networkOf(cidrOf(text)));
}
