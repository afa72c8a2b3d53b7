/**
 * The network of a storm: datagrams fly, in virtual time and whatever the weather, from one link to another. A link has an MTU and
 * perhaps a NAT before it. What is delivered is for the storm to do.
 */
import type { Dice } from "./dice.ts";
import type { Nat } from "./nat.ts";
import type { Datagram } from "./node.ts";
import type { Weather } from "./weather.ts";

/** And as much again at most: nobody stays in step with another. */
const LATENCY_MS = 10;
/** RFC 791 and RFC 768: before a datagram's payload. */
const HEADERS_BYTES = 28;
/** Datagrams remembered for replays and forgeries. */
const SEEN_MAX = 200;

/** Where a host is joined to the network. */
export interface Link {
  /** Of its socket; of use to others only without a NAT. */
  address: string;
  /** Larger IP packets are lost, without a word. */
  mtu: number;
  readonly nat: Nat | undefined;
}

interface Flying {
  readonly datagram: Datagram;
  readonly atMs: number;
}

export class Network {
  weather: Weather;
  /** Of what was on the wire, some. */
  readonly seen: Datagram[] = [];
  readonly #dice: Dice;
  #flying: Flying[] = [];

  constructor(dice: Dice, weather: Weather) {
    this.#dice = dice;
    this.weather = weather;
  }

  /** When the next datagram arrives somewhere, or Infinity. */
  get nextMs(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { atMs } of this.#flying) if (atMs < next) next = atMs;
    return next;
  }

  /** A datagram leaves a host. Returns what it looks like beyond the NAT. */
  launch(sent: Datagram, link: Link, now: number): Datagram {
    const datagram = link.nat?.out(sent, now) ?? sent;
    if (this.seen.length < SEEN_MAX) this.seen.push(datagram);
    else this.seen[this.#dice.below(SEEN_MAX)] = datagram;
    const { loss, doubled, delayMs, cut } = this.weather;
    if (!fits(datagram, link) || this.#dice.chance(loss)) return datagram;
    const copies = this.#dice.chance(doubled) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      const delay = this.#dice.below(delayMs + 1);
      this.#fly(this.#dice.chance(cut) ? this.#cut(datagram) : datagram, now + delay);
    }
    return datagram;
  }

  /** Somebody who listens sends a datagram again, perhaps from another place. */
  repeat(now: number): void {
    if (this.seen.length === 0) return;
    const datagram = this.#dice.pick(this.seen);
    const from = this.#dice.chance(0.5) ? datagram.from : "203.0.113.9:9";
    this.#fly({ ...datagram, from }, now);
  }

  /** The next datagram that has arrived by now, or undefined. */
  land(now: number): Datagram | undefined {
    const index = this.#flying.findIndex(({ atMs }) => atMs <= now);
    return index < 0 ? undefined : this.#flying.splice(index, 1)[0]!.datagram;
  }

  /** What is on its way is lost. */
  clear(): void {
    this.#flying = [];
  }

  #fly(datagram: Datagram, now: number): void {
    const latency = LATENCY_MS + this.#dice.below(LATENCY_MS);
    this.#flying.push({ datagram, atMs: now + latency });
  }

  #cut(datagram: Datagram): Datagram {
    const { bytes } = datagram;
    return { ...datagram, bytes: bytes.slice(0, this.#dice.below(bytes.length)) };
  }
}

/** What becomes of a datagram at a link: as it gets to the socket, or undefined: it is not for here, or does not get through. */
export function arrival(datagram: Datagram, link: Link, now: number): Datagram | undefined {
  if (!fits(datagram, link)) return undefined;
  if (link.nat !== undefined) return link.nat.in(datagram, now);
  return datagram.to === link.address ? datagram : undefined;
}

function fits({ bytes }: Datagram, { mtu }: Link): boolean {
  return bytes.length + HEADERS_BYTES <= mtu;
}
