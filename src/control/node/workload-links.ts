/** What there should be on the machine for a network's workloads: cables, TAPs, and the guard of public addresses. Pure. */
import type { Sysctl } from "../linux/sysctl.ts";
import { addressText, cidrOf } from "../model/cidr.ts";
import { bridgeName, LINK_GROUP, linkLocalOf, macOf, markOf, portName } from "../model/names.ts";
import { gateway6Of, gatewayOf, type NetworkResource } from "../model/network-resource.ts";
import { type Join, type PublicAddress, subnetOf, type Workload } from "../model/workload.ts";
import type { WantedLink, WantedPlace, WantedRoute, WantedTable } from "./wanted.ts";

const GROUP = `group ${LINK_GROUP}`;

export interface WorkloadParts {
  readonly hostLinks: readonly WantedLink[];
  readonly hostSysctls: readonly Sysctl[];
  readonly hostTables: readonly WantedTable[];
  /** Namespaces of workloads. */
  readonly places: readonly WantedPlace[];
}

/** The MAC address of a workload's interface. */
export function workloadMac(seed: string, network: string, { kind, id }: Workload): string {
  return macOf(`${kind} ${seed} ${network}/${id}`);
}

export function workloadParts(
  resource: NetworkResource,
  workloads: readonly Workload[],
  seed: string,
): WorkloadParts {
  const hostLinks = workloads.map((workload) => hostLink(seed, resource.id, workload));
  const inside = new Map<string, (Join | PublicAddress)[]>();
  for (const workload of workloads) {
    if (workload.kind === "tap" || workload.namespace === undefined) continue;
    const list = inside.get(workload.namespace) ?? [];
    list.push(workload);
    inside.set(workload.namespace, list);
  }
  const guarded = workloads.filter((workload) => workload.kind === "public");
  return {
    hostLinks,
    hostSysctls: hostLinks.map(({ name }): Sysctl => [`net/ipv6/conf/${name}/disable_ipv6`, 1]),
    hostTables: guarded.length === 0 ? [] : [guardTable(seed, resource.id, guarded)],
    places: [...inside].map(([namespace, members]) => place(seed, resource, namespace, members)),
  };
}

function hostLink(seed: string, network: string, workload: Workload): WantedLink {
  const name = portName(workload.kind, network, workload.id);
  const master = workload.kind === "public" ? workload.bridge : bridgeName(network);
  const common = { name, alias: markOf(network), master, addresses: [] } as const;
  const namespace = workload.kind === "tap" ? undefined : workload.namespace;
  if (workload.kind === "tap" || namespace === undefined) {
    const owner =
      workload.kind === "tap" && workload.owner !== undefined ? ` user ${workload.owner}` : "";
    return { ...common, kind: "tap", create: `tuntap add dev ${name} mode tap${owner} vnet_hdr` };
  }
  const mac = workloadMac(seed, network, workload);
  const far = `peer name ${workload.interface} netns ${namespace} address ${mac} ${GROUP}`;
  return { ...common, kind: "veth", create: `link add name ${name} ${GROUP} type veth ${far}` };
}

function place(
  seed: string,
  resource: NetworkResource,
  namespace: string,
  members: readonly (Join | PublicAddress)[],
): WantedPlace {
  const mark = markOf(resource.id);
  const links = members.map((member): WantedLink => {
    const addresses =
      member.kind === "public"
        ? member.addresses
        : member.addresses.map(
            (text) => `${text}/${(subnetOf(text, resource) ?? "").split("/")[1]}`,
          );
    const mac = workloadMac(seed, resource.id, member);
    return { name: member.interface, kind: "veth", alias: mark, mac, addresses };
  });
  // A namespace has one route to each target: by the cable that came first.
  const routes = new Map<string, WantedRoute>();
  for (const member of members) {
    for (const route of routesOf(resource, member, members)) {
      const name = `${route.family} ${route.to}`;
      if (!routes.has(name)) routes.set(name, route);
    }
  }
  const sysctls = members
    .filter(({ kind }) => kind === "join")
    .map((member): Sysctl => [`net/ipv6/conf/${member.interface}/accept_ra`, 0]);
  const isShared = !members.some(({ isMade }) => isMade === true);
  return { namespace, mark, isShared, sysctls, links, routes: [...routes.values()], tables: [] };
}

/** A public gateway takes the default route; the network's own ranges stay with its own. */
function routesOf(
  resource: NetworkResource,
  member: Join | PublicAddress,
  all: readonly (Join | PublicAddress)[],
): WantedRoute[] {
  const dev = member.interface;
  if (member.kind === "public") {
    const { gateway4, gateway6 } = member;
    return [
      ...(gateway4 === undefined
        ? []
        : [{ to: "default", family: 4, via: gateway4, dev } as const]),
      ...(gateway6 === undefined
        ? []
        : [{ to: "default", family: 6, via: gateway6, dev } as const]),
    ];
  }
  const routes: WantedRoute[] = [];
  const families = new Set(member.addresses.map((text) => cidrOf(text).family));
  const gateway6 = gateway6Of(resource);
  const isPublic = (family: 4 | 6): boolean =>
    all.some(
      (other) =>
        other.kind === "public" && (family === 4 ? other.gateway4 : other.gateway6) !== undefined,
    );
  if (families.has(2)) {
    const via = addressText(cidrOf(gatewayOf(resource)));
    if (resource.range !== resource.subnet)
      routes.push({ to: resource.range, family: 4, via, dev });
    if (!isPublic(4)) routes.push({ to: "default", family: 4, via, dev });
  }
  if (families.has(10) && gateway6 !== undefined) {
    const via = addressText(cidrOf(gateway6));
    const { range6, subnet6 } = resource;
    if (range6 !== undefined && range6 !== subnet6)
      routes.push({ to: range6, family: 6, via, dev });
    if (!isPublic(6)) routes.push({ to: "default", family: 6, via, dev });
  }
  return routes;
}

/**
 * From a public port only its own MAC address with its own addresses, in IPv4, ARP, IPv6 and neighbour discovery, and no router's
 * words; to it only what is for it.
 */
function guardTable(seed: string, network: string, guarded: readonly PublicAddress[]): WantedTable {
  const from = guarded.flatMap((workload) => guardRules(seed, network, workload));
  const to = guarded.map(({ id, addresses }) => {
    const own = addresses
      .map(cidrOf)
      .filter(({ family }) => family === 2)
      .map(addressText);
    const allowed = [...own, "224.0.0.0/4", "255.255.255.255"].join(", ");
    return `    oifname "${portName("public", network, id)}" ip daddr != { ${allowed} } drop`;
  });
  return {
    family: "bridge",
    name: `wirehaul_${network}`,
    rules: `  chain from {
    type filter hook prerouting priority -300; policy accept;
${from.map((rule) => `    ${rule}\n`).join("")}  }
  chain to {
    type filter hook postrouting priority 300; policy accept;
${to.join("\n")}
  }`,
  };
}

function guardRules(seed: string, network: string, workload: PublicAddress): string[] {
  const port = `iifname "${portName("public", network, workload.id)}"`;
  const mac = workloadMac(seed, network, workload);
  const own = workload.addresses.map(cidrOf);
  const v4 = own.filter(({ family }) => family === 2).map(addressText);
  const v6 = own.filter(({ family }) => family === 10).map(addressText);
  const rules = [`${port} ether saddr != ${mac} drop`];
  if (v4.length === 0) rules.push(`${port} ether type { ip, arp } drop`);
  else {
    const list = `{ ${v4.join(", ")} }`;
    rules.push(
      `${port} arp saddr ether != ${mac} drop`,
      `${port} arp saddr ip != ${list} drop`,
      `${port} ip saddr != ${list} drop`,
    );
  }
  if (v6.length === 0) rules.push(`${port} ether type ip6 drop`);
  else {
    const list = [...v6, linkLocalOf(mac)];
    const targets = list.map((text) => hexOf(text)).join(", ");
    rules.push(
      `${port} icmpv6 type { nd-router-advert, nd-redirect } drop`,
      `${port} icmpv6 type nd-neighbor-advert @th,64,128 != { ${targets} } drop`,
      // The unspecified address: duplicate address detection (RFC 4862 5.4.2).
      `${port} ip6 saddr != { ${[...list, "::"].join(", ")} } drop`,
    );
  }
  return [...rules, `${port} ether type != { ip, arp, ip6 } drop`];
}

function hexOf(text: string): string {
  const bytes = Array.from(cidrOf(text).bytes, (byte) => byte.toString(16).padStart(2, "0"));
  return `0x${bytes.join("")}`;
}
