/**
 * A side that stands still: stopped (SIGSTOP), or on a machine that sleeps. CLOCK_BOOTTIME goes on meanwhile, so that it wakes to
 * sessions that are too old, timers long passed, and a socket full of what its peer said in vain. Virtual time, so that minutes and
 * hours cost nothing; the same in the real program: test/e2e/suspend.test.ts.
 */
import { describe, expect, it } from "vitest";
import { Drop } from "../../src/tunnel/drop.ts";
import {
  REJECT_AFTER_TIME,
  REKEY_TIMEOUT,
  REKEY_TIMEOUT_JITTER_MAX,
  TYPE_INITIATION,
  TYPE_TRANSPORT,
  ZERO_KEYS_AFTER_TIME,
} from "../../src/wire/constants.ts";
import type { Datagram, SimNode } from "./node.ts";
import { Pair } from "./pair.ts";

const typeOf = (datagram: Datagram): number => datagram.bytes[0]!;
/** Datagrams of one receive. */
const BATCH = 16;
const STEP_MS = 100;
const APART_MS = 37;
const MINUTE = 60_000;
/** An initiation that came to nothing is sent again. */
const RECOVERY_MAX_MS = REKEY_TIMEOUT + REKEY_TIMEOUT_JITTER_MAX + STEP_MS;

type Side = "a" | "b";

function packetFrom(pair: Pair, side: Side, mark: number): Uint8Array {
  return side === "a" ? pair.aToB(mark) : pair.bToA(mark);
}

/** `sleeper` stands still for `ms`; the other lives on, sends a packet a second if it `isTalking`. What waits for the sleeper. */
function sleep(pair: Pair, sleeper: Side, ms: number, isTalking: boolean): Datagram[] {
  const other = sleeper === "a" ? "b" : "a";
  const waiting: Datagram[] = [];
  const end = pair.clock.now + ms;
  for (let step = 0; pair.clock.now < end; step++) {
    const passed = Math.min(STEP_MS, end - pair.clock.now);
    pair.clock.now += passed;
    pair.clock.wallMs += passed;
    pair[other].settle();
    if (isTalking && step % 10 === 0) pair[other].send(packetFrom(pair, other, step));
    waiting.push(...Pair.take(pair[other]));
  }
  return waiting;
}

function receiveAll(node: SimNode, datagrams: readonly Datagram[]): void {
  for (let at = 0; at < datagrams.length; at += BATCH)
    node.receive(...datagrams.slice(at, at + BATCH));
}

/** Both speak every 100 ms, not in the same instant, until each has heard the other; how long that took. */
function timeToTalk(pair: Pair): number {
  const start = pair.clock.now;
  pair.a.delivered.length = 0;
  pair.b.delivered.length = 0;
  for (let mark = 0; pair.a.delivered.length === 0 || pair.b.delivered.length === 0; mark++) {
    if (pair.clock.now - start > 2 * MINUTE) throw new Error("they do not find together again");
    if (mark > 0) pair.advance(STEP_MS - APART_MS);
    pair.a.send(pair.aToB(mark));
    pair.exchange();
    pair.advance(APART_MS);
    pair.b.send(pair.bToA(mark));
    pair.exchange();
  }
  return pair.clock.now - start;
}

describe.each(["a", "b"] as const)("%s stands still for five minutes", (sleeper) => {
  it("and wakes to a silent network: the old session is not used, a new one begins at once", () => {
    const pair = new Pair();
    pair.connect();
    // b has heard from a, so that either may speak first.
    const old = pair[sleeper === "a" ? "peerB" : "peerA"].current!;
    sleep(pair, sleeper, 5 * MINUTE, false);
    pair[sleeper].send(packetFrom(pair, sleeper, 7));
    const sent = Pair.take(pair[sleeper]);
    expect(sent.map(typeOf)).toEqual([TYPE_INITIATION]);
    const other = pair[sleeper === "a" ? "b" : "a"];
    other.delivered.length = 0;
    other.receive(...sent);
    pair.exchange();
    expect(other.delivered).toEqual([packetFrom(pair, sleeper, 7)]);
    expect(pair[sleeper === "a" ? "peerB" : "peerA"].current).not.toBe(old);
  });

  it("and wakes to what its peer said in vain: none of it is delivered, and both talk again in a moment", () => {
    const pair = new Pair();
    pair.connect();
    const node = pair[sleeper];
    const { drops } = node.tunnel.state;
    const waiting = sleep(pair, sleeper, 5 * MINUTE, true);
    const stale = waiting.filter((datagram) => typeOf(datagram) === TYPE_TRANSPORT).length;
    expect(stale).toBeGreaterThan(0);
    expect(
      waiting.filter((datagram) => typeOf(datagram) === TYPE_INITIATION).length,
    ).toBeGreaterThan(10);
    node.delivered.length = 0;
    receiveAll(node, waiting);
    expect(node.delivered).toEqual([]);
    expect(drops[Drop.expiredKey]).toBe(stale);
    // Of its peer's initiations one is answered (the others are too quick, K noise.c), which comes too late; the next one counts.
    expect(timeToTalk(pair)).toBeLessThanOrEqual(RECOVERY_MAX_MS);
  });

  it("with a packet of its own on waking, nothing leaves under the old key", () => {
    const pair = new Pair();
    pair.connect();
    const waiting = sleep(pair, sleeper, 5 * MINUTE, true);
    const node = pair[sleeper];
    // As a lane would: TUN first, then the socket.
    node.send(packetFrom(pair, sleeper, 1), packetFrom(pair, sleeper, 2));
    receiveAll(node, waiting);
    expect(Pair.take(node).filter((datagram) => typeOf(datagram) === TYPE_TRANSPORT)).toEqual([]);
    timeToTalk(pair);
  });
});

describe("for how long", () => {
  const lengths = [
    1_000, 14_000, 20_000, 119_000, 121_000, 179_000, 181_000, 539_000, 541_000, 3_600_000,
  ];
  for (const ms of lengths) {
    it.each([
      ["a", true],
      ["a", false],
      ["b", true],
      ["b", false],
    ] as const)(`${ms / 1000} s, %s (its peer talks on: %s)`, (sleeper, isTalking) => {
      const pair = new Pair({ seed: ms });
      pair.connect();
      const node = pair[sleeper];
      const old = pair[sleeper === "a" ? "peerB" : "peerA"].current!;
      const waiting = sleep(pair, sleeper, ms, isTalking);
      receiveAll(node, waiting);
      node.settle();
      if (ms > ZERO_KEYS_AFTER_TIME) {
        expect(old.sendKey.every((byte) => byte === 0)).toBe(true);
        expect(old.receiveKey.every((byte) => byte === 0)).toBe(true);
      }
      expect(timeToTalk(pair)).toBeLessThanOrEqual(RECOVERY_MAX_MS);
      if (ms >= REJECT_AFTER_TIME) {
        expect(pair[sleeper === "a" ? "peerB" : "peerA"].current).not.toBe(old);
      }
      // And nothing of it stays: a session, perhaps the one before it, at most a handshake.
      const { state } = node.tunnel;
      expect(state.keypairs.count).toBeLessThanOrEqual(3);
      expect(state.queue.count).toBe(0);
    });
  }
});

it("timers that passed during the sleep do their work once, not once for each time missed", () => {
  const pair = new Pair();
  pair.connect();
  pair.peerB.timers.persistentIntervalMs = 25_000;
  pair.a.tunnel.startPeer(pair.peerB, true, pair.clock);
  pair.a.settle();
  pair.exchange();
  const { initiations } = pair.peerB;
  pair.clock.now += 5 * MINUTE;
  pair.clock.wallMs += 5 * MINUTE;
  pair.a.settle();
  // Twelve keepalives are due; the session is too old for any.
  expect(Pair.take(pair.a).map(typeOf)).toEqual([TYPE_INITIATION]);
  expect(pair.peerB.initiations).toBe(initiations + 1);
});

it("a machine that sleeps with both sides on it, again and again: they talk again in a moment each time", () => {
  const pair = new Pair();
  pair.connect();
  for (let night = 1; night <= 50; night++) {
    // 37 s to half an hour, at no moment that is special to the protocol.
    const ms = night * 37_000;
    pair.clock.now += ms;
    pair.clock.wallMs += ms;
    pair.a.settle();
    pair.b.settle();
    pair.exchange();
    // Where both begin a handshake in the same instant, neither comes about, and the first retry does it.
    expect(timeToTalk(pair), `night ${night}`).toBeLessThanOrEqual(RECOVERY_MAX_MS);
  }
});
