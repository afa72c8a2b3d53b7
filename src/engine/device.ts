/**
 * One interface as the rest of the program sees it: settings in, snapshots out, and a promise for its end. What it does
 * with packets happens on its lane.
 */
import { processStatus } from "../io/process-status.ts";
import type { InterfaceStatus } from "../lane/status.ts";
import type { SetOperation } from "../uapi/operation.ts";
import type { DeviceSnapshot } from "../uapi/snapshot.ts";
import type { Lanes } from "./lanes.ts";

export class Device {
  /** As it was called when it was made. */
  readonly name: string;
  /** Settles when the interface is gone: undefined if deleted or closed, else why the lane died. */
  readonly ended: Promise<Error | undefined>;
  readonly #key: number;
  readonly #lanes: Lanes;
  readonly #onClose: () => void;
  #hasEnded = false;
  #resolveEnded: (reason: Error | undefined) => void = () => undefined;

  constructor(name: string, key: number, lanes: Lanes, onClose: () => void) {
    this.name = name;
    this.#key = key;
    this.#lanes = lanes;
    this.#onClose = onClose;
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
  }

  /**
   * Applies operations in order, each at once. Returns 0, or the -errno of the one that was refused: those before it stay.
   * Takes the keys in them over, and wipes them. `isComplete` false: more was to follow but is unreadable, so the last peer's
   * settings do not take effect at once.
   */
  async apply(operations: readonly SetOperation[], isComplete = true): Promise<number> {
    if (this.#hasEnded) throw new Error(`the interface ${this.name} is closed`);
    return await this.#lanes.set(this.#key, operations, isComplete);
  }

  /**
   * Opens the UDP sockets anew on the same port in another network namespace (a descriptor, which stays the caller's and must stay
   * open while the device lives; -1: this process's). Sessions and settings stay. Returns 0, or -errno (-EADDRINUSE: the port is
   * taken there): then the sockets stay where they were. To where they are already it would find its own port taken.
   */
  async moveSockets(namespaceFd: number): Promise<number> {
    if (this.#hasEnded) throw new Error(`the interface ${this.name} is closed`);
    return await this.#lanes.moveSockets(this.#key, namespaceFd);
  }

  /** The whole configuration, the private key too: for the UAPI socket. The caller wipes it (wipeSnapshot, src/uapi/snapshot.ts). */
  async snapshot(): Promise<DeviceSnapshot> {
    if (this.#hasEnded) throw new Error(`the interface ${this.name} is closed`);
    return (await this.#lanes.snapshot(this.#key)) ?? this.#notServed();
  }

  /** What is going on, without secrets. */
  async status(): Promise<InterfaceStatus> {
    if (this.#hasEnded) throw new Error(`the interface ${this.name} is closed`);
    const { laneHeapBytes, ...status } = (await this.#lanes.status(this.#key)) ?? this.#notServed();
    return { ...status, process: { ...processStatus(), laneHeapBytes } };
  }

  /** Wipes keys, closes sockets; an interface that is not persistent goes away. */
  async close(): Promise<void> {
    if (this.#hasEnded) return;
    await this.#lanes.remove(this.#key);
    this.#onClose();
    this.end(undefined);
  }

  /** Called by the engine when the interface is gone. */
  end(reason: Error | undefined): void {
    this.#hasEnded = true;
    this.#resolveEnded(reason);
  }

  #notServed(): never {
    throw new Error(`the interface ${this.name} is not served any more`);
  }
}
