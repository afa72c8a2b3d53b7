/**
 * A network resource: one tenant's part of its WireGuard mesh on this node, as it is desired. Parsed and checked here, with
 * defaults filled in; keys and ports that are absent are chosen by the node. Pure.
 */
import { z } from "zod";
import { parseBase64Key } from "../../bytes/base64.ts";
import { parseEndpointText } from "../../route/address.ts";
import {
  type Cidr,
  cidrOf,
  contains,
  formatCidr,
  hostOf,
  isNetwork,
  overlaps,
  parseCidr,
} from "./cidr.ts";
import { isId } from "./names.ts";
import { parseOrRefuse } from "./problem.ts";

export interface NetworkPeer {
  /** Base64. */
  readonly publicKey: string;
  /** Base64; a secret. */
  readonly presharedKey?: string | undefined;
  /** "192.0.2.1:51820" or "[2001:db8::1]:51820"; absent: the peer comes to us. */
  readonly endpoint?: string | undefined;
  /** Other ways to the peer, best first; for choosing among them. */
  readonly candidates?: readonly string[] | undefined;
  readonly allowedIps: readonly string[];
  /** Seconds, 0: off; "auto": as the way to the peer needs it. */
  readonly keepalive: number | "auto";
  /** The peer's own part of the network. */
  readonly subnet?: string | undefined;
}

export interface NetworkResource {
  /** 1 to 13 characters of base58. */
  readonly id: string;
  readonly name: string;
  readonly owner: string;
  /** IPv4 prefix of the whole network. */
  readonly range: string;
  /** IPv4 prefix of the part on this node; the gateway is its first host. */
  readonly subnet: string;
  /** IPv6 prefix of 64 bits at most for workloads. */
  readonly subnet6?: string | undefined;
  /** IPv6 prefix of the whole network, routed into the tunnel. */
  readonly range6?: string | undefined;
  /** Addresses of the tunnel interface, with lengths. */
  readonly tunnelAddresses: readonly string[];
  /** Base64; a secret. Absent: the node makes one. */
  readonly privateKey?: string | undefined;
  /** Absent: the node chooses. */
  readonly listenPort?: number | undefined;
  /** Of the tunnel interface; absent: by the underlay's. */
  readonly mtu?: number | undefined;
  /** Workloads reach the Internet through the node's exit. */
  readonly internet: boolean;
  /** Prefixes of the underlay's LAN that workloads may reach all the same. */
  readonly lan: readonly string[];
  readonly peers: readonly NetworkPeer[];
  /** The requester's number of this version. */
  readonly revision: number;
}

/** Ours: as in zos a node has some; bounds what one request can ask for. */
const PEERS_MAX = 4_096;
const PREFIXES_MAX = 1_024;
const TEXT_MAX = 256;
/** RFC 791: every host takes 576; WireGuard itself works down to it. RFC 8200 wants 1280 for IPv6 inside. */
const MTU_MIN = 576;
const MTU_MAX = 65_455;
const MTU_MIN_IPV6 = 1_280;
/** RFC 6890: this network, loopback, link-local, multicast and beyond. */
export const NO_HOSTS: readonly string[] = [
  "0.0.0.0/8",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "224.0.0.0/3",
  "::/8",
  "fe80::/10",
  "ff00::/8",
];

const text = z.string().min(1).max(TEXT_MAX);

const cidr = z
  .string()
  .max(TEXT_MAX)
  .refine((value) => parseCidr(value) !== undefined, "is no address and no prefix");

function network(family: 2 | 10): z.ZodType<string> {
  const example = family === 2 ? "10.1.0.0/16" : "fd00:1::/64";
  return z
    .string()
    .max(TEXT_MAX)
    .refine(
      (value) => {
        const parsed = parseCidr(value);
        return parsed !== undefined && parsed.family === family && isNetwork(parsed);
      },
      `is no IPv${family === 2 ? 4 : 6} prefix such as ${example} (no bits after its length)`,
    );
}

/** The message never shows the value. */
const key = z
  .string()
  .refine(
    (value) => parseBase64Key(value) !== undefined,
    "is no WireGuard key: 44 characters of base64 for 32 bytes",
  );

const endpoint = z
  .string()
  .max(TEXT_MAX)
  .refine((value) => {
    const parsed = parseEndpointText(value);
    return parsed !== undefined && parsed.port > 0;
  }, "is not ADDRESS:PORT or [IPV6]:PORT (names are not looked up)");

/** In the textual form that comparisons and `ip` use: host parts zero. */
function normalPrefix(value: string): string {
  return formatCidr(cidrOf(value));
}

const peerSchema: z.ZodType<NetworkPeer> = z.strictObject({
  publicKey: key,
  presharedKey: key.optional(),
  endpoint: endpoint.optional(),
  candidates: z.array(endpoint).max(64).optional(),
  allowedIps: z.array(cidr.transform(normalPrefix)).max(PREFIXES_MAX),
  keepalive: z.union([z.literal("auto"), z.int().min(0).max(65_535)]).default("auto"),
  subnet: cidr.optional(),
});

const shape = z.strictObject({
  id: z.string().refine(isId, "is not 1 to 13 characters of base58 (no 0, O, I, l)"),
  name: text,
  owner: text,
  range: network(2),
  subnet: network(2),
  subnet6: network(10).optional(),
  range6: network(10).optional(),
  tunnelAddresses: z.array(cidr.transform(normalPrefix)).min(1).max(16).optional(),
  privateKey: key.optional(),
  listenPort: z.int().min(1).max(65_535).optional(),
  mtu: z.int().min(MTU_MIN).max(MTU_MAX).optional(),
  internet: z.boolean().default(true),
  lan: z.array(cidr.transform(normalPrefix)).max(PREFIXES_MAX).default([]),
  peers: z.array(peerSchema).max(PEERS_MAX).default([]),
  revision: z.int().min(0).default(0),
});

/** As zos: 100.64.<second octet>.<third octet> of the subnet. */
export function defaultTunnelAddress(subnet: string): string {
  const { bytes } = cidrOf(subnet);
  return `100.64.${bytes[1]!}.${bytes[2]!}/32`;
}

export const networkResourceSchema: z.ZodType<NetworkResource> = shape
  .transform(
    (value): NetworkResource => ({
      ...value,
      tunnelAddresses: value.tunnelAddresses ?? [defaultTunnelAddress(value.subnet)],
    }),
  )
  .superRefine((value, context) => {
    const fault = (path: readonly (string | number)[], message: string): void => {
      context.addIssue({ code: "custom", path: [...path], message });
    };
    const range = cidrOf(value.range);
    const subnet = cidrOf(value.subnet);
    if (!contains(range, subnet)) fault(["subnet"], `${value.subnet} is not inside ${value.range}`);
    // A gateway and one workload beside network and broadcast address.
    if (subnet.length > 30) fault(["subnet"], `${value.subnet} is too small: /30 is the least`);
    if (value.subnet6 !== undefined) {
      const subnet6 = cidrOf(value.subnet6);
      if (subnet6.length > 120)
        fault(["subnet6"], `${value.subnet6} is too small: /120 is the least`);
      if (value.range6 !== undefined && !contains(cidrOf(value.range6), subnet6)) {
        fault(["subnet6"], `${value.subnet6} is not inside ${value.range6}`);
      }
    }
    const hasIpv6 = [value.subnet6, value.range6, ...value.tunnelAddresses].some((prefix) =>
      prefix?.includes(":"),
    );
    // RFC 8200 5: Linux takes IPv6 off a link with less.
    if (hasIpv6 && value.mtu !== undefined && value.mtu < MTU_MIN_IPV6) {
      fault(["mtu"], `IPv6 needs ${MTU_MIN_IPV6}, ${value.mtu} is less`);
    }
    for (const name of ["range", "subnet", "subnet6", "range6"] as const) {
      const prefix = value[name];
      if (
        prefix !== undefined &&
        NO_HOSTS.some((other) => overlaps(cidrOf(other), cidrOf(prefix)))
      ) {
        fault([name], `${prefix} is no prefix that a host can be in`);
      }
    }
    for (const [at, address] of value.tunnelAddresses.entries()) {
      if (
        overlaps(subnet, { ...cidrOf(address), length: cidrOf(address).family === 2 ? 32 : 128 })
      ) {
        fault(["tunnelAddresses", at], `${address} is one of the workloads' addresses`);
      }
    }
    checkPeers(
      value,
      [subnet, ...(value.subnet6 === undefined ? [] : [cidrOf(value.subnet6)])],
      fault,
    );
  });

function checkPeers(
  { peers }: NetworkResource,
  own: readonly Cidr[],
  fault: (path: readonly (string | number)[], message: string) => void,
): void {
  const keys = new Map<string, number>();
  const holders = new Map<string, number>();
  for (const [at, peer] of peers.entries()) {
    const twin = keys.get(peer.publicKey);
    if (twin !== undefined) fault(["peers", at, "publicKey"], `is that of peer ${twin} too`);
    keys.set(peer.publicKey, at);
    for (const [place, allowed] of peer.allowedIps.entries()) {
      const path = ["peers", at, "allowedIps", place];
      const parsed = cidrOf(allowed);
      // A peer that has 0.0.0.0/0 overlaps all; the more specific prefix wins then.
      if (own.some((subnet) => contains(subnet, parsed))) {
        fault(path, `${allowed} is part of this node's own subnet`);
      }
      const plain = formatCidr({ ...parsed, bytes: hostOf(parsed, 0).bytes });
      const holder = holders.get(plain);
      if (holder !== undefined && holder !== at) {
        fault(
          path,
          `${allowed} belongs to peer ${holder} already: WireGuard gives a prefix to one peer`,
        );
      }
      holders.set(plain, at);
    }
  }
}

/** Parses a network resource from outside; throws a {@link RefusedError} that names each fault and no secret. */
export function parseNetworkResource(value: unknown): NetworkResource {
  return parseOrRefuse(networkResourceSchema, value, "the network resource");
}

/** The workloads' gateway, with the subnet's length. */
export function gatewayOf({ subnet }: NetworkResource): string {
  return formatCidr(hostOf(cidrOf(subnet), 1));
}

/** The same in the IPv6 subnet; undefined: there is none. */
export function gateway6Of({ subnet6 }: NetworkResource): string | undefined {
  return subnet6 === undefined ? undefined : formatCidr(hostOf(cidrOf(subnet6), 1));
}
