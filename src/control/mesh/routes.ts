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
  const hops = new Uint16Array(meets);
  const cost = new Float64Array(graph.cost);
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
  const { size, meets, relays, relayCost } = graph;
  const places: number[] = [];
  const firsts: number[] = [];
  const costs: number[] = [];
  const draws: number[] = [];
  const best = new Int32Array(size);
  const bestCost = new Float64Array(size);
  const bestTie = new Float64Array(size);
  // What is left after the first hop: so many hops less, whatever else there is.
  const rest = cost.map((value, place) => (hops[place] === length - 1 ? value : Infinity));
  for (let a = 0; a < size; a++) {
    const row = a * size;
    // With one relay both directions are one sum.
    let from = length === 2 ? a + 1 : 0;
    while (from < size && (from === a || next[row + from] !== NONE)) from++;
    if (from === size) continue;
    best.fill(NONE, from);
    bestCost.fill(Infinity, from);
    // Row by row of the relays: each is one piece of memory, and asking for all is quicker than choosing.
    for (const relay of relays) {
      if (meets[row + relay] !== 1) continue;
      if (work !== undefined) work.relays += size - from;
      const costHere = graph.cost[row + relay]! + relayCost[relay]!;
      const tieHere = tie[row + relay]!;
      const onward = relay * size;
      for (let b = from; b < size; b++) {
        const sum = costHere + rest[onward + b]!;
        if (sum > bestCost[b]! || sum === Infinity) continue;
        const drawn = tieHere + tie[onward + b]!;
        if (sum === bestCost[b] && drawn >= bestTie[b]!) continue;
        best[b] = relay;
        bestCost[b] = sum;
        bestTie[b] = drawn;
      }
    }
    for (let b = from; b < size; b++) {
      if (best[b] === NONE || b === a || next[row + b] !== NONE) continue;
      places.push(row + b);
      firsts.push(best[b]!);
      costs.push(bestCost[b]!);
      draws.push(bestTie[b]!);
      if (length > 2) continue;
      places.push(b * size + a);
      firsts.push(best[b]!);
      costs.push(bestCost[b]!);
      draws.push(bestTie[b]!);
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
