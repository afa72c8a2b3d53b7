import { describe, expect, it } from "vitest";
import { applySet } from "../../src/tunnel/configure.ts";
import { Drop } from "../../src/tunnel/drop.ts";
import { sendKeepalive } from "../../src/tunnel/outbound.ts";
import { TYPE_COOKIE_REPLY, TYPE_INITIATION, TYPE_RESPONSE } from "../../src/wire/constants.ts";
import type { Datagram, SimNode } from "./node.ts";
import { Pair } from "./pair.ts";

const typeOf = (datagram: Datagram): number => datagram.bytes[0]!;
const nothing = (): boolean => false;

describe("a session between two tunnels, in virtual time", () => {
  it("brings the first packet through after a handshake, and packets both ways after it", () => {
    const pair = new Pair();
    pair.connect();
    expect(pair.b.delivered).toEqual([pair.aToB()]);
    pair.b.send(pair.bToA(1), pair.bToA(2, 1420));
    pair.exchange();
    expect(pair.a.delivered).toEqual([pair.bToA(1), pair.bToA(2, 1420)]);
    expect(pair.peerB.handshakes).toBe(1);
    expect(pair.peerA.handshakes).toBe(1);
    expect(pair.peerB.lastHandshakeMs).toBe(pair.clock.wallMs);
  });

  it("begins anew where it is told to, until the other is there again, and takes no initiation twice all the same", () => {
    const pair = new Pair();
    const sockets = { setListenPort: () => 0, setMark: () => 0, resolveEndpoint: () => 0 };
    const restart = (node: SimNode, publicKey: Uint8Array): void => {
      const operations = [{ op: "peer", publicKey }, { op: "restart" }] as const;
      expect(applySet(node.tunnel, operations, sockets, pair.clock).status).toBe(0);
      node.settle();
    };
    const seen: Datagram[] = [];
    pair.a.send(pair.aToB());
    pair.exchange((datagram) => seen.push(datagram) > 0);
    const old = seen.find((datagram) => typeOf(datagram) === TYPE_INITIATION)!;
    pair.peerB.timers.persistentIntervalMs = 25_000;
    pair.advance(10_000);

    restart(pair.a, pair.b.publicKey);
    expect([pair.peerB.current, pair.peerB.lastHandshakeMs]).toEqual([undefined, 0]);
    // At once, every few seconds, and on and on: for longer than the retries of one need.
    let tried = 0;
    let quietMs = 0;
    for (let second = 0; second < 200; second++) {
      const before = tried;
      pair.advance(1_000, (datagram) => {
        if (typeOf(datagram) === TYPE_INITIATION) tried += 1;
        return false;
      });
      if (second === 0) expect(tried).toBe(1);
      quietMs = tried > before ? 0 : quietMs + 1_000;
      expect(quietMs).toBeLessThanOrEqual(25_000);
    }
    expect(tried).toBeGreaterThan(24);
    pair.advance(25_000);
    expect(pair.peerB.handshakes).toBe(2);
    expect(pair.peerB.lastHandshakeMs).toBeGreaterThan(0);

    restart(pair.b, pair.a.publicKey);
    Pair.take(pair.b);
    pair.b.receive(old);
    expect(Pair.take(pair.b)).toEqual([]);
  });

  it("works with a preshared key, and not with two different ones", () => {
    const psk = new Uint8Array(32).fill(7);
    const same = new Pair({ psk });
    same.connect();
    expect(same.b.delivered).toHaveLength(1);
    const different = new Pair({ psk });
    different.peerA.handshake.setPresharedKey(new Uint8Array(32).fill(8));
    different.connect();
    expect(different.b.delivered).toHaveLength(0);
    expect(different.a.tunnel.state.drops[Drop.badHandshake]).toBe(1);
  });

  it("counts bytes as they are on the wire, on both sides alike", () => {
    const pair = new Pair();
    pair.connect();
    expect(pair.peerB.txBytes).toBe(148 + 32 + 112);
    expect(pair.peerA.rxBytes).toBe(pair.peerB.txBytes);
    expect(pair.peerA.txBytes).toBe(92);
    expect(pair.peerB.rxBytes).toBe(92);
  });

  it("lets the initiator confirm the session with a keepalive when nothing waits", () => {
    const pair = new Pair();
    pair.a.send(pair.aToB());
    pair.peerB.staging.clear();
    pair.exchange();
    expect(pair.b.delivered).toHaveLength(0);
    expect(pair.peerA.current).toBeDefined();
    pair.b.send(pair.bToA());
    pair.exchange();
    expect(pair.a.delivered).toHaveLength(1);
  });

  it("does not let the responder send before it is spoken to under the new key", () => {
    const pair = new Pair();
    pair.a.send(pair.aToB());
    pair.b.receive(...Pair.take(pair.a));
    const response = Pair.take(pair.b);
    expect(response.map(typeOf)).toEqual([TYPE_RESPONSE]);
    pair.b.send(pair.bToA());
    // The responder's own need is staged; it may not initiate within REKEY_TIMEOUT of its response.
    expect(Pair.take(pair.b)).toHaveLength(0);
    expect(pair.peerA.staging.count).toBe(1);
    pair.a.receive(...response);
    pair.exchange();
    expect(pair.a.delivered).toEqual([pair.bToA()]);
  });

  it("retries an initiation every 5 s and up to a third more, and gives up after 20", () => {
    const pair = new Pair();
    const sent: number[] = [];
    pair.a.send(pair.aToB());
    for (let i = 0; i < 2_000; i++) {
      for (const datagram of Pair.take(pair.a)) {
        expect(typeOf(datagram)).toBe(TYPE_INITIATION);
        sent.push(pair.clock.now);
      }
      pair.advance(100, nothing);
    }
    expect(sent).toHaveLength(1);
    expect(pair.peerB.initiations).toBe(20);
    expect(pair.peerB.staging.count).toBe(0);
    expect(pair.a.tunnel.state.drops[Drop.stagedExpired]).toBe(1);
  });

  it("bounds what waits for a session: the oldest of 129 goes", () => {
    const pair = new Pair();
    for (let i = 0; i < 129; i++) pair.a.send(pair.aToB(i));
    expect(pair.peerB.staging.count).toBe(128);
    expect(pair.a.tunnel.state.drops[Drop.stagedOverflow]).toBe(1);
    pair.exchange();
    expect(pair.b.delivered).toHaveLength(128);
    expect(pair.b.delivered[0]).toEqual(pair.aToB(1));
  });

  it("renews the session after 120 s as initiator, without losing a packet", () => {
    const pair = new Pair();
    pair.connect();
    for (let second = 0; second < 400; second++) {
      pair.advance(1_000, undefined, 1_000);
      pair.a.send(pair.aToB(second));
      pair.b.send(pair.bToA(second));
      pair.exchange();
    }
    expect(pair.b.delivered).toHaveLength(401);
    expect(pair.a.delivered).toHaveLength(400);
    expect(pair.peerB.handshakes).toBe(4);
    expect(pair.peerA.initiations).toBe(0);
  });

  it("renews on receipt after 165 s when only the responder sends", () => {
    const pair = new Pair();
    pair.connect();
    let renewed = -1;
    for (let second = 1; second < 180 && renewed < 0; second++) {
      // Empty packets: the initiator owes no answer, so that nothing but receipt can make it renew.
      pair.clock.now += 1_000;
      pair.clock.wallMs += 1_000;
      sendKeepalive(pair.b.tunnel.state, pair.peerA, pair.clock);
      pair.b.settle();
      for (const datagram of Pair.take(pair.b)) pair.a.receive(datagram);
      if (Pair.take(pair.a).some((datagram) => typeOf(datagram) === TYPE_INITIATION)) {
        renewed = second;
      }
    }
    expect(renewed).toBe(165);
  });

  it("wipes all keys after 540 s of silence", () => {
    const pair = new Pair();
    pair.connect();
    const keypair = pair.peerB.current;
    expect(keypair?.sendKey.some((byte) => byte !== 0)).toBe(true);
    pair.advance(539_000, nothing, 1_000);
    expect(pair.peerB.current).toBe(keypair);
    pair.advance(2_000, nothing, 1_000);
    expect(pair.peerB.current).toBeUndefined();
    expect(keypair?.sendKey.every((byte) => byte === 0)).toBe(true);
    expect(keypair?.receiveKey.every((byte) => byte === 0)).toBe(true);
    expect(pair.a.tunnel.state.keypairs.count).toBe(0);
  });

  it("answers data with a keepalive after 10 s when nothing else is sent", () => {
    const pair = new Pair();
    pair.connect();
    const before = pair.peerA.txBytes;
    pair.advance(9_900);
    expect(pair.peerA.txBytes).toBe(before);
    pair.advance(200);
    expect(pair.peerA.txBytes).toBe(before + 32);
  });

  it("begins a new handshake when data goes unanswered for 15 s", () => {
    const pair = new Pair();
    pair.connect();
    // The keepalive that answers the first packet comes; what is sent after it goes unanswered.
    pair.advance(12_000);
    pair.a.send(pair.aToB(1));
    pair.exchange(nothing);
    pair.advance(14_900, nothing);
    expect(pair.peerB.initiations).toBe(1);
    pair.advance(500, nothing);
    expect(pair.peerB.initiations).toBe(2);
  });

  it("sends persistent keepalives at the interval, and none while traffic flows", () => {
    const pair = new Pair();
    pair.connect();
    pair.peerB.timers.persistentIntervalMs = 25_000;
    const before = pair.peerB.txBytes;
    pair.a.tunnel.startPeer(pair.peerB, true, pair.clock);
    expect(pair.peerB.txBytes - before).toBe(32);
    // The keepalive that answers the first packet comes after 10 s and begins the interval anew: 35, 60, 85 s.
    pair.advance(100_500);
    expect(pair.peerB.txBytes - before).toBe(4 * 32);
  });

  it("accepts each packet once, whatever the order", () => {
    const pair = new Pair();
    pair.connect();
    pair.b.delivered.length = 0;
    pair.a.send(pair.aToB(1), pair.aToB(2), pair.aToB(3));
    const [one, two, three] = Pair.take(pair.a) as [Datagram, Datagram, Datagram];
    pair.b.receive(three, one, one, two, three);
    expect(pair.b.delivered).toEqual([pair.aToB(3), pair.aToB(1), pair.aToB(2)]);
    expect(pair.b.tunnel.state.drops[Drop.replay]).toBe(2);
  });

  it("is silent towards everything that is not authentic", () => {
    const pair = new Pair();
    pair.connect();
    pair.a.send(pair.aToB(1));
    const good = Pair.take(pair.a)[0]!;
    const broken = good.bytes.slice();
    broken[broken.length - 1]! ^= 1;
    const cases: readonly (readonly [Uint8Array, keyof typeof Drop])[] = [
      [new Uint8Array(0), "badSize"],
      [new Uint8Array(3), "badSize"],
      [new Uint8Array(100), "badType"],
      [Uint8Array.of(1, 0, 0, 1, ...new Uint8Array(144)), "badType"],
      [Uint8Array.of(1, 0, 0, 0, ...new Uint8Array(143)), "badSize"],
      [Uint8Array.of(1, 0, 0, 0, ...new Uint8Array(144)), "badMac1"],
      [Uint8Array.of(2, 0, 0, 0, ...new Uint8Array(88)), "badMac1"],
      [Uint8Array.of(3, 0, 0, 0, ...new Uint8Array(60)), "badCookieReply"],
      [Uint8Array.of(4, 0, 0, 0, ...new Uint8Array(27)), "badSize"],
      [Uint8Array.of(4, 0, 0, 0, ...new Uint8Array(28)), "unknownIndex"],
      [broken, "badTag"],
    ];
    const endpoint = pair.peerA.endpoint.slice();
    for (const [bytes, reason] of cases) {
      const before = pair.b.tunnel.state.drops[Drop[reason]]!;
      pair.b.receive({ ...good, bytes, from: "198.51.100.9:9" });
      expect(pair.b.tunnel.state.drops[Drop[reason]], reason).toBe(before + 1);
    }
    expect(Pair.take(pair.b)).toHaveLength(0);
    expect(pair.peerA.endpoint).toEqual(endpoint);
    expect(pair.b.delivered).toHaveLength(1);
  });

  it("refuses a replayed initiation and one within 20 ms of the last", () => {
    const pair = new Pair();
    pair.a.send(pair.aToB());
    const initiation = Pair.take(pair.a)[0]!;
    pair.b.receive(initiation);
    expect(Pair.take(pair.b).map(typeOf)).toEqual([TYPE_RESPONSE]);
    pair.clock.now += 1_000;
    pair.b.receive(initiation);
    expect(Pair.take(pair.b)).toHaveLength(0);
    expect(pair.b.tunnel.state.drops[Drop.badHandshake]).toBe(1);
  });

  it("takes a packet only from the peer whose allowed IPs hold its source", () => {
    const pair = new Pair();
    pair.connect();
    const spoofed = pair.aToB();
    spoofed.set([10, 0, 0, 9], 12);
    pair.a.send(spoofed);
    pair.exchange();
    expect(pair.b.delivered).toHaveLength(1);
    expect(pair.b.tunnel.state.drops[Drop.wrongSource]).toBe(1);
  });

  it("follows a peer that moves, and never on an unauthentic packet", () => {
    const pair = new Pair();
    pair.connect();
    pair.a.address = "203.0.113.5:7777";
    pair.a.send(pair.aToB(5));
    pair.exchange();
    pair.b.send(pair.bToA(6));
    const sent = Pair.take(pair.b);
    expect(sent.map((datagram) => datagram.to)).toEqual(["203.0.113.5:7777"]);
  });

  it("demands a cookie under load, and lets in who brings it", () => {
    const pair = new Pair();
    pair.a.send(pair.aToB());
    const initiation = Pair.take(pair.a)[0]!;
    const forged = initiation.bytes.slice();
    forged[60]! ^= 1;
    // Messages with a bad mac1 fill the queue: enough for load, none of them answered.
    const flood = Array.from({ length: 16 }, () => ({ ...initiation, bytes: forged }));
    for (let i = 0; i < 9; i++) {
      flood.forEach((datagram) => {
        pair.b.tunnel.state.queue.push(datagram.bytes, 0, 148, new Uint8Array(48), 0, false);
      });
    }
    pair.b.receive(initiation);
    const answer = Pair.take(pair.b);
    expect(answer.map(typeOf)).toEqual([TYPE_COOKIE_REPLY]);
    expect(pair.b.tunnel.state.drops[Drop.badMac1]).toBe(144);
    pair.a.receive(...answer);
    expect(pair.peerB.jar.hasCookie(pair.clock.now)).toBe(true);
    // Still under load a moment later: now the cookie opens the door.
    pair.clock.now += 5_400;
    pair.clock.wallMs += 5_400;
    for (let i = 0; i < 140; i++) {
      pair.b.tunnel.state.queue.push(forged, 0, 148, new Uint8Array(48), 0, false);
    }
    pair.a.settle();
    const second = Pair.take(pair.a);
    expect(second.map(typeOf)).toEqual([TYPE_INITIATION]);
    expect(second[0]!.bytes.subarray(132).some((byte) => byte !== 0)).toBe(true);
    pair.b.receive(...second);
    expect(Pair.take(pair.b).map(typeOf)).toEqual([TYPE_RESPONSE]);
  });

  it("under load looks at few messages of a source that proves nothing, and still at others'", () => {
    const pair = new Pair();
    pair.a.send(pair.aToB());
    const initiation = Pair.take(pair.a)[0]!;
    const forged = initiation.bytes.slice();
    forged[60]! ^= 1;
    for (let i = 0; i < 140; i++) {
      pair.b.tunnel.state.queue.push(forged, 0, 148, new Uint8Array(48), 0, false);
    }
    const { drops } = pair.b.tunnel.state;
    for (let i = 0; i < 300; i++) pair.b.receive(initiation);
    expect(drops[Drop.rateLimited]).toBe(280);
    expect(Pair.take(pair.b)).toHaveLength(20);
    pair.b.receive({ ...initiation, from: "198.51.100.7:1" });
    expect(Pair.take(pair.b).map(typeOf)).toEqual([TYPE_COOKIE_REPLY]);
    // 100 a second: half a second gives 20 again, which is the most.
    pair.clock.now += 500;
    for (let i = 0; i < 300; i++) pair.b.receive(initiation);
    expect(drops[Drop.rateLimited]).toBe(560);
  });

  it("goes on after both sides initiate at the same moment", () => {
    const pair = new Pair();
    pair.b.tunnel.setEndpoint(pair.peerA, pair.peerB.endpoint);
    pair.peerA.endpoint.set(pair.peerB.endpoint);
    pair.peerA.endpoint.set([192, 0, 2, 1], 8);
    new DataView(pair.peerA.endpoint.buffer, pair.peerA.endpoint.byteOffset).setUint16(
      2,
      1000,
      true,
    );
    pair.a.send(pair.aToB(1));
    pair.b.send(pair.bToA(2));
    pair.exchange();
    pair.advance(12_000);
    expect(pair.b.delivered).toEqual([pair.aToB(1)]);
    expect(pair.a.delivered).toEqual([pair.bToA(2)]);
  });

  it("renews with the new key after our own key changed, and drops a peer that has it", () => {
    const pair = new Pair();
    pair.connect();
    const secret = new Uint8Array(32).fill(0x33);
    pair.a.tunnel.setPrivateKey(secret);
    pair.a.send(pair.aToB(9));
    pair.exchange();
    // b does not know the new key: nothing comes through, and nothing crashes.
    expect(pair.b.delivered).toHaveLength(1);
    const peer = pair.b.addPeer(pair.a.tunnel.state.identity!.publicKey, "10.0.0.1/32");
    pair.advance(6_000);
    expect(pair.b.delivered).toHaveLength(2);
    expect(peer.handshakes).toBe(1);
    pair.a.tunnel.setPrivateKey(new Uint8Array(32).fill(0x22));
    expect(pair.a.tunnel.state.peerCount).toBe(0);
  });

  it("wipes everything when the interface goes down, and starts afresh when it comes up", () => {
    const pair = new Pair();
    pair.connect();
    const key = pair.peerB.current!.sendKey;
    pair.a.tunnel.down();
    expect(key.every((byte) => byte === 0)).toBe(true);
    expect(pair.a.tunnel.nextDeadline()).toBe(Number.POSITIVE_INFINITY);
    pair.a.send(pair.aToB());
    expect(pair.a.tunnel.state.drops[Drop.interfaceDown]).toBe(1);
    pair.a.tunnel.up(pair.clock);
    pair.clock.now += 100;
    pair.clock.wallMs += 100;
    pair.a.send(pair.aToB(3));
    pair.exchange();
    expect(pair.b.delivered).toEqual([pair.aToB(), pair.aToB(3)]);
  });

  it("never uses a counter twice", () => {
    const pair = new Pair();
    const seen = new Set<string>();
    pair.connect();
    for (let i = 0; i < 50; i++) {
      pair.a.send(...Array.from({ length: 40 }, (_, mark) => pair.aToB(mark)));
      for (const { bytes } of Pair.take(pair.a)) {
        const header = bytes.subarray(4, 16).join(",");
        expect(seen.has(header)).toBe(false);
        seen.add(header);
      }
    }
    expect(seen.size).toBe(2_000);
  });
});
