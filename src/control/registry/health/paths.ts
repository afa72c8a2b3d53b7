/** How many pairs of a network go which way, by its plan: kept beside it, so that counting all networks is one sum. */
import type { PlannedPeer } from "../../mesh/network-plan.ts";
import type { Queries } from "../store/database.ts";

export const PATHS = ["lan", "v4", "v6", "relay", "none"] as const;
export type Path = (typeof PATHS)[number];

interface Part {
  readonly node: string;
  readonly peers: readonly Pick<PlannedPeer, "kind" | "name" | "way" | "carries">[];
}

/** Pairs by their path; a plan that doesn't say which way peers meet (it is no mesh plan) counts none. */
export function countPaths(parts: readonly Part[]): Readonly<Record<Path, number>> {
  const size = parts.length;
  const places = new Map(parts.map(({ node }, at) => [node, at]));
  /** By both places, the lower one first: 1 and the number of its path; 0: there is none. */
  const pairs = new Uint8Array(size * size);
  const note = (here: number, name: string, path: Path): void => {
    const there = places.get(name);
    if (there === undefined) return;
    pairs[Math.min(here, there) * size + Math.max(here, there)] = 1 + PATHS.indexOf(path);
  };
  for (const [here, { peers }] of parts.entries()) {
    for (const { kind, name, way, carries } of peers) {
      if (kind !== "node") continue;
      for (const far of carries) note(here, far, "relay");
      if (way === "lan" || way === "v4" || way === "v6") note(here, name, way);
    }
  }
  const counts = { lan: 0, v4: 0, v6: 0, relay: 0, none: 0 };
  let known = 0;
  for (const path of pairs) {
    if (path === 0) continue;
    counts[PATHS[path - 1]!] += 1;
    known += 1;
  }
  const isMesh = parts.some(({ peers }) => peers.some(({ way }) => way !== undefined));
  if (isMesh) counts.none = (size * (size - 1)) / 2 - known;
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
