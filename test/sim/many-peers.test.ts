/** Many peers of one interface that are all needed at the same moment: initiations leave bit by bit, so that no turn is long. */
import { describe, expect, it } from "vitest";
import { INITIATIONS_PER_TURN, InitiationPace } from "../../src/tunnel/initiation-pace.ts";
import type { Peer } from "../../src/tunnel/peer.ts";
import {
  REKEY_TIMEOUT,
  REKEY_TIMEOUT_JITTER_MAX,
  TYPE_INITIATION,
} from "../../src/wire/constants.ts";
import { type SimClock, SimNode, seededBytes } from "./node.ts";
import { ipv4Packet } from "./packets.ts";

const PEERS = 100;
/** Turns of a millisecond until all have had theirs: a tunnel lets another one pass between two of its own. */
const TURNS = 2 * Math.ceil(PEERS / INITIATIONS_PER_TURN);

function makeHub(pace?: InitiationPace): {
  readonly hub: SimNode;
  readonly peers: readonly Peer[];
  readonly clock: SimClock;
} {
  const clock = { now: 1_000_000, wallMs: 1_790_000_000_000 };
  const hub = new SimNode({
    secret: new Uint8Array(32).fill(0x11),
    address: "192.0.2.1:1000",
    clock,
    seed: 1,
    ...(pace === undefined ? {} : { pace }),
  });
  const random = seededBytes(2);
  const peers = Array.from({ length: PEERS }, (_, index) => {
    const key = new Uint8Array(32);
    random(key);
    return hub.addPeer(key, `10.1.0.${index}/32`, `198.51.100.${index}:1000`);
  });
  return { hub, peers, clock };
}

function callAll(hub: SimNode): void {
  hub.send(
    ...Array.from({ length: PEERS }, (_, index) => ipv4Packet("10.0.0.1", `10.1.0.${index}`, 100)),
  );
}

/** How many initiations leave at each millisecond of the next `ms`. */
function initiations(hub: SimNode, clock: SimClock, ms: number): number[] {
  const counts: number[] = [];
  for (let passed = 0; passed < ms; passed++) {
    const sent = hub.outgoing.splice(0);
    expect(sent.every(({ bytes }) => bytes[0] === TYPE_INITIATION)).toBe(true);
    counts.push(sent.length);
    clock.now++;
    clock.wallMs++;
    hub.settle();
  }
  return counts;
}

describe("many peers that are needed at once", () => {
  it.each([
    ["packets for all", callAll],
    [
      "keepalives of all, when the interface comes up",
      (hub: SimNode, clock: SimClock): void => {
        hub.tunnel.down();
        for (const peer of hub.tunnel.state.allPeers()) peer.timers.persistentIntervalMs = 25_000;
        hub.tunnel.up(clock);
        hub.settle();
      },
    ],
  ])("%s: a few initiations at a time, and each its own soon", (_title, need) => {
    const { hub, peers, clock } = makeHub();
    need(hub, clock);
    const counts = initiations(hub, clock, 2 * TURNS);
    expect(Math.max(...counts)).toBe(INITIATIONS_PER_TURN);
    expect(counts.slice(0, TURNS).reduce((sum, count) => sum + count, 0)).toBe(PEERS);
    // Once each, as the first try.
    expect(peers.map(({ initiations: sent, timers }) => [sent, timers.attempts])).toEqual(
      peers.map(() => [1, 0]),
    );
    expect(peers.every(({ staging }) => staging.count === 1)).toBe(true);
  });

  it("retries are spread, too, and are counted when they are sent", () => {
    const { hub, peers, clock } = makeHub();
    callAll(hub);
    const counts = initiations(hub, clock, REKEY_TIMEOUT + REKEY_TIMEOUT_JITTER_MAX + 2 * TURNS);
    expect(Math.max(...counts)).toBe(INITIATIONS_PER_TURN);
    expect(peers.map(({ initiations: sent, timers }) => [sent, timers.attempts])).toEqual(
      peers.map(() => [2, 1]),
    );
  });

  it("after a long turn all retries are due at once, and still leave a few at a time", () => {
    const { hub, peers, clock } = makeHub();
    callAll(hub);
    initiations(hub, clock, TURNS);
    clock.now += 2 * REKEY_TIMEOUT;
    clock.wallMs += 2 * REKEY_TIMEOUT;
    hub.settle();
    const counts = initiations(hub, clock, TURNS);
    expect(counts.every((count) => count <= INITIATIONS_PER_TURN)).toBe(true);
    expect(peers.map(({ initiations: sent, timers }) => [sent, timers.attempts])).toEqual(
      peers.map(() => [2, 1]),
    );
  });

  it("a session that comes about meanwhile needs no initiation any more", () => {
    const { hub, peers, clock } = makeHub();
    callAll(hub);
    const last = peers.at(-1)!;
    expect(hub.tunnel.state.deferred.has(last)).toBe(true);
    // As when a response of ours is sent.
    last.lastInitiationMs = clock.now;
    initiations(hub, clock, 2 * TURNS);
    expect(last.initiations).toBe(0);
    expect(peers.slice(0, -1).every(({ initiations: sent }) => sent === 1)).toBe(true);
  });
});

it("interfaces of one lane share its turns, and a peer or an interface that goes waits no more", () => {
  const pace = new InitiationPace();
  const one = makeHub(pace);
  const other = makeHub(pace);
  callAll(one.hub);
  callAll(other.hub);
  const totals = [0, 0];
  for (let turn = 0; turn < 8; turn++) {
    const sent = [one.hub, other.hub].map(({ outgoing }) => outgoing.splice(0).length);
    expect(sent[0]! + sent[1]!).toBeLessThanOrEqual(INITIATIONS_PER_TURN);
    totals[0]! += sent[0]!;
    totals[1]! += sent[1]!;
    for (const { hub, clock } of [one, other]) {
      clock.now++;
      hub.settle();
    }
  }
  // Neither waits for the other to be done.
  expect(Math.max(...totals)).toBeLessThan(PEERS);
  expect(Math.min(...totals)).toBeGreaterThanOrEqual(INITIATIONS_PER_TURN);
  const { state } = one.hub.tunnel;
  const before = state.deferred.size;
  one.hub.tunnel.removePeer([...state.deferred][0]!);
  expect(state.deferred.size).toBe(before - 1);
  one.hub.tunnel.down();
  expect(state.deferred.size).toBe(0);
});
