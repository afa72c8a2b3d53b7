/** A node whose tunnel is spread over several lanes: datagrams are steered as the kernel does it, notes wait for the test. */
import { loadLe32 } from "../../src/bytes/integer.ts";
import type { Slab } from "../../src/bytes/slab.ts";
import type { Suite, TransportCipher } from "../../src/crypto/suite.ts";
import { laneOfIndex, type SiblingNote } from "../../src/tunnel/siblings.ts";
import type { StagingBudget } from "../../src/tunnel/staging.ts";
import { TYPE_INITIATION, TYPE_RESPONSE } from "../../src/wire/constants.ts";
import { type Datagram, type SimClock, SimNode } from "./node.ts";

interface Waiting {
  readonly from: number;
  readonly to: number;
  readonly note: SiblingNote;
}

export class SpreadNode {
  readonly lanes: readonly SimNode[];
  readonly notes: Waiting[] = [];
  /** Notes that were taken: what was secret in them must be wiped. */
  readonly taken: SiblingNote[] = [];
  /** Of all notes that were sent. */
  readonly kinds: string[] = [];
  readonly #clock: SimClock;

  constructor(options: {
    readonly count: number;
    readonly secret: Uint8Array;
    readonly address: string;
    readonly clock: SimClock;
    readonly seed: number;
    readonly suite?: Suite;
    readonly slab?: Slab;
    readonly cipher?: TransportCipher;
    readonly stagingBudget?: StagingBudget;
  }) {
    this.#clock = options.clock;
    this.lanes = Array.from({ length: options.count }, (_, lane) => {
      return new SimNode({
        ...options,
        seed: options.seed + 1_000 * lane,
        // One lane has none, as in src/io/lane-host.ts.
        siblings:
          options.count === 1
            ? undefined
            : {
                lane,
                count: options.count,
                post: (to, note) => {
                  this.kinds.push(note.kind);
                  this.notes.push({ from: lane, to, note: posted(note) });
                },
              },
      });
    });
  }

  get publicKey(): Uint8Array {
    return this.lanes[0]!.publicKey;
  }

  get address(): string {
    return this.lanes[0]!.address;
  }

  addPeer(publicKey: Uint8Array, prefix: string, endpoint?: string): void {
    for (const lane of this.lanes) lane.addPeer(publicKey, prefix, endpoint);
  }

  /** Does something with each lane's tunnel, as a request of the engine. */
  request(work: (node: SimNode) => void): void {
    for (const lane of this.lanes) work(lane);
    this.settle();
  }

  /** Which lane the kernel gives a datagram to: native/steer.c. */
  steer({ bytes }: Datagram): number {
    if (bytes[0] === TYPE_INITIATION) return 0;
    return laneOfIndex(loadLe32(bytes, bytes[0] === TYPE_RESPONSE ? 8 : 4), this.lanes.length);
  }

  receive(...datagrams: readonly Datagram[]): void {
    for (const datagram of datagrams) this.lanes[this.steer(datagram)]!.receive(datagram);
    this.settle();
  }

  /** Delivers all notes, and deadlines that are due. */
  settle(): void {
    for (const lane of this.lanes) lane.settle();
    this.passNotes();
  }

  passNotes(): void {
    for (let next = this.notes.shift(); next !== undefined; next = this.notes.shift()) {
      const lane = this.lanes[next.to]!;
      lane.tunnel.takeNote(next.from, next.note, this.#clock);
      this.taken.push(next.note);
      lane.settle();
    }
  }

  /** What all lanes want sent. */
  take(): Datagram[] {
    return this.lanes.flatMap((lane) => lane.outgoing.splice(0));
  }

  takeDelivered(): Uint8Array[] {
    return this.lanes.flatMap((lane) => lane.delivered.splice(0));
  }

  drops(reason: number): number {
    return this.lanes.reduce((sum, lane) => sum + lane.tunnel.state.drops[reason]!, 0);
  }
}

/** As over a message port: src/io/sibling-ports.ts. */
function posted(note: SiblingNote): SiblingNote {
  const moved = note.kind === "packets" || note.kind === "initiations" ? [note.bytes.buffer] : [];
  const copy = structuredClone(note, { transfer: moved });
  if (note.kind === "session") note.session?.sendKey.fill(0);
  return copy;
}

/** What is secret in a note; no bytes: nothing is. */
export function secretOf(note: SiblingNote): Uint8Array {
  if (note.kind === "session") return note.session?.sendKey ?? new Uint8Array(0);
  return note.kind === "initiations" ? note.bytes : new Uint8Array(0);
}
