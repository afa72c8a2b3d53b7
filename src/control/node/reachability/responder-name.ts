/** Responders as an operator names them, `HOST:PORT`, and their addresses. */
import { lookup } from "node:dns/promises";
import { parseDecimal, parseEndpointText } from "../../../route/address.ts";
import type { SocketAddress } from "./message.ts";

export interface ResponderName {
  /** As it was given. */
  readonly text: string;
  /** A name or an address, without brackets. */
  readonly host: string;
  readonly port: number;
}

/** Ours: a name has one or two addresses of a family; more prove nothing more. */
const ADDRESSES_MAX = 2;
/** RFC 1123 2.1. */
const NAME = /^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,62}\.?)+$/;

/** Parses `HOST:PORT`, `192.0.2.1:3479` or `[2001:db8::1]:3479`. Throws saying what is wrong. */
export function parseResponder(text: string): ResponderName {
  const colon = text.lastIndexOf(":");
  const host = text.slice(0, Math.max(colon, 0));
  const port = parseDecimal(text.slice(colon + 1), 0xffff);
  const isAddress = parseEndpointText(text) !== undefined;
  // 300.1.2.3 is a name that nobody can have.
  const isName = NAME.test(host) && !/^[0-9.]+$/.test(host);
  if (port < 1 || !(isAddress || isName)) {
    throw new Error(`the responder "${text}" is not HOST:PORT or [IPV6]:PORT`);
  }
  return { text, host: host.replace(/^\[(.*)\]$/, "$1"), port };
}

/** Its addresses of one family; none, if it has none or its name is not known now. */
export async function addressesOf(
  { host, port }: ResponderName,
  family: 4 | 6,
): Promise<SocketAddress[]> {
  const found = await lookup(host, { all: true, family }).catch(() => []);
  return found
    .filter((entry) => entry.family === family)
    .slice(0, ADDRESSES_MAX)
    .map(({ address }) => ({ address, port }));
}
