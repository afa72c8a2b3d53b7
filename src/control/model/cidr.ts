/**
 * Prefixes of both families as numbers: containment, overlap, the nth host. Text is that of `route/address.ts` (Go's forms, RFC
 * 5952). Pure.
 */
import { formatAddress, parseAddress, parsePrefix } from "../../route/address.ts";

/** An address with a prefix length; bits after the length may be set (an interface's address) or not (a network). */
export interface Cidr {
  readonly family: 4 | 6;
  readonly address: bigint;
  readonly length: number;
}

const AF_INET = 2;

function widthOf(family: 4 | 6): number {
  return family === 4 ? 32 : 128;
}

function toNumber(bytes: Uint8Array, family: 4 | 6): bigint {
  let value = 0n;
  for (const byte of bytes.subarray(0, widthOf(family) / 8)) value = (value << 8n) | BigInt(byte);
  return value;
}

/** Parses "10.1.2.3/24" or "fd00::1/64"; undefined: it is none. */
export function parseCidr(text: string): Cidr | undefined {
  const prefix = parsePrefix(text);
  if (prefix === undefined) return undefined;
  const family = prefix.family === AF_INET ? 4 : 6;
  return { family, address: toNumber(prefix.bytes, family), length: prefix.cidr };
}

/** Parses a bare address as a prefix of its full length; undefined: it is none, or it has a scope. */
export function parseHost(text: string): Cidr | undefined {
  const address = parseAddress(text);
  if (address === undefined || address.scope !== undefined) return undefined;
  const family = address.family === AF_INET ? 4 : 6;
  return { family, address: toNumber(address.bytes, family), length: widthOf(family) };
}

/** The first address of the prefix: all bits after its length are zero. */
export function networkOf(cidr: Cidr): Cidr {
  const shift = BigInt(widthOf(cidr.family) - cidr.length);
  return { ...cidr, address: (cidr.address >> shift) << shift };
}

/** Whether every address of `inner` is one of `outer`. */
export function contains(outer: Cidr, inner: Cidr): boolean {
  if (outer.family !== inner.family || outer.length > inner.length) return false;
  const shift = BigInt(widthOf(outer.family) - outer.length);
  return outer.address >> shift === inner.address >> shift;
}

/** Whether they have an address in common. */
export function overlaps(a: Cidr, b: Cidr): boolean {
  return contains(a, b) || contains(b, a);
}

/** Formats only the address. */
export function formatHost(cidr: Cidr): string {
  const bytes = new Uint8Array(16);
  let rest = cidr.address;
  for (let i = widthOf(cidr.family) / 8 - 1; i >= 0; i -= 1) {
    bytes[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return formatAddress(cidr.family === 4 ? AF_INET : 10, bytes);
}

/** Formats address and length; bits after the length are printed as they are. */
export function formatCidr(cidr: Cidr): string {
  return `${formatHost(cidr)}/${cidr.length}`;
}

/** The nth address of the prefix (0 is the network's own), without a length; undefined: the prefix has not so many. */
export function hostAddress(cidr: Cidr, n: bigint | number): string | undefined {
  const index = BigInt(n);
  if (index < 0n || index >= 1n << BigInt(widthOf(cidr.family) - cidr.length)) return undefined;
  return formatHost({ ...cidr, address: networkOf(cidr).address + index });
}
