/** How many pairs of a network go which way, by its plan: kept beside it, so that counting all networks is one sum. */
import type { PlannedPeer } from "../../mesh/network-plan.ts";
import type { Queries } from "../store/database.ts";

export const PATHS = ["lan", "v4", "v6", "relay", "none"] as const;
export type Path = (typeof PATHS)[number];

/** Ours: more than a network has nodes. */
const PLACES_MAX = 2 ** 16;

interface Part {
  readonly node: string;
  readonly peers: readonly Pick<PlannedPeer, "kind" | "name" | "way" | "carries">[];
}

/** Pairs by their path; a plan that doesn't say which way peers meet (it is no mesh plan) counts none. */
export function countPaths(parts: readonly Part[]): Readonly<Record<Path, number>> {
  const counts = { lan: 0, v4: 0, v6: 0, relay: 0, none: 0 };
  const wayOf = new Map<number, Path>();
  const places = new Map<string, number>();
  const placeOf = (name: string): number => {
    const place = places.get(name) ?? places.size;
    if (place === places.size) places.set(name, place);
    return place;
  };
  for (const { node, peers } of parts) {
    const here = placeOf(node);
    for (const { kind, name, way, carries } of peers) {
      if (kind !== "node") continue;
      for (const far of carries) wayOf.set(pairOf(here, placeOf(far)), "relay");
      if (way === "lan" || way === "v4" || way === "v6") {
        wayOf.set(pairOf(here, placeOf(name)), way);
      }
    }
  }
  for (const way of wayOf.values()) counts[way] += 1;
  const isMesh = parts.some(({ peers }) => peers.some(({ way }) => way !== undefined));
  if (isMesh) counts.none = (parts.length * (parts.length - 1)) / 2 - wayOf.size;
  return counts;
}

export async function keepPaths(
  queries: Queries,
  network: string,
  parts: readonly Part[],
): Promise<void> {
  await queries.rows(
    `insert into network_paths (network, paths) values ($1, $2)
     on conflict (network) do update set paths = excluded.paths
     where network_paths.paths <> excluded.paths`,
    [network, JSON.stringify(countPaths(parts))],
  );
}

/** One number for both orders of two places. */
function pairOf(a: number, b: number): number {
  return a < b ? a * PLACES_MAX + b : b * PLACES_MAX + a;
}
