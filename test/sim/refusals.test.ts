/** What a tunnel does not do: without a key, for a peer whose key is worth nothing, under load, twice, and with marks that contradict. */
import { describe, expect, it } from "vitest";
import { Drop } from "../../src/tunnel/drop.ts";
import { HANDSHAKE_QUEUE_MAX } from "../../src/tunnel/handshake-queue.ts";
import { TYPE_RESPONSE } from "../../src/wire/constants.ts";
import { INITIATION_BYTES, RESPONSE_BYTES } from "../../src/wire/layout.ts";
import type { Datagram } from "./node.ts";
import { headerChecksum, ipv4Packet } from "./packets.ts";
import { A_INNER, B_INNER, Pair } from "./pair.ts";

const ECT_1 = 1;
const ECT_0 = 2;
const CE = 3;

/** Enough junk for load: an eighth of the queue. */
function load(pair: Pair): void {
  const junk = new Uint8Array(INITIATION_BYTES);
  for (let i = 0; i < HANDSHAKE_QUEUE_MAX / 8; i++) {
    pair.b.tunnel.state.queue.push(junk, 0, INITIATION_BYTES, new Uint8Array(48), 0, false);
  }
}

describe("a tunnel without a private key", () => {
  it("answers nobody, and begins nothing", () => {
    const pair = new Pair();
    pair.a.send(pair.aToB());
    pair.b.tunnel.setPrivateKey(undefined);
    pair.exchange();
    expect(pair.b.tunnel.state.drops[Drop.noIdentity]).toBe(1);
    pair.b.tunnel.setEndpoint(pair.peerA, pair.peerB.endpoint);
    pair.b.send(pair.bToA());
    expect(Pair.take(pair.b)).toHaveLength(0);
    pair.b.tunnel.setPrivateKey(undefined);
    expect(pair.b.tunnel.state.identity).toBeUndefined();
  });
});

describe("the same again", () => {
  it("the private key that it has already ends no session", () => {
    const pair = new Pair();
    pair.connect();
    pair.a.tunnel.setPrivateKey(new Uint8Array(32).fill(0x11));
    pair.a.send(pair.aToB(1));
    pair.exchange();
    expect(pair.b.delivered).toHaveLength(2);
    expect(pair.peerB.handshakes).toBe(1);
  });

  it("up when it is up, and down when it is down, do nothing", () => {
    const pair = new Pair();
    pair.connect();
    pair.peerB.timers.persistentIntervalMs = 25_000;
    pair.a.tunnel.up(pair.clock);
    expect(Pair.take(pair.a)).toHaveLength(0);
    pair.a.tunnel.down();
    pair.a.tunnel.down();
    expect(pair.peerB.current).toBeUndefined();
    expect(pair.a.tunnel.state.drops[Drop.stagedExpired]).toBe(0);
  });
});

it("a peer whose public key is of low order gets no initiation, however much waits for it", () => {
  const pair = new Pair();
  const publicKey = new Uint8Array(32);
  const peer = pair.a.addPeer(publicKey, "10.0.0.9/32", "192.0.2.9:9");
  pair.a.send(ipv4Packet(A_INNER, "10.0.0.9", 100));
  pair.advance(20_000);
  expect(Pair.take(pair.a)).toHaveLength(0);
  expect([peer.initiations, peer.staging.count]).toEqual([0, 1]);
  expect(pair.a.tunnel.state.handshakes.count).toBe(0);
});

describe("under load", () => {
  it("who has a cookie is held to five messages at once", () => {
    const pair = new Pair();
    pair.a.send(pair.aToB());
    load(pair);
    for (const datagram of Pair.take(pair.a)) pair.b.receive(datagram);
    pair.a.receive(...Pair.take(pair.b));
    pair.clock.now += 5_400;
    pair.clock.wallMs += 5_400;
    pair.a.settle();
    const [proven] = Pair.take(pair.a) as [Datagram];
    load(pair);
    for (let i = 0; i < 9; i++) pair.b.receive(proven);
    const { drops } = pair.b.tunnel.state;
    // One is answered, four are replays, and the rest is not looked at.
    expect(Pair.take(pair.b).map(({ bytes }) => bytes[0])).toEqual([TYPE_RESPONSE]);
    expect([drops[Drop.badHandshake], drops[Drop.rateLimited]]).toEqual([4, 4]);
  });

  it("responses that answer nothing are limited, but are no flood that the kernel could shed", () => {
    const pair = new Pair();
    load(pair);
    const bytes = new Uint8Array(RESPONSE_BYTES);
    bytes[0] = TYPE_RESPONSE;
    const response = { bytes, from: "198.51.100.7:7", to: pair.b.address, tos: 0 };
    for (let i = 0; i < 1_000; i++) pair.b.arrive(response);
    expect(pair.b.tunnel.state.drops[Drop.rateLimited]).toBe(980);
    expect(pair.b.tunnel.state.flood.decide(pair.clock.now)).toBe(0);
  });
});

it("a keepalive that was switched off is not sent any more, though its time had been set", () => {
  const pair = new Pair();
  pair.connect();
  pair.peerB.timers.persistentIntervalMs = 25_000;
  pair.a.tunnel.startPeer(pair.peerB, false, pair.clock);
  // As by a set that a bad line ends: what follows from it is left undone (configure.ts).
  pair.peerB.timers.persistentIntervalMs = 0;
  const before = pair.peerB.txBytes;
  pair.advance(60_000);
  expect(pair.peerB.txBytes).toBe(before);
});

describe("ECN (RFC 6040)", () => {
  /** A packet with this mark inside goes out, the network puts another on it; what comes out. */
  function through(inside: number, outside: number): { packets: Uint8Array[]; dropped: number } {
    const pair = new Pair();
    pair.connect();
    pair.b.delivered.length = 0;
    pair.a.send(ipv4Packet(A_INNER, B_INNER, 100, 0, inside));
    const [sent] = Pair.take(pair.a) as [Datagram];
    expect(sent.tos).toBe(inside === CE ? ECT_0 : inside);
    pair.b.receive({ ...sent, tos: outside });
    return { packets: pair.b.delivered, dropped: pair.b.tunnel.state.drops[Drop.badEcn]! };
  }

  it("congestion on the way shows inside, with a right checksum", () => {
    for (const mark of [ECT_0, ECT_1]) {
      const { packets } = through(mark, CE);
      expect(packets).toEqual([ipv4Packet(A_INNER, B_INNER, 100, 0, CE)]);
      expect((packets[0]![10]! << 8) | packets[0]![11]!).toBe(headerChecksum(packets[0]!));
    }
  });

  it("a packet that cannot bear the mark is dropped, and others come as they went", () => {
    expect(through(0, CE)).toEqual({ packets: [], dropped: 1 });
    expect(through(0, ECT_0).packets).toEqual([ipv4Packet(A_INNER, B_INNER, 100)]);
    expect(through(ECT_0, ECT_0).packets).toEqual([ipv4Packet(A_INNER, B_INNER, 100, 0, ECT_0)]);
  });
});
