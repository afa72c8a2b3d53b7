/** Wirehaul against wireguard-go in one run, figure by figure, with what is aimed for. */
import type { Contestant } from "./contestant.ts";
import type { FloodFigures } from "./flood.ts";
import type { HandshakesFigures } from "./handshakes.ts";
import type { Figures } from "./measures.ts";
import type { PeersFigures } from "./peers.ts";
import type { Results } from "./results.ts";
import { bytesPerInterface } from "./scale.ts";
import { median } from "./statistics.ts";
import { formatMarkdown, MIB } from "./table.ts";

/** Where a figure is found. Lane and scale have figures of wirehaul only. */
type Source =
  | { readonly part: "e2e"; readonly key: keyof Figures }
  | { readonly part: "peers"; readonly key: keyof PeersFigures }
  | { readonly part: "handshakes"; readonly key: keyof HandshakesFigures }
  | { readonly part: "flood"; readonly key: keyof FloodFigures }
  | { readonly part: "lane" | "scale" };

type Goal = Source & {
  readonly title: string;
  readonly scale: number;
  readonly digits: number;
  /** What is bounded: the ratio to wireguard-go, or wirehaul's own figure in the title's unit. */
  readonly of: "ratio" | "figure";
  readonly bound: "at least" | "at most";
  readonly target: number;
};

const GBIT = { scale: 1e-9, digits: 2, of: "ratio", bound: "at least" } as const;
const COST = { scale: 1, digits: 2, of: "ratio", bound: "at most" } as const;
const OWN = { of: "figure", bound: "at most" } as const;

const GOALS: readonly Goal[] = [
  { ...GBIT, part: "e2e", key: "tcpOneStream", title: "TCP, 1 stream, Gbit/s", target: 1.6 },
  { ...GBIT, part: "e2e", key: "tcpEightStreams", title: "TCP, 8 streams, Gbit/s", target: 1.6 },
  { ...GBIT, part: "e2e", key: "tcpReverse", title: "TCP, reverse, Gbit/s", target: 1.6 },
  { ...GBIT, part: "e2e", key: "udp1380", title: "UDP, 1380 bytes, Gbit/s", target: 2 },
  { ...COST, part: "e2e", key: "pingIdle50", title: "ping idle, p50, ms", target: 0.9 },
  { ...COST, part: "e2e", key: "pingLoaded99", title: "ping under load, p99, ms", target: 0.7 },
  { ...COST, part: "e2e", key: "cpuSecondsPerGigabyte", title: "CPU, s/GB", target: 0.65 },
  {
    part: "handshakes",
    key: "perSecond",
    title: "handshakes answered, 1/s",
    scale: 1,
    digits: 0,
    of: "ratio",
    bound: "at least",
    target: 1,
  },
  {
    part: "flood",
    key: "share",
    title: "TCP left under a flood, per cent",
    scale: 100,
    digits: 1,
    of: "figure",
    bound: "at least",
    target: 90,
  },
  {
    ...OWN,
    part: "e2e",
    key: "residentLoaded",
    title: "memory after load, MiB",
    scale: 1 / MIB,
    digits: 1,
    target: 96,
  },
  {
    ...OWN,
    part: "e2e",
    key: "residentAfterVolume",
    title: "memory after volume, MiB",
    scale: 1 / MIB,
    digits: 1,
    target: 96,
  },
  {
    ...OWN,
    part: "peers",
    key: "bytesPerPeer",
    title: "memory per extra peer, KiB",
    scale: 1 / 1024,
    digits: 2,
    target: 4,
  },
  {
    ...OWN,
    part: "scale",
    title: "memory per extra interface, MiB",
    scale: 1 / MIB,
    digits: 3,
    target: 1.5,
  },
  { ...OWN, part: "lane", title: "GC per million packets", scale: 1, digits: 2, target: 2 },
];

/** The median of a contestant's rounds; NaN if there is none. */
export function medianOf<Key extends string>(
  rounds: readonly Readonly<Record<Key, number>>[] | undefined,
  key: Key,
): number {
  return median((rounds ?? []).map((figures) => figures[key]).filter(Number.isFinite));
}

/** The greater of both directions. */
export function collectionsPerMillion({ lane }: Results): number {
  return lane === undefined
    ? Number.NaN
    : Math.max(lane.out.collectionsPerMillion, lane.in.collectionsPerMillion);
}

function figureOf(goal: Goal, results: Results, name: Contestant): number {
  switch (goal.part) {
    case "e2e":
      return goal.scale * medianOf(results.e2e?.get(name), goal.key);
    case "peers":
      return goal.scale * medianOf(results.peers?.get(name), goal.key);
    case "handshakes":
      return goal.scale * medianOf(results.handshakes?.get(name), goal.key);
    case "flood":
      return goal.scale * medianOf(results.flood?.get(name), goal.key);
    case "lane":
      return name === "wirehaul" ? collectionsPerMillion(results) : Number.NaN;
    case "scale":
      return name === "wirehaul" ? goal.scale * bytesPerInterface(results.scale ?? []) : Number.NaN;
  }
}

/** A Markdown table of what was measured, empty if nothing of it was; `rival` is the contestant that wirehaul is compared with. */
export function formatRatios(results: Results, rival: Contestant): string {
  const rows = [["figure", "wirehaul", rival, "ratio", "target", "met"]];
  for (const goal of GOALS) {
    const ours = figureOf(goal, results, "wirehaul");
    const theirs = figureOf(goal, results, rival);
    if (!Number.isFinite(ours)) continue;
    const judged = goal.of === "ratio" ? ours / theirs : ours;
    const isMet = goal.bound === "at least" ? judged >= goal.target : judged <= goal.target;
    const sign = `${goal.bound === "at least" ? ">=" : "<="} ${goal.target}`;
    rows.push([
      goal.title,
      show(ours, goal.digits),
      show(theirs, goal.digits),
      show(ours / theirs, 2),
      goal.of === "ratio" ? sign : `${sign} itself`,
      Number.isFinite(judged) ? (isMet ? "yes" : "no") : "-",
    ]);
  }
  return rows.length === 1 ? "" : formatMarkdown(rows);
}

function show(value: number, digits: number): string {
  return Number.isFinite(value) ? value.toFixed(digits) : "-";
}
