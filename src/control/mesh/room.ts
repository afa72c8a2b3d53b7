/** A range of addresses and what of it is taken: the lowest that is free, many times over, without parsing anything twice. Pure. */
import {
  type Cidr,
  cidrOf,
  contains,
  formatCidr,
  lastOf,
  networkOf,
  overlaps,
  widthOf,
} from "../model/cidr.ts";

interface Interval {
  readonly from: bigint;
  readonly to: bigint;
}

/** A range and what of it is taken; parsed once, so that many can be taken from it. */
export class Room {
  readonly #whole: Cidr;
  readonly #span: Interval;
  /** In order of their first address. */
  readonly #blocks: Interval[];

  /** For hosts: not a subnet's own address (RFC 4291 2.6.1: its routers), nor IPv4's broadcast address. */
  constructor(range: string, taken: readonly string[], isForHosts = false) {
    this.#whole = networkOf(cidrOf(range));
    this.#span = intervalOf(this.#whole);
    this.#blocks = blocksIn(this.#whole, taken);
    const { family, length } = this.#whole;
    if (!isForHosts || length >= widthOf(family) - 1) return;
    const { from, to } = this.#span;
    this.#insert({ from, to: from });
    if (family === 2) this.#insert({ from: to, to });
  }

  holds(prefix: Cidr): boolean {
    return contains(this.#whole, prefix);
  }

  isFree(prefix: Cidr): boolean {
    const { from, to } = intervalOf(prefix);
    return this.holds(prefix) && !this.#blocks.some((one) => one.from <= to && from <= one.to);
  }

  block(prefix: Cidr): void {
    if (overlaps(this.#whole, prefix)) this.#insert(intervalOf(prefix));
  }

  /** The lowest prefix of that length that is free, which is taken from then on; undefined: there is none. */
  take(length: number): string | undefined {
    const size = 2n ** BigInt(widthOf(this.#whole.family) - length);
    let at = this.#span.from;
    for (const block of this.#blocks) {
      if (at + size <= block.from) break;
      if (block.to >= at) at = ((block.to + size) / size) * size;
    }
    if (at + size - 1n > this.#span.to) return undefined;
    this.#insert({ from: at, to: at + size - 1n });
    return formatCidr(cidrAt(this.#whole, at, length));
  }

  #insert(block: Interval): void {
    const at = this.#blocks.findIndex(({ from }) => from > block.from);
    this.#blocks.splice(at < 0 ? this.#blocks.length : at, 0, block);
  }
}

/** In order of their first address. */
function blocksIn(whole: Cidr, prefixes: readonly string[]): Interval[] {
  return prefixes
    .map(cidrOf)
    .filter((prefix) => overlaps(prefix, whole))
    .map(intervalOf)
    .sort(byStart);
}

function byStart(a: Interval, b: Interval): number {
  return a.from < b.from ? -1 : a.from > b.from ? 1 : 0;
}

function intervalOf(prefix: Cidr): Interval {
  return { from: numberOf(networkOf(prefix)), to: numberOf(lastOf(prefix)) };
}

function numberOf({ family, bytes }: Cidr): bigint {
  let value = 0n;
  for (let at = 0; at < widthOf(family) / 8; at++) value = value * 256n + BigInt(bytes[at]!);
  return value;
}

function cidrAt({ family }: Cidr, value: bigint, length: number): Cidr {
  const bytes = new Uint8Array(16);
  let rest = value;
  for (let at = widthOf(family) / 8 - 1; at >= 0; at--) {
    bytes[at] = Number(rest % 256n);
    rest /= 256n;
  }
  return { family, bytes, length };
}
