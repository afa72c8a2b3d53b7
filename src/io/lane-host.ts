/**
 * A lane on a real machine: builds interfaces out of descriptors, answers the engine's requests, reports. Runs on the
 * lane's thread, which blocks in epoll: replies go out by postMessage, requests are drained when the event is signalled.
 */
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { endpointLayout, Slab } from "../bytes/slab.ts";
import type { Suite, TransportCipher } from "../crypto/suite.ts";
import { Interface } from "../lane/interface.ts";
import { CONTROL_TAG, Lane, type LaneControl } from "../lane/lane.ts";
import type {
  BetweenLanes,
  FromLane,
  LaneNote,
  LaneReply,
  LaneRequest,
  SnapshotPart,
  ToLane,
} from "../lane/messages.ts";
import { movableSnapshot } from "../lane/secrets.ts";
import { interfaceStatus, type ScopeName, snapshot } from "../lane/status.ts";
import { WarmUp } from "../lane/warm-up.ts";
import { applySet, type SocketSettings } from "../tunnel/configure.ts";
import { InitiationPace } from "../tunnel/initiation-pace.ts";
import type { Peer } from "../tunnel/peer.ts";
import { restoreSnapshot } from "../tunnel/restore.ts";
import type { StagingBudget } from "../tunnel/staging.ts";
import type { DeviceSnapshot } from "../uapi/snapshot.ts";
import { collectGarbage } from "./collect.ts";
import { entropy } from "./entropy.ts";
import { EpollWaiter } from "./epoll-waiter.ts";
import { errnoName } from "./errno.ts";
import { counterNames, type Native, type SlabHandle } from "./native.ts";
import { peerName } from "./peer-name.ts";
import { SiblingPorts } from "./sibling-ports.ts";
import { TunDevice } from "./tun-device.ts";
import { UdpSockets } from "./udp-sockets.ts";

const ENODEV = 19;
const EINVAL = 22;
/** linux/if.h IFNAMSIZ less the terminator. */
const NAME_BYTES_MAX = 15;
/** Interface indexes are positive int32 (net/core/dev.c). */
const INDEX_MAX = 0x7fff_ffff;

/** Operations of a set, or peers of a get, from which on its garbage is collected. Ours: some 1 MB. */
const LARGE_REQUEST = 1_000;

/** What the host is built from. */
export interface LaneHostParts {
  readonly native: Native;
  readonly suite: Suite;
  /** Makes the transport cipher for the lane's slab. */
  readonly cipher: (slab: Slab, handle: SlabHandle) => TransportCipher;
  readonly port: MessagePort;
  readonly eventFd: number;
  readonly verbose: boolean;
  /** Which lane this is, of how many. */
  readonly lane: number;
  readonly lanes: number;
}

export class LaneHost implements LaneControl {
  readonly #parts: LaneHostParts;
  readonly #slab = new Slab();
  readonly #handle: SlabHandle;
  readonly #cipher: TransportCipher;
  readonly #waiter: EpollWaiter;
  readonly #lane: Lane;
  readonly #interfaces = new Map<number, Interface>();
  readonly #stagingBudget: StagingBudget = { bytes: 0 };
  readonly #pace = new InitiationPace();
  readonly #siblings: SiblingPorts;
  /** Of siblings, read and not yet taken; empty between turns. */
  readonly #notes: (readonly [from: number, message: BetweenLanes])[] = [];

  constructor(parts: LaneHostParts) {
    this.#parts = parts;
    this.#handle = parts.native.slabAttach(this.#slab.buffer);
    this.#cipher = parts.cipher(this.#slab, this.#handle);
    this.#siblings = new SiblingPorts(parts.native);
    this.#waiter = new EpollWaiter(parts.native);
    this.#waiter.add(parts.eventFd, CONTROL_TAG);
    const { suite } = parts;
    const warmUp = new WarmUp({
      suite,
      cipher: this.#cipher,
      slab: this.#slab,
      entropy,
      stagingBudget: { bytes: 0 },
    });
    this.#lane = new Lane(this.#waiter, this);
    this.#lane.whenIdle(warmUp);
    this.#lane.whenGlancing(() => warmUp.glance());
  }

  /** Serves until told to stop; then everything is closed and wiped. */
  run(): void {
    try {
      this.#lane.run();
    } catch (error) {
      this.#sayLastWords();
      throw error;
    } finally {
      for (const iface of this.#interfaces.values()) iface.close();
      this.#interfaces.clear();
      this.#siblings.receive((from, message) => this.#notes.push([from, message]));
      for (const [, { note }] of this.#notes) discard(note, this.#parts.native);
      this.#siblings.close();
      this.#waiter.close();
    }
  }

  drain(): void {
    this.#parts.native.eventDrain(this.#parts.eventFd);
    for (;;) {
      const received = receiveMessageOnPort(this.#parts.port) as { message: ToLane } | undefined;
      if (received === undefined) break;
      const { message } = received;
      if (message.kind === "stop") {
        this.#lane.stop();
        continue;
      }
      if (message.kind === "solved") {
        this.#finish(message);
        continue;
      }
      if (message.kind === "sibling") {
        this.#siblings.add(message.lane, message.port as MessagePort, message.eventFd);
        continue;
      }
      const { id, key, request } = message;
      this.#receiveNotes();
      this.#reply(id, this.#answer(key, request));
      if (request.kind === "set" && request.operations.length > LARGE_REQUEST) this.#tidyUp();
    }
    this.#receiveNotes();
    for (const [from, message] of this.#notes.splice(0)) this.#takeNote(from, message);
  }

  /**
   * The leader sends sockets before the engine sends what comes after: a request that makes us initiate would else go out by sockets
   * that are closed before the answer comes, and the peer be without a session for five seconds. Other notes may be about peers
   * that a waiting request makes: they come after all requests.
   */
  #receiveNotes(): void {
    this.#siblings.receive((from, message) => {
      if (message.note.kind === "sockets") this.#takeNote(from, message);
      else this.#notes.push([from, message]);
    });
  }

  #takeNote(from: number, { key, note }: BetweenLanes): void {
    const iface = this.#interfaces.get(key);
    if (iface === undefined) {
      discard(note, this.#parts.native);
      return;
    }
    iface.takeNote(from, note, this.#lane.moment);
    this.#lane.reschedule(iface);
  }

  gone(gone: Interface): void {
    for (const [key, iface] of this.#interfaces) {
      if (iface !== gone) continue;
      iface.close();
      this.#interfaces.delete(key);
      this.#post({ kind: "gone", key });
    }
  }

  /** What the engine needs to go on with another lane. */
  #sayLastWords(): void {
    for (const [key, iface] of this.#interfaces) {
      try {
        const part = snapshotPart(iface, this.#scopeName);
        const { message, moved } = movableSnapshot(part.snapshot);
        this.#post({ kind: "lastWords", key, part: { ...part, snapshot: message } }, moved);
      } catch {
        // This one may be what the lane died of; the others can be saved.
      }
    }
  }

  #reply(id: number, reply: LaneReply): void {
    if (reply.kind !== "snapshot") {
      this.#post({ kind: "reply", id, reply });
      return;
    }
    const { message, moved } = movableSnapshot(reply.snapshot);
    this.#post({ kind: "reply", id, reply: { ...reply, snapshot: message } }, moved);
  }

  #answer(key: number, request: LaneRequest): LaneReply {
    if (request.kind === "add") return this.#add(key, request);
    const iface = this.#interfaces.get(key);
    if (iface === undefined) return { kind: "done", status: -ENODEV };
    switch (request.kind) {
      case "set":
        return { kind: "done", ...this.#set(iface, request) };
      case "restore":
        return { kind: "done", status: this.#restore(iface, request.snapshot) };
      case "moveSockets":
        return { kind: "done", status: iface.moveSockets(request.namespaceFd) };
      case "get":
        if (iface.tunnel.state.peerCount > LARGE_REQUEST) this.#tidyUp();
        return snapshotPart(iface, this.#scopeName);
      case "status":
        return {
          kind: "status",
          status: interfaceStatus(iface, this.#scopeName, {
            now: this.#lane.moment.now,
            drops: this.#laneDrops(),
            heapBytes: process.memoryUsage().heapUsed,
          }),
          homes: homesOf(iface),
        };
      case "remove":
        this.#lane.remove(iface);
        iface.close();
        this.#interfaces.delete(key);
        return { kind: "done", status: 0 };
    }
  }

  #finish({ key, bytes, count }: Extract<ToLane, { kind: "solved" }>): void {
    const iface = this.#interfaces.get(key);
    if (iface === undefined) {
      bytes?.fill(0);
      return;
    }
    iface.tunnel.finishInitiations(bytes, count, this.#lane.moment);
    iface.flush();
    this.#lane.reschedule(iface);
  }

  #add(
    key: number,
    { tunFd, namespaceFd, isSpread }: Extract<LaneRequest, { kind: "add" }>,
  ): LaneReply {
    const { native, suite, verbose, lane } = this.#parts;
    const count = isSpread ? this.#parts.lanes : 1;
    try {
      const tun = new TunDevice(native, this.#handle, this.#waiter, tunFd, (text) =>
        this.#log(key, "error", text),
      );
      const udp = new UdpSockets(
        native,
        this.#slab,
        this.#handle,
        this.#waiter,
        namespaceFd,
        count,
      );
      const log = verbose
        ? (peer: Peer | undefined, text: string): void =>
            this.#log(key, "verbose", peer === undefined ? text : `${peerName(peer)} - ${text}`)
        : undefined;
      const iface = new Interface(
        {
          suite,
          cipher: this.#cipher,
          slab: this.#slab,
          entropy,
          stagingBudget: this.#stagingBudget,
          pace: this.#pace,
          submit: (bytes, count) =>
            this.#parts.port.postMessage(
              { kind: "initiations", key, bytes, count } satisfies FromLane,
              [bytes.buffer],
            ),
          siblings:
            count === 1
              ? undefined
              : { lane, count, post: (to, note) => this.#siblings.post(to, key, note) },
          log,
        },
        tun,
        udp,
        (text, status) => this.#log(key, "error", `${text}: ${errnoName(status)}`),
      );
      this.#interfaces.set(key, iface);
      this.#lane.add(iface);
      iface.followLink(this.#lane.moment);
      return { kind: "done", status: 0 };
    } catch (error) {
      return { kind: "failed", reason: error instanceof Error ? error.message : String(error) };
    }
  }

  #set(
    iface: Interface,
    { operations, isComplete }: Extract<LaneRequest, { kind: "set" }>,
  ): { readonly status: number; readonly applied: number } {
    const sockets = this.#socketSettings(iface);
    const outcome = applySet(iface.tunnel, operations, sockets, this.#lane.moment, isComplete);
    iface.flush();
    this.#lane.reschedule(iface);
    return outcome;
  }

  #restore(iface: Interface, snapshot: DeviceSnapshot): number {
    const sockets = this.#socketSettings(iface);
    const status = restoreSnapshot(iface.tunnel, snapshot, sockets, this.#lane.moment);
    iface.flush();
    this.#lane.reschedule(iface);
    return status;
  }

  #socketSettings(iface: Interface): SocketSettings {
    return {
      setListenPort: (port) => iface.setListenPort(port),
      setMark: (mark) => iface.setMark(mark),
      resolveEndpoint: (record, family, address, port, scope) =>
        this.#resolveEndpoint(record, family, address, port, scope),
    };
  }

  #resolveEndpoint(
    record: Uint8Array,
    family: number,
    address: Uint8Array,
    port: number,
    scope: string | undefined,
  ): number {
    const view = new DataView(record.buffer, record.byteOffset, record.length);
    view.setUint16(endpointLayout.family, family, true);
    view.setUint16(endpointLayout.port, port, true);
    record.set(address, endpointLayout.address);
    if (scope === undefined) return 0;
    const index = this.#scopeIndex(scope);
    if (index < 0) return -EINVAL;
    view.setUint32(endpointLayout.scope, index, true);
    return 0;
  }

  /** When there is nothing else to do. */
  #tidyUp(): void {
    this.#lane.whenIdle({
      step: () => {
        collectGarbage(this.#parts.native);
        return false;
      },
    });
  }

  #laneDrops(): Record<string, number> {
    const counts = new Int32Array(counterNames.length);
    this.#parts.native.slabCounters(this.#handle, counts);
    const drops: Record<string, number> = {};
    counterNames.forEach((name, index) => {
      // The addon's counters are 32-bit words that wrap: read as unsigned.
      const count = counts[index]! >>> 0;
      if (count > 0) drops[name] = count;
    });
    return drops;
  }

  /** A scope is an interface's index or name; negative: there is none. */
  #scopeIndex(scope: string): number {
    if (/^[0-9]+$/.test(scope)) return Number(scope) <= INDEX_MAX ? Number(scope) : -EINVAL;
    if (new TextEncoder().encode(scope).length > NAME_BYTES_MAX) return -EINVAL;
    return this.#parts.native.interfaceIndex(scope);
  }

  readonly #scopeName = (index: number): string | undefined => {
    const name = this.#parts.native.interfaceName(index);
    return typeof name === "string" ? name : undefined;
  };

  #log(key: number, level: "verbose" | "error", text: string): void {
    this.#post({ kind: "log", key, level, text });
  }

  #post(message: FromLane, moved: readonly ArrayBuffer[] = []): void {
    this.#parts.port.postMessage(message, moved);
  }
}

/** A note for an interface that is not here any more, or not yet: its secrets are wiped, its descriptors closed. */
function discard(note: LaneNote, native: Native): void {
  if (note.kind === "session") note.session?.sendKey.fill(0);
  else if (note.kind === "initiations") note.bytes.fill(0);
  else if (note.kind === "sockets") {
    for (const fd of [note.pair.fd4, note.pair.fd6]) if (fd >= 0) native.fdClose(fd);
  }
}

/** With the live keys: only to be copied. */
function snapshotPart(iface: Interface, scopeName: ScopeName): SnapshotPart {
  return { kind: "snapshot", snapshot: snapshot(iface, scopeName), homes: homesOf(iface) };
}

function homesOf(iface: Interface): boolean[] {
  return Array.from(iface.tunnel.state.allPeers(), (peer) => peer.isHome);
}
