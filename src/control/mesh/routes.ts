/**
 * Who is reached through whom in one network: the first hop from each member to each other. Pure, on numbers.
 *
 * WireGuard takes a packet from a peer only if the peer owns its source address too, so a path and the way back must be the same hop by
 * hop, and so must all their parts. Shortest paths have that property when each pair has only one that is shortest. The order is
 * fewest hops, then least cost (latency and load), then a number drawn from the names: sums of all three, and no two paths are equal but
 * with a chance of 2^-44. Such paths have no loops: each hop leaves fewer. The drawn numbers also spread pairs over equally good relays.
 */

export interface Graph {
  readonly size: number;
  /** 1: the two meet without a relay; symmetric, `size` by `size`. */
  readonly meets: Uint8Array;
  /** Cost of that hop; symmetric. Whole numbers: sums are exact. */
  readonly cost: Int32Array;
  /** Members that may carry what isn't theirs. */
  readonly relays: readonly number[];
  /** Cost of being carried by a member, by its number. */
  readonly relayCost: Int32Array;
  /** Any number for each member that stays the same as long as its name. */
  readonly draws: Uint32Array;
}

/** Counts work done, for tests and diagnosis. */
export interface Work {
  networks: number;
  pairs: number;
  relays: number;
}

const NONE = -1;
/** More than any path costs; twice that is a 32-bit number still. */
const FAR = 2 ** 30 - 1;
/** Bits of half a drawn number: sums of 512 hops are exact. */
const HALF_BITS = 22;

/** What is known of the paths from row to column. */
interface Paths {
  /** The first hop. */
  readonly next: Int32Array;
  readonly hops: Uint16Array;
  readonly cost: Int32Array;
  readonly tie: Float64Array;
}

/** Of one row: the best relay to each column as yet. */
interface Best {
  readonly relay: Int32Array;
  readonly cost: Int32Array;
  readonly tie: Float64Array;
}

/** First hops, `size` by `size`: from row to column; the column itself: they meet; -1: no path (or itself). */
export function firstHops(graph: Graph, work?: Work): Int32Array {
  const { size, meets, relays } = graph;
  const next = new Int32Array(size * size).fill(NONE);
  let missing = size * (size - 1);
  for (let a = 0; a < size; a++) {
    const row = a * size;
    for (let b = 0; b < size; b++) {
      if (meets[row + b] !== 1) continue;
      next[row + b] = b;
      missing--;
    }
  }
  if (missing === 0 || relays.length === 0) return next;
  const hops = new Uint16Array(meets);
  const paths = { next, hops, cost: graph.cost.slice(), tie: drawTies(graph) };
  for (let length = 2; missing > 0; length++) {
    const found = extend(graph, length, paths, work);
    if (found === 0) break;
    missing -= found;
  }
  return next;
}

/** Finds the pairs at this many hops; returns how many (each direction counts). */
function extend(graph: Graph, length: number, paths: Paths, work: Work | undefined): number {
  const { size, meets, relays, relayCost } = graph;
  const { next, hops, cost, tie } = paths;
  const best: Best = {
    relay: new Int32Array(size),
    cost: new Int32Array(size),
    tie: new Float64Array(size),
  };
  // What is left after the first hop is one hop less. As it is before any of these is found.
  const rest = new Int32Array(size * size).fill(FAR);
  for (const relay of relays) {
    for (let at = relay * size; at < (relay + 1) * size; at++) {
      if (hops[at] === length - 1) rest[at] = cost[at]!;
    }
  }
  let found = 0;
  for (let a = 0; a < size; a++) {
    const row = a * size;
    // With one relay both directions are one sum.
    let from = length === 2 ? a + 1 : 0;
    while (from < size && (from === a || next[row + from] !== NONE)) from++;
    if (from === size) continue;
    best.relay.fill(NONE, from);
    best.cost.fill(FAR - 1, from);
    for (const relay of relays) {
      if (meets[row + relay] !== 1) continue;
      if (work !== undefined) work.relays += size - from;
      const costHere = graph.cost[row + relay]! + relayCost[relay]!;
      goOn(best, relay, costHere, tie[row + relay]!, rest, tie, relay * size, from, size);
    }
    for (let b = from; b < size; b++) {
      if (best.relay[b] === NONE || b === a || next[row + b] !== NONE) continue;
      found++;
      keep(paths, row + b, length, best, b);
      if (length > 2) continue;
      found++;
      keep(paths, b * size + a, length, best, b);
    }
  }
  return found;
}

function keep(paths: Paths, place: number, length: number, best: Best, b: number): void {
  paths.next[place] = best.relay[b]!;
  paths.hops[place] = length;
  paths.cost[place] = best.cost[b]!;
  paths.tie[place] = best.tie[b]!;
}

/** Whom the way over one relay is better to, from column `from` on: the relay's row is one piece of memory, and asking for all is quicker than choosing. */
function goOn(
  best: Best,
  relay: number,
  costHere: number,
  tieHere: number,
  rest: Int32Array,
  tie: Float64Array,
  onward: number,
  from: number,
  size: number,
): void {
  const { cost } = best;
  for (let b = from; b < size; b++) {
    const sum = costHere + rest[onward + b]!;
    if (sum > cost[b]!) continue;
    const drawn = tieHere + tie[onward + b]!;
    if (sum === cost[b] && drawn >= best.tie[b]!) continue;
    best.relay[b] = relay;
    cost[b] = sum;
    best.tie[b] = drawn;
  }
}

function drawTies({ size, meets, draws }: Graph): Float64Array {
  const tie = new Float64Array(size * size);
  for (let a = 0; a < size; a++) {
    for (let b = a + 1; b < size; b++) {
      if (meets[a * size + b] !== 1) continue;
      tie[a * size + b] = draw(draws[a]!, draws[b]!);
      tie[b * size + a] = tie[a * size + b]!;
    }
  }
  return tie;
}

/** The same for both orders. */
function draw(a: number, b: number): number {
  const low = Math.min(a, b);
  const high = Math.max(a, b);
  const first = scramble(low ^ scramble(high));
  const second = scramble(first ^ Math.imul(low, 0x9e3779b1) ^ high);
  return (first >>> (32 - HALF_BITS)) * 2 ** HALF_BITS + (second >>> (32 - HALF_BITS));
}

/** MurmurHash3's last step: each bit in changes about half of those out. */
function scramble(value: number): number {
  let h = value >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** A number for a name (FNV-1a, scrambled). */
export function numberOf(text: string): number {
  let h = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) h = Math.imul(h ^ text.charCodeAt(at), 0x01000193);
  return scramble(h);
}
