/**
 * Nodes in one LAN: which addresses a census offers, and which pairs are worth a trial. A trial proves it; nothing here moves a route.
 * Pure.
 */
import { cidrOf, formatCidr, networkOf, normalCidr, overlaps, parseCidr } from "../model/cidr.ts";
import { NO_HOSTS } from "../model/network-resource.ts";
import { BRIDGE_MARKS, type Nic } from "../model/nic.ts";
import type { GridNode, Standing } from "./grid.ts";
import { numberOf } from "./routes.ts";

/** RFC 4291 2.5.4: a LAN has 64 bits of an IPv6 address. */
const SITE_LENGTH6 = 64;

/** Addresses with their lengths at which LAN neighbours may find a node, sorted: those of NICs that are up and have a carrier. */
export function lanAddresses(nics: readonly Nic[]): string[] {
  const found = new Set<string>();
  for (const { up, carrier, mark, addresses } of nics) {
    if (!up || !carrier || (mark !== undefined && !BRIDGE_MARKS.includes(mark))) continue;
    for (const text of addresses) {
      const address = parseCidr(text);
      // The word of a node, and it was not looked at always.
      if (address === undefined) continue;
      if (!NO_HOSTS.some((other) => overlaps(cidrOf(other), address)))
        found.add(formatCidr(address));
    }
  }
  return [...found].sort();
}

/** What tells neighbours, of one node: computed once, compared with many. */
export interface Neighbourhood {
  /** The addresses that others see, of IPv6 the /64. */
  readonly sites: readonly string[];
  /** Prefixes of its LANs. */
  readonly networks: readonly string[];
  /** A bit for each of either: lists without a common bit have nothing in common. */
  readonly siteBits: number;
  readonly networkBits: number;
}

export function neighbourhoodOf({
  v4,
  v6,
  lan,
}: Pick<GridNode, "v4" | "v6" | "lan">): Neighbourhood {
  const sites6 = outsides(v6).map((text) =>
    formatCidr(networkOf({ ...cidrOf(text), length: SITE_LENGTH6 })),
  );
  const sites = [...outsides(v4), ...sites6];
  const networks = lan.map(normalCidr);
  return { sites, networks, siteBits: bitsOf(sites), networkBits: bitsOf(networks) };
}

function bitsOf(texts: readonly string[]): number {
  return texts.reduce((bits, text) => bits | (1 << (numberOf(text) & 31)), 0);
}

/**
 * True if two nodes may be neighbours: others see them at one address (of IPv6: in one /64). Where nobody saw one of them, they
 * have one LAN prefix.
 */
export function mayBeNeighbours(a: Neighbourhood, b: Neighbourhood): boolean {
  if (a.networkBits === 0 || b.networkBits === 0) return false;
  if ((a.siteBits & b.siteBits) !== 0 && a.sites.some((site) => b.sites.includes(site))) {
    return true;
  }
  if (a.siteBits !== 0 && b.siteBits !== 0) return false;
  if ((a.networkBits & b.networkBits) === 0) return false;
  return a.networks.some((network) => b.networks.includes(network));
}

/** The other's addresses, those in a prefix of ours first: the others may be behind a router of the same site. */
export function neighbourOrder(from: GridNode, to: GridNode): string[] {
  const own = from.lan.map(normalCidr);
  const isNear = (text: string): boolean => own.includes(normalCidr(text));
  return [...to.lan.filter(isNear), ...to.lan.filter((text) => !isNear(text))].map(bare);
}

/** The address of "192.168.1.5/24". */
export function bare(text: string): string {
  const slash = text.indexOf("/");
  return slash < 0 ? text : text.slice(0, slash);
}

function outsides(standing: Standing): readonly string[] {
  if (standing.kind === "public") return standing.addresses;
  return standing.kind === "hidden" && standing.seenAs !== undefined ? [standing.seenAs] : [];
}
