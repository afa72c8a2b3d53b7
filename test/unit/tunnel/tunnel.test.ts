/** A tunnel that goes up and down, and whom it cannot have a handshake with. */
import { describe, expect, it } from "vitest";
import { type SimClock, SimNode } from "../../sim/node.ts";

function freshNode(clock: SimClock): SimNode {
  const secret = new Uint8Array(32).fill(0x33);
  return new SimNode({ secret, address: "192.0.2.1:1000", clock, seed: 1 });
}

describe("a tunnel", () => {
  it("that is up is not brought up again", () => {
    const clock: SimClock = { now: 1_000_000, wallMs: 1_790_000_000_000 };
    const node = freshNode(clock);
    const peer = node.addPeer(new Uint8Array(32).fill(9), "10.0.0.2/32", "192.0.2.9:1");
    peer.timers.persistentIntervalMs = 25_000;
    node.tunnel.up(clock);
    node.settle();
    expect(node.outgoing).toEqual([]);
    node.tunnel.down();
    node.tunnel.up(clock);
    node.settle();
    expect(node.outgoing).toHaveLength(1);
  });

  it("has no handshake with a public key of low order, and says so", () => {
    const clock: SimClock = { now: 1_000_000, wallMs: 1_790_000_000_000 };
    const node = freshNode(clock);
    const peer = node.addPeer(new Uint8Array(32), "10.0.0.2/32", "192.0.2.9:1");
    node.tunnel.startPeer(peer, true, clock);
    node.settle();
    expect(node.outgoing).toEqual([]);
    expect(node.tunnel.state.handshakes.count).toBe(0);
  });
});
