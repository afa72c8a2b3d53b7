/** How a network's matrix and explanations look to a person. Pure. */
import type {
  NetworkExplanation,
  NetworkStatus,
  PairStatus,
} from "../../control/registry/client.ts";

/** Ours: a matrix of more nodes is wider than a terminal. */
const MATRIX_MAX = 8;
const NAMES: Readonly<Record<PairStatus["path"], string>> = {
  ...{ lan: "LAN", v4: "IPv4", v6: "IPv6", relay: "relay", none: "no path" },
};

/** A matrix where it fits, then a line for each pair; `now`: milliseconds since 1970. */
export function statusLines(unsorted: NetworkStatus, now: number): string[] {
  const status = byName(unsorted);
  const { id, name, nodes, pairs, faults } = status;
  const names = new Map(nodes.map((node) => [node.node, nameOf(node, nodes)]));
  const of = (node: string): string => names.get(node) ?? node;
  const sum = Object.entries(NAMES).flatMap(([path, called]) => {
    const count = pairs.filter((pair) => pair.path === path).length;
    return count === 0 ? [] : [`${called} ${count}`];
  });
  const down = pairs.filter(({ state }) => state === "down").length;
  const head = `${id} ${name}: ${nodes.length} nodes, ${pairs.length} pairs: ${sum.join(", ") || "none"}; down: ${down}`;
  return [
    head,
    ...faults.map((fault) => `  fault: ${fault}`),
    ...nodes.flatMap((node) => nodeNotes(node, of(node.node), now)),
    ...(nodes.length > 1 && nodes.length <= MATRIX_MAX ? ["", ...matrix(status, of), ""] : []),
    ...table(pairs.map((pair) => pairCells(pair, of, now))),
  ];
}

/** As people look for them, not by their ids; each pair from the first to the later one. */
function byName(status: NetworkStatus): NetworkStatus {
  const nodes = status.nodes.toSorted((a, b) =>
    a.name.localeCompare(b.name, "en", { numeric: true }),
  );
  const ranks = new Map(nodes.map(({ node }, rank) => [node, rank]));
  const rank = (node: string): number => ranks.get(node) ?? nodes.length;
  const pairs = status.pairs
    .map((pair) => {
      const { from, to, relays } = pair;
      if (rank(from) <= rank(to)) return pair;
      return { ...pair, from: to, to: from, relays: relays.toReversed() };
    })
    .toSorted((a, b) => rank(a.from) - rank(b.from) || rank(a.to) - rank(b.to));
  return { ...status, nodes, pairs };
}

function nodeNotes(
  { isAway, isReady, seen, relay }: NetworkStatus["nodes"][number],
  name: string,
  now: number,
): string[] {
  const notes = [
    ...(isReady ? [] : ["has not taken part yet"]),
    ...(isAway
      ? [
          `away, ${seen === null ? "never seen" : `last seen ${spanOf((now - Date.parse(seen)) / 1_000)} ago`}: what it said is stale`,
        ]
      : []),
    ...(relay === undefined || relay === "up"
      ? []
      : [`relay ${relay === "down" ? "down" : "on probation"}`]),
  ];
  return notes.map((note) => `  ${name}: ${note}`);
}

function matrix({ nodes, pairs }: NetworkStatus, of: (node: string) => string): string[] {
  const cells = new Map<string, string>();
  for (const pair of pairs) {
    const cell = cellOf(pair, of);
    cells.set(`${pair.from} ${pair.to}`, cell);
    cells.set(`${pair.to} ${pair.from}`, cell);
  }
  const rows = nodes.map(({ node }) => [
    of(node),
    ...nodes.map((other) =>
      other.node === node ? "-" : (cells.get(`${node} ${other.node}`) ?? ""),
    ),
  ]);
  return table([["", ...nodes.map(({ node }) => of(node))], ...rows]);
}

function cellOf(pair: PairStatus, of: (node: string) => string): string {
  const { state, roundTripMs } = pair;
  const way = wayOf(pair, of);
  if (pair.path === "none") return way;
  if (state === "up") return roundTripMs === undefined ? way : `${way} ${msOf(roundTripMs)}`;
  return `${way} ${state === "unknown" ? "?" : state}`;
}

function wayOf({ path, relays }: PairStatus, of: (node: string) => string): string {
  return path === "relay" ? `via ${relays.map(of).join(", ")}` : NAMES[path];
}

function pairCells(pair: PairStatus, of: (node: string) => string, now: number): string[] {
  const { from, to, state, handshakeAge, roundTripMs, loss, since } = pair;
  return [
    `${of(from)} - ${of(to)}`,
    wayOf(pair, of),
    state,
    handshakeAge === undefined ? "" : `handshake ${spanOf(handshakeAge)} ago`,
    roundTripMs === undefined ? "" : msOf(roundTripMs),
    loss === undefined ? "" : `loss ${Math.round(loss * 100)} %`,
    since === undefined ? "" : `for ${spanOf((now - Date.parse(since)) / 1_000)}`,
  ];
}

/** Columns as wide as their widest cell. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, cell.length);
  }
  return rows.map((row) =>
    row
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

/** Two nodes of different farms may have one name. */
function nameOf(
  { node, name }: NetworkStatus["nodes"][number],
  nodes: NetworkStatus["nodes"],
): string {
  const isOnly = nodes.every((other) => other.node === node || other.name !== name);
  return isOnly ? name : `${name} (${node.slice(0, 8)})`;
}

function msOf(ms: number): string {
  return `${ms < 10 ? Number(ms.toPrecision(2)) : Math.round(ms)} ms`;
}

function spanOf(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 120) return `${whole} s`;
  if (whole < 7_200) return `${Math.round(whole / 60)} min`;
  return whole < 172_800 ? `${Math.round(whole / 3_600)} h` : `${Math.round(whole / 86_400)} d`;
}

/** `of`: what people call a node. Sentences name nodes by their ids, which are replaced. */
export function explanationLines(
  explanations: readonly NetworkExplanation[],
  names: ReadonlyMap<string, string>,
): string[] {
  const of = (node: string): string => names.get(node) ?? node;
  return explanations.flatMap(({ network, name, path, ways, alternatives, obstacles }) => {
    const [first = "", ...rest] = path;
    const hops = rest.map((node, at) => ` -(${ways[at]})-> ${of(node)}`);
    return [
      `${network} ${name}: ${path.length === 0 ? "no path" : `${of(first)}${hops.join("")}`}`,
      ...alternatives.map(
        ({ node, latencyMs }) =>
          `  another relay: ${of(node)}${latencyMs === undefined ? ", not measured" : `, ${msOf(latencyMs)}`}`,
      ),
      ...obstacles.map(
        (sentence) =>
          `  ${[...names].reduce((text, [id, called]) => text.replaceAll(id, called), sentence)}`,
      ),
    ];
  });
}
