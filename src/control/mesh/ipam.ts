/**
 * Which addresses a network gives out: subnets of its members, tunnel addresses, addresses of external clients, of both families.
 * Always the lowest that is free, so the same question has the same answer; nothing in use and nothing of the nodes' own underlay is
 * ever given. Pure: uniqueness between two askers at once is the store's matter.
 *
 * Layout: the first subnet of a range is the clients', the last IPv6 subnet holds tunnel addresses, all others are members'.
 */
import { createHash } from "node:crypto";
import {
  type Cidr,
  cidrOf,
  contains,
  formatCidr,
  lastOf,
  networkOf,
  overlaps,
  widthOf,
} from "../model/cidr.ts";
import { defaultTunnelAddress } from "../model/network-resource.ts";
import { RefusedError } from "../model/problem.ts";
import { hostPrefix } from "./check.ts";
import type { ExternalClient, Member, Network } from "./grid.ts";

export interface AddressSpace {
  readonly range: string;
  readonly range6?: string | undefined;
  /** Of a member's subnet. */
  readonly subnetLength: number;
  readonly subnetLength6: number;
  /** IPv4 ranges for tunnel addresses, tried in order. */
  readonly tunnelRanges: readonly string[];
}

/** As zos: a /24 of IPv4 for each member. RFC 4291 2.5.4: a /64. */
export const SUBNET_LENGTH = 24;
export const SUBNET_LENGTH6 = 64;
/** As zos, then others of RFC 6598 for nodes whose provider has the first one. */
export const TUNNEL_RANGES: readonly string[] = [
  "100.64.0.0/16",
  "100.96.0.0/16",
  "100.112.0.0/16",
];

export type MemberAddresses = Pick<Member, "subnet" | "subnet6" | "tunnelAddresses">;

/** What is in use in a network. */
export interface InUse {
  readonly members: readonly MemberAddresses[];
  readonly clients: readonly Pick<ExternalClient, "addresses">[];
}

interface Interval {
  readonly from: bigint;
  readonly to: bigint;
}

/** A /48 of the network's own that no other network is likely to have (RFC 4193: 40 bits that look random). */
export function defaultRange6(network: string): string {
  const bytes = new Uint8Array(16);
  bytes[0] = 0xfd;
  bytes.set(createHash("sha256").update(`range6 ${network}`).digest().subarray(0, 5), 1);
  return formatCidr({ family: 10, bytes, length: 48 });
}

/** Addresses for one more member; `underlay`: prefixes of the nodes' own networks. Throws a {@link RefusedError} if none are left. */
export function nextMember(
  space: AddressSpace,
  inUse: InUse,
  underlay: readonly string[],
): MemberAddresses {
  const { range, range6, subnetLength, subnetLength6, tunnelRanges } = space;
  const taken = takenBy(inUse);
  const pools = clientPools(space, inUse);
  const subnet = freePrefix(range, subnetLength, [...taken, ...pools], underlay);
  const claimed = [...taken, subnet];
  const tunnel = freeTunnelAddress(tunnelRanges, subnet, claimed, underlay);
  if (range6 === undefined) return { subnet, tunnelAddresses: [tunnel] };
  const tunnels = tunnelRange6(range6, subnetLength6);
  const subnet6 = freePrefix(range6, subnetLength6, [...taken, ...pools, tunnels], underlay);
  const tunnel6 = freeHost([tunnels], [...taken, subnet6], underlay);
  return { subnet, subnet6, tunnelAddresses: [tunnel, tunnel6] };
}

/** Addresses for one more external client, of each family that the network has. Throws a {@link RefusedError} if none are left. */
export function nextClient(
  space: AddressSpace,
  inUse: InUse,
  underlay: readonly string[],
): readonly string[] {
  const taken = takenBy(inUse);
  const subnets = inUse.members.flatMap(({ subnet, subnet6 }) => [
    subnet,
    ...(subnet6 === undefined ? [] : [subnet6]),
  ]);
  const families = [
    [space.range, space.subnetLength, []],
    ...(space.range6 === undefined
      ? []
      : ([
          [space.range6, space.subnetLength6, [tunnelRange6(space.range6, space.subnetLength6)]],
        ] as const)),
  ] as const;
  return families.map(([range, length, reserved]) => {
    const pools = clientPools(space, inUse).filter(
      (pool) =>
        contains(cidrOf(range), cidrOf(pool)) &&
        !subnets.some((subnet) => overlaps(cidrOf(subnet), cidrOf(pool))),
    );
    try {
      return freeHost(pools, taken, underlay);
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      const pool = freePrefix(range, length, [...taken, ...pools, ...reserved], underlay);
      return freeHost([pool], taken, underlay);
    }
  });
}

/** The lowest prefix of that length in a range that shares no address with what is taken or avoided. */
export function freePrefix(
  range: string,
  length: number,
  taken: readonly string[],
  avoid: readonly string[],
): string {
  const whole = networkOf(cidrOf(range));
  if (length < whole.length || length > widthOf(whole.family)) {
    throw new RefusedError("invalid", `${range} has no prefixes of length ${length}`);
  }
  const found = lowestFree(whole, length, blocksIn(whole, [...taken, ...usable(avoid)]));
  if (found === undefined) throw nothingLeft(`/${length}`, [range], avoid);
  return found;
}

/** The lowest host address of the first range that has one, with its full length. */
export function freeHost(
  ranges: readonly string[],
  taken: readonly string[],
  avoid: readonly string[],
): string {
  for (const range of ranges) {
    const whole = networkOf(cidrOf(range));
    const blocks = blocksIn(whole, [...taken, ...usable(avoid)]);
    const width = widthOf(whole.family);
    const { from, to } = intervalOf(whole);
    // Not a subnet's own address (RFC 4291 2.6.1: its routers), nor IPv4's broadcast address.
    if (whole.length < width - 1) {
      blocks.push({ from, to: from });
      if (whole.family === 2) blocks.push({ from: to, to });
    }
    const found = lowestFree(whole, width, blocks.sort(byStart));
    if (found !== undefined) return found;
  }
  throw nothingLeft("address", ranges, avoid);
}

/** As zos has it where that is free: 100.64.<o2>.<o3> of the subnet; else the lowest. */
function freeTunnelAddress(
  ranges: readonly string[],
  subnet: string,
  taken: readonly string[],
  avoid: readonly string[],
): string {
  const usual = cidrOf(defaultTunnelAddress(subnet));
  const isFree = ![...taken, ...usable(avoid)].some((text) => overlaps(cidrOf(text), usual));
  if (isFree && ranges.some((range) => contains(cidrOf(range), usual))) return formatCidr(usual);
  return freeHost(ranges, taken, avoid);
}

/**
 * What a network's prefixes have in common with the underlay of its nodes, each in a sentence: what is there can't be reached from the
 * network. Default routes are no networks of a node.
 */
export function underlayCollisions(
  prefixes: readonly string[],
  underlays: ReadonlyMap<string, readonly string[]>,
): string[] {
  const sentences: string[] = [];
  for (const [node, texts] of underlays) {
    for (const text of usable(texts)) {
      for (const prefix of prefixes) {
        if (!overlaps(cidrOf(prefix), cidrOf(text))) continue;
        sentences.push(`${prefix} overlaps ${text}, a network that node ${node} itself is in`);
      }
    }
  }
  return sentences;
}

function takenBy({ members, clients }: InUse): string[] {
  return [
    ...members.flatMap(({ subnet, subnet6, tunnelAddresses }) => [
      subnet,
      ...(subnet6 === undefined ? [] : [subnet6]),
      ...tunnelAddresses.map(hostPrefix),
    ]),
    ...clients.flatMap(({ addresses }) => addresses.map(hostPrefix)),
  ];
}

/** Subnets that are clients': the first of each range, and those around addresses that clients have. */
function clientPools(
  { range, range6, subnetLength, subnetLength6 }: AddressSpace,
  { clients }: Pick<Network, "clients"> | InUse,
): string[] {
  const pools = new Set<string>();
  const add = (prefix: Cidr, whole: string, length: number): void => {
    if (prefix.family !== cidrOf(whole).family || length <= cidrOf(whole).length) return;
    if (contains(cidrOf(whole), { ...prefix, length: widthOf(prefix.family) })) {
      pools.add(formatCidr(networkOf({ ...prefix, length })));
    }
  };
  add(cidrOf(range), range, subnetLength);
  if (range6 !== undefined) add(cidrOf(range6), range6, subnetLength6);
  for (const { addresses } of clients) {
    for (const address of addresses) {
      add(cidrOf(hostPrefix(address)), range, subnetLength);
      if (range6 !== undefined) add(cidrOf(hostPrefix(address)), range6, subnetLength6);
    }
  }
  return [...pools];
}

function tunnelRange6(range6: string, length: number): string {
  return formatCidr(networkOf({ ...lastOf(cidrOf(range6)), length }));
}

/** A default route overlaps all and names no network of the node. */
function usable(avoid: readonly string[]): string[] {
  return avoid.filter((text) => cidrOf(text).length > 0);
}

function lowestFree(whole: Cidr, length: number, blocks: readonly Interval[]): string | undefined {
  const { from, to } = intervalOf(whole);
  const size = 2n ** BigInt(widthOf(whole.family) - length);
  let at = from;
  for (const block of blocks) {
    if (at + size <= block.from) break;
    if (block.to >= at) at = ((block.to + size) / size) * size;
  }
  return at + size - 1n > to ? undefined : formatCidr(cidrAt(whole, at, length));
}

/** In order of their first address. */
function blocksIn(whole: Cidr, prefixes: readonly string[]): Interval[] {
  return prefixes
    .map(cidrOf)
    .filter((prefix) => overlaps(prefix, whole))
    .map(intervalOf)
    .sort(byStart);
}

function byStart(a: Interval, b: Interval): number {
  return a.from < b.from ? -1 : a.from > b.from ? 1 : 0;
}

function intervalOf(prefix: Cidr): Interval {
  return { from: numberOf(networkOf(prefix)), to: numberOf(lastOf(prefix)) };
}

function numberOf({ family, bytes }: Cidr): bigint {
  let value = 0n;
  for (let at = 0; at < widthOf(family) / 8; at++) value = value * 256n + BigInt(bytes[at]!);
  return value;
}

function cidrAt({ family }: Cidr, value: bigint, length: number): Cidr {
  const bytes = new Uint8Array(16);
  let rest = value;
  for (let at = widthOf(family) / 8 - 1; at >= 0; at--) {
    bytes[at] = Number(rest % 256n);
    rest /= 256n;
  }
  return { family, bytes, length };
}

function nothingLeft(
  what: string,
  ranges: readonly string[],
  avoid: readonly string[],
): RefusedError {
  const colliding = usable(avoid).filter((text) =>
    ranges.some((range) => overlaps(cidrOf(range), cidrOf(text))),
  );
  const why =
    colliding.length === 0 ? "" : ` (the nodes themselves are in ${colliding.join(", ")})`;
  return new RefusedError(
    "conflict",
    `no ${what} is left in ${ranges.join(", ")}${why}: remove something, or take another range`,
  );
}
