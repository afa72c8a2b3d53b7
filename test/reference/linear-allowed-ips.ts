/**
 * The twin of AllowedIps: a list of prefixes in the order in which they came to their peers, searched from end to end, with
 * addresses as BigInt. Slow and plain on purpose; shares no code with what it checks.
 */

export interface LinearEntry {
  readonly family: 2 | 10;
  readonly network: bigint;
  readonly cidr: number;
  readonly peer: number;
}

export class LinearAllowedIps {
  #entries: LinearEntry[] = [];

  get size(): number {
    return this.#entries.length;
  }

  insert(family: 2 | 10, bytes: Uint8Array, cidr: number, peer: number): void {
    const network = masked(family, bytes, cidr);
    this.#entries = this.#entries.filter((entry) => !isSame(entry, family, network, cidr));
    this.#entries.push({ family, network, cidr, peer });
  }

  remove(family: 2 | 10, bytes: Uint8Array, cidr: number, peer: number): boolean {
    const network = masked(family, bytes, cidr);
    const before = this.size;
    this.#entries = this.#entries.filter(
      (entry) => entry.peer !== peer || !isSame(entry, family, network, cidr),
    );
    return this.size < before;
  }

  removeByPeer(peer: number): void {
    this.#entries = this.#entries.filter((entry) => entry.peer !== peer);
  }

  lookup(family: 2 | 10, bytes: Uint8Array): number {
    let best: LinearEntry | undefined;
    for (const entry of this.#entries) {
      if (entry.family !== family || masked(family, bytes, entry.cidr) !== entry.network) continue;
      if (best === undefined || entry.cidr > best.cidr) best = entry;
    }
    return best?.peer ?? -1;
  }

  entries(peer: number): { family: 2 | 10; bytes: Uint8Array; cidr: number }[] {
    return this.#entries
      .filter((entry) => entry.peer === peer)
      .map(({ family, network, cidr }) => ({ family, bytes: toBytes(family, network), cidr }));
  }
}

function isSame(entry: LinearEntry, family: number, network: bigint, cidr: number): boolean {
  return entry.family === family && entry.network === network && entry.cidr === cidr;
}

function octets(family: number): number {
  return family === 2 ? 4 : 16;
}

function masked(family: number, bytes: Uint8Array, cidr: number): bigint {
  let value = 0n;
  for (let i = 0; i < octets(family); i += 1) value = value * 256n + BigInt(bytes[i]!);
  const host = 2n ** BigInt(octets(family) * 8 - cidr);
  return (value / host) * host;
}

function toBytes(family: number, network: bigint): Uint8Array {
  const bytes = new Uint8Array(16);
  let rest = network;
  for (let i = octets(family) - 1; i >= 0; i -= 1) {
    bytes[i] = Number(rest % 256n);
    rest /= 256n;
  }
  return bytes;
}
