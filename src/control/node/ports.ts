/**
 * Listen ports: one for each network, unique on the node over all networks, leases and sockets of other programs; leased for a time to
 * who asks, or chosen here. Where they are stored is the caller's matter.
 */
import type { Native } from "../../io/native.ts";
import type { PortLease } from "../model/desired-state.ts";
import { RefusedError } from "../model/problem.ts";

export interface PortsOptions {
  /** Of these the node chooses, both included. */
  readonly range: readonly [first: number, last: number];
  /** Never given out. */
  readonly reserved: readonly number[];
  /** True if nobody on the machine has the port now. */
  readonly isFree: (port: number) => boolean;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** 0 to 1, 1 excluded. */
  readonly random: () => number;
  /** Called with all leases when one is made or given back; throws when they cannot be stored. */
  readonly save: (leases: readonly PortLease[]) => void;
}

/** What `list` says; that is what is published. */
export interface PortList {
  readonly used: readonly { readonly port: number; readonly network: string }[];
  readonly leases: readonly PortLease[];
  readonly reserved: readonly number[];
}

/** As zos chooses: above the well-known ones, below those that Linux gives to clients (32768). */
export const DEFAULT_RANGE: readonly [number, number] = [1024, 32_767];
/** zos: 9651, 9943 to 9945 are its overlay's, 80, 300, 443, 8082 the node's; 53, 67, 68, 123, 546, 547 serve it. */
export const DEFAULT_RESERVED: readonly number[] = [
  53, 67, 68, 80, 123, 300, 443, 546, 547, 8082, 9651, 9943, 9944, 9945,
];
/** Ours: a lease is for the time between choosing a port and creating the network. */
const LEASE_SECONDS_MAX = 24 * 3600;
const LEASES_MAX = 4_096;
/** Ours: after so many that are taken the rest is searched in order. */
const TRIES = 64;

/** A port that a network should have is not to be had. */
export class PortTakenError extends RefusedError {
  readonly port: number;

  constructor(port: number, message: string) {
    super("conflict", message);
    this.port = port;
  }
}

export class Ports {
  readonly #options: PortsOptions;
  readonly #networks = new Map<number, string>();
  readonly #leases = new Map<number, PortLease>();

  constructor(options: PortsOptions, leases: readonly PortLease[] = []) {
    this.#options = options;
    for (const lease of leases) this.#leases.set(lease.port, lease);
  }

  /** Gives a network this port. `holder`: who may take a leased one. Throws why not. */
  claim(network: string, port: number, holder: string | undefined): void {
    const owner = this.#networks.get(port);
    if (owner === network) return;
    if (owner !== undefined) {
      throw new PortTakenError(
        port,
        `the listen port ${port} is network ${owner}'s: choose another, or none and the node chooses`,
      );
    }
    if (this.#options.reserved.includes(port)) {
      throw new PortTakenError(port, `the listen port ${port} is reserved: choose another`);
    }
    const lease = this.#lease(port);
    if (lease !== undefined && lease.holder !== holder) {
      throw new PortTakenError(port, `the listen port ${port} is leased: choose another`);
    }
    if (!this.#options.isFree(port)) {
      throw new PortTakenError(
        port,
        `the listen port ${port} is in use by another program on this node: choose another`,
      );
    }
    this.#networks.set(port, network);
    if (lease !== undefined) this.#end(port);
  }

  /** Gives a network back the port that it had before the node was started, whoever has it now. */
  restore(network: string, port: number): void {
    this.#networks.set(port, network);
  }

  /** The network has these of its ports, and gives back the others. */
  keep(network: string, ports: readonly number[]): void {
    for (const [port, owner] of this.#networks) {
      if (owner === network && !ports.includes(port)) this.#networks.delete(port);
    }
  }

  /** A port that is free now, as a network's. */
  choose(network: string): number {
    const port = this.#free();
    this.#networks.set(port, network);
    return port;
  }

  /** Promises a port, one of the node's choice if none is named, to nobody else for a time; stored when it returns. */
  lease(holder: string, seconds: number, port?: number | undefined): PortLease {
    if (holder === "" || holder.length > 256) {
      throw new RefusedError("invalid", "a lease needs a holder of 1 to 256 characters");
    }
    if (!(seconds >= 1 && seconds <= LEASE_SECONDS_MAX)) {
      throw new RefusedError("invalid", `a lease is for 1 to ${LEASE_SECONDS_MAX} seconds`);
    }
    if (port !== undefined && !(Number.isInteger(port) && port >= 1 && port <= 65_535)) {
      throw new RefusedError("invalid", `${port} is no port: 1 to 65535`);
    }
    this.#expire();
    if (this.#leases.size >= LEASES_MAX) {
      throw new RefusedError("conflict", `${LEASES_MAX} ports are leased: wait until some expire`);
    }
    const chosen = port ?? this.#free();
    const before = this.#lease(chosen);
    if (before?.holder !== holder && !this.#isFree(chosen)) {
      throw new RefusedError("conflict", `the port ${chosen} is not free: choose another, or none`);
    }
    const lease: PortLease = {
      port: chosen,
      holder,
      expiresMs: this.#options.now() + seconds * 1_000,
    };
    this.#leases.set(chosen, lease);
    try {
      this.#options.save([...this.#leases.values()]);
    } catch (error) {
      if (before === undefined) this.#leases.delete(chosen);
      else this.#leases.set(chosen, before);
      throw error;
    }
    return lease;
  }

  /** Ends a lease before its time. */
  endLease(port: number, holder: string): void {
    if (this.#lease(port)?.holder !== holder) {
      throw new RefusedError("missing", `there is no lease of port ${port} for this holder`);
    }
    this.#end(port);
  }

  list(): PortList {
    this.#expire();
    return {
      used: [...this.#networks]
        .map(([port, network]) => ({ port, network }))
        .sort((a, b) => a.port - b.port),
      leases: [...this.#leases.values()].sort((a, b) => a.port - b.port),
      reserved: this.#options.reserved,
    };
  }

  #end(port: number): void {
    this.#leases.delete(port);
    this.#options.save([...this.#leases.values()]);
  }

  #lease(port: number): PortLease | undefined {
    this.#expire();
    return this.#leases.get(port);
  }

  #expire(): void {
    const now = this.#options.now();
    for (const [port, { expiresMs }] of this.#leases) {
      if (expiresMs <= now) this.#leases.delete(port);
    }
  }

  #isFree(port: number): boolean {
    return (
      !this.#networks.has(port) &&
      this.#lease(port) === undefined &&
      !this.#options.reserved.includes(port) &&
      this.#options.isFree(port)
    );
  }

  #free(): number {
    const [first, last] = this.#options.range;
    const count = last - first + 1;
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const port = first + Math.floor(this.#options.random() * count);
      if (this.#isFree(port)) return port;
    }
    const start = Math.floor(this.#options.random() * count);
    for (let step = 0; step < count; step++) {
      const port = first + ((start + step) % count);
      if (this.#isFree(port)) return port;
    }
    throw new RefusedError("conflict", `no port from ${first} to ${last} is free on this node`);
  }
}

const AF_INET = 2;
const AF_INET6 = 10;
const EAFNOSUPPORT = 97;

/** Whether UDP sockets of both families can be bound to a port in a namespace (descriptor, -1: this process's own). */
export function isPortFree(native: Native, port: number, namespaceFd: number): boolean {
  for (const family of [AF_INET, AF_INET6]) {
    const fd = native.udpOpen(family, port, 0, namespaceFd, false);
    if (fd >= 0) native.fdClose(fd);
    else if (fd !== -EAFNOSUPPORT) return false;
  }
  return true;
}
