/** Why a packet goes where it goes, in sentences: which network, which peer by which prefix, which path and why. Pure. */
import { cidrOf, contains, parseCidr } from "../model/cidr.ts";
import { RefusedError } from "../model/problem.ts";
import { explainKeepalive, type Reachability } from "../model/reachability.ts";
import type { NetworkDetails } from "./view.ts";

export interface Explanation {
  readonly network: string;
  /** "local": a workload's subnet here; "peer": through the tunnel; "internet": by the exit; "blocked": nowhere. */
  readonly way: "local" | "peer" | "internet" | "blocked";
  /** Public key; null: no peer is concerned. */
  readonly peer: string | null;
  /** The prefix that decided. */
  readonly prefix: string | null;
  readonly endpoint: string | null;
  readonly lastHandshakeMs: number;
  /** One sentence each. */
  readonly why: readonly string[];
}

/** For each network that has the peer (its public key or the beginning of it). */
export function explainPeer(
  networks: readonly NetworkDetails[],
  key: string,
  reachability?: Reachability,
): Explanation[] {
  const found = networks.flatMap((network) =>
    network.resource.peers
      .filter(({ publicKey }) => key !== "" && publicKey.startsWith(key))
      .map(({ publicKey }) => path(network, publicKey, null, reachability)),
  );
  if (found.length === 0) throw new RefusedError("missing", "no network has such a peer");
  return found;
}

/** For each network: where a workload's packet to the address goes. */
export function explainAddress(
  networks: readonly NetworkDetails[],
  text: string,
  reachability?: Reachability,
): Explanation[] {
  const address = parseCidr(text);
  if (address === undefined || text.includes("/")) {
    throw new RefusedError("invalid", "address is no IP address");
  }
  return networks.map((network) => {
    const { resource } = network;
    const subnet = [resource.subnet, resource.subnet6].find(
      (prefix) => prefix !== undefined && contains(cidrOf(prefix), address),
    );
    if (subnet !== undefined) {
      return other(network, "local", subnet, `${text} is in this node's own subnet ${subnet}`);
    }
    const [best] = resource.peers
      .flatMap(({ publicKey, allowedIps }) => allowedIps.map((prefix) => ({ publicKey, prefix })))
      .filter(({ prefix }) => contains(cidrOf(prefix), address))
      .sort((a, b) => cidrOf(b.prefix).length - cidrOf(a.prefix).length);
    if (best !== undefined) return path(network, best.publicKey, best.prefix, reachability);
    const range = [resource.range, resource.range6].find(
      (prefix) => prefix !== undefined && contains(cidrOf(prefix), address),
    );
    if (range !== undefined) {
      return other(network, "blocked", range, `${text} is in the network, but no peer has it`);
    }
    const allowed = resource.lan.find((prefix) => contains(cidrOf(prefix), address));
    if (allowed !== undefined) {
      return other(network, "internet", allowed, `${allowed} of the LAN is allowed: by the exit`);
    }
    return resource.internet
      ? other(network, "internet", null, "by the exit, unless it is a private address")
      : other(network, "blocked", null, "this network has no way to the Internet");
  });
}

function other(
  { id }: NetworkDetails,
  way: Explanation["way"],
  prefix: string | null,
  why: string,
): Explanation {
  return { network: id, way, peer: null, prefix, endpoint: null, lastHandshakeMs: 0, why: [why] };
}

function path(
  network: NetworkDetails,
  publicKey: string,
  prefix: string | null,
  reachability: Reachability | undefined,
): Explanation {
  const wanted = network.resource.peers.find((peer) => peer.publicKey === publicKey);
  const now = network.device?.peers.find((peer) => peer.publicKey === publicKey);
  const why: string[] = [];
  if (prefix !== null) why.push(`${prefix} is the longest of the peers' prefixes that holds it`);
  const endpoint = now?.endpoint ?? null;
  if (network.device === null)
    why.push(`the tunnel does not run: ${network.problem ?? "it starts"}`);
  else if (endpoint === null) why.push("no endpoint is known: the peer has to come to us");
  else if (endpoint === wanted?.endpoint) why.push(`${endpoint} is the configured endpoint`);
  else why.push(`${endpoint} is where the peer's last authentic packet came from`);
  if (now?.source != null) why.push(`it speaks to our address ${now.source}`);
  if (now !== undefined && now.lastHandshakeMs === 0) {
    why.push(
      now.initiations === 0
        ? "no handshake was needed yet"
        : `no handshake has succeeded, ${now.initiations} initiations were sent`,
    );
  }
  if (wanted !== undefined) why.push(...explainKeepalive(wanted, reachability));
  const { lastHandshakeMs = 0 } = now ?? {};
  return {
    network: network.id,
    way: "peer",
    peer: publicKey,
    prefix,
    endpoint,
    lastHandshakeMs,
    why,
  };
}
