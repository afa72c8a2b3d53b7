/** The bench's command line. */
import { CONTESTANTS, type Contestant, isPresent } from "./contestant.ts";
import type { Effort } from "./measures.ts";

export type Part =
  | "lane"
  | "micro"
  | "e2e"
  | "peers"
  | "handshakes"
  | "flood"
  | "scale"
  | "node"
  | RegistryPart;
export type RegistryPart = "registry-plan" | "registry-change" | "registry-heartbeats";
/** What "registry" means on the command line. */
export const REGISTRY_PARTS: readonly RegistryPart[] = [
  "registry-plan",
  "registry-change",
  "registry-heartbeats",
];
/** In the order in which they are run. */
export const PARTS: readonly Part[] = [
  "lane",
  "micro",
  "e2e",
  "peers",
  "handshakes",
  "flood",
  "scale",
  "node",
  ...REGISTRY_PARTS,
];

export const USAGE: string = `usage: npm run bench -- [all|registry|${PARTS.join("|")}]... [--smoke] [--check]
         [--rounds N] [--seconds N] [--gigabytes N] [--most N] [--networks N]
         [--streams N] [--planned N] [--stored N] [--only NAME,NAME]

  --smoke        short: one round, one second a stream, no search of UDP rates, 100 interfaces at most, 20 networks,
                 200 streams, 20 networks planned, 3 of them stored
  --check        exit code 1 if a ratio or count is beyond its bound
  --rounds N     how often each contestant is measured, by turns
  --seconds N    of each stream
  --gigabytes N  of TCP traffic, in the first round, after which memory is read; 0: none
  --most N       interfaces in one process
  --networks N   on one node
  --streams N    nodes with an open stream at the registry
  --planned N    networks of 2 to 200 nodes that are planned in memory
  --stored N     those that the registry plans in its database
  --only NAMES   of ${CONTESTANTS.join(", ")}
`;

/** How large the registry's grid is. */
export interface RegistryEffort {
  readonly nodes: number;
  readonly streams: number;
  readonly planned: number;
  readonly stored: number;
  /** Of the network that is changed, and how often it is. */
  readonly members: number;
  readonly changes: number;
  /** Of heartbeats, at each pace. */
  readonly seconds: number;
}

export interface Options {
  readonly parts: readonly Part[];
  readonly effort: Effort;
  readonly rounds: number;
  readonly contestants: readonly Contestant[];
  readonly most: number;
  readonly networks: number;
  readonly registry: RegistryEffort;
  /** Longest that one step of micro is repeated, in seconds. */
  readonly microSeconds: number;
  readonly isChecked: boolean;
}

const SMOKE = {
  ...{ seconds: 1, rounds: 1, gigabytes: 0, most: 100, networks: 20 },
  ...{ streams: 200, planned: 20, stored: 3 },
};
const FULL = {
  ...{ seconds: 5, rounds: 3, gigabytes: 10, most: 1_000, networks: 1_000 },
  ...{ streams: 10_000, planned: 2_000, stored: 40 },
};
/** Ours: the grid that is promised. */
const GRID_NODES = 10_000;
const GRID_MEMBERS = 200;

const NUMBER_NAMES = [
  ...(["seconds", "rounds", "gigabytes", "most", "networks"] as const),
  ...(["streams", "planned", "stored"] as const),
] as const;
/** Ours: of any of them; more is a slip of the finger. */
const NUMBER_MAX = 10_000;

/** The options, or what is wrong with them. */
export function parseOptions(args: readonly string[]): Options | string {
  const isSmoke = args.includes("--smoke");
  const numbers: Record<keyof typeof FULL, number> = { ...(isSmoke ? SMOKE : FULL) };
  const parts: Part[] = [];
  let contestants = CONTESTANTS.filter(isPresent);
  const rest = args.filter((word) => word !== "--smoke" && word !== "--check");
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const part = PARTS.find((candidate) => candidate === word);
    const name = NUMBER_NAMES.find((candidate) => `--${candidate}` === word);
    if (word === "all") parts.push(...PARTS);
    else if (word === "registry") parts.push(...REGISTRY_PARTS);
    else if (part !== undefined) parts.push(part);
    else if (name !== undefined) {
      const value = Number(rest.shift() ?? "");
      const min = name === "gigabytes" ? 0 : 1;
      if (!(Number.isInteger(value) && value >= min && value <= NUMBER_MAX)) {
        return `${word} needs a whole number from ${min} to ${NUMBER_MAX}`;
      }
      numbers[name] = value;
    } else if (word === "--only") {
      const names = (rest.shift() ?? "").split(",");
      contestants = contestants.filter((candidate) => names.includes(candidate));
      if (contestants.length !== names.length) {
        return `of ${names.join(", ")} only these are on this machine: ${contestants.join(", ") || "none of them"}`;
      }
    } else return `"${word}" is not understood`;
  }
  const { seconds, rounds, gigabytes, most, networks, streams, planned, stored } = numbers;
  return {
    parts: parts.length === 0 ? PARTS : PARTS.filter((part) => parts.includes(part)),
    effort: { seconds, pings: isSmoke ? 50 : 500, hasUdpSearch: !isSmoke, gigabytes },
    rounds,
    contestants,
    most,
    networks,
    registry: {
      ...{ nodes: isSmoke ? 1_000 : GRID_NODES, streams, planned, stored, seconds },
      members: isSmoke ? 40 : GRID_MEMBERS,
      changes: isSmoke ? 3 : 20,
    },
    microSeconds: isSmoke ? 0.1 : 1,
    isChecked: args.includes("--check"),
  };
}
