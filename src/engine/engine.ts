/**
 * The engine: owns lanes and the devices on them. One process serves one interface (`wirehaul-wg`) or many, on the same
 * lanes. No packets here.
 */
import { loadNative } from "../io/load-native.ts";
import type { Native } from "../io/native.ts";
import { Device } from "./device.ts";
import { HandshakePool } from "./handshake-pool.ts";
import { checkLanes, type Lanes as LanesOption, laneCount } from "./lane-count.ts";
import { checkNice, LANE_NICE } from "./lane-nice.ts";
import { Lanes } from "./lanes.ts";
import { createTun, givenTunName, type Tun } from "./tun.ts";

export interface EngineOptions {
  /** OpenSSL (inside the node binary) is fast; noble is the pure TypeScript reference. Default: openssl. */
  readonly crypto?: "openssl" | "noble";
  /** Where log lines go. `verbose` lines come only if `verbose` is true. */
  readonly log?: (level: "verbose" | "error", device: string, text: string) => void;
  readonly verbose?: boolean;
  /** Threads that packets pass through: 1 to 64, or "auto": half of the cores, 8 at most. Default: 1. */
  readonly lanes?: LanesOption;
  /**
   * Added to the niceness of those threads: below 0, they come before other programs that want the same core. Where the process
   * may not (CAP_SYS_NICE, RLIMIT_NICE) it stays. Default: 0.
   */
  readonly laneNice?: number;
}

export interface DeviceOptions {
  /** Interface name, at most 15 bytes; may hold "%d". Not used with `tunFd`. */
  readonly name: string;
  /** A TUN descriptor to take over instead of making an interface; more for its queues, one for each lane. */
  readonly tunFd?: number;
  readonly tunQueueFds?: readonly number[];
  /** MTU of a new interface. Default: 1420. */
  readonly mtu?: number;
  /** Descriptor of the network namespace where a new interface is made; needed only until then. Default: this process's. */
  readonly tunNamespaceFd?: number;
  /** Descriptor of the network namespace where UDP sockets are opened. Default: this process's. */
  readonly namespaceFd?: number;
}

export class Engine {
  readonly #native: Native = loadNative();
  readonly #lanes: Lanes;
  readonly #devices = new Map<number, Device>();
  readonly #tuns = new Map<number, readonly number[]>();
  readonly #log: NonNullable<EngineOptions["log"]>;
  readonly #pool = new HandshakePool();
  readonly #crypto: "openssl" | "noble";
  #nextKey = 1;

  constructor(options: EngineOptions = {}) {
    this.#log = options.log ?? (() => undefined);
    this.#crypto = options.crypto ?? "openssl";
    const count = laneCount(this.#native, checkLanes(options.lanes ?? 1, "lanes"), (text) =>
      this.#log("error", "", text),
    );
    this.#lanes = new Lanes(
      this.#native,
      count,
      {
        crypto: this.#crypto,
        verbose: options.verbose ?? false,
        nice: checkNice(options.laneNice ?? LANE_NICE, "laneNice"),
      },
      {
        gone: (key, reason) => this.#lose(key, reason),
        log: (key, level, text) => this.#log(level, this.#devices.get(key)?.name ?? "", text),
        initiations: (lane, key, bytes, used) => void this.#solve(lane, key, bytes, used),
      },
    );
  }

  /** Lanes that were started. */
  get lanes(): number {
    return this.#lanes.count;
  }

  /** Makes (or takes over) an interface and serves it. Rejects with the reason and the fix. */
  async createDevice(options: DeviceOptions): Promise<Device> {
    const tun = this.#tunFor(options);
    const key = this.#nextKey++;
    const device = new Device(tun.name, key, this.#lanes, () => this.#forget(key));
    this.#devices.set(key, device);
    this.#tuns.set(key, tun.fds);
    try {
      await this.#lanes.add(key, tun.fds, options.namespaceFd ?? -1);
    } catch (error) {
      this.#forget(key);
      throw error;
    }
    return device;
  }

  /** Closes all devices and ends the lanes. */
  async close(): Promise<void> {
    await this.#lanes.stop();
    await this.#pool.close();
    for (const key of [...this.#devices.keys()]) this.#lose(key, undefined);
  }

  #tunFor({ name, mtu, tunFd, tunQueueFds, tunNamespaceFd }: DeviceOptions): Tun {
    if (tunFd === undefined) {
      return createTun(this.#native, name, mtu ?? 1420, this.lanes, tunNamespaceFd);
    }
    const given = { fds: [tunFd], name: givenTunName(this.#native, tunFd) };
    const queues = tunQueueFds ?? [];
    // One queue can't be shared: then one lane serves it.
    return queues.length === this.lanes - 1 ? { ...given, fds: [tunFd, ...queues] } : given;
  }

  async #solve(
    lane: number,
    key: number,
    bytes: Uint8Array<ArrayBuffer>,
    count: number,
  ): Promise<void> {
    let solved: Uint8Array<ArrayBuffer> | undefined;
    try {
      solved = await this.#pool.solve({ crypto: this.#crypto, bytes, count });
    } catch {
      // Full or closed: the lane counts them as dropped, and their senders try again.
      bytes.fill(0);
    }
    this.#lanes.solved(lane, key, solved, count);
  }

  #lose(key: number, reason: Error | undefined): void {
    const device = this.#devices.get(key);
    this.#forget(key);
    device?.end(reason);
  }

  /** An interface that is not persistent goes away with its last descriptor. */
  #forget(key: number): void {
    this.#devices.delete(key);
    for (const fd of this.#tuns.get(key) ?? []) this.#native.fdClose(fd);
    this.#tuns.delete(key);
  }
}
