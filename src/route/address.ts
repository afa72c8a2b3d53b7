/**
 * IP addresses, prefixes and endpoints as text. The accepted and the printed forms are those of Go's `net/netip`
 * (ParseAddr, ParsePrefix, ParseAddrPort and their String methods), because wireguard-go's users see exactly these;
 * the printed form is RFC 5952. Parsing is strict: no leading zeros, no surrounding spaces, no host names.
 *
 * In bytes an address is 16 bytes in network order, IPv4 in the first four and the rest zero, with its family beside it:
 * 2 (AF_INET) or 10 (AF_INET6). An IPv4-mapped IPv6 address stays IPv6.
 *
 * These functions allocate and are for configuration and display; nothing here is for the packet path. Scopes (zones)
 * stay text: finding the interface is not a matter of this layer.
 */
import { loadBe16 } from "../bytes/integer.ts";

/** AF_INET or AF_INET6 on Linux. */
export type Family = 2 | 10;

export interface Address {
  readonly family: Family;
  /** 16 bytes, network order, IPv4 in the first four. Fresh: the caller owns it. */
  readonly bytes: Uint8Array;
  /** Interface name or number after `%`; absent for IPv4 and when the text has none. */
  readonly scope?: string;
}

export interface Prefix {
  readonly family: Family;
  /** 16 bytes, network order; bits after the first `cidr` may be set. Fresh: the caller owns it. */
  readonly bytes: Uint8Array;
  /** Prefix length in bits: 0 to 32 or 0 to 128. */
  readonly cidr: number;
}

export interface EndpointAddress extends Address {
  /** UDP port, 0 to 65535. */
  readonly port: number;
}

const ZERO = 0x30;
const NINE = 0x39;
const DOT = 0x2e;
const COLON = 0x3a;
const PERCENT = 0x25;
const LOWER_A = 0x61;
const LOWER_F = 0x66;
const CASE = 0x20;

/** Parses an IPv4 or IPv6 address; undefined: not an address (Go `netip.ParseAddr`). */
export function parseAddress(text: string): Address | undefined {
  // The first of these marks tells which it is.
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === COLON) return parseIpv6(text);
    if (code === PERCENT) return undefined;
    if (code !== DOT) continue;
    const bytes = new Uint8Array(16);
    return parseDotted(text, 0, bytes, 0) ? { family: 2, bytes } : undefined;
  }
  return undefined;
}

/** Formats the address in bytes[offset, offset+4) or bytes[offset, offset+16), by family, as RFC 5952 has it. */
export function formatAddress(family: number, bytes: Uint8Array, offset = 0): string {
  return family === 2 ? formatDotted(bytes, offset) : formatIpv6(bytes, offset);
}

/** Parses `address/length`; host bits may be set, scopes are refused (Go `netip.ParsePrefix`). */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.lastIndexOf("/");
  if (slash < 0) return undefined;
  const address = parseAddress(text.slice(0, slash));
  if (address === undefined || address.scope !== undefined) return undefined;
  const cidr = parseLength(text, slash + 1);
  if (cidr < 0 || cidr > (address.family === 2 ? 32 : 128)) return undefined;
  return { family: address.family, bytes: address.bytes, cidr };
}

/** One to three digits without a leading zero; -1: they are none. */
function parseLength(text: string, start: number): number {
  const digits = text.length - start;
  if (digits < 1 || digits > 3 || (digits > 1 && text.charCodeAt(start) === ZERO)) return -1;
  let value = 0;
  for (let at = start; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code < ZERO || code > NINE) return -1;
    value = value * 10 + code - ZERO;
  }
  return value;
}

/** Formats `address/length`; bits after the length are printed as they are (Go `netip.Prefix.String`). */
export function formatPrefix(family: number, bytes: Uint8Array, cidr: number, offset = 0): string {
  return `${formatAddress(family, bytes, offset)}/${cidr}`;
}

/** Parses `1.2.3.4:51820` or `[fe80::1%eth0]:51820`, nothing that needs a look-up (Go `netip.ParseAddrPort`). */
export function parseEndpointText(text: string): EndpointAddress | undefined {
  const colon = text.lastIndexOf(":");
  if (colon < 1) return undefined;
  const port = parseDecimal(text.slice(colon + 1), 0xffff);
  if (port < 0) return undefined;
  const isBracketed = text.startsWith("[");
  if (isBracketed && (colon < 2 || text[colon - 1] !== "]")) return undefined;
  const address = parseAddress(isBracketed ? text.slice(1, colon - 1) : text.slice(0, colon));
  if (address === undefined || isBracketed !== (address.family === 10)) return undefined;
  return { ...address, port };
}

/** Formats an endpoint as Go's `netip.AddrPort.String` does: IPv6 and its scope in brackets. */
export function formatEndpointText(endpoint: EndpointAddress): string {
  const address = formatAddress(endpoint.family, endpoint.bytes);
  if (endpoint.family === 2) return `${address}:${endpoint.port}`;
  const scope = endpoint.scope === undefined ? "" : `%${endpoint.scope}`;
  return `[${address}${scope}]:${endpoint.port}`;
}

/**
 * Parses an unsigned decimal number of at most `max`, -1: not one. Digits only, leading zeros allowed: no sign, space or
 * underscore (Go `strconv.ParseUint` with base 10).
 */
export function parseDecimal(text: string, max: number): number {
  if (!/^[0-9]+$/.test(text)) return -1;
  let value = 0;
  for (let i = 0; i < text.length; i += 1) {
    value = value * 10 + text.charCodeAt(i) - ZERO;
    if (value > max) return -1;
  }
  return value;
}

/** Parses dotted decimal text[start..] to four bytes; false: it is none. */
function parseDotted(text: string, start: number, out: Uint8Array, outOffset: number): boolean {
  let field = 0;
  let value = 0;
  let digits = 0;
  for (let i = start; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (code >= ZERO && code <= NINE) {
      if (digits === 1 && value === 0) return false;
      value = value * 10 + code - ZERO;
      digits += 1;
      if (value > 255) return false;
    } else {
      if (code !== DOT || digits === 0 || field === 3) return false;
      out[outOffset + field] = value;
      field += 1;
      value = 0;
      digits = 0;
    }
  }
  if (field !== 3 || digits === 0) return false;
  out[outOffset + 3] = value;
  return true;
}

function parseIpv6(text: string): Address | undefined {
  const percent = text.indexOf("%");
  const scope = percent < 0 ? undefined : text.slice(percent + 1);
  if (scope === "") return undefined;
  const bytes = new Uint8Array(16);
  if (!parseGroups(percent < 0 ? text : text.slice(0, percent), bytes)) return undefined;
  return scope === undefined ? { family: 10, bytes } : { family: 10, bytes, scope };
}

/** Parses colon-separated groups, with at most one `::` and maybe a dotted tail, to 16 bytes; false: malformed. */
function parseGroups(text: string, bytes: Uint8Array): boolean {
  let at = 0;
  let filled = 0;
  let gap = -1;
  if (text.startsWith("::")) {
    gap = 0;
    at = 2;
    if (text.length === 2) return true;
  }
  while (filled < 16) {
    const end = groupEnd(text, at);
    if (end === at || end - at > 4) return false;
    if (text.charCodeAt(end) === DOT) {
      if ((gap < 0 && filled !== 12) || filled > 12) return false;
      if (!parseDotted(text, at, bytes, filled)) return false;
      filled += 4;
      at = text.length;
      break;
    }
    const group = Number.parseInt(text.slice(at, end), 16);
    bytes[filled] = group >>> 8;
    bytes[filled + 1] = group;
    filled += 2;
    at = end;
    if (at === text.length) break;
    if (text.charCodeAt(at) !== COLON || at + 1 === text.length) return false;
    at += 1;
    if (text.charCodeAt(at) === COLON) {
      if (gap >= 0) return false;
      gap = filled;
      at += 1;
      if (at === text.length) break;
    }
  }
  if (at !== text.length) return false;
  return filled === 16 ? gap < 0 : gap >= 0 && widen(bytes, gap, filled);
}

/** Moves what follows the `::` to the end of the 16 bytes. */
function widen(bytes: Uint8Array, gap: number, filled: number): true {
  bytes.copyWithin(16 - (filled - gap), gap, filled);
  bytes.fill(0, gap, 16 - (filled - gap));
  return true;
}

function groupEnd(text: string, start: number): number {
  let end = start;
  while (end < text.length && isHexDigit(text.charCodeAt(end))) end += 1;
  return end;
}

function isHexDigit(code: number): boolean {
  // Of ASCII letters, bit 5 is the case.
  const letter = code | CASE;
  return (code >= ZERO && code <= NINE) || (letter >= LOWER_A && letter <= LOWER_F);
}

function formatDotted(bytes: Uint8Array, offset: number): string {
  return `${bytes[offset]!}.${bytes[offset + 1]!}.${bytes[offset + 2]!}.${bytes[offset + 3]!}`;
}

function formatIpv6(bytes: Uint8Array, offset: number): string {
  if (isMapped(bytes, offset)) return `::ffff:${formatDotted(bytes, offset + 12)}`;
  // The longest run of two or more zero groups, the first of equals (RFC 5952 section 4.2).
  let start = 8;
  let length = 1;
  for (let i = 0; i < 8; i += 1) {
    let end = i;
    while (end < 8 && loadBe16(bytes, offset + 2 * end) === 0) end += 1;
    if (end - i > length) {
      start = i;
      length = end - i;
    }
    i = Math.max(i, end);
  }
  const hex = (from: number, to: number): string => {
    let text = "";
    for (let at = from; at < to; at += 1) {
      text += `${at > from ? ":" : ""}${loadBe16(bytes, offset + 2 * at).toString(16)}`;
    }
    return text;
  };
  return start === 8 ? hex(0, 8) : `${hex(0, start)}::${hex(start + length, 8)}`;
}

/** ::ffff:0:0/96 (RFC 4291 section 2.5.5.2). */
function isMapped(bytes: Uint8Array, offset: number): boolean {
  for (let i = 0; i < 10; i += 1) {
    if (bytes[offset + i] !== 0) return false;
  }
  return bytes[offset + 10] === 0xff && bytes[offset + 11] === 0xff;
}
