/**
 * Networks as zos has them, in both of its forms (`pkg.NetResource` with the key sealed, `zos.Network` with the key plain), made into
 * network resources of ours: ids, IPv6 addresses, peers. Pure.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { parseBase64Key } from "../../bytes/base64.ts";
import { toBase58 } from "../model/base58.ts";
import { addressText, cidrOf, contains, formatCidr, networkOf } from "../model/cidr.ts";
import { ID_LENGTH_MAX, isId, shortId } from "../model/names.ts";
import { RefusedError } from "../model/problem.ts";
import { goBytes, goIpNet, goSlice, goText, goUint16 } from "./go-types.ts";

export interface ZosPeer {
  readonly WGPublicKey: string;
  readonly Endpoint: string;
  readonly Subnet: string;
  readonly AllowedIPs: readonly string[];
}

export interface ZosNetwork {
  readonly Name: string;
  readonly NetID: string;
  readonly NetworkIPRange: string;
  readonly Subnet: string;
  /** Base64, or hexadecimal of it sealed for this node; a secret either way. */
  readonly WGPrivateKey: string;
  readonly WGPublicKey: string;
  readonly WGListenPort: number;
  readonly Peers: readonly ZosPeer[];
  readonly Mycelium?: unknown;
}

/** Twin and name of a workload "twin-contract-name". */
export interface WorkloadName {
  readonly owner: string;
  readonly name: string;
}

/** Ours: a NetResource names no user; all of them are provisiond's. */
export const ZOS_OWNER = "zos";

const text = goText.optional().transform((value) => value ?? "");

const peerSchema: z.ZodType<ZosPeer> = z.object({
  WGPublicKey: goText,
  Endpoint: text,
  Subnet: goIpNet.optional().transform((value) => value ?? ""),
  AllowedIPs: goSlice(goIpNet),
});

/** NetResource or Network, whichever comes: keys that one of them lacks are empty. */
export const zosNetworkSchema: z.ZodType<ZosNetwork> = z.object(
  {
    Name: text,
    NetID: text,
    NetworkIPRange: goIpNet,
    Subnet: goIpNet,
    WGPrivateKey: text,
    WGPublicKey: text,
    WGListenPort: goUint16.optional().transform((value) => value ?? 0),
    Peers: goSlice(peerSchema),
    Mycelium: z.unknown().optional(),
  },
  "is no network",
);

/** Of DeleteNR an older zos wants the id alone. */
export const zosNetworkNameSchema: z.ZodType<{ readonly NetID: string }> = z.object({
  NetID: goText,
});

/** Parses "twin-contract-name"; throws a {@link RefusedError} if it is not that. */
export function parseWorkloadName(id: string): WorkloadName {
  const [, owner, name] = /^(\d{1,20})-\d{1,20}-(.{1,200})$/.exec(id) ?? [];
  if (owner === undefined || name === undefined) {
    throw new RefusedError("invalid", "the workload id is not TWIN-CONTRACT-NAME");
  }
  return { owner, name };
}

/** The id that zos gives to a twin's network, and its callers compute themselves. */
export function zosNetworkId(twin: string, name: string): string {
  return toBase58(createHash("md5").update(`${twin}:${name}`).digest()).slice(0, ID_LENGTH_MAX);
}

/** Our id for what a caller takes for an id: mostly itself. */
export function ownId(id: string): string {
  if (id === "") throw new RefusedError("invalid", "the id is empty");
  return isId(id) ? id : shortId(id);
}

/** The IPv6 prefix of 64 bits that belongs to an IPv4 address of a network: on this node alone, never in the tunnel. */
export function subnet6Of(network: string, address: string): string {
  return formatCidr(networkOf(cidrOf(ipv6Of(network, address))));
}

/** zos's IPv6 address beside an IPv4 one: the first five letters of the id as bytes, the last two octets; with length. */
export function ipv6Of(network: string, address: string): string {
  const { family, bytes } = cidrOf(address);
  if (family !== 2) throw new RefusedError("invalid", `${address} is no IPv4 address`);
  const [b0, b1, b2, b3, b4] = Buffer.from(network.padEnd(5, "0")).map((byte) => byte);
  const hex = (byte = 0): string => byte.toString(16);
  const prefix = `fd${hex(b0)}:${hex(b1)}${hex(b2)}:${hex(b3)}${hex(b4)}`;
  return formatCidr(cidrOf(`${prefix}:${hex(bytes[2])}::${hex(bytes[3])}/64`));
}

/** Addresses that a workload has beside the IPv4 ones that it was given: one of IPv6 for each in the network's subnet. */
export function withIpv6(
  network: string,
  addresses: readonly string[],
  subnet6: string | undefined,
): string[] {
  const more = addresses.flatMap((address) => {
    if (subnet6 === undefined || address.includes(":")) return [];
    const cidr = cidrOf(ipv6Of(network, address));
    return contains(cidrOf(subnet6), cidr) ? [addressText(cidr)] : [];
  });
  return [...addresses, ...more];
}

export interface ResourceOptions {
  readonly network: ZosNetwork;
  /** Absent: it is a NetResource. */
  readonly workload?: WorkloadName | undefined;
  /** The key when it came sealed. */
  readonly opened?: Uint8Array | undefined;
}

/** Whether the key has to be opened by the node's identity first; its bytes. */
export function sealedKeyOf({ WGPrivateKey }: ZosNetwork): Uint8Array | undefined {
  if (WGPrivateKey === "" || parseBase64Key(WGPrivateKey) !== undefined) return undefined;
  if (!/^([0-9a-fA-F]{2}){33,}$/.test(WGPrivateKey)) {
    throw new RefusedError("invalid", "WGPrivateKey is neither a key in base64 nor a sealed one");
  }
  return Buffer.from(WGPrivateKey, "hex");
}

/** The network resource as the API takes it. Throws a {@link RefusedError}; what else is wrong, its own parser finds. */
export function resourceOf({ network, workload, opened }: ResourceOptions): object {
  const { NetworkIPRange, Subnet, WGListenPort, Peers, Mycelium } = network;
  if (NetworkIPRange === "") throw new RefusedError("invalid", "NetworkIPRange is missing");
  if (Subnet === "") throw new RefusedError("invalid", "Subnet is missing");
  if (Mycelium !== undefined && Mycelium !== null) {
    throw new RefusedError("invalid", "this node has no Mycelium: leave it out of the network");
  }
  const id = idOf(network, workload);
  const subnet = formatCidr(networkOf(cidrOf(Subnet)));
  const privateKey =
    opened === undefined ? network.WGPrivateKey : Buffer.from(opened).toString("latin1").trim();
  return {
    id,
    name: workload?.name ?? (network.Name === "" ? id : network.Name),
    owner: workload?.owner ?? ZOS_OWNER,
    range: formatCidr(networkOf(cidrOf(NetworkIPRange))),
    subnet,
    subnet6: subnet6Of(id, subnet),
    ...(privateKey === "" ? {} : { privateKey }),
    ...(WGListenPort === 0 ? {} : { listenPort: WGListenPort }),
    peers: peersOf(Peers),
  };
}

function idOf({ NetID }: ZosNetwork, workload: WorkloadName | undefined): string {
  if (NetID === "" && workload !== undefined) return zosNetworkId(workload.owner, workload.name);
  if (NetID === "") throw new RefusedError("invalid", "NetID is missing");
  return ownId(NetID);
}

/** WireGuard gives a prefix to the last peer that has it, and zos's clients count on that: a relay and the hidden node itself have it. */
function peersOf(peers: readonly ZosPeer[]): object[] {
  const holder = new Map<string, number>();
  const lists = peers.map(({ AllowedIPs }) =>
    AllowedIPs.filter((prefix) => prefix !== "").map((prefix) =>
      formatCidr(networkOf(cidrOf(prefix))),
    ),
  );
  for (const [at, list] of lists.entries()) for (const prefix of list) holder.set(prefix, at);
  return peers.map(({ WGPublicKey, Endpoint, Subnet }, at) => ({
    publicKey: WGPublicKey,
    ...(Endpoint === "" ? {} : { endpoint: Endpoint }),
    ...(Subnet === "" ? {} : { subnet: Subnet }),
    allowedIps: [...new Set(lists[at])].filter((prefix) => holder.get(prefix) === at),
  }));
}

/** An argument that is a workload's id or an older zos's whole NetResource. */
export const deletedSchema: z.ZodType<string | { readonly NetID: string }> = z.union([
  zosNetworkNameSchema,
  goText,
]);

/** What a container asks for. */
export interface JoinConfig {
  readonly IPs: readonly string[];
  readonly PublicIP6: boolean;
  readonly YggdrasilIP: boolean;
}

export const joinSchema: z.ZodType<JoinConfig> = z.object({
  IPs: goSlice(goText),
  PublicIP6: z
    .boolean()
    .nullish()
    .transform((value) => value === true),
  YggdrasilIP: z
    .boolean()
    .nullish()
    .transform((value) => value === true),
});

export const seedSchema: z.ZodType<unknown> = z.object({ Seed: goBytes }).nullable();
