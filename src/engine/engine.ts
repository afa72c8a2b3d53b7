/**
 * The engine: owns lanes and the devices on them. One process serves one interface (`wirehaul-wg`) or many, on the same
 * lanes. No packets here.
 */
import { loadNative } from "../io/load-native.ts";
import type { Native } from "../io/native.ts";
import { Device } from "./device.ts";
import { HandshakePool } from "./handshake-pool.ts";
import { LaneThread } from "./lane-thread.ts";
import { createTun, givenTunName } from "./tun.ts";

export interface EngineOptions {
  /** OpenSSL (inside the node binary) is fast; noble is the pure TypeScript reference. Default: openssl. */
  readonly crypto?: "openssl" | "noble";
  /** Where log lines go. `verbose` lines come only if `verbose` is true. */
  readonly log?: (level: "verbose" | "error", device: string, text: string) => void;
  readonly verbose?: boolean;
}

export interface DeviceOptions {
  /** Interface name, at most 15 bytes; may hold "%d". Not used with `tunFd`. */
  readonly name: string;
  /** A TUN descriptor to take over instead of making an interface. */
  readonly tunFd?: number;
  /** MTU of a new interface. Default: 1420. */
  readonly mtu?: number;
  /** Descriptor of the network namespace where UDP sockets are opened. Default: this process's. */
  readonly namespaceFd?: number;
}

export class Engine {
  readonly #native: Native = loadNative();
  readonly #lane: LaneThread;
  readonly #devices = new Map<number, Device>();
  readonly #log: NonNullable<EngineOptions["log"]>;
  readonly #pool = new HandshakePool();
  readonly #crypto: "openssl" | "noble";
  #nextKey = 1;

  constructor(options: EngineOptions = {}) {
    this.#log = options.log ?? (() => undefined);
    this.#crypto = options.crypto ?? "openssl";
    this.#lane = new LaneThread(
      this.#native,
      { crypto: this.#crypto, verbose: options.verbose ?? false },
      {
        gone: (key) => this.#lose(key, undefined),
        log: (key, level, text) => this.#log(level, this.#devices.get(key)?.name ?? "", text),
        initiations: (key, bytes, count) => void this.#solve(key, bytes, count),
        died: (reason) => {
          for (const key of [...this.#devices.keys()]) this.#lose(key, reason);
        },
      },
    );
  }

  /** Makes (or takes over) an interface and serves it. Rejects with the reason and the fix. */
  async createDevice(options: DeviceOptions): Promise<Device> {
    const tun =
      options.tunFd === undefined
        ? createTun(this.#native, options.name, options.mtu ?? 1420)
        : { fd: options.tunFd, name: givenTunName(this.#native, options.tunFd) };
    const key = this.#nextKey++;
    const device = new Device(tun.name, key, this.#lane, () => this.#devices.delete(key));
    this.#devices.set(key, device);
    try {
      const reply = await this.#lane.request(key, {
        kind: "add",
        tunFd: tun.fd,
        namespaceFd: options.namespaceFd ?? -1,
      });
      if (reply.kind === "failed") throw new Error(reply.reason);
    } catch (error) {
      this.#devices.delete(key);
      // Refused, or the lane died. Where it had taken the descriptor over, it has closed it, and the number may be another's.
      if (this.#native.tunName(tun.fd) === tun.name) this.#native.fdClose(tun.fd);
      throw error;
    }
    return device;
  }

  /** Closes all devices and ends the lanes. */
  async close(): Promise<void> {
    await this.#lane.stop();
    await this.#pool.close();
    for (const key of [...this.#devices.keys()]) this.#lose(key, undefined);
  }

  async #solve(key: number, bytes: Uint8Array<ArrayBuffer>, count: number): Promise<void> {
    let solved: Uint8Array<ArrayBuffer> | undefined;
    try {
      solved = await this.#pool.solve({ crypto: this.#crypto, bytes, count });
    } catch {
      // Full or closed: the lane counts them as dropped, and their senders try again.
      bytes.fill(0);
    }
    this.#lane.solved(key, solved, count);
  }

  #lose(key: number, reason: Error | undefined): void {
    const device = this.#devices.get(key);
    this.#devices.delete(key);
    device?.end(reason);
  }
}
