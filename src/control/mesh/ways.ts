/**
 * How two members of a network meet without a relay: the ways, in order, and what each side has to know and do for them. Also the
 * trial of a LAN that nobody has proved yet. Pure.
 */
import {
  FAMILIES,
  type FamilyName,
  type GridNode,
  type LanProbe,
  type Links,
  type Measured,
  type Member,
} from "./grid.ts";
import {
  bare,
  mayBeNeighbours,
  type Neighbourhood,
  neighbourhoodOf,
  neighbourOrder,
} from "./lan.ts";

/** "incoming": the other comes to us. */
export type Way = "lan" | FamilyName | "incoming";

/** One side of a meeting. */
export interface Side {
  /** Where to find the other, best first; empty: the other comes to us. */
  readonly endpoints: readonly string[];
  /** Seconds, 0: off; "auto": as the NAT in front of this side needs it. */
  readonly keepalive: number | "auto";
  readonly way: Way;
}

export interface Meeting {
  readonly latencyMs: number | undefined;
  /** In the order of the arguments. */
  readonly sides: readonly [Side, Side];
}

/** A member with its node and what that measured, and the lists that many peers of it share. */
export class Party {
  readonly member: Member;
  readonly node: GridNode;
  readonly #measured: ReadonlyMap<string, Measured> | undefined;
  readonly #lists = new Map<string, readonly string[]>();
  #neighbourhood: Neighbourhood | undefined;

  constructor(member: Member, node: GridNode, links: Links) {
    this.member = member;
    this.node = node;
    this.#measured = links.get(node.id);
  }

  get neighbourhood(): Neighbourhood {
    this.#neighbourhood ??= neighbourhoodOf(this.node);
    return this.#neighbourhood;
  }

  measuredTo({ node }: Party): Measured | undefined {
    return this.#measured?.get(node.id);
  }

  /** Its public endpoints in these families, in this order: with the port in use, then with the other one of a rotation. */
  endpoints(families: readonly FamilyName[]): readonly string[] {
    const name = families.length === 1 ? families[0]! : families.join();
    let list = this.#lists.get(name);
    if (list === undefined) {
      const addresses = families.flatMap((family) => {
        const standing = this.node[family];
        return standing.kind === "public" ? standing.addresses : [];
      });
      list = this.at(addresses);
      this.#lists.set(name, list);
    }
    return list;
  }

  at(addresses: readonly string[]): string[] {
    return this.ports().flatMap((port) => addresses.map((address) => endpointText(address, port)));
  }

  /** The one in use first. */
  ports(): readonly number[] {
    const { listenPort, portRotation } = this.member;
    if (portRotation === undefined) return [listenPort];
    const both = [listenPort, portRotation.port];
    return portRotation.isSwitched ? both.reverse() : both;
  }
}

/** WP 6.5: 25 seconds. A LAN has no NAT: this is for seeing it fail. */
export const LAN_KEEPALIVE = 25;
/** Ours: NetworkPeer takes 64 candidates beside the endpoint. */
const ENDPOINTS_MAX = 65;
const NO_ENDPOINTS: readonly string[] = [];
const NO_PROBES: readonly LanProbe[] = [];
/** Ours: within 5 ms families are equally good, as Tailscale has it. */
const LATENCY_STEP_MS = 5;

/** Undefined: they need a relay. */
export function meet(a: Party, b: Party): Meeting | undefined {
  const there = a.measuredTo(b);
  const back = b.measuredTo(a);
  const lanThere = reached(there?.lan, b.node);
  const lanBack = reached(back?.lan, a.node);
  const isLan = lanThere.length > 0 || lanBack.length > 0;
  const families = familiesOf(a.node, b.node, there, back);
  if (!isLan && families.length === 0) return undefined;
  const first = families[0];
  const latencyMs = isLan
    ? (lanThere[0]?.latencyMs ?? lanBack[0]?.latencyMs)
    : first && latencyOf(first, there, back);
  return {
    latencyMs,
    sides: [
      side(a, b, families, there, back, lanThere, isLan),
      side(b, a, families, back, there, lanBack, isLan),
    ],
  };
}

/** Endpoints for a trial, undefined: there is nothing to try, or a try has failed and nobody has taken that back. */
export function trial(a: Party, b: Party): readonly [Side, Side] | undefined {
  if (!mayBeNeighbours(a.neighbourhood, b.neighbourhood)) return undefined;
  const one = untried(a, b, a.measuredTo(b)?.lan);
  const other = untried(b, a, b.measuredTo(a)?.lan);
  if (one.length === 0 && other.length === 0) return undefined;
  const sideOf = (endpoints: readonly string[]): Side => ({
    endpoints,
    keepalive: endpoints.length === 0 ? 0 : LAN_KEEPALIVE,
    way: endpoints.length === 0 ? "incoming" : "lan",
  });
  return [sideOf(one), sideOf(other)];
}

/**
 * How two that met, and do not now, go on asking each other; undefined: they never met, or they still do. The family that was not tried
 * since comes first.
 */
export function again(a: Party, b: Party): readonly [Side, Side] | undefined {
  const one = askable(a, b);
  const other = askable(b, a);
  if (one.length === 0 && other.length === 0) return undefined;
  const sideOf = (to: Party, families: readonly FamilyName[]): Side => ({
    endpoints: to.endpoints(families),
    keepalive: families.length === 0 ? 0 : LAN_KEEPALIVE,
    way: families[0] ?? "incoming",
  });
  return [sideOf(b, one), sideOf(a, other)];
}

/** Families in which `from` could open a flow, were it not lost. */
function askable(from: Party, to: Party): FamilyName[] {
  const probes = from.measuredTo(to);
  const isSuspected = (family: FamilyName): number =>
    probes?.[family]?.lost === "suspected" ? 0 : 1;
  return FAMILIES.filter((family) => {
    const isLost = probes?.[family]?.lost !== undefined;
    return dials(from.node, to.node, family, isLost ? undefined : probes);
  }).sort((x, y) => isSuspected(x) - isSuspected(y));
}

/** True if `from` may open a flow to `to` in that family: it can be opened, and no probe has failed. */
export function dials(
  from: GridNode,
  to: GridNode,
  family: FamilyName,
  probes: Measured | undefined,
): boolean {
  return (
    to[family].kind === "public" &&
    from[family].kind !== "none" &&
    probes?.[family]?.isReached !== false
  );
}

export function endpointText(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** The families in which they meet: proved ones first, then by latency, then those where both may begin, then IPv6. */
function familiesOf(
  a: GridNode,
  b: GridNode,
  there: Measured | undefined,
  back: Measured | undefined,
): readonly FamilyName[] {
  const possible = FAMILIES.filter(
    (family) => dials(a, b, family, there) || dials(b, a, family, back),
  );
  if (possible.length < 2) return possible;
  const rank = (family: FamilyName): readonly number[] => {
    const isProved = there?.[family]?.isReached === true || back?.[family]?.isReached === true;
    const latency = latencyOf(family, there, back);
    const isMutual = dials(a, b, family, there) && dials(b, a, family, back);
    return [
      isProved ? 0 : 1,
      latency === undefined ? Number.MAX_SAFE_INTEGER : Math.round(latency / LATENCY_STEP_MS),
      isMutual ? 0 : 1,
    ];
  };
  const [six, four] = [rank("v6"), rank("v4")];
  const differs = six.findIndex((value, at) => value !== four[at]);
  return differs >= 0 && six[differs]! > four[differs]! ? ["v4", "v6"] : possible;
}

function latencyOf(
  family: FamilyName,
  there: Measured | undefined,
  back: Measured | undefined,
): number | undefined {
  return there?.[family]?.latencyMs ?? back?.[family]?.latencyMs;
}

function side(
  from: Party,
  to: Party,
  families: readonly FamilyName[],
  there: Measured | undefined,
  back: Measured | undefined,
  lan: readonly LanProbe[],
  isLan: boolean,
): Side {
  const dialled = families.filter((family) => dials(from.node, to.node, family, there));
  const isCalledBack = families.some((family) => dials(to.node, from.node, family, back));
  // A flow that this side's NAT or firewall forgets would leave the other with an address that leads nowhere.
  const isHidden = dialled.some((family) => from.node[family].kind !== "public");
  const wide = dialled.length === 0 ? NO_ENDPOINTS : to.endpoints(dialled);
  const endpoints =
    lan.length === 0 ? wide : [...to.at(lan.map(({ address }) => bare(address))), ...wide];
  const first = families[0];
  return {
    endpoints: endpoints.length > ENDPOINTS_MAX ? endpoints.slice(0, ENDPOINTS_MAX) : endpoints,
    keepalive:
      dialled.length > 0 && (isHidden || !isCalledBack) ? "auto" : isLan ? LAN_KEEPALIVE : 0,
    way: isLan ? "lan" : first !== undefined && dialled.includes(first) ? first : "incoming",
  };
}

/** Proved addresses that the node still has, the nearest first. */
function reached(probes: readonly LanProbe[] | undefined, to: GridNode): readonly LanProbe[] {
  if (probes === undefined || probes.length === 0) return NO_PROBES;
  const own = new Set(to.lan.map(bare));
  return probes
    .filter(({ isReached, address }) => isReached && own.has(bare(address)))
    .sort((a, b) => (a.latencyMs ?? 0) - (b.latencyMs ?? 0) || (a.address < b.address ? -1 : 1));
}

function untried(from: Party, to: Party, probes: readonly LanProbe[] | undefined): string[] {
  const tried = new Set((probes ?? []).map(({ address }) => bare(address)));
  return to
    .at(neighbourOrder(from.node, to.node).filter((address) => !tried.has(address)))
    .slice(0, ENDPOINTS_MAX);
}
