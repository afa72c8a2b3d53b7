/** The `wg-quick` file of a machine outside the grid: an unmodified WireGuard joins with it. Pure; handles the client's private key. */
import { normalCidr } from "../model/cidr.ts";
import { RefusedError } from "../model/problem.ts";
import { hostPrefix } from "./check.ts";
import {
  type ExternalClient,
  FAMILIES,
  type FamilyName,
  type Network,
  type Underlay,
} from "./grid.ts";
import { Party } from "./ways.ts";

export interface ClientFile {
  readonly addresses: readonly string[];
  /** The access node's. */
  readonly publicKey: string;
  readonly endpoint: string;
  /** Other endpoints of the access node: a file has room for one. */
  readonly others: readonly string[];
  readonly allowedIps: readonly string[];
}

/** WP 6.5. A file can't adapt, and clients are behind NATs. */
const CLIENT_KEEPALIVE = 25;
/** Most clients have IPv4. */
const CLIENT_FAMILIES: readonly FamilyName[] = FAMILIES.toReversed();

/**
 * What goes into the file. The whole network goes through the access node, so the file stays right as members come and go; it has to be made
 * again when the access node's key, port or address changes. Throws a {@link RefusedError} if there is no way in.
 */
export function clientFile(
  { range, range6, members }: Network,
  { id, addresses, access }: ExternalClient,
  { nodes }: Underlay,
  families: readonly FamilyName[] = CLIENT_FAMILIES,
): ClientFile {
  const member = members.find(({ node }) => node === access);
  const node = nodes.get(access);
  if (member === undefined || node === undefined) {
    throw new RefusedError(
      "missing",
      `client ${id}: node ${access} is not in the network: name one that is`,
    );
  }
  const { rotation } = member;
  const party = new Party(member, node, new Map());
  const [endpoint, ...others] = party.endpoints(families);
  if (endpoint === undefined) {
    throw new RefusedError(
      "conflict",
      `client ${id}: node ${access} is not public in ${families.join(" or ")}: name one that is`,
    );
  }
  return {
    addresses: addresses.map((address) => normalCidr(hostPrefix(address))),
    publicKey: rotation?.isSwitched === true ? rotation.publicKey : member.publicKey,
    endpoint,
    others,
    allowedIps: [range, ...(range6 === undefined ? [] : [range6])],
  };
}

/** The file's text; without a private key a line tells where it belongs. */
export function wgQuickText(
  { addresses, publicKey, endpoint, others, allowedIps }: ClientFile,
  keys: { readonly privateKey?: string; readonly presharedKey?: string } = {},
): string {
  return [
    "[Interface]",
    keys.privateKey === undefined
      ? "# PrivateKey = (the one whose public key was given)"
      : `PrivateKey = ${keys.privateKey}`,
    `Address = ${addresses.join(", ")}`,
    "",
    "[Peer]",
    `PublicKey = ${publicKey}`,
    ...(keys.presharedKey === undefined ? [] : [`PresharedKey = ${keys.presharedKey}`]),
    `AllowedIPs = ${allowedIps.join(", ")}`,
    `Endpoint = ${endpoint}`,
    ...others.map((other) => `# or: Endpoint = ${other}`),
    `PersistentKeepalive = ${CLIENT_KEEPALIVE}`,
    "",
  ].join("\n");
}
