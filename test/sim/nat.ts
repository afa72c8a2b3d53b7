/**
 * A NAT of the simulated network (RFC 4787): maps what goes out to ports of its own address, for as long as something goes out, and
 * lets in only what answers. Only what goes out keeps a mapping alive (REQ-6).
 */
import type { Datagram } from "./node.ts";

/** RFC 4787 4.1 and 5: one port for all destinations or one for each; who may come in. */
export type NatKind = "open" | "restricted" | "symmetric";

interface Mapping {
  readonly port: number;
  readonly inside: string;
  usedMs: number;
  /** Where something was sent to, and when. */
  readonly remotes: Map<string, number>;
}

const PORT_FIRST = 1_024;

export class Nat {
  readonly address: string;
  readonly kind: NatKind;
  readonly lifetimeMs: number;
  /** By inside address and, if symmetric, destination. */
  readonly #mappings = new Map<string, Mapping>();
  #nextPort: number;

  /** `firstPort`: ports are given out from here on, each once. */
  constructor(address: string, kind: NatKind, lifetimeMs: number, firstPort: number) {
    this.address = address;
    this.kind = kind;
    this.lifetimeMs = lifetimeMs;
    this.#nextPort = firstPort;
  }

  /** A datagram goes out: with another source. */
  out(datagram: Datagram, now: number): Datagram {
    const { from, to } = datagram;
    const name = this.kind === "symmetric" ? `${from} ${to}` : from;
    let mapping = this.#mappings.get(name);
    if (mapping === undefined || now - mapping.usedMs > this.lifetimeMs) {
      mapping = { port: this.#port(), inside: from, usedMs: now, remotes: new Map() };
      this.#mappings.set(name, mapping);
    }
    mapping.usedMs = now;
    mapping.remotes.set(to, now);
    return { ...datagram, from: `${this.address}:${mapping.port}` };
  }

  /** A datagram comes in: with another destination, or undefined: it stays outside. */
  in(datagram: Datagram, now: number): Datagram | undefined {
    for (const { inside, port, remotes, usedMs } of this.#mappings.values()) {
      if (datagram.to !== `${this.address}:${port}`) continue;
      if (now - usedMs > this.lifetimeMs) return undefined;
      const spokenMs = remotes.get(datagram.from) ?? Number.NEGATIVE_INFINITY;
      if (this.kind !== "open" && now - spokenMs > this.lifetimeMs) return undefined;
      return { ...datagram, to: inside };
    }
    return undefined;
  }

  /** Forgets everything, as after a restart: what goes out next has another port. */
  rebind(): void {
    this.#mappings.clear();
  }

  #port(): number {
    const port = this.#nextPort++;
    if (this.#nextPort > 0xffff) this.#nextPort = PORT_FIRST;
    return port;
  }
}
