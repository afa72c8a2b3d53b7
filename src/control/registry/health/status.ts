/** The matrix of a network: how each pair of members reaches the other, by the plan and by what both sides report. Pure. */
import { pathOf } from "../../mesh/explain.ts";
import type { NetworkPlan } from "../../mesh/network-plan.ts";
import type { Way } from "../../mesh/ways.ts";
import { addressOfEndpoint } from "../../model/endpoint.ts";
import type { Health } from "./judge.ts";
import { type Located, type Place, placeOf } from "./measure.ts";
import type { Path } from "./paths.ts";
import type { PeerRecord } from "./record.ts";

/** "stale": all that is known is of nodes that are away. "unknown": nobody has said anything. */
export type LinkState = "up" | "down" | "stale" | "unknown";

export interface LinkFigures {
  readonly state: LinkState;
  /** Seconds. */
  readonly handshakeAge?: number | undefined;
  readonly roundTripMs?: number | undefined;
  /** 0 to 1. */
  readonly loss?: number | undefined;
  /** ISO 8601. */
  readonly since?: string | undefined;
}

/** One side's word. */
export interface SideStatus extends LinkFigures {
  readonly path?: Place | undefined;
}

/** Of a pair over relays: sums and worst of its hops. */
export interface PairStatus extends LinkFigures {
  readonly from: string;
  readonly to: string;
  readonly path: Path;
  /** From the first to the last. */
  readonly relays: readonly string[];
  /** Of those that meet: what `from` says, what `to` says. */
  readonly sides?: readonly [SideStatus, SideStatus] | undefined;
}

export interface NodeStatus {
  readonly node: string;
  readonly name: string;
  /** It has missed its heartbeats. */
  readonly isAway: boolean;
  readonly seen: string | null;
  /** It takes part: it has made its key, and its port is free. */
  readonly isReady: boolean;
  /** Of public nodes. */
  readonly relay?: Health | undefined;
}

export interface NetworkStatus {
  readonly id: string;
  readonly name: string;
  readonly nodes: readonly NodeStatus[];
  readonly pairs: readonly PairStatus[];
  /** Why it is not planned, or what was left out of it. */
  readonly faults: readonly string[];
}

export interface StatusMember {
  readonly node: string;
  readonly public_key: string | null;
  readonly records: readonly PeerRecord[] | null;
  readonly reported: number | null;
  readonly silent: boolean;
}

/** All pairs, in the order of the members; `at`: now. */
export function pairsOf(
  members: readonly StatusMember[],
  nodes: ReadonlyMap<string, Located>,
  plan: NetworkPlan,
  at: number,
): PairStatus[] {
  const table = new Map(
    members.map((member) => [
      member.node,
      new Map((member.records ?? []).map((record) => [record.publicKey, record])),
    ]),
  );
  const memberOf = new Map(members.map((member) => [member.node, member]));
  const side = (from: string, to: string): SideStatus => {
    const member = memberOf.get(from)!;
    const record = table.get(from)?.get(memberOf.get(to)?.public_key ?? "");
    return sideOf(member, record, { from: nodes.get(from), to: nodes.get(to) }, at);
  };
  const pairs: PairStatus[] = [];
  for (const [index, { node: from }] of members.entries()) {
    for (const { node: to } of members.slice(index + 1)) {
      const { path, ways } = pathOf(plan, from, to);
      const hops = path.slice(1).map((node, hop): [SideStatus, SideStatus] => {
        const before = path[hop]!;
        return [side(before, node), side(node, before)];
      });
      if (hops.length === 0) {
        pairs.push({ from, to, path: "none", relays: [], state: "unknown" });
      } else if (hops.length === 1) {
        const [sides] = hops;
        const back = pathOf(plan, to, from).ways[0];
        const figures = both(sides!);
        pairs.push({
          from,
          to,
          path: directPath(sides!, ways[0], back),
          relays: [],
          ...figures,
          sides,
        });
      } else {
        const relays = path.slice(1, -1);
        pairs.push({ from, to, path: "relay", relays, ...along(hops.map(both)) });
      }
    }
  }
  return pairs;
}

function sideOf(
  { silent, reported }: StatusMember,
  record: PeerRecord | undefined,
  { from, to }: Readonly<Record<"from" | "to", Located | undefined>>,
  at: number,
): SideStatus {
  if (record === undefined || record.isAlive === undefined) return { state: "unknown" };
  const { handshakeAge, endpoint, isDead, isAlive, roundTripMs, loss, since } = record;
  const passed = Math.max(0, at - (reported ?? at)) / 1_000;
  return {
    state: silent ? "stale" : isAlive ? "up" : isDead ? "down" : "unknown",
    ...(handshakeAge === undefined ? {} : { handshakeAge: Math.round(handshakeAge + passed) }),
    ...(roundTripMs === undefined ? {} : { roundTripMs }),
    ...(loss === undefined ? {} : { loss }),
    since: new Date(since).toISOString(),
    ...(endpoint === undefined || from === undefined || to === undefined
      ? {}
      : { path: placeOf(addressOfEndpoint(endpoint), from, to) }),
  };
}

/** Fresh words before stale ones; of two, the worse state, the newer handshake, the greater loss and round trip. */
function both(sides: readonly [SideStatus, SideStatus]): LinkFigures {
  const fresh = sides.filter(({ state }) => state === "up" || state === "down");
  const said = fresh.length > 0 ? fresh : sides.filter(({ state }) => state === "stale");
  if (said.length === 0) return { state: "unknown" };
  const state = said.some((one) => one.state === "down") ? "down" : said[0]!.state;
  return figuresOf(state, {
    handshakeAge: extreme(Math.min, said, "handshakeAge"),
    roundTripMs: extreme(Math.max, said, "roundTripMs"),
    loss: extreme(Math.max, said, "loss"),
    since: said
      .flatMap(({ since }) => since ?? [])
      .sort()
      .at(-1),
  });
}

function along(hops: readonly LinkFigures[]): LinkFigures {
  const states: readonly LinkState[] = ["down", "unknown", "stale", "up"];
  const state = states.find((one) => hops.some((hop) => hop.state === one)) ?? "unknown";
  const trips = hops.map(({ roundTripMs }) => roundTripMs);
  const losses = hops.map(({ loss }) => loss);
  return figuresOf(state, {
    handshakeAge: extreme(Math.max, hops, "handshakeAge"),
    roundTripMs: trips.every((one) => one !== undefined)
      ? trips.reduce((sum, one) => sum + one, 0)
      : undefined,
    loss: losses.every((one) => one !== undefined)
      ? 1 - losses.reduce((through, one) => through * (1 - one), 1)
      : undefined,
    since: hops
      .flatMap(({ since }) => since ?? [])
      .sort()
      .at(-1),
  });
}

function figuresOf(state: LinkState, figures: Omit<LinkFigures, "state">): LinkFigures {
  const known = Object.entries(figures).filter(([, value]) => value !== undefined);
  return { state, ...(Object.fromEntries(known) as Omit<LinkFigures, "state">) };
}

function extreme(
  choose: (...values: number[]) => number,
  parts: readonly LinkFigures[],
  name: "handshakeAge" | "roundTripMs" | "loss",
): number | undefined {
  const values = parts.flatMap((part) => part[name] ?? []);
  return values.length === 0 ? undefined : choose(...values);
}

/** What they use, or else what is planned. */
function directPath(
  sides: readonly [SideStatus, SideStatus],
  there: Way | undefined,
  back: Way | undefined,
): Path {
  const used = sides.find(({ state, path }) => state === "up" && path !== undefined)?.path;
  const planned = there === undefined || there === "incoming" ? back : there;
  return used ?? (planned === undefined || planned === "incoming" ? "none" : planned);
}
