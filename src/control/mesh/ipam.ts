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
  isNetwork,
  lastOf,
  networkOf,
  overlaps,
  widthOf,
} from "../model/cidr.ts";
import { defaultTunnelAddress } from "../model/network-resource.ts";
import { RefusedError } from "../model/problem.ts";
import { hostPrefix } from "./check.ts";
import type { ExternalClient, Member, Network } from "./grid.ts";
import { Room } from "./room.ts";

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

/** RFC 6598. */
const SHARED_RANGE = "100.64.0.0/10";
/** As zos: tunnel addresses of a network. */
const TUNNEL_LENGTH = 16;
/** A gateway and one workload. */
const SUBNET_LENGTH_MAX = 30;

/** A /48 of the network's own that no other network is likely to have (RFC 4193: 40 bits that look random). */
export function defaultRange6(network: string): string {
  const bytes = new Uint8Array(16);
  bytes[0] = 0xfd;
  bytes.set(createHash("sha256").update(`range6 ${network}`).digest().subarray(0, 5), 1);
  return formatCidr({ family: 10, bytes, length: 48 });
}

/** How long a member's subnet is, if nobody says: a /24, in small ranges a sixteenth. */
export function defaultSubnetLength(range: string): number {
  const { length } = cidrOf(range);
  return length <= 20 ? SUBNET_LENGTH : Math.min(SUBNET_LENGTH_MAX, length + 4);
}

/** The lowest /16 of 100.64.0.0/10 that is apart from all of these. Throws a {@link RefusedError} if none is. */
export function freeTunnelRange(avoid: readonly string[]): string {
  return freePrefix(SHARED_RANGE, TUNNEL_LENGTH, [], avoid);
}

/** Addresses for one more member; `underlay`: prefixes of the nodes' own networks. Throws a {@link RefusedError} if none are left. */
export function nextMember(
  space: AddressSpace,
  inUse: InUse,
  underlay: readonly string[],
): MemberAddresses {
  return nextMembers(space, inUse, underlay, [undefined])[0]!;
}

/**
 * Addresses for several more members at once, in their order; a subnet that is named is that one's, and no other's of these. Throws a
 * {@link RefusedError} if none are left, or if a named one can't be given.
 */
export function nextMembers(
  space: AddressSpace,
  inUse: InUse,
  underlay: readonly string[],
  subnets: readonly (string | undefined)[],
): MemberAddresses[] {
  const { range, range6, subnetLength, subnetLength6, tunnelRanges } = space;
  const taken = [...takenBy(inUse), ...clientPools(space, inUse)];
  const avoid = usable(underlay);
  const room = new Room(range, [...taken, ...avoid]);
  const rooms = tunnelRanges.map((one) => new Room(one, [...takenBy(inUse), ...avoid], true));
  for (const subnet of subnets) {
    if (subnet === undefined) continue;
    needSubnet(space, room, subnet);
    room.block(cidrOf(subnet));
  }
  const six = range6 === undefined ? undefined : roomsOf6(range6, subnetLength6, taken, avoid);
  return subnets.map((wish) => {
    const subnet = wish ?? room.take(subnetLength);
    if (subnet === undefined) throw nothingLeft(`/${subnetLength}`, [range], avoid);
    for (const one of rooms) one.block(cidrOf(subnet));
    const tunnel = takeTunnel(rooms, subnet);
    if (tunnel === undefined) throw nothingLeft("address", tunnelRanges, avoid);
    room.block(cidrOf(tunnel));
    if (six === undefined) return { subnet, tunnelAddresses: [tunnel] };
    const subnet6 = six.subnets.take(subnetLength6);
    if (subnet6 === undefined) throw nothingLeft(`/${subnetLength6}`, [six.range], avoid);
    const tunnel6 = six.hosts.take(widthOf(10));
    if (tunnel6 === undefined) throw nothingLeft("address", [six.tunnels], avoid);
    return { subnet, subnet6, tunnelAddresses: [tunnel, tunnel6] };
  });
}

function roomsOf6(
  range: string,
  length: number,
  taken: readonly string[],
  avoid: readonly string[],
): { readonly range: string; readonly tunnels: string; subnets: Room; hosts: Room } {
  const tunnels = tunnelRange6(range, length);
  const subnets = new Room(range, [...taken, ...avoid, tunnels]);
  return { range, tunnels, subnets, hosts: new Room(tunnels, [...taken, ...avoid], true) };
}

function needSubnet({ range, subnetLength }: AddressSpace, room: Room, subnet: string): void {
  const wanted = cidrOf(subnet);
  if (wanted.length !== subnetLength || !contains(cidrOf(range), wanted) || !isNetwork(wanted)) {
    throw new RefusedError(
      "invalid",
      `subnet: ${subnet} is none of the subnets of ${subnetLength} bits in ${range}`,
    );
  }
  if (!room.isFree(wanted)) {
    throw new RefusedError(
      "conflict",
      `subnet: ${subnet} is in use already: another member's, the clients' (the first is kept for them), or the nodes' own`,
    );
  }
}

/** As zos has it where that is free: 100.64.<o2>.<o3> of the subnet; else the lowest of the first range that has one. */
function takeTunnel(rooms: readonly Room[], subnet: string): string | undefined {
  const usual = cidrOf(defaultTunnelAddress(subnet));
  const of = rooms.find((room) => room.holds(usual));
  if (of?.isFree(usual) === true) {
    of.block(usual);
    return formatCidr(usual);
  }
  for (const room of rooms) {
    const found = room.take(widthOf(2));
    if (found !== undefined) return found;
  }
  return undefined;
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
  const found = new Room(range, [...taken, ...usable(avoid)]).take(length);
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
    const room = new Room(range, [...taken, ...usable(avoid)], true);
    const found = room.take(widthOf(cidrOf(range).family));
    if (found !== undefined) return found;
  }
  throw nothingLeft("address", ranges, avoid);
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
