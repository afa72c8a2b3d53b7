/**
 * Prefixes of both families as values: parsing, containment, overlap, the hosts in them. Text forms and strictness are those of
 * `src/route/address.ts`. Pure.
 */
import { type Family, formatAddress, parseAddress, parsePrefix } from "../../route/address.ts";

/** A prefix; `bytes` keeps the host part as it was written. 16 bytes, IPv4 in the first four. */
export interface Cidr {
  readonly family: Family;
  readonly bytes: Uint8Array;
  readonly length: number;
}

/** Bits of an address. */
export function widthOf(family: Family): number {
  return family === 2 ? 32 : 128;
}

/** Parses "10.1.0.0/16" or "fd00::/64"; an address alone is a prefix of full length. Undefined: it is neither. */
export function parseCidr(text: string): Cidr | undefined {
  const prefix = parsePrefix(text);
  if (prefix !== undefined) {
    return { family: prefix.family, bytes: prefix.bytes, length: prefix.cidr };
  }
  const address = parseAddress(text);
  if (address === undefined || address.scope !== undefined) return undefined;
  return { family: address.family, bytes: address.bytes, length: widthOf(address.family) };
}

/** Parses an address with its length, such as an interface has; undefined: it is none, or has no length. */
export function parseInterfaceAddress(text: string): Cidr | undefined {
  return text.includes("/") ? parseCidr(text) : undefined;
}

/** Parses a bare address as a prefix of full length; undefined: it is none, or has a length or a scope. */
export function parseHost(text: string): Cidr | undefined {
  return text.includes("/") ? undefined : parseCidr(text);
}

/** Parses what is known to be a prefix; throws naming the text. */
export function cidrOf(text: string): Cidr {
  const cidr = parseCidr(text);
  if (cidr === undefined) throw new Error(`"${text}" is no address and no prefix`);
  return cidr;
}

export function formatCidr({ family, bytes, length }: Cidr): string {
  return `${formatAddress(family, bytes)}/${length}`;
}

/** The address without the length. */
export function addressText({ family, bytes }: Cidr): string {
  return formatAddress(family, bytes);
}

/** The prefix with its host part zero. */
export function networkOf(cidr: Cidr): Cidr {
  const { family, length } = cidr;
  const bytes = cidr.bytes.slice();
  for (let at = length >>> 3; at < bytes.length; at++) bytes[at] = bytes[at]! & maskOf(length, at);
  return { family, bytes, length };
}

/** True if they are the same address with the same length. */
export function isSame(a: Cidr, b: Cidr): boolean {
  return a.family === b.family && a.length === b.length && areEqual(a.bytes, b.bytes);
}

/** The last address of a prefix: of IPv4, the subnet's broadcast. */
export function lastOf(cidr: Cidr): Cidr {
  const { family, length } = cidr;
  const bytes = cidr.bytes.slice();
  for (let at = length >>> 3; at < widthOf(family) >>> 3; at++) {
    bytes[at] = bytes[at]! | ~maskOf(length, at);
  }
  return { family, bytes, length };
}

/** True if no bit after the length is set. */
export function isNetwork({ bytes, length }: Cidr): boolean {
  return bytes.every((byte, at) => (byte & ~maskOf(length, at)) === 0);
}

/** True if all of `inner` lies in `outer`. */
export function contains(outer: Cidr, inner: Cidr): boolean {
  const { family, bytes, length } = outer;
  if (family !== inner.family || length > inner.length) return false;
  for (let at = 0; 8 * at < length; at++) {
    if (((bytes[at]! ^ inner.bytes[at]!) & maskOf(length, at)) !== 0) return false;
  }
  return true;
}

/** True if they share an address. */
export function overlaps(a: Cidr, b: Cidr): boolean {
  return contains(a, b) || contains(b, a);
}

/** Address number `index` of a prefix (0: the network's own), as a prefix of the same length with that host part. */
export function hostOf(cidr: Cidr, index: number): Cidr {
  const width = widthOf(cidr.family);
  const hostBits = width - cidr.length;
  if (index < 0 || (hostBits < 32 && index >= 2 ** hostBits)) {
    throw new RangeError(`${formatCidr(cidr)} has no host number ${index}`);
  }
  const bytes = networkOf(cidr).bytes.slice();
  let rest = index;
  for (let at = width / 8 - 1; at >= 0 && rest > 0; at--) {
    bytes[at] = bytes[at]! | (rest & 0xff);
    rest = Math.floor(rest / 256);
  }
  return { family: cidr.family, bytes, length: cidr.length };
}

/** How many addresses a prefix has, at most 2^32. */
export function sizeOf({ family, length }: Cidr): number {
  return 2 ** Math.min(32, widthOf(family) - length);
}

/** The prefix in its plain form ("10.1.0.0/16"), host part zero; throws naming the text if it is none. */
export function normalCidr(text: string): string {
  return formatCidr(networkOf(cidrOf(text)));
}

/** Those bits of byte number `at` that are in a prefix of this length. */
function maskOf(length: number, at: number): number {
  const bits = length - 8 * at;
  return bits >= 8 ? 0xff : bits <= 0 ? 0 : (0xff00 >>> bits) & 0xff;
}

function areEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.every((byte, at) => byte === b[at]);
}
