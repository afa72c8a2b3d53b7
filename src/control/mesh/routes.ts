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
/** Bits of half a drawn number: sums of 512 hops are exact. */
const HALF_BITS = 22;

/** First hops, `size` by `size`: from row to column; the column itself: they meet; -1: no path (or itself). */
export function firstHops(graph: Graph, work?: Work): Int32Array {
  const { size, meets, relays } = graph;
  const next = new Int32Array(size * size).fill(NONE);
  let missing = 0;
  for (let a = 0; a < size; a++) {
    for (let b = 0; b < size; b++) {
      if (a === b) continue;
      if (meets[a * size + b] === 1) next[a * size + b] = b;
      else missing++;
    }
  }
  if (missing === 0 || relays.length === 0) return next;
  const tie = drawTies(graph);
  const hops = Uint16Array.from(meets);
  const cost = Float64Array.from(graph.cost);
  for (let length = 2; missing > 0; length++) {
    const found = extend(graph, length, next, hops, cost, tie, work);
    if (found === 0) break;
    missing -= found;
  }
  return next;
}

/** Finds the pairs at this many hops; returns how many (each direction counts). */
function extend(
  graph: Graph,
  length: number,
  next: Int32Array,
  hops: Uint16Array,
  cost: Float64Array,
  tie: Float64Array,
  work: Work | undefined,
): number {
  const { size, relays, relayCost } = graph;
  const places: number[] = [];
  const firsts: number[] = [];
  const costs: number[] = [];
  const draws: number[] = [];
  const wanted = new Int32Array(size);
  const best = new Int32Array(size);
  const bestCost = new Float64Array(size);
  const bestTie = new Float64Array(size);
  for (let a = 0; a < size; a++) {
    const row = a * size;
    let count = 0;
    // With one relay both directions are one sum.
    for (let b = length === 2 ? a + 1 : 0; b < size; b++) {
      if (a !== b && next[row + b] === NONE) wanted[count++] = b;
    }
    if (count === 0) continue;
    best.fill(NONE, 0, count);
    bestCost.fill(Infinity, 0, count);
    bestTie.fill(Infinity, 0, count);
    // Row by row of the relays: each is one piece of memory.
    for (const relay of relays) {
      if (graph.meets[row + relay] !== 1) continue;
      if (work !== undefined) work.relays += count;
      const costHere = graph.cost[row + relay]! + relayCost[relay]!;
      const tieHere = tie[row + relay]!;
      const rest = relay * size;
      for (let at = 0; at < count; at++) {
        const place = rest + wanted[at]!;
        if (hops[place] !== length - 1) continue;
        const sum = costHere + cost[place]!;
        if (sum > bestCost[at]!) continue;
        const drawn = tieHere + tie[place]!;
        if (sum === bestCost[at] && drawn >= bestTie[at]!) continue;
        best[at] = relay;
        bestCost[at] = sum;
        bestTie[at] = drawn;
      }
    }
    for (let at = 0; at < count; at++) {
      if (best[at] === NONE) continue;
      const b = wanted[at]!;
      places.push(row + b);
      firsts.push(best[at]!);
      costs.push(bestCost[at]!);
      draws.push(bestTie[at]!);
      if (length > 2) continue;
      places.push(b * size + a);
      firsts.push(best[at]!);
      costs.push(bestCost[at]!);
      draws.push(bestTie[at]!);
    }
  }
  for (let at = 0; at < places.length; at++) {
    const place = places[at]!;
    next[place] = firsts[at]!;
    hops[place] = length;
    cost[place] = costs[at]!;
    tie[place] = draws[at]!;
  }
  return places.length;
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
