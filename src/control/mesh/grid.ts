/**
 * What the mesh planner plans from: tenants' networks, the grid's nodes, and what was measured between nodes. Plain data without a
 * clock: whoever keeps it replaces objects and never changes them in place. Checked by `check.ts`.
 */

/** The underlay's two families. */
export type FamilyName = "v4" | "v6";

export const FAMILIES: readonly FamilyName[] = ["v6", "v4"];

/** How a node stands in one family of the underlay, as it was measured: an address alone doesn't tell. */
export type Standing =
  /** Others reach it at these addresses, unasked. */
  | { readonly kind: "public"; readonly addresses: readonly string[] }
  /** It reaches others, who only answer: NAT or a firewall. `seenAs`: the address that they see. */
  | { readonly kind: "hidden"; readonly seenAs?: string | undefined }
  | { readonly kind: "none" };

export interface RelayState {
  /** False: its farmer doesn't want it to carry what isn't its own. */
  readonly isAllowed: boolean;
  /** "probation": it was down a moment ago; it carries only what nobody else can. "down": it carries nothing. */
  readonly health: "up" | "probation" | "down";
  /** Share of what it can carry that is in use, 0 to 1. */
  readonly load: number;
}

export interface GridNode {
  readonly id: string;
  readonly v4: Standing;
  readonly v6: Standing;
  /** Addresses in its LANs, with prefix lengths (`lanAddresses` takes them from a census). */
  readonly lan: readonly string[];
  readonly relay: RelayState;
}

/** One way was tried from one node to another. */
export interface Probe {
  readonly isReached: boolean;
  /** Round trip. */
  readonly latencyMs?: number | undefined;
  /**
   * It worked, and does not now: the two stay peers, so that it is seen when it works again. "failed": in this family; "suspected": in
   * the other one, and this one hasn't been tried since. Absent: as far as anybody knows, it never will.
   */
  readonly lost?: "failed" | "suspected" | undefined;
}

export interface LanProbe extends Probe {
  /** Of the other node's `lan`, with or without its length. */
  readonly address: string;
}

/** What one node measured to another; what is absent was not tried. */
export interface Measured {
  readonly v4?: Probe | undefined;
  readonly v6?: Probe | undefined;
  readonly lan?: readonly LanProbe[] | undefined;
}

/** From a node, to a node. */
export type Links = ReadonlyMap<string, ReadonlyMap<string, Measured>>;

/** A new key is on its way: both are accepted until the rotation ends. */
export interface KeyRotation {
  readonly publicKey: string;
  /** The node says that its interface uses the new one: the old one is dead then. */
  readonly isSwitched: boolean;
  /** Nodes that have seen a handshake of the new key. */
  readonly seenBy: readonly string[];
}

/** A new port is on its way: peers know both until the rotation ends. */
export interface PortRotation {
  readonly port: number;
  /** The node is to use the new one: its peers have confirmed that they know both. */
  readonly isSwitched: boolean;
}

/** A node's part of a network. */
export interface Member {
  readonly node: string;
  /** Base64, of this node in this network. */
  readonly publicKey: string;
  readonly rotation?: KeyRotation | undefined;
  readonly listenPort: number;
  readonly portRotation?: PortRotation | undefined;
  /** IPv4 prefix of its workloads. */
  readonly subnet: string;
  readonly subnet6?: string | undefined;
  /** Of its tunnel interface. */
  readonly tunnelAddresses: readonly string[];
}

/** A machine outside the grid that joins by `wg-quick`. */
export interface ExternalClient {
  readonly id: string;
  readonly publicKey: string;
  readonly addresses: readonly string[];
  /** The node that it comes to. */
  readonly access: string;
}

export interface Network {
  readonly id: string;
  /** IPv4 prefix of the whole. */
  readonly range: string;
  readonly range6?: string | undefined;
  readonly members: readonly Member[];
  readonly clients: readonly ExternalClient[];
}

/** What all networks share. */
export interface Underlay {
  readonly nodes: ReadonlyMap<string, GridNode>;
  readonly links: Links;
}

export interface Grid extends Underlay {
  readonly networks: ReadonlyMap<string, Network>;
}

/** True if the node may carry what isn't its own: it is public in a family, willing and alive. */
export function isRelay({ v4, v6, relay }: GridNode): boolean {
  const isPublic = v4.kind === "public" || v6.kind === "public";
  return isPublic && relay.isAllowed && relay.health !== "down";
}
