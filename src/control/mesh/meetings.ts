/**
 * Which members of a network meet without a relay, how, and at what cost: all pairs, looked at once, as matrices by the members' places.
 * Pure. How one pair meets is `ways.ts`'s, paths over several hops are those of `routes.ts`.
 */
import { type GridNode, isRelay, type Measured } from "./grid.ts";
import { type Graph, numberOf } from "./routes.ts";
import { again, mayMeet, meet, type Party, type Side } from "./ways.ts";

/** Ours: of a hop that nobody has measured. */
const LATENCY_UNKNOWN_MS = 50;
/** Ours: relays within 5 ms are equally near; pairs are spread over them. */
const LATENCY_STEP_MS = 5;
/** Ours: below half of what it can carry, load is nothing to route by; a full relay is as bad as 250 ms. */
const LOAD_FREE = 0.5;
const LOAD_FULL_MS = 250;
/** Ours: more than any path of relays that are up. */
const PROBATION_MS = 60_000;
/** Ours: bounds costs, so that sums stay exact. */
const LATENCY_MAX_MS = 10_000;

export class Meetings {
  readonly graph: Graph;
  readonly #parties: readonly Party[];
  /** Of those that meet: the row's side towards the column. */
  readonly #sides: (Side | undefined)[];
  /** 1: the row says that it has lost the column. */
  readonly #lost: Uint8Array;

  constructor(network: string, parties: readonly Party[]) {
    const size = parties.length;
    this.#parties = parties;
    this.#sides = new Array<Side | undefined>(size * size).fill(undefined);
    this.#lost = new Uint8Array(size * size);
    const meets = new Uint8Array(size * size);
    const cost = new Int32Array(size * size);
    this.graph = {
      ...{ size, meets, cost },
      relays: parties.flatMap(({ node }, at) => (isRelay(node) ? [at] : [])),
      relayCost: Int32Array.from(parties, ({ node }) => relayCost(node)),
      draws: Uint32Array.from(parties, ({ node }) => numberOf(`${network}/${node.id}`)),
    };
    const measured = measuredBetween(parties);
    const standings = Uint8Array.from(parties, ({ standing }) => standing);
    for (let a = 0; a < size; a++) {
      for (let b = a + 1; b < size; b++) {
        const there = a * size + b;
        const back = b * size + a;
        const probesThere = measured[there];
        const probesBack = measured[back];
        if (probesThere === undefined && probesBack === undefined) {
          // Most pairs: nothing is known, and neither lets anybody in.
          if (!mayMeet(standings[a]!, standings[b]!)) continue;
        } else {
          this.#lost[there] = isLost(probesThere) ? 1 : 0;
          this.#lost[back] = isLost(probesBack) ? 1 : 0;
        }
        const meeting = meet(parties[a]!, parties[b]!, probesThere, probesBack);
        if (meeting === undefined) continue;
        this.#sides[there] = meeting.sides[0];
        this.#sides[back] = meeting.sides[1];
        const latency = Math.min(LATENCY_MAX_MS, meeting.latencyMs ?? LATENCY_UNKNOWN_MS);
        meets[there] = meets[back] = 1;
        cost[there] = cost[back] = Math.round(latency / LATENCY_STEP_MS);
      }
    }
  }

  /** Of one towards another that it meets, or has to go on asking ({@link askOn}). */
  side(at: number, other: number): Side {
    return this.#sides[at * this.#parties.length + other]!;
  }

  /** How two that met, and do not now, go on asking each other, in the order of the arguments; undefined: they never met. */
  lostSides(a: number, b: number): readonly [Side, Side] | undefined {
    const size = this.#parties.length;
    if ((this.#lost[a * size + b]! | this.#lost[b * size + a]!) === 0) return undefined;
    return again(this.#parties[a]!, this.#parties[b]!);
  }

  /** The two have no path and met before: they are to be peers by the sides of {@link lostSides}. False: they never met. */
  askOn(a: number, b: number): boolean {
    const sides = this.lostSides(a, b);
    if (sides === undefined) return false;
    const size = this.#parties.length;
    [this.#sides[a * size + b], this.#sides[b * size + a]] = sides;
    return true;
  }
}

/**
 * What the row has measured of the column. A node may have measured thousands, few of them of this network: the shorter of both lists is
 * gone through.
 */
function measuredBetween(parties: readonly Party[]): readonly (Measured | undefined)[] {
  const size = parties.length;
  const between = new Array<Measured | undefined>(size * size).fill(undefined);
  const places = new Map(parties.map(({ node }, at) => [node.id, at]));
  for (const [from, { measured }] of parties.entries()) {
    if (measured === undefined) continue;
    const row = from * size;
    if (measured.size > size) {
      for (const [id, to] of places) between[row + to] = measured.get(id);
      continue;
    }
    for (const [id, one] of measured) {
      const to = places.get(id);
      if (to !== undefined) between[row + to] = one;
    }
  }
  return between;
}

function isLost(measured: Measured | undefined): boolean {
  return measured?.v4?.lost !== undefined || measured?.v6?.lost !== undefined;
}

/** In steps of latency, as hops are. */
function relayCost({ relay }: GridNode): number {
  const load = (Math.max(0, relay.load - LOAD_FREE) / (1 - LOAD_FREE)) * LOAD_FULL_MS;
  const probation = relay.health === "probation" ? PROBATION_MS : 0;
  return Math.round((load + probation) / LATENCY_STEP_MS);
}
