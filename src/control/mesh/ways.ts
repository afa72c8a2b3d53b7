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
  type Standing,
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
  readonly measured: ReadonlyMap<string, Measured> | undefined;
  /** What it can do in the underlay: {@link PUBLIC} and {@link OUT}, a pair of bits for each family. */
  readonly standing: number;
  readonly #lists = new Map<readonly FamilyName[], readonly string[]>();
  /** How others find it, by what makes sides differ: hundreds of peers share a few. */
  readonly #sides: (Side | undefined)[] = [];
  #neighbourhood: Neighbourhood | undefined;

  constructor(member: Member, node: GridNode, links: Links) {
    this.member = member;
    this.node = node;
    this.standing = (standingOf(node.v6) << SHIFT6) | (standingOf(node.v4) << SHIFT4);
    this.measured = links.get(node.id);
  }

  get neighbourhood(): Neighbourhood {
    this.#neighbourhood ??= neighbourhoodOf(this.node);
    return this.#neighbourhood;
  }

  measuredTo({ node }: Party): Measured | undefined {
    return this.measured?.get(node.id);
  }

  /** Its public endpoints in these families (one of {@link ORDERS}): with the port in use, then with the other one of a rotation. */
  endpoints(families: readonly FamilyName[]): readonly string[] {
    let list = this.#lists.get(families);
    if (list === undefined) {
      const addresses = families.flatMap((family) => {
        const standing = this.node[family];
        return standing.kind === "public" ? standing.addresses : [];
      });
      const all = this.at(addresses);
      list = all.length > ENDPOINTS_MAX ? all.slice(0, ENDPOINTS_MAX) : all;
      this.#lists.set(families, list);
    }
    return list;
  }

  /** The side of who dials this one in some families, or none of them; without a LAN. */
  sideOf(dialled: Order, isAuto: boolean, isIncoming: boolean): Side {
    const key = (((dialled << 1) | Number(isAuto)) << 1) | Number(isIncoming);
    let side = this.#sides[key];
    if (side === undefined) {
      const families = ORDERS[dialled]!;
      const [first] = families;
      side = {
        endpoints: first === undefined ? NO_ENDPOINTS : this.endpoints(families),
        keepalive: isAuto ? "auto" : 0,
        way: first === undefined || isIncoming ? "incoming" : first,
      };
      this.#sides[key] = side;
    }
    return side;
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

/** Which families, in which order: a place in {@link ORDERS}. */
type Order = 0 | 1 | 2 | 3 | 4;
const ORDERS: readonly (readonly FamilyName[])[] = [[], ["v6"], ["v4"], ["v6", "v4"], ["v4", "v6"]];
const NOWHERE = 0;
const ONLY_V6 = 1;
const ONLY_V4 = 2;
const V6_FIRST = 3;
const V4_FIRST = 4;

const PUBLIC = 1;
const OUT = 2;
const SHIFT4 = 0;
const SHIFT6 = 2;
/** Families that are dialled, as bits: where {@link Party.standing} has {@link PUBLIC}. */
const DIALS_V4 = PUBLIC << SHIFT4;
const DIALS_V6 = PUBLIC << SHIFT6;

function standingOf({ kind }: Standing): number {
  return kind === "public" ? PUBLIC | OUT : kind === "hidden" ? OUT : 0;
}

/** `there`, `back`: what the one measured of the other, and the other of the one. Undefined: they need a relay. */
export function meet(
  a: Party,
  b: Party,
  there: Measured | undefined,
  back: Measured | undefined,
): Meeting | undefined {
  const dialsThere = dialled(a, b, there);
  const dialsBack = dialled(b, a, back);
  const either = dialsThere | dialsBack;
  const lanThere = reached(there?.lan, b.node);
  const lanBack = reached(back?.lan, a.node);
  const isLan = lanThere.length > 0 || lanBack.length > 0;
  if (either === 0 && !isLan) return undefined;
  const both = dialsThere & dialsBack;
  const isV4First =
    (either & DIALS_V4) !== 0 &&
    ((either & DIALS_V6) === 0 ||
      isV4Better(there, back, (both & DIALS_V6) !== 0, (both & DIALS_V4) !== 0));
  const one = sideTowards(b, a, dialsThere, dialsBack, isV4First);
  const other = sideTowards(a, b, dialsBack, dialsThere, isV4First);
  if (isLan) {
    return {
      latencyMs: lanThere[0]?.latencyMs ?? lanBack[0]?.latencyMs,
      sides: [inLan(one, b, lanThere), inLan(other, a, lanBack)],
    };
  }
  return { latencyMs: latencyOf(isV4First ? "v4" : "v6", there, back), sides: [one, other] };
}

/** By what two nodes are ({@link Party.standing}), as far as nothing is measured. */
export function mayMeet(a: number, b: number): boolean {
  return (opened(a, b) | opened(b, a)) !== 0;
}

/** Out at the one and in at the other: the bits of a family lie side by side. */
function opened(from: number, to: number): number {
  return to & (from >>> 1) & (DIALS_V4 | DIALS_V6);
}

/** The families in which `from` may open a flow, as `dials` has it, for a pair of which nearly nothing is measured nearly always. */
function dialled(from: Party, to: Party, probes: Measured | undefined): number {
  const open = opened(from.standing, to.standing);
  if (open === 0 || probes === undefined) return open;
  const failed =
    (probes.v4?.isReached === false ? DIALS_V4 : 0) |
    (probes.v6?.isReached === false ? DIALS_V6 : 0);
  return open & ~failed;
}

/** Of `from`, which dials `to` in some families, as `to` dials back in some. */
function sideTowards(
  to: Party,
  from: Party,
  dials: number,
  back: number,
  isV4First: boolean,
): Side {
  // A flow that one side's NAT or firewall forgets would leave the other with an address that leads nowhere.
  const isHidden = (dials & ~from.standing) !== 0;
  const isAuto = dials !== 0 && (isHidden || back === 0);
  const first = isV4First ? DIALS_V4 : DIALS_V6;
  const order =
    dials === (DIALS_V4 | DIALS_V6)
      ? isV4First
        ? V4_FIRST
        : V6_FIRST
      : dials === DIALS_V6
        ? ONLY_V6
        : dials === DIALS_V4
          ? ONLY_V4
          : NOWHERE;
  return to.sideOf(order, isAuto, (dials & first) === 0);
}

function inLan({ endpoints, keepalive }: Side, to: Party, probes: readonly LanProbe[]): Side {
  const near = to.at(probes.map(({ address }) => bare(address)));
  return {
    endpoints: [...near, ...endpoints].slice(0, ENDPOINTS_MAX),
    keepalive: keepalive === "auto" ? "auto" : LAN_KEEPALIVE,
    way: "lan",
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

/** Where they meet in both families: proved ones first, then by latency, then those where both may begin, then IPv6. */
function isV4Better(
  there: Measured | undefined,
  back: Measured | undefined,
  isMutual6: boolean,
  isMutual4: boolean,
): boolean {
  if (there !== undefined || back !== undefined) {
    const isProved = (family: FamilyName): boolean =>
      there?.[family]?.isReached === true || back?.[family]?.isReached === true;
    if (isProved("v4") !== isProved("v6")) return isProved("v4");
    const steps = (family: FamilyName): number => {
      const latency = latencyOf(family, there, back);
      return latency === undefined
        ? Number.MAX_SAFE_INTEGER
        : Math.round(latency / LATENCY_STEP_MS);
    };
    if (steps("v4") !== steps("v6")) return steps("v4") < steps("v6");
  }
  return isMutual4 && !isMutual6;
}

function latencyOf(
  family: FamilyName,
  there: Measured | undefined,
  back: Measured | undefined,
): number | undefined {
  return there?.[family]?.latencyMs ?? back?.[family]?.latencyMs;
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
