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

  /** Sends a note about interface `key` to `lane` and wakes it. The memory of its larger parts, and of a key, is moved. */
  post(lane: number, key: number, note: LaneNote): void {
    const way = this.#ways.get(lane);
    if (way === undefined) throw new Error(`there is no way to lane ${lane}`);
    way.port.postMessage({ key, note } satisfies BetweenLanes, movedWith(note));
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

/** What is not copied on its way: a copy of a key would pass through buffers that nobody wipes. */
function movedWith(note: LaneNote): readonly ArrayBuffer[] {
  switch (note.kind) {
    case "packets":
    case "initiations":
      return [note.bytes.buffer];
    case "session":
      return note.session === undefined ? [] : [note.session.sendKey.buffer];
    default:
      return [];
  }
}
