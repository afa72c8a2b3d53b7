/**
 * Which addresses the parts of a network get. A slot is a number from 1; slot n's node has the n-th subnet, the n-th tunnel address and the
 * n-th /64. Slot 0 is for what belongs to no node: IPv6 tunnel addresses, and the addresses of external clients. Pure.
 */
import { createHash } from "node:crypto";
import {
  addressText,
  type Cidr,
  cidrOf,
  contains,
  formatCidr,
  hostOf,
  networkOf,
  overlaps,
  widthOf,
} from "../model/cidr.ts";

/** As zos (100.64/16), with room to move away: RFC 6598 is 100.64.0.0/10. */
const TUNNEL_RANGES: readonly string[] = Array.from(
  { length: 64 },
  (_, at) => `100.${64 + at}.0.0/16`,
);
/** As zos. */
const SUBNET_LENGTH = 24;
/** A gateway and one workload. */
const SUBNET_LENGTH_MAX = 30;
/** Clients' IPv6 addresses in slot 0 begin here: those of tunnels are below. */
const CLIENTS_FROM = 0x1_0000;

export interface Addresses {
  readonly subnet: string;
  readonly subnet6: string;
  readonly tunnel: string;
  readonly tunnel6: string;
}

export interface Ranges {
  readonly range: string;
  readonly range6: string;
  readonly tunnelRange: string;
  readonly subnetLength: number;
}

/** The `at`-th part of this length in a prefix. */
function part({ family, bytes, length }: Cidr, partLength: number, at: number): Cidr {
  const width = widthOf(family);
  let value = BigInt(`0x${Buffer.from(bytes.subarray(0, width / 8)).toString("hex")}`);
  value += BigInt(at) << BigInt(width - partLength);
  const text = value.toString(16).padStart(width / 4, "0");
  const next = new Uint8Array(16);
  next.set(Buffer.from(text, "hex").subarray(0, width / 8));
  if (partLength < length) throw new Error("a part is larger than its whole");
  return { family, bytes: next, length: partLength };
}

/** How long a node's subnet is, if nobody says. */
export function defaultSubnetLength(range: string): number {
  const { length } = cidrOf(range);
  return length <= 20 ? SUBNET_LENGTH : Math.min(SUBNET_LENGTH_MAX, length + 4);
}

/** A network's own unique local prefix (RFC 4193), the same for the same id. */
export function defaultRange6(networkId: string): string {
  const hash = createHash("sha256").update(`range6 ${networkId}`).digest("hex");
  return formatCidr(
    networkOf(cidrOf(`fd${hash.slice(0, 2)}:${hash.slice(2, 6)}:${hash.slice(6, 10)}::/48`)),
  );
}

/** The first range for tunnel addresses that is apart from all of these; undefined: none is. */
export function chooseTunnelRange(others: readonly string[]): string | undefined {
  const taken = others.map(cidrOf);
  return TUNNEL_RANGES.find((range) => !taken.some((other) => overlaps(cidrOf(range), other)));
}

/** The number of slots, slot 0 among them. */
export function slotCount({ range, range6, tunnelRange, subnetLength }: Ranges): number {
  return Math.min(
    2 ** (subnetLength - cidrOf(range).length),
    2 ** Math.min(16, 64 - cidrOf(range6).length),
    2 ** (32 - cidrOf(tunnelRange).length) - 1,
    CLIENTS_FROM,
  );
}

export function addressesOf(ranges: Ranges, slot: number): Addresses {
  const range6 = cidrOf(ranges.range6);
  return {
    subnet: formatCidr(part(cidrOf(ranges.range), ranges.subnetLength, slot)),
    subnet6: formatCidr(part(range6, 64, slot)),
    tunnel: addressText(hostOf(cidrOf(ranges.tunnelRange), slot)),
    tunnel6: addressText(hostOf(part(range6, 64, 0), slot)),
  };
}

/** The slot whose subnet this is; undefined: it is no node's subnet of the network. */
export function slotOf(ranges: Ranges, subnet: string): number | undefined {
  const wanted = cidrOf(subnet);
  const range = cidrOf(ranges.range);
  if (wanted.family !== range.family || wanted.length !== ranges.subnetLength) return undefined;
  if (!contains(range, wanted) || formatCidr(networkOf(wanted)) !== formatCidr(wanted))
    return undefined;
  const number = (cidr: Cidr): number => Buffer.from(cidr.bytes).readUInt32BE(0);
  const slot = (number(wanted) - number(range)) / 2 ** (32 - ranges.subnetLength);
  return slot >= 1 && slot < slotCount(ranges) ? slot : undefined;
}

/** Addresses of an external client: the `at`-th hosts of slot 0, from 1. */
export function clientAddresses(
  ranges: Ranges,
  at: number,
): { readonly address: string; readonly address6: string } {
  const range6 = cidrOf(ranges.range6);
  return {
    address: addressText(hostOf(part(cidrOf(ranges.range), ranges.subnetLength, 0), at)),
    address6: addressText(hostOf(part(range6, 64, 0), CLIENTS_FROM + at)),
  };
}

export function clientCount({ subnetLength }: Ranges): number {
  return 2 ** (32 - subnetLength) - 1;
}

/** The lowest number from 1 that is free; undefined: all below `count` are taken. */
export function firstFree(taken: readonly number[], count: number): number | undefined {
  const set = new Set(taken);
  for (let slot = 1; slot < count; slot++) if (!set.has(slot)) return slot;
  return undefined;
}
