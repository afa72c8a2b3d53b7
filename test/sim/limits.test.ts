/** At the bounds of a tunnel's lists, memory and counters: nothing is lost that need not be, and what is, is counted. */
import { describe, expect, it } from "vitest";
import { Drop } from "../../src/tunnel/drop.ts";
import { STAGED_BYTES_MAX, STAGED_MAX } from "../../src/tunnel/staging.ts";
import { type SimClock, SimNode, seededBytes } from "./node.ts";
import { AF_INET6, ipv4Packet } from "./packets.ts";
import { A_INNER, B_INNER, Pair } from "./pair.ts";
import { SpreadNode } from "./spread.ts";

const RECEIVE_MAX = 16;

function key(byte: number): Uint8Array {
  return new Uint8Array(32).fill(byte);
}

/** All that a has for b, in receives of 16. */
function deliver(pair: Pair): void {
  const datagrams = Pair.take(pair.a);
  for (let at = 0; at < datagrams.length; at += RECEIVE_MAX) {
    pair.b.receive(...datagrams.slice(at, at + RECEIVE_MAX));
  }
}

describe("one turn", () => {
  it("sends a batch of more groups than one flush holds, whole and in order", () => {
    const pair = new Pair();
    pair.connect();
    pair.b.delivered.length = 0;
    // Another mark for congestion than the one before: another group.
    const packets = Array.from({ length: 600 }, (_, mark) =>
      ipv4Packet(A_INNER, B_INNER, 100, mark, mark % 2),
    );
    pair.a.send(...packets);
    deliver(pair);
    expect(pair.b.delivered).toEqual(packets);
  });

  it("sends what waits for several peers, though it is more than the region of our own messages", () => {
    const pair = new Pair();
    const { clock } = pair;
    const c = new SimNode({ secret: key(0x33), address: "192.0.2.3:3", clock, seed: 3 });
    pair.a.addPeer(c.publicKey, "10.0.0.3/32", c.address);
    c.addPeer(pair.a.publicKey, `${A_INNER}/32`);
    for (let mark = 0; mark < STAGED_MAX; mark++) {
      pair.a.send(pair.aToB(mark, 1_420), ipv4Packet(A_INNER, "10.0.0.3", 1_420, mark));
    }
    for (const datagram of Pair.take(pair.a)) {
      for (const node of [pair.b, c]) if (node.address === datagram.to) node.receive(datagram);
    }
    // Both answers in one receive: 370 KB are to be sent at once.
    pair.a.receive(...Pair.take(pair.b), ...c.outgoing.splice(0));
    for (const datagram of Pair.take(pair.a)) {
      for (const node of [pair.b, c]) if (node.address === datagram.to) node.receive(datagram);
    }
    expect(pair.b.delivered).toEqual(
      Array.from({ length: STAGED_MAX }, (_, mark) => pair.aToB(mark, 1_420)),
    );
    expect(c.delivered).toHaveLength(STAGED_MAX);
  });
});

describe("counters", () => {
  it("end within a batch: the last are used, what is beyond is counted, and the next waits for a new session", () => {
    const pair = new Pair();
    pair.connect();
    pair.b.delivered.length = 0;
    const keypair = pair.peerB.current!;
    keypair.sendHi = 0xffff_ffff;
    keypair.sendLo = 0xffff_dffd;
    pair.a.send(...[1, 2, 3, 4].map((mark) => pair.aToB(mark)));
    expect(pair.a.tunnel.state.drops[Drop.counterExhausted]).toBe(2);
    pair.exchange();
    expect(pair.b.delivered).toEqual([pair.aToB(1), pair.aToB(2)]);
    pair.advance(6_000);
    pair.a.send(pair.aToB(5));
    pair.exchange();
    expect(pair.peerB.current).not.toBe(keypair);
    expect(pair.b.delivered.at(-1)).toEqual(pair.aToB(5));
  });
});

describe("memory for packets that wait", () => {
  it("is all used: the packet is dropped and counted, and nothing else happens to it", () => {
    const clock: SimClock = { now: 1_000, wallMs: 1_790_000_000_000 };
    const stagingBudget = { bytes: STAGED_BYTES_MAX - 100 };
    const node = new SimNode({
      secret: key(1),
      address: "1.1.1.1:1",
      clock,
      seed: 1,
      stagingBudget,
    });
    const peer = node.addPeer(key(2), `${B_INNER}/32`, "192.0.2.2:2");
    node.send(ipv4Packet(A_INNER, B_INNER, 101));
    expect(node.tunnel.state.drops[Drop.stagedMemory]).toBe(1);
    node.send(ipv4Packet(A_INNER, B_INNER, 100));
    expect([peer.staging.count, stagingBudget.bytes]).toEqual([1, STAGED_BYTES_MAX]);
    expect(node.outgoing).toHaveLength(1);
  });

  it("is that of the home lane for what another lane hands over", () => {
    const clock: SimClock = { now: 1_000, wallMs: 1_790_000_000_000 };
    const stagingBudget = { bytes: STAGED_BYTES_MAX };
    const options = {
      count: 2,
      secret: key(1),
      address: "1.1.1.1:1",
      clock,
      seed: 1,
      stagingBudget,
    };
    const spread = new SpreadNode(options);
    // An odd key: at home on lane 1.
    spread.addPeer(key(3), `${B_INNER}/32`, "192.0.2.2:2");
    spread.lanes[0]!.send(ipv4Packet(A_INNER, B_INNER, 100));
    spread.settle();
    expect(spread.drops(Drop.stagedMemory)).toBe(1);
    expect(spread.lanes[1]!.tunnel.state.peerByKey(key(3))!.staging.count).toBe(0);
  });
});

it("a receiver index that is in use is drawn again", () => {
  const clock: SimClock = { now: 1_000, wallMs: 1_790_000_000_000 };
  const random = seededBytes(1);
  let words = 0;
  const node = new SimNode({
    secret: key(1),
    address: "192.0.2.1:1",
    clock,
    seed: 1,
    // The first four indexes and jitters are the same.
    entropy: (out) => {
      if (out.length === 4 && words++ < 4) out.fill(7);
      else random(out);
    },
  });
  for (const byte of [2, 3]) node.addPeer(key(byte), `10.0.0.${byte}/32`, `192.0.2.${byte}:1`);
  node.send(ipv4Packet(A_INNER, "10.0.0.2", 100), ipv4Packet(A_INNER, "10.0.0.3", 100));
  const [first, second] = node.outgoing.map(({ bytes }) => bytes.subarray(4, 8).join("."));
  expect(first).toBe("7.7.7.7");
  expect(second).not.toBe(first);
  expect(node.tunnel.state.handshakes.count).toBe(2);
});

describe("packets that go nowhere", () => {
  it("are told apart: no way, no packet; and only a packet that may be answered is", () => {
    const pair = new Pair();
    const { drops } = pair.a.tunnel.state;
    const nonsense = pair.aToB();
    nonsense[0] = 0x55;
    const short = pair.aToB().slice(0, 19);
    const fragment = ipv4Packet(A_INNER, "10.9.9.9", 100);
    fragment[7] = 5;
    pair.a.send(nonsense, short, fragment);
    expect([drops[Drop.badOutgoing], drops[Drop.noRoute]]).toEqual([1, 2]);
    expect(pair.a.delivered).toHaveLength(0);
    pair.a.send(ipv4Packet(A_INNER, "10.9.9.9", 100), ipv4Packet(A_INNER, "10.9.9.9", 100));
    // ICMP host unreachable, one in 20 ms.
    expect(pair.a.delivered.map((packet) => [packet[9], packet[20], packet[21]])).toEqual([
      [1, 3, 1],
    ]);
    expect(drops[Drop.noRoute]).toBe(4);
  });

  it("IPv6 goes its own way", () => {
    const pair = new Pair();
    const address = new Uint8Array(16).fill(0xfd);
    const packet = new Uint8Array(80);
    packet[0] = 0x60;
    packet[5] = 40;
    packet.set(address, 8);
    packet.set(address, 24);
    for (const peer of [pair.peerA, pair.peerB]) {
      const { state } = (peer === pair.peerB ? pair.a : pair.b).tunnel;
      state.allowedIps.insert(AF_INET6, address, 0, 128, peer.id);
    }
    pair.a.send(packet, packet.slice(0, 39));
    pair.exchange();
    expect(pair.b.delivered).toEqual([packet]);
    expect(pair.a.tunnel.state.drops[Drop.noRoute]).toBe(1);
  });
});
