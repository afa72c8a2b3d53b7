/** Whom to probe in a network, where, and how often: from what the planner gave each peer. Pure. */
import { addressText, type Cidr, cidrOf, contains, hostOf, parseCidr } from "../../model/cidr.ts";
import type { NetworkPeer } from "../../model/network-resource.ts";

export interface ProbeTarget {
  readonly publicKey: string;
  /** An address whose owner's kernel answers echoes; undefined: there is none, its handshakes are looked at instead. */
  readonly address: string | undefined;
  /** Others are reached through it, or it is a LAN neighbour: its failure has to be seen soon. */
  readonly isUrgent: boolean;
}

/** `lans`: prefixes of the node's own interfaces. */
export function probeTarget(peer: NetworkPeer, lans: readonly Cidr[]): ProbeTarget {
  const { publicKey, allowedIps, subnet, endpoint } = peer;
  return {
    publicKey,
    address: addressOf(allowedIps, subnet),
    isUrgent: carriesOthers(allowedIps, subnet) || isNeighbour(endpoint, lans),
  };
}

/** The first single address: the planner lists a member's own prefixes, its tunnel addresses among them, before those of others. */
function addressOf(allowedIps: readonly string[], subnet: string | undefined): string | undefined {
  const parsed = allowedIps.map(cidrOf);
  const single =
    parsed.find(({ family, length }) => family === 2 && length === 32) ??
    parsed.find(({ family, length }) => family === 10 && length === 128);
  if (single !== undefined) return addressText(single);
  // Its gateway, as long as that subnet is led to it.
  return subnet !== undefined && allowedIps.includes(subnet)
    ? addressText(hostOf(cidrOf(subnet), 1))
    : undefined;
}

/** Another member's subnet is led to it. */
function carriesOthers(allowedIps: readonly string[], subnet: string | undefined): boolean {
  const networks = allowedIps.filter((prefix) => {
    const { family, length } = cidrOf(prefix);
    return family === 2 && length < 32;
  });
  return networks.some(
    (prefix) => prefix !== subnet && (subnet !== undefined || networks.length > 1),
  );
}

function isNeighbour(endpoint: string | undefined, lans: readonly Cidr[]): boolean {
  const host = endpoint === undefined ? undefined : /^\[?([^\]]+)\]?:\d+$/.exec(endpoint)?.[1];
  const address = host === undefined ? undefined : parseCidr(host.replace(/%.*$/, ""));
  return address !== undefined && lans.some((lan) => contains(lan, address));
}
