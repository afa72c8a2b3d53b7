/**
 * Nodes in one LAN: which addresses a census offers, and which pairs are worth a trial. A trial proves it; nothing here moves a route.
 * Pure.
 */
import { cidrOf, contains, formatCidr, networkOf, overlaps } from "../model/cidr.ts";
import type { Nic } from "../model/nic.ts";
import type { GridNode, Standing } from "./grid.ts";

/** Never a way between two machines: this host, loopback, link-local (needs a scope), multicast and beyond (RFC 6890). */
const NO_WAY: readonly string[] = [
  "0.0.0.0/8",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "224.0.0.0/3",
  "::/8",
  "fe80::/10",
  "ff00::/8",
];
/** Bridges that Wirehaul makes on NICs: the NIC's addresses are on them. */
const BRIDGES: readonly string[] = ["uplink", "nic-bridge"];
/** RFC 4291 2.5.4: a LAN has 64 bits of an IPv6 address. */
const SITE_LENGTH6 = 64;

/** Addresses with their lengths at which LAN neighbours may find a node, sorted: those of NICs that are up and have a carrier. */
export function lanAddresses(nics: readonly Nic[]): string[] {
  const found = new Set<string>();
  for (const { up, carrier, mark, addresses } of nics) {
    if (!up || !carrier || (mark !== undefined && !BRIDGES.includes(mark))) continue;
    for (const text of addresses) {
      const address = cidrOf(text);
      if (!NO_WAY.some((other) => overlaps(cidrOf(other), address))) found.add(formatCidr(address));
    }
  }
  return [...found].sort();
}

/**
 * True if two nodes may be neighbours: others see them at one address (of IPv6: in one /64). Where nobody saw one of them, they
 * have one LAN prefix.
 */
export function mayBeNeighbours(a: GridNode, b: GridNode): boolean {
  if (a.lan.length === 0 || b.lan.length === 0) return false;
  const sitesA = sitesOf(a);
  const sitesB = sitesOf(b);
  if (sitesA.some((site) => sitesB.includes(site))) return true;
  if (sitesA.length > 0 && sitesB.length > 0) return false;
  return a.lan.some((text) => b.lan.some((other) => areOnLink(text, other)));
}

/** The other's addresses, those in a prefix of ours first: the others may be behind a router of the same site. */
export function neighbourOrder(from: GridNode, to: GridNode): string[] {
  const isNear = (text: string): boolean => from.lan.some((own) => areOnLink(own, text));
  return [...to.lan.filter(isNear), ...to.lan.filter((text) => !isNear(text))].map(bare);
}

/** The address of "192.168.1.5/24". */
export function bare(text: string): string {
  const slash = text.indexOf("/");
  return slash < 0 ? text : text.slice(0, slash);
}

function areOnLink(a: string, b: string): boolean {
  const [first, second] = [cidrOf(a), cidrOf(b)];
  return first.length === second.length && contains(first, second);
}

function sitesOf({ v4, v6 }: GridNode): string[] {
  return [
    ...outsides(v4),
    ...outsides(v6).map((text) => formatCidr(networkOf({ ...cidrOf(text), length: SITE_LENGTH6 }))),
  ];
}

function outsides(standing: Standing): readonly string[] {
  if (standing.kind === "public") return standing.addresses;
  return standing.kind === "hidden" && standing.seenAs !== undefined ? [standing.seenAs] : [];
}
