/**
 * What a network's nodes were told, as a plan of the planner's: so that a network which can't be planned keeps what it has, and people see it.
 * Told peers come out of it as they went in; which way they meet is seen from their endpoints. Pure.
 */
import type { Network, Underlay } from "../mesh/grid.ts";
import type { NetworkPlan, PeerKind, PlannedPeer } from "../mesh/network-plan.ts";
import type { Way } from "../mesh/ways.ts";
import { addressOfEndpoint } from "../model/endpoint.ts";
import type { NetworkPeer } from "../model/network-resource.ts";
import { placeOf } from "./health/measure.ts";
import type { NodePart } from "./kept-plans.ts";

interface Party {
  readonly kind: "node" | "client";
  readonly name: string;
}

/** Peers that are nobody's any more are left out. */
export function toldPlan(
  { id, members, clients }: Network,
  underlay: Underlay,
  parts: ReadonlyMap<string, NodePart>,
): NetworkPlan {
  const parties = new Map<string, Party>();
  for (const { node, publicKey, rotation } of members) {
    parties.set(publicKey, { kind: "node", name: node });
    if (rotation !== undefined) parties.set(rotation.publicKey, { kind: "node", name: node });
  }
  for (const { id: name, publicKey } of clients) parties.set(publicKey, { kind: "client", name });
  const nodeOf = new Map([...parts].map(([node, { subnet }]) => [subnet, node]));
  return {
    network: id,
    members: [...parts].map(([node, { peers, revision }]) => ({
      ...{ node, revision, unreached: [] },
      peers: peers.flatMap((peer) => {
        const party = parties.get(peer.publicKey);
        return party === undefined ? [] : [plannedOf(peer, node, party, underlay, nodeOf)];
      }),
    })),
    nodes: members.map(({ node }) => node),
    faults: [],
    isKept: false,
  };
}

function plannedOf(
  { publicKey, endpoint, candidates = [], allowedIps, keepalive, subnet }: NetworkPeer,
  from: string,
  { kind, name }: Party,
  underlay: Underlay,
  nodeOf: ReadonlyMap<string, string>,
): PlannedPeer {
  const carries = allowedIps.flatMap((prefix) => nodeOf.get(prefix) ?? []);
  return {
    ...{ kind: kindOf(kind, allowedIps), name, publicKey, allowedIps, keepalive },
    endpoints: endpoint === undefined ? [] : [endpoint, ...candidates],
    ...(subnet === undefined ? {} : { subnet }),
    way: wayOf(endpoint, from, name, underlay),
    carries: carries.filter((node) => node !== name),
  };
}

function kindOf(kind: Party["kind"], allowedIps: readonly string[]): PeerKind {
  return kind === "node" && allowedIps.length === 0 ? "trial" : kind;
}

function wayOf(endpoint: string | undefined, from: string, to: string, { nodes }: Underlay): Way {
  const [one, other] = [nodes.get(from), nodes.get(to)];
  if (endpoint === undefined || one === undefined || other === undefined) return "incoming";
  return placeOf(addressOfEndpoint(endpoint), one, other);
}
