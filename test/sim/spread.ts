/** A node whose tunnel is spread over several lanes: datagrams are steered as the kernel does it, notes wait for the test. */
import { loadLe32 } from "../../src/bytes/integer.ts";
import { laneOfIndex, type SiblingNote } from "../../src/tunnel/siblings.ts";
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
  /** Of all notes that were sent. */
  readonly kinds: string[] = [];
  readonly #clock: SimClock;

  constructor(options: {
    readonly count: number;
    readonly secret: Uint8Array;
    readonly address: string;
    readonly clock: SimClock;
    readonly seed: number;
  }) {
    this.#clock = options.clock;
    this.lanes = Array.from({ length: options.count }, (_, lane) => {
      return new SimNode({
        ...options,
        seed: options.seed + 1_000 * lane,
        siblings: {
          lane,
          count: options.count,
          // Cloned, as on a real port: the sender wipes what it has.
          post: (to, note) => {
            this.kinds.push(note.kind);
            this.notes.push({ from: lane, to, note: structuredClone(note) });
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
    for (let next = this.notes.shift(); next !== undefined; next = this.notes.shift()) {
      const lane = this.lanes[next.to]!;
      lane.tunnel.takeNote(next.from, next.note, this.#clock);
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
