/**
 * What there should be on the machine for one network: its namespace with tunnel, gateway and exit leg, its bridge in the host, its
 * workloads' cables. Pure.
 */
import { cidrOf, contains } from "../model/cidr.ts";
import type { DesiredNetwork } from "../model/desired-state.ts";
import {
  bridgeName,
  EXIT_BRIDGE,
  EXIT_LEG,
  LINK_GROUP,
  macOf,
  markOf,
  namespaceName,
  tunName,
} from "../model/names.ts";
import { gateway6Of, gatewayOf, type NetworkResource } from "../model/network-resource.ts";
import {
  type ExitSettings,
  exitAddresses,
  exitGateways,
  needsExit,
  type Underlay,
} from "./exit.ts";
import type { Wanted, WantedLink, WantedPlace, WantedRoute } from "./wanted.ts";
import { workloadParts } from "./workload-links.ts";

/** IPv6, UDP and WireGuard around a packet: 40 + 8 + 32 bytes (WP 5.4.6). */
export const TUNNEL_OVERHEAD = 80;
const GROUP = `group ${LINK_GROUP}`;

export function tunnelMtu({ mtu }: NetworkResource, underlay: Underlay): number {
  return mtu ?? underlay.mtu - TUNNEL_OVERHEAD;
}

export function networkWanted(
  network: DesiredNetwork,
  exit: ExitSettings,
  underlay: Underlay,
): Wanted {
  const { resource, workloads } = network;
  const parts = workloadParts(resource, workloads, underlay.seed);
  const bridge = bridgeName(resource.id);
  const mark = markOf(resource.id);
  const host: WantedPlace = {
    namespace: undefined,
    mark: undefined,
    // Workloads' frames are nothing to the host: it has no address there.
    sysctls: [[`net/ipv6/conf/${bridge}/disable_ipv6`, 1], ...parts.hostSysctls],
    links: [
      {
        name: bridge,
        kind: "bridge",
        create: `link add name ${bridge} address ${macOf(bridge)} ${GROUP} type bridge`,
        alias: mark,
        mac: macOf(bridge),
        addresses: [],
      },
      ...parts.hostLinks,
    ],
    routes: [],
    tables: parts.hostTables,
  };
  return { mark, places: [host, innerPlace(network, exit, underlay), ...parts.places] };
}

function innerPlace(network: DesiredNetwork, exit: ExitSettings, underlay: Underlay): WantedPlace {
  const { resource, exitIndex } = network;
  const { id } = resource;
  const namespace = namespaceName(id);
  const [tun, leg, mark] = [tunName(id), namespaceName(id), markOf(id)];
  const gateway6 = gateway6Of(resource);
  const links: WantedLink[] = [
    {
      name: tun,
      kind: "tun",
      alias: mark,
      mtu: tunnelMtu(resource, underlay),
      addresses: resource.tunnelAddresses,
    },
    {
      name: leg,
      kind: "macvlan",
      create: `link add link ${bridgeName(id)} name ${leg} netns ${namespace} address ${macOf(leg)} ${GROUP} type macvlan mode bridge`,
      alias: mark,
      mac: macOf(leg),
      addresses: [gatewayOf(resource), ...(gateway6 === undefined ? [] : [gateway6]), "fe80::1/64"],
    },
  ];
  const routes: WantedRoute[] = [{ to: resource.range, family: 4, dev: tun }];
  if (resource.range === resource.subnet) routes.pop();
  if (resource.range6 !== undefined && resource.range6 !== resource.subnet6) {
    routes.push({ to: resource.range6, family: 6, dev: tun });
  }
  routes.push(...peerRoutes(resource, tun));
  if (needsExit(network)) {
    const { v4, v6 } = exitGateways(exit);
    const mac = macOf(`${EXIT_LEG} ${id}`);
    links.push({
      name: EXIT_LEG,
      kind: "macvlan",
      create: `link add link ${EXIT_BRIDGE} name ${EXIT_LEG} netns ${namespace} address ${mac} ${GROUP} type macvlan mode private`,
      alias: mark,
      mac,
      mtu: underlay.mtu,
      addresses: exitAddresses(exit, exitIndex),
    });
    routes.push({ to: "default", family: 4, via: v4, dev: EXIT_LEG });
    routes.push({ to: "default", family: 6, via: v6, dev: EXIT_LEG });
  }
  return {
    namespace,
    mark,
    sysctls: [
      ["net/ipv4/ip_forward", 1],
      ["net/ipv6/conf/all/forwarding", 1],
      // Root's group may ask for echoes without a raw socket (icmp(7)): peers are probed so.
      ["net/ipv4/ping_group_range", "0\t0"],
      // No router solicitations into the tunnel.
      [`net/ipv6/conf/${tun}/addr_gen_mode`, 1],
    ],
    links,
    routes,
    tables: [{ family: "inet", name: "wirehaul", rules: rules(resource, tun, leg) }],
  };
}

/** What peers have beside the network's ranges: their tunnel addresses, other subnets. */
function peerRoutes({ range, range6, peers }: NetworkResource, tun: string): WantedRoute[] {
  const covering = [range, ...(range6 === undefined ? [] : [range6])].map(cidrOf);
  const targets = new Set<string>();
  for (const { allowedIps } of peers) for (const text of allowedIps) targets.add(text);
  const routes: WantedRoute[] = [];
  for (const to of targets) {
    const parsed = cidrOf(to);
    // A default route belongs to the exit.
    if (parsed.length === 0 || covering.some((cover) => contains(cover, parsed))) continue;
    routes.push({ to, family: parsed.family === 2 ? 4 : 6, dev: tun });
  }
  return routes;
}

function rules({ subnet, subnet6 }: NetworkResource, tun: string, leg: string): string {
  const inside6 =
    subnet6 === undefined
      ? `iifname "${leg}" meta nfproto ipv6`
      : `iifname "${leg}" ip6 saddr != ${subnet6}`;
  return `  chain input {
    type filter hook input priority filter; policy accept;
    ct state established,related accept
    iifname "${EXIT_LEG}" icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    iifname "${EXIT_LEG}" drop
    ct state invalid drop
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    tcp flags & (syn|rst) == syn tcp option maxseg size set rt mtu
    ct state established,related accept
    ct state invalid drop
    iifname "${EXIT_LEG}" drop
    iifname "${tun}" oifname "${EXIT_LEG}" drop
    iifname "${leg}" ip saddr != ${subnet} drop
    ${inside6} drop
  }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    oifname "${EXIT_LEG}" masquerade fully-random
  }`;
}
