/** The ways from a lane to the others: a message port each, and the event that wakes the thread at its other end. */
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import type { BetweenLanes, LaneNote } from "../lane/messages.ts";
import type { Native } from "./native.ts";

interface Way {
  readonly port: MessagePort;
  readonly eventFd: number;
}

export class SiblingPorts {
  readonly #native: Native;
  readonly #ways = new Map<number, Way>();

  constructor(native: Native) {
    this.#native = native;
  }

  add(lane: number, port: MessagePort, eventFd: number): void {
    this.#ways.set(lane, { port, eventFd });
  }

  /** Sends a note about interface `key` to `lane` and wakes it. The memory of its larger parts is moved. */
  post(lane: number, key: number, note: LaneNote): void {
    const way = this.#ways.get(lane);
    if (way === undefined) throw new Error(`there is no way to lane ${lane}`);
    const moved = note.kind === "packets" || note.kind === "initiations" ? [note.bytes.buffer] : [];
    way.port.postMessage({ key, note } satisfies BetweenLanes, moved);
    // The clone is what travels; the key stays behind in nobody's hands.
    if (note.kind === "session") note.session?.sendKey.fill(0);
    this.#native.eventSignal(way.eventFd);
  }

  /** All that has come, in order for each lane. */
  receive(take: (from: number, message: BetweenLanes) => void): void {
    for (const [lane, { port }] of this.#ways) {
      for (;;) {
        const received = receiveMessageOnPort(port) as { message: BetweenLanes } | undefined;
        if (received === undefined) break;
        take(lane, received.message);
      }
    }
  }

  close(): void {
    for (const { port } of this.#ways.values()) port.close();
    this.#ways.clear();
  }
}
