/**
 * Holds a node configuration against a census: what can't work, or would cut off management, is refused with the reason. Pure.
 */
import {
  addressText,
  type Cidr,
  cidrOf,
  contains,
  formatCidr,
  isNetwork,
  isSame,
  lastOf,
  networkOf,
  overlaps,
  parseHost,
  parseInterfaceAddress,
  widthOf,
} from "./cidr.ts";
import { findNic, type Nic } from "./nic.ts";
import type { NicSettings, NodeConfig, Role } from "./node-config.ts";

/** fe80::/10 (RFC 4291 section 2.5.6): a router may be named by its link-local address. */
const LINK_LOCAL: Cidr = cidrOf("fe80::/10");

/** Roles that one NIC at most has; "public" may be on several. */
const SINGLE: readonly Role[] = ["management", "overlay", "exit"];

/** Every reason why a configuration can't be applied to a machine with these NICs; none: it can. */
export function refusalsOf(config: NodeConfig, census: readonly Nic[]): string[] {
  const reasons = [
    ...duplicates(config, census),
    ...rangeFaults(config, census),
    ...managementFaults(config, census),
  ];
  for (const settings of config.nics) {
    const nic = findNic(census, settings.nic);
    if (nic === undefined) {
      const there = census.filter(({ kind }) => kind !== "bridge").map(({ name }) => name);
      reasons.push(
        `${settings.nic}: there is no such NIC; there are ${there.join(", ") || "none"}`,
      );
    } else if (nic.kind === "bridge") {
      reasons.push(`${settings.nic}: is a bridge, name its NIC`);
    } else if (settings.roles.includes("management") && nic.up && !nic.carrier) {
      reasons.push(`${settings.nic}: would cut off management: the NIC has no carrier`);
    }
    reasons.push(...addressFaults(settings));
  }
  return reasons;
}

/** The uplink's NIC must not lose the role that it has in fact. */
function managementFaults(config: NodeConfig, census: readonly Nic[]): string[] {
  if (config.nics.some(({ roles }) => roles.includes("management"))) return [];
  const bridge = census.find(({ mark }) => mark === "uplink");
  const taken = config.nics.find(({ nic }) => {
    const found = findNic(census, nic);
    return bridge !== undefined && found?.bridge === bridge.name;
  });
  if (taken === undefined) return [];
  return [
    `${taken.nic}: would cut off management: it is the uplink; give it, or another NIC, the role management as well`,
  ];
}

function duplicates(config: NodeConfig, census: readonly Nic[]): string[] {
  const reasons: string[] = [];
  for (const role of SINGLE) {
    const names = config.nics.filter(({ roles }) => roles.includes(role)).map(({ nic }) => nic);
    if (names.length > 1) reasons.push(`the role ${role} is given to ${names.join(" and ")}`);
  }
  const seen = new Set<string>();
  for (const { nic, roles } of config.nics) {
    const name = findNic(census, nic)?.name ?? nic;
    for (const role of roles) {
      if (seen.has(`${name} ${role}`)) reasons.push(`${nic}: has the role ${role} twice`);
      seen.add(`${name} ${role}`);
    }
  }
  const addresses = config.nics.flatMap(({ addresses: list }) =>
    list.map((text) => text.slice(0, text.indexOf("/"))),
  );
  for (const address of new Set(addresses)) {
    if (addresses.indexOf(address) !== addresses.lastIndexOf(address)) {
      reasons.push(`${address} is given twice`);
    }
  }
  return reasons;
}

function rangeFaults(config: NodeConfig, census: readonly Nic[]): string[] {
  const exit = parseInterfaceAddress(config.exitRange);
  if (exit === undefined) return [`exitRange: "${config.exitRange}" is no prefix`];
  const wanted = config.nics.flatMap(({ nic, addresses }) =>
    addresses.map((address) => [nic, address] as const),
  );
  const present = census
    .filter(({ mark }) => mark === undefined || mark === "uplink")
    .flatMap(({ name, addresses }) => addresses.map((address) => [name, address] as const));
  const reasons: string[] = [];
  for (const [nic, address] of [...wanted, ...present]) {
    const cidr = parseInterfaceAddress(address);
    if (cidr !== undefined && overlaps(exit, cidr)) {
      reasons.push(`exitRange: ${config.exitRange} overlaps ${address} of ${nic}`);
    }
  }
  return reasons;
}

function addressFaults(settings: NicSettings): string[] {
  const { nic } = settings;
  const reasons: string[] = [];
  const cidrs = settings.addresses.flatMap((text) => parseInterfaceAddress(text) ?? []);
  for (const cidr of cidrs) {
    const fault = hostFault(cidr);
    if (fault !== undefined) reasons.push(`${nic}: ${formatCidr(cidr)} ${fault}`);
  }
  const families = new Set<number>();
  for (const text of settings.gateways) {
    const gateway = parseHost(text);
    if (gateway === undefined) continue;
    const version = gateway.family === 2 ? 4 : 6;
    if (families.has(gateway.family)) {
      reasons.push(`${nic}: has several IPv${version} gateways`);
    }
    families.add(gateway.family);
    const same = cidrs.filter(({ family }) => family === gateway.family);
    if (same.some((cidr) => addressText(cidr) === addressText(gateway))) {
      reasons.push(`${nic}: gateway ${text} is the NIC's own address`);
    } else if (same.length === 0) {
      reasons.push(`${nic}: gateway ${text} needs a static IPv${version} address`);
    } else if (!contains(LINK_LOCAL, gateway) && !same.some((cidr) => contains(cidr, gateway))) {
      const subnets = same.map((cidr) => formatCidr(networkOf(cidr))).join(", ");
      reasons.push(`${nic}: gateway ${text} is outside the subnet ${subnets}`);
    }
  }
  if (cidrs.length > 0 && families.size === 0) {
    if (settings.roles.includes("management")) {
      reasons.push(`${nic}: would cut off management: static addresses without a gateway`);
    } else if (settings.roles.some((role) => role === "overlay" || role === "exit")) {
      reasons.push(`${nic}: static addresses need a gateway`);
    }
  }
  return reasons;
}

/** Why an interface can't have this address. */
function hostFault(cidr: Cidr): string | undefined {
  const isV4 = cidr.family === 2;
  // Two addresses of a /31 or /127 are both hosts (RFC 3021, RFC 6164).
  const isSubnet = widthOf(cidr.family) - cidr.length > 1;
  if (isSubnet && isNetwork(cidr)) return "is the subnet itself";
  if (isV4 && isSubnet && isSame(cidr, lastOf(cidr))) return "is a broadcast address";
  const first = cidr.bytes[0]!;
  const isNoHost = isV4
    ? first === 0 || first === 127 || first >= 224
    : first === 0xff || ["::", "::1"].includes(addressText(cidr));
  if (isNoHost) return "is no address of a host";
  return undefined;
}
