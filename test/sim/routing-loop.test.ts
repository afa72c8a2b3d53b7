/** A tunnel's own messages, led back into it by a route: dropped and counted. What only looks like them goes its way. */
import { describe, expect, it } from "vitest";
import { Drop } from "../../src/tunnel/drop.ts";
import { AF_INET, AF_INET6, ipv4Packet } from "./packets.ts";
import { Pair } from "./pair.ts";

const A_OUTER = "192.0.2.1";
const B_OUTER = "192.0.2.2";
const UDP_HEADER = 8;

interface Shape {
  /** Bytes of IPv4 options, a multiple of 4. */
  readonly options?: number;
  /** In units of 8 bytes; above 0 it is no first fragment. */
  readonly fragmentOffset?: number;
  readonly protocol?: number;
}

/** The message as the kernel would put it into the tunnel, from A to B. */
function outer4(message: Uint8Array, shape: Shape = {}): Uint8Array {
  const { options = 0, fragmentOffset = 0, protocol = 17 } = shape;
  const header = 20 + options;
  const packet = ipv4Packet(A_OUTER, B_OUTER, header + UDP_HEADER + message.length);
  packet[0] = 0x40 | (header / 4);
  packet[6] = 0x20 | (fragmentOffset >> 8);
  packet[7] = fragmentOffset & 0xff;
  packet[9] = protocol;
  packet.set(message, header + UDP_HEADER);
  return packet;
}

function outer6(message: Uint8Array, fragmentOffset = -1): Uint8Array {
  const header = 40 + (fragmentOffset < 0 ? 0 : 8);
  const packet = new Uint8Array(header + UDP_HEADER + message.length);
  new DataView(packet.buffer).setUint16(4, packet.length - 40, false);
  packet[0] = 0x60;
  packet[6] = fragmentOffset < 0 ? 17 : 44;
  packet.set([0x20, 0x01, 0x0d, 0xb8], 8);
  packet.set([0x20, 0x01, 0x0d, 0xb8], 24);
  if (fragmentOffset >= 0) {
    packet[40] = 17;
    packet[42] = fragmentOffset >> 5;
    packet[43] = ((fragmentOffset & 0x1f) << 3) | 1;
  }
  packet.set(message, header + UDP_HEADER);
  return packet;
}

/** Both sides' allowed IPs hold everything, as with a default route. */
function makeLooped(): Pair {
  const pair = new Pair();
  for (const [node, peer] of [
    [pair.a, pair.peerB],
    [pair.b, pair.peerA],
  ] as const) {
    for (const family of [AF_INET, AF_INET6] as const) {
      node.tunnel.state.allowedIps.insert(family, new Uint8Array(16), 0, 0, peer.id);
    }
  }
  return pair;
}

/** What A sends for one packet to B. */
function transportOf(pair: Pair): Uint8Array {
  pair.a.send(pair.aToB());
  return Pair.take(pair.a)[0]!.bytes.slice();
}

const loops = (pair: Pair): number => pair.a.tunnel.state.drops[Drop.routingLoop]!;

describe("a routing loop", () => {
  it.each<[string, (message: Uint8Array) => Uint8Array]>([
    ["IPv4", outer4],
    ["IPv4 with options", (message) => outer4(message, { options: 8 })],
    ["IPv6", (message) => outer6(message)],
    ["IPv6, first fragment", (message) => outer6(message, 0)],
  ])("ends at the first return of a transport message, over %s", (_, wrap) => {
    const pair = makeLooped();
    pair.connect();
    const message = transportOf(pair);
    pair.a.send(wrap(message), wrap(message));
    expect(Pair.take(pair.a)).toHaveLength(0);
    expect(loops(pair)).toBe(2);
    // The session is whole.
    pair.a.send(pair.aToB(3));
    pair.exchange();
    expect(pair.b.delivered).toHaveLength(2);
  });

  it("ends at the first return of an initiation, and of a response", () => {
    const pair = makeLooped();
    pair.a.send(pair.aToB());
    const initiation = Pair.take(pair.a)[0]!;
    pair.a.send(outer4(initiation.bytes));
    expect(loops(pair)).toBe(1);
    expect(pair.peerB.staging.count).toBe(1);
    pair.b.receive(initiation);
    const response = Pair.take(pair.b)[0]!;
    pair.b.send(outer4(response.bytes));
    expect(pair.b.tunnel.state.drops[Drop.routingLoop]).toBe(1);
    pair.a.receive(response);
    pair.exchange();
    expect(pair.b.delivered).toHaveLength(1);
  });

  it("ends for the session before the present one as well", () => {
    const pair = makeLooped();
    pair.connect();
    const message = transportOf(pair);
    pair.advance(121_000);
    pair.connect();
    expect(pair.peerB.previous).toBeDefined();
    pair.a.send(outer4(message));
    expect(loops(pair)).toBe(1);
  });

  it.each<[string, (pair: Pair, message: Uint8Array) => Uint8Array]>([
    ["another tunnel's message", (pair, message) => outer4(changed(pair, message))],
    ["the middle of a datagram", (_, message) => outer4(message, { fragmentOffset: 3 })],
    ["the middle of a datagram, IPv6", (_, message) => outer6(message, 3)],
    ["TCP", (_, message) => outer4(message, { protocol: 6 })],
    ["a datagram that is too short", (_, message) => outer4(message.subarray(0, 15))],
    ["an empty datagram", () => outer4(new Uint8Array(0))],
  ])("is not seen in %s", (_, make) => {
    const pair = makeLooped();
    pair.connect();
    const packet = make(pair, transportOf(pair));
    pair.a.send(packet);
    expect(Pair.take(pair.a)).toHaveLength(1);
    expect(loops(pair)).toBe(0);
  });

  it("is none where one peer's messages go through another", () => {
    const pair = makeLooped();
    pair.connect();
    const message = transportOf(pair);
    // B's endpoint lies behind C: an onion.
    const other = pair.a.addPeer(new Uint8Array(32).fill(9), `${B_OUTER}/32`, "192.0.2.3:3000");
    pair.a.send(outer4(message));
    expect(loops(pair)).toBe(0);
    expect(other.staging.count).toBe(1);
  });
});

/** The message, to a receiver index that is none of A's sessions'. */
function changed(pair: Pair, message: Uint8Array): Uint8Array {
  const copy = message.slice();
  copy[4]! ^= 0xff;
  expect(pair.peerB.current).toBeDefined();
  return copy;
}
