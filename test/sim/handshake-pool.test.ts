/** Initiations that are worked off by a pool: whole tunnels, with blocks that the test solves when it likes, or loses. */
import { describe, expect, it } from "vitest";
import { opensslSuite } from "../../src/crypto/openssl.ts";
import { BATCH_MAX, HandshakeBatch } from "../../src/session/handshake-batch.ts";
import { Drop } from "../../src/tunnel/drop.ts";
import { TYPE_RESPONSE } from "../../src/wire/constants.ts";
import { type Datagram, type SimClock, SimNode, seededBytes } from "./node.ts";
import { ipv4Packet } from "./packets.ts";

interface Block {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly count: number;
}

const PSK = new Uint8Array(32).fill(5);

/** A responder and `count` initiators that it knows, each with an initiation on its way. */
class Crowd {
  readonly clock: SimClock = { now: 1_000_000, wallMs: 1_790_000_000_000 };
  readonly blocks: Block[] = [];
  readonly responder: SimNode;
  readonly initiators: SimNode[] = [];
  readonly initiations: Datagram[] = [];

  constructor(count: number, known = count) {
    const { clock } = this;
    this.responder = new SimNode({
      secret: new Uint8Array(32).fill(0x22),
      address: "192.0.2.2:2000",
      clock,
      seed: 1,
      submit: (bytes, used) => this.blocks.push({ bytes, count: used }),
    });
    for (let index = 0; index < count; index++) {
      const initiator = new SimNode({
        secret: new Uint8Array(32).fill(0x30).fill(index, 5, 6),
        address: `198.51.100.${index}:1000`,
        clock,
        seed: 2 + index,
      });
      const peer = initiator.addPeer(
        this.responder.publicKey,
        "10.0.0.2/32",
        this.responder.address,
      );
      peer.handshake.setPresharedKey(PSK);
      if (index < known) {
        const ours = this.responder.addPeer(initiator.publicKey, `10.1.0.${index}/32`);
        ours.handshake.setPresharedKey(PSK);
      }
      initiator.send(ipv4Packet(`10.1.0.${index}`, "10.0.0.2", 100, index));
      this.initiators.push(initiator);
      this.initiations.push(...initiator.outgoing.splice(0));
    }
  }

  /** Initiations arrive, before the responder gets to any of them. */
  arrive(from = 0, end = this.initiations.length): void {
    for (let index = from; index < end; index += 16) {
      this.responder.arrive(...this.initiations.slice(index, Math.min(end, index + 16)));
    }
    this.responder.settle(1_024);
  }

  finish(block: Block | undefined, count = block?.count ?? 0): void {
    this.responder.tunnel.finishInitiations(block?.bytes, count, this.clock);
    this.responder.settle();
  }

  get drops(): Float64Array {
    return this.responder.tunnel.state.drops;
  }
}

function solve(block: Block): Block {
  new HandshakeBatch(block.bytes, block.count).solve(opensslSuite, seededBytes(99));
  return block;
}

describe("handshake pool", () => {
  it("makes the same sessions, and leaves no secret in the block", () => {
    const crowd = new Crowd(12);
    crowd.arrive();
    expect(crowd.blocks.map(({ count }) => count)).toEqual([12]);
    expect(crowd.responder.outgoing).toEqual([]);
    const block = solve(crowd.blocks[0]!);
    // Our own secret is gone as soon as it is not needed any more.
    expect(block.bytes.subarray(0, 32).every((byte) => byte === 0)).toBe(true);
    crowd.finish(block);
    const responses = crowd.responder.outgoing.splice(0);
    expect(responses.map(({ bytes }) => bytes[0])).toEqual(Array(12).fill(TYPE_RESPONSE));
    for (const [index, initiator] of crowd.initiators.entries()) {
      initiator.receive(responses.find(({ to }) => to === initiator.address)!);
      crowd.responder.receive(...initiator.outgoing.splice(0));
      expect(crowd.responder.delivered.at(-1)).toEqual(
        ipv4Packet(`10.1.0.${index}`, "10.0.0.2", 100, index),
      );
    }
    expect(block.bytes.every((byte) => byte === 0)).toBe(true);
  });

  it("does few at once, itself", () => {
    const crowd = new Crowd(7);
    crowd.arrive();
    expect(crowd.blocks).toEqual([]);
    expect(crowd.responder.outgoing).toHaveLength(7);
  });

  it("has four blocks out at most, and goes on itself", () => {
    const crowd = new Crowd(3 * BATCH_MAX + 30);
    // In two parts: 128 waiting would be load.
    crowd.arrive(0, 3 * BATCH_MAX + 10);
    expect(crowd.blocks.map(({ count }) => count)).toEqual([32, 32, 32, 10]);
    expect(crowd.responder.outgoing).toHaveLength(0);
    crowd.arrive(3 * BATCH_MAX + 10);
    expect(crowd.blocks.length).toBe(4);
    expect(crowd.responder.outgoing).toHaveLength(20);
    // One comes back: there is room for another.
    crowd.finish(solve(crowd.blocks[0]!));
    crowd.arrive(0, 16);
    expect(crowd.blocks.length).toBe(5);
  });

  it("drops strangers, forgeries and what was lost, and counts them", () => {
    const crowd = new Crowd(10, 9);
    const forged = crowd.initiations[0]!.bytes;
    crowd.arrive();
    const block = crowd.blocks[0]!;
    // The pool's answer depends on the message alone: a wrong byte of the static key, and it is not authentic.
    const batch = new HandshakeBatch(block.bytes, block.count);
    const at = block.bytes.length;
    expect(at).toBeGreaterThan(forged.length);
    const start = block.bytes.findIndex((_, index) =>
      forged.every((byte, offset) => block.bytes[index + offset] === byte),
    );
    block.bytes[start + 60]! ^= 1;
    batch.solve(opensslSuite, seededBytes(1));
    crowd.finish(block);
    expect(crowd.responder.outgoing).toHaveLength(8);
    expect(crowd.drops[Drop.badHandshake]).toBe(2);

    const lost = new Crowd(10);
    lost.arrive();
    lost.finish(undefined, lost.blocks[0]!.count);
    expect(lost.drops[Drop.handshakeQueueFull]).toBe(10);
    expect(lost.responder.outgoing).toEqual([]);
  });

  it("throws a block away whose key is not ours any more", () => {
    const crowd = new Crowd(10);
    crowd.arrive();
    crowd.responder.tunnel.setPrivateKey(new Uint8Array(32).fill(0x77));
    const block = solve(crowd.blocks[0]!);
    crowd.finish(block);
    expect(crowd.drops[Drop.noIdentity]).toBe(10);
    expect(crowd.responder.outgoing).toEqual([]);
    expect(block.bytes.every((byte) => byte === 0)).toBe(true);
  });
});
