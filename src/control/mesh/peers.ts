/** A plan as what a node executes: the peers of a {@link NetworkResource}. Pure; handles preshared keys if there are any. */
import type { NetworkPeer, NetworkResource } from "../model/network-resource.ts";
import type { Member, Network } from "./grid.ts";
import type { MemberPlan, PlannedPeer } from "./network-plan.ts";

/** The preshared key with that node or client, base64; undefined: none. */
export type PresharedKeyOf = (peer: PlannedPeer) => string | undefined;

/** Peers that several members of a plan have in common: each is made once, and is one object for all of them. */
export type SharedPeers = Map<PlannedPeer, NetworkPeer>;

/** Peers in the order of the plan. Preshared keys are the caller's to keep; where there are any, nothing is shared. */
export function resourcePeers(
  { peers }: MemberPlan,
  presharedKeyOf?: PresharedKeyOf,
  shared?: SharedPeers,
): NetworkPeer[] {
  // Hundreds of peers share a few lists of endpoints: their rest is made once.
  const rests = new Map<readonly string[], readonly string[]>();
  return peers.map((peer): NetworkPeer => {
    const known = shared?.get(peer);
    if (known !== undefined) return known;
    const { publicKey, endpoints, allowedIps, keepalive, subnet } = peer;
    const made: { -readonly [Part in keyof NetworkPeer]: NetworkPeer[Part] } = {
      publicKey,
      allowedIps,
      keepalive,
    };
    const presharedKey = presharedKeyOf?.(peer);
    if (presharedKey !== undefined) made.presharedKey = presharedKey;
    const [endpoint] = endpoints;
    if (endpoint !== undefined) made.endpoint = endpoint;
    if (endpoints.length > 1) {
      let rest = rests.get(endpoints);
      if (rest === undefined) {
        rest = endpoints.slice(1);
        rests.set(endpoints, rest);
      }
      made.candidates = rest;
    }
    if (subnet !== undefined) made.subnet = subnet;
    shared?.set(peer, made);
    return made;
  });
}

/** What a member's node gets: the plan's part of its resource. Name, owner and what a user sets come from elsewhere. */
export function resourceOf(
  { id, range, range6 }: Network,
  { subnet, subnet6, tunnelAddresses, listenPort, portRotation }: Member,
  plan: MemberPlan,
  presharedKeyOf?: PresharedKeyOf,
): Pick<
  NetworkResource,
  | "id"
  | "range"
  | "range6"
  | "subnet"
  | "subnet6"
  | "tunnelAddresses"
  | "listenPort"
  | "peers"
  | "revision"
> {
  return {
    id,
    range,
    ...(range6 === undefined ? {} : { range6 }),
    subnet,
    ...(subnet6 === undefined ? {} : { subnet6 }),
    tunnelAddresses,
    listenPort: portRotation?.isSwitched === true ? portRotation.port : listenPort,
    peers: resourcePeers(plan, presharedKeyOf),
    revision: plan.revision,
  };
}
