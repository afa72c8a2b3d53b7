/**
 * From what nodes report of their peers to what the planner takes as measured. Pure.
 *
 * One node's word moves what is its own: a failure counts for the pair that reports it. Round trips are the greater of both sides' words, so
 * nobody draws others' traffic by a small number; a LAN counts as long as neither side sees it fail.
 */
import type { FamilyName, GridNode, Measured, Probe } from "../../mesh/grid.ts";
import { bare, mayBeNeighbours, type Neighbourhood, neighbourhoodOf } from "../../mesh/lan.ts";
import { addressText, cidrOf } from "../../model/cidr.ts";
import { addressOfEndpoint } from "../../model/endpoint.ts";
import type { PeerRecord } from "./record.ts";

export type Place = "lan" | FamilyName;

/** What the planner's input has of a node, as far as it is needed here. */
export type Located = Pick<GridNode, "id" | "v4" | "v6" | "lan">;

/**
 * By what an address reaches a node: its own address in a LAN that both may be in, or else a family of the underlay. All have an address of their
 * NIC where there is no NAT, so that alone tells nothing.
 */
export function placeOf(address: string, from: Located, to: Located): Place {
  const plain = plainOf(address);
  const family: FamilyName = plain.includes(":") ? "v6" : "v4";
  const standing = to[family];
  if (standing.kind === "public" && standing.addresses.map(plainOf).includes(plain)) return family;
  if (!to.lan.some((own) => plainOf(bare(own)) === plain)) return family;
  return mayBeNeighbours(placeIn(from), placeIn(to)) ? "lan" : family;
}

/** Objects of the input are never changed, so what was found stays true. */
const neighbourhoods = new WeakMap<Located, Neighbourhood>();

function placeIn(node: Located): Neighbourhood {
  let found = neighbourhoods.get(node);
  if (found === undefined) {
    found = neighbourhoodOf(node);
    neighbourhoods.set(node, found);
  }
  return found;
}

/** What a node's record says of the way to another; `base`: what was measured outside the tunnel. */
export function measuredOf(
  record: PeerRecord,
  from: Located,
  to: Located,
  base: Measured = {},
): Measured {
  const { isAlive, isDead, endpoint, latencyMs, failed = [] } = record;
  const address = endpoint === undefined ? undefined : addressOfEndpoint(endpoint);
  const place = address === undefined ? undefined : placeOf(address, from, to);
  const failedPlaces = failed.map((one) => ({ ...one, place: placeOf(one.address, from, to) }));
  const lan = new Map((base.lan ?? []).map((probe) => [plainOf(bare(probe.address)), probe]));
  for (const one of failedPlaces) {
    if (one.place !== "lan") continue;
    const plain = plainOf(one.address);
    lan.set(plain, { address: plain, isReached: false });
  }
  const answered: Probe = { isReached: true, ...(latencyMs === undefined ? {} : { latencyMs }) };
  const families: Partial<Record<FamilyName, Probe>> = {};
  if (isAlive === true && address !== undefined) {
    if (place === "lan") lan.set(plainOf(address), { address: plainOf(address), ...answered });
    else if (place !== undefined) families[place] = answered;
  }
  if (isDead && place !== "lan") {
    for (const family of ["v4", "v6"] as const) {
      // What was measured to lead nowhere stays so.
      if (base[family]?.isReached === false && base[family].lost === undefined) continue;
      const hasFailed = place === family || failedPlaces.some((one) => one.place === family);
      families[family] = { isReached: false, lost: hasFailed ? "failed" : "suspected" };
    }
  }
  return {
    ...{ ...base, ...families },
    ...(lan.size === 0 ? {} : { lan: [...lan.values()] }),
  };
}

/** A member whose node reports, with what it said of its peers. */
export interface Reporter {
  readonly node: string;
  readonly publicKey: string | null;
  readonly records: readonly PeerRecord[];
}

type Row = ReadonlyMap<string, Measured>;

/** All of a network; `base` is what nodes measured outside their tunnels. */
export function linksOf(
  reporters: readonly Reporter[],
  nodes: ReadonlyMap<string, Located>,
  base: ReadonlyMap<string, Row>,
): ReadonlyMap<string, Row> {
  const nodeOf = new Map(reporters.map(({ publicKey, node }) => [publicKey, node]));
  // Rows of those who report nothing stay the objects that they are.
  const links = new Map<string, Row>(base);
  const own = new Map<string, Map<string, Measured>>();
  const lostLans = new Set<string>();
  const reported: (readonly [string, string])[] = [];
  for (const { node, records } of reporters) {
    if (records.length === 0) continue;
    const row = new Map(base.get(node));
    links.set(node, row);
    own.set(node, row);
    const from = nodes.get(node);
    for (const record of records) {
      const other = nodeOf.get(record.publicKey);
      const to = other === undefined ? undefined : nodes.get(other);
      if (from === undefined || to === undefined || to.id === node) continue;
      row.set(to.id, measuredOf(record, from, to, row.get(to.id)));
      reported.push([node, to.id]);
      const { endpoint } = record;
      if (
        record.isDead &&
        endpoint !== undefined &&
        placeOf(addressOfEndpoint(endpoint), from, to) === "lan"
      ) {
        lostLans.add(pairOf(node, to.id));
      }
    }
  }
  for (const [from, to] of reported) agree(links, own, from, to, lostLans.has(pairOf(from, to)));
  return links;
}

/** Two sides of one pair. */
function agree(
  links: ReadonlyMap<string, Row>,
  own: ReadonlyMap<string, Map<string, Measured>>,
  from: string,
  to: string,
  isLanLost: boolean,
): void {
  const there = links.get(from)?.get(to);
  const back = links.get(to)?.get(from);
  if (there === undefined) return;
  const slower = (mine: Probe | undefined, other: Probe | undefined): Probe | undefined => {
    if (mine?.latencyMs === undefined || (other?.latencyMs ?? 0) <= mine.latencyMs) return mine;
    return { ...mine, latencyMs: other!.latencyMs };
  };
  const v4 = slower(there.v4, back?.v4);
  const v6 = slower(there.v6, back?.v6);
  const lan = isLanLost
    ? there.lan?.map(({ address }) => ({ address, isReached: false }))
    : there.lan;
  own.get(from)!.set(to, {
    ...(v4 === undefined ? {} : { v4 }),
    ...(v6 === undefined ? {} : { v6 }),
    ...(lan === undefined ? {} : { lan }),
  });
}

function pairOf(a: string, b: string): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}

/** One spelling for each address. */
function plainOf(address: string): string {
  return addressText(cidrOf(address));
}
