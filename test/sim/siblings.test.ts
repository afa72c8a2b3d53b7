/** A tunnel over three lanes against ordinary ones: sessions, counters, replays, timers and roaming are as with one lane. */
import { beforeEach, describe, expect, it } from "vitest";
import { SHARED_REJECT_AFTER, SHARED_REKEY_AFTER } from "../../src/session/keypair.ts";
import { Drop } from "../../src/tunnel/drop.ts";
import type { Peer } from "../../src/tunnel/peer.ts";
import { clearSessions } from "../../src/tunnel/sessions.ts";
import { homeOf, laneOfIndex } from "../../src/tunnel/siblings.ts";
import { STAGED_MAX } from "../../src/tunnel/staging.ts";
import { TYPE_INITIATION, TYPE_RESPONSE, TYPE_TRANSPORT } from "../../src/wire/constants.ts";
import { stateOf } from "./fingerprint.ts";
import { type Datagram, recordOf, type SimClock, SimNode } from "./node.ts";
import { ipv4Packet } from "./packets.ts";
import { SpreadNode } from "./spread.ts";

const LANES = 3;
const SPREAD_INNER = "10.0.0.254";

let clock: SimClock;
let spread: SpreadNode;
/** One whose home is lane 0, one of lane 1, one of lane 2. */
let others: SimNode[];

function innerOf(index: number): string {
  return `10.0.0.${index + 1}`;
}

/** A node whose peer is at home on `lane` of the spread one. */
function nodeAtHome(lane: number): SimNode {
  for (let seed = 1; ; seed++) {
    const secret = new Uint8Array(32).fill(0x40 + seed);
    const node = new SimNode({ secret, address: `192.0.2.${lane + 1}:1000`, clock, seed });
    if (homeOf(node.publicKey, LANES) === lane) return node;
  }
}

function peerOn(lane: number, index: number): Peer {
  return spread.lanes[lane]!.tunnel.state.peerByKey(others[index]!.publicKey)!;
}

/** Delivers until nothing is in flight. */
function exchange(pass: (datagram: Datagram) => boolean = () => true): Datagram[] {
  const seen: Datagram[] = [];
  for (let round = 0; round < 50; round++) {
    const out = spread.take();
    const back = others.flatMap((node) => node.outgoing.splice(0));
    if (out.length === 0 && back.length === 0) return seen;
    seen.push(...out, ...back);
    for (const datagram of out) {
      const target = others.find(({ address }) => address === datagram.to);
      if (pass(datagram)) target?.receive(datagram);
    }
    for (const datagram of back) if (pass(datagram)) spread.receive(datagram);
  }
  throw new Error("the exchange does not end");
}

function advance(ms: number, pass?: (datagram: Datagram) => boolean): Datagram[] {
  const seen: Datagram[] = [];
  for (let passed = 0; passed < ms; passed += 50) {
    clock.now += 50;
    clock.wallMs += 50;
    spread.settle();
    for (const node of others) node.settle();
    seen.push(...exchange(pass));
  }
  return seen;
}

function toSpread(index: number, mark = 0): Uint8Array {
  return ipv4Packet(innerOf(index), SPREAD_INNER, 100, mark);
}

function fromSpread(index: number, mark = 0): Uint8Array {
  return ipv4Packet(SPREAD_INNER, innerOf(index), 100, mark);
}

/** A packet from each of the others, with the handshake it needs. */
function connect(): void {
  for (const [index, node] of others.entries()) node.send(toSpread(index));
  exchange();
  spread.takeDelivered();
}

function typesOf(datagrams: readonly Datagram[]): number[] {
  return datagrams.map(({ bytes }) => bytes[0]!);
}

beforeEach(() => {
  clock = { now: 1_000_000, wallMs: 1_790_000_000_000 };
  spread = new SpreadNode({
    count: LANES,
    secret: new Uint8Array(32).fill(0x11),
    address: "192.0.2.99:2000",
    clock,
    seed: 7,
  });
  others = [0, 1, 2].map(nodeAtHome);
  for (const [index, node] of others.entries()) {
    spread.addPeer(node.publicKey, `${innerOf(index)}/32`, node.address);
    node.addPeer(spread.publicKey, `${SPREAD_INNER}/32`, spread.address);
  }
});

describe("sessions", () => {
  it("begin at lane 0 and live on the home lane, whose indexes lead to it", () => {
    for (const [index, node] of others.entries()) node.send(toSpread(index, index));
    const seen = exchange();
    const responses = seen.filter(({ bytes }) => bytes[0] === TYPE_RESPONSE);
    expect(responses).toHaveLength(LANES);
    for (const [index] of others.entries()) {
      for (const [lane, { tunnel }] of spread.lanes.entries()) {
        const { current, isHome } = peerOn(lane, index);
        expect(isHome).toBe(lane === index);
        expect(current).toBeDefined();
        if (isHome) expect(laneOfIndex(current!.localIndex, LANES)).toBe(lane);
        expect(tunnel.state.keypairs.count).toBe(1);
      }
      expect(spread.lanes[index]!.delivered).toEqual([toSpread(index, index)]);
    }
    expect(spread.drops(Drop.unknownIndex)).toBe(0);
  });

  it("are asked for by the home lane when a packet leaves by another one, which then has them", () => {
    spread.lanes[1]!.send(fromSpread(2, 1), fromSpread(2, 2));
    spread.settle();
    const seen = exchange();
    expect(seen.filter(({ bytes }) => bytes[0] === TYPE_INITIATION)).toHaveLength(1);
    expect(others[2]!.delivered).toEqual([fromSpread(2, 1), fromSpread(2, 2)]);
    for (const lane of [0, 1, 2]) expect(peerOn(lane, 2).current).toBeDefined();
    spread.kinds.length = 0;
    spread.lanes[1]!.send(fromSpread(2, 3));
    exchange();
    expect(others[2]!.delivered.at(-1)).toEqual(fromSpread(2, 3));
    expect(spread.kinds).not.toContain("packets");
  });

  it("are renewed after 120 s though only other lanes send, and all lanes go over to the new one", () => {
    spread.lanes[0]!.send(fromSpread(1));
    spread.settle();
    exchange();
    const before = peerOn(0, 1).current!;
    let initiations = 0;
    for (let second = 0; second < 130; second++) {
      for (const lane of [0, 2]) spread.lanes[lane]!.send(fromSpread(1, second));
      initiations += typesOf(advance(1_000)).filter((type) => type === TYPE_INITIATION).length;
    }
    expect(initiations).toBe(1);
    expect(others[1]!.delivered).toHaveLength(1 + 2 * 130);
    for (const lane of [0, 1, 2]) {
      const { current } = peerOn(lane, 1);
      expect(current!.createdMs).toBeGreaterThan(before.createdMs);
      expect(current!.remoteIndex).toBe(peerOn(1, 1).current!.remoteIndex);
    }
    expect(before.usable).toBe(false);
    expect(before.sendKey.every((byte) => byte === 0)).toBe(true);
  });

  it("end on all lanes when the peer is removed or the private key changes, and no key is left", () => {
    connect();
    const held = [0, 1, 2].map((lane) => peerOn(lane, 1).current!);
    spread.request(({ tunnel }) => {
      tunnel.removePeer(tunnel.state.peerByKey(others[1]!.publicKey)!);
    });
    for (const keypair of held) {
      expect(keypair.usable).toBe(false);
      expect(keypair.sendKey.every((byte) => byte === 0)).toBe(true);
    }
    spread.request(({ tunnel }) => tunnel.setPrivateKey(new Uint8Array(32).fill(0x12)));
    for (const lane of [0, 1, 2]) {
      expect(peerOn(lane, 0).current?.maySend(clock.now) ?? false).toBe(false);
    }
  });

  it("come back to a lane that has lost a note", () => {
    connect();
    const guest = peerOn(0, 1);
    guest.current!.wipe();
    guest.current = undefined;
    spread.lanes[0]!.send(fromSpread(1, 1));
    spread.settle();
    exchange();
    expect(peerOn(0, 1).current?.maySend(clock.now)).toBe(true);
    expect(others[1]!.delivered.at(-1)).toEqual(fromSpread(1, 1));
  });

  it("of a peer that is gone are not taken from a late note", () => {
    connect();
    const home = spread.lanes[1]!;
    home.tunnel.setEndpoint(peerOn(1, 1), peerOn(1, 0).endpoint);
    home.tunnel.publish();
    expect(spread.notes.map(({ note }) => note.kind)).toEqual(["session", "session"]);
    const [late] = spread.notes;
    for (const lane of [0, 2]) {
      const { tunnel } = spread.lanes[lane]!;
      tunnel.removePeer(tunnel.state.peerByKey(others[1]!.publicKey)!);
    }
    spread.settle();
    expect(spread.lanes[0]!.tunnel.state.peerByKey(others[1]!.publicKey)).toBeUndefined();
    if (late?.note.kind !== "session") throw new Error("no session note");
    expect(late.note.session!.sendKey.every((byte) => byte === 0)).toBe(true);
  });
});

describe("notes", () => {
  it("about an endpoint alone leave the session as it is, with the counters that it has leased", () => {
    connect();
    const before = peerOn(0, 1).current!;
    const held = peerOn(2, 1).current!;
    spread.lanes[1]!.tunnel.setEndpoint(peerOn(1, 1), recordOf("198.51.100.9:9"));
    spread.settle();
    expect([peerOn(0, 1).current, peerOn(2, 1).current]).toEqual([before, held]);
    expect(before.usable).toBe(true);
    spread.lanes[0]!.send(fromSpread(1));
    expect(spread.take().map(({ to }) => to)).toEqual(["198.51.100.9:9"]);
  });

  it("that come to a lane where the peer is not at home, or to none that knows it, change nothing", () => {
    connect();
    const before = stateOf(spread.lanes[0]!);
    const { publicKey } = others[1]!;
    const bytes = fromSpread(1) as Uint8Array<ArrayBuffer>;
    const sent = { firstDataMs: 1, lastDataMs: 1, lastSentMs: 1, errors: 1, lastError: -1 };
    const { tunnel } = spread.lanes[0]!;
    tunnel.takeNote(2, { kind: "sent", publicKey, bytes: 9, ...sent }, clock);
    tunnel.takeNote(2, { kind: "packets", publicKey, bytes, lengths: [50, 50] }, clock);
    const stranger = new Uint8Array(32);
    tunnel.takeNote(2, { kind: "sent", publicKey: stranger, bytes: 9, ...sent }, clock);
    expect(stateOf(spread.lanes[0]!)).toBe(before);
    expect(tunnel.state.drops[Drop.noRoute]).toBe(2);
  });

  it("about what was sent bring failures home, also when the session is gone", () => {
    connect();
    clock.now += 10;
    spread.lanes[0]!.send(fromSpread(1, 1));
    const guest = peerOn(0, 1);
    guest.sendErrors = 2;
    guest.lastSendError = -101;
    clearSessions(spread.lanes[1]!.tunnel.state, peerOn(1, 1));
    clock.now += 300;
    spread.settle();
    expect([peerOn(1, 1).sendErrors, peerOn(1, 1).lastSendError]).toEqual([2, -101]);
    expect([guest.sendErrors, guest.current]).toEqual([0, undefined]);
    expect(peerOn(1, 1).timers.renewMs).toBeLessThan(clock.now + 16_000);
  });

  it("with packets are worth nothing to a home lane that is down", () => {
    spread.lanes[1]!.tunnel.down();
    spread.lanes[0]!.send(fromSpread(1), fromSpread(1));
    spread.settle();
    expect(spread.lanes[1]!.tunnel.state.drops[Drop.interfaceDown]).toBe(2);
    expect(spread.take()).toHaveLength(0);
  });
});

describe("counters and replays", () => {
  it("no counter is used twice, and everything arrives, whatever lane sends", () => {
    connect();
    const used = new Set<string>();
    let sent = 0;
    for (let round = 0; round < 200; round++) {
      const lane = spread.lanes[round % LANES]!;
      const count = 1 + ((round * 7) % 20);
      lane.send(...Array.from({ length: count }, (_, mark) => fromSpread(1, mark)));
      sent += count;
      for (const datagram of spread.take()) {
        expect(datagram.bytes[0]).toBe(TYPE_TRANSPORT);
        const name = Buffer.from(datagram.bytes.subarray(4, 16)).toString("hex");
        expect(used.has(name)).toBe(false);
        used.add(name);
        others[1]!.receive(datagram);
      }
    }
    expect(used.size).toBe(sent);
    expect(others[1]!.delivered).toHaveLength(sent);
    expect(others[1]!.tunnel.state.drops[Drop.replay]).toBe(0);
  });

  it("each packet is taken once, however often it comes", () => {
    connect();
    for (let round = 0; round < 50; round++) {
      for (const [index, node] of others.entries()) node.send(toSpread(index, round));
    }
    const datagrams = others.flatMap((node) => node.outgoing.splice(0));
    for (const datagram of [...datagrams, ...datagrams]) spread.receive(datagram);
    expect(spread.takeDelivered()).toHaveLength(150);
    expect(spread.drops(Drop.replay)).toBe(150);
  });

  it("a session whose counters run out is renewed, and none is used past the limit", () => {
    connect();
    const { leases } = peerOn(1, 1).current!;
    Atomics.store(leases!, 0, SHARED_REKEY_AFTER + 1);
    // Not within REKEY_TIMEOUT of the last initiation, which was theirs.
    advance(6_000);
    spread.lanes[0]!.send(fromSpread(1, 1));
    expect(typesOf(advance(100))).toContain(TYPE_INITIATION);
    const renewed = peerOn(0, 1).current!.leases!;
    expect(renewed).not.toBe(leases);
    expect(Atomics.load(renewed, 0)).toBeLessThan(10);

    Atomics.store(renewed, 0, SHARED_REJECT_AFTER - 1);
    advance(6_000);
    others[1]!.delivered.length = 0;
    for (const lane of [0, 1, 2]) spread.lanes[lane]!.send(fromSpread(1, 7), fromSpread(1, 8));
    spread.settle();
    expect(Atomics.load(renewed, 0) >>> 0).toBeLessThanOrEqual(SHARED_REJECT_AFTER);
    exchange();
    // They waited for the next session.
    expect(others[1]!.delivered).toHaveLength(6);
  });
});

describe("timers", () => {
  it("a peer that does not answer what other lanes send gets a new handshake after 15 s", () => {
    connect();
    advance(30_000);
    spread.lanes[0]!.send(fromSpread(1, 1));
    const lost = (datagram: Datagram): boolean => datagram.to !== others[1]!.address;
    const early = advance(14_500, lost);
    expect(typesOf(early)).not.toContain(TYPE_INITIATION);
    const late = advance(1_500, lost);
    expect(typesOf(late)).toContain(TYPE_INITIATION);
  });

  it("one that answers is left alone, and no keepalive is sent for what was answered by another lane", () => {
    connect();
    advance(30_000);
    let handshakes = 0;
    for (let second = 0; second < 40; second++) {
      spread.lanes[2]!.send(fromSpread(1, second));
      others[1]!.send(toSpread(1, second));
      const seen = advance(1_000);
      handshakes += typesOf(seen).filter((type) => type !== TYPE_TRANSPORT).length;
      expect(seen).toHaveLength(2);
    }
    expect(handshakes).toBe(0);
  });

  it("bytes that other lanes sent are counted at home", () => {
    connect();
    const before = peerOn(1, 1).txBytes;
    spread.lanes[0]!.send(fromSpread(1, 1));
    spread.lanes[2]!.send(fromSpread(1, 2));
    const seen = advance(1_000);
    const bytes = seen.reduce((sum, datagram) => sum + datagram.bytes.length, 0);
    expect(peerOn(1, 1).txBytes - before).toBe(bytes);
    expect(peerOn(0, 1).txBytes).toBe(0);
  });
});

it("all lanes learn where a peer has gone", () => {
  connect();
  others[1]!.address = "198.51.100.7:4000";
  others[1]!.send(toSpread(1, 1));
  exchange();
  for (const lane of [0, 1, 2]) {
    spread.lanes[lane]!.send(fromSpread(1, lane));
    expect(spread.take().map(({ to }) => to)).toEqual(["198.51.100.7:4000"]);
  }
});

it("packets that no lane has a session for wait at home, 128 of them; the rest is counted", () => {
  others[1]!.address = "203.0.113.1:1";
  for (let mark = 0; mark < 300; mark++) {
    spread.lanes[0]!.send(fromSpread(1, mark));
    spread.settle();
  }
  expect(peerOn(1, 1).staging.count).toBe(STAGED_MAX);
  expect(spread.drops(Drop.stagedOverflow)).toBe(300 - STAGED_MAX);
});

it("a flood's initiations that a pool solved reach the home lanes", () => {
  // The pool is not wired here: a block as it comes back, with initiations of all three.
  for (const [index, node] of others.entries()) node.send(toSpread(index, index));
  const initiations = others.flatMap((node) => node.outgoing.splice(0));
  for (const initiation of initiations) spread.lanes[0]!.arrive(initiation);
  spread.lanes[0]!.settle(1_024);
  expect(spread.notes.map(({ to, note }) => [to, note.kind])).toEqual(
    expect.arrayContaining([
      [1, "initiations"],
      [2, "initiations"],
    ]),
  );
  spread.settle();
  exchange();
  expect(spread.takeDelivered()).toHaveLength(LANES);
});
