/**
 * The wall clock of one side goes back by an hour. The protocol knows the wall clock by the timestamps of initiations only
 * (whitepaper 5.1): who initiates with one that is not above the greatest its peer has seen is refused as a replay, in the Linux
 * driver (K noise.c) and in wireguard-go (G noise-protocol.go) as here. It is at peace again when the other side initiates, when the
 * other side restarts, or when the hour has passed.
 */
import { describe, expect, it } from "vitest";
import { Drop } from "../../src/tunnel/drop.ts";
import { REJECT_AFTER_TIME, TYPE_RESPONSE } from "../../src/wire/constants.ts";
import { Pair } from "./pair.ts";

const HOUR = 3_600_000;
const MINUTE = 60_000;

/** Speaks once a second for `ms`; how many packets of each came through. */
function talk(
  pair: Pair,
  ms: number,
  who: { readonly a: boolean; readonly b: boolean },
): { a: number; b: number } {
  pair.a.delivered.length = 0;
  pair.b.delivered.length = 0;
  for (let at = 0; at < ms; at += 1_000) {
    if (who.a) pair.a.send(pair.aToB(at));
    if (who.b) pair.b.send(pair.bToA(at));
    pair.exchange();
    pair.advance(1_000, undefined, 1_000);
  }
  return { a: pair.b.delivered.length, b: pair.a.delivered.length };
}

describe.each([
  ["while it runs", (): void => undefined],
  ["and it restarts", (pair: Pair): void => pair.restartA()],
] as const)("a's clock goes back one hour, %s", (_title, then) => {
  function late(): Pair {
    const pair = new Pair();
    pair.connect();
    // A second of peace, then the old session is over.
    talk(pair, 1_000, { a: true, b: true });
    pair.clockA.skewMs = -HOUR;
    then(pair);
    pair.advance(REJECT_AFTER_TIME, undefined, 1_000);
    return pair;
  }

  it("its initiations are refused and not answered, however often it tries", () => {
    const pair = late();
    const { drops } = pair.b.tunnel.state;
    const before = drops[Drop.badHandshake]!;
    const answers: number[] = [];
    pair.a.send(pair.aToB());
    pair.advance(4 * MINUTE, (datagram) => {
      answers.push(datagram.bytes[0]!);
      return true;
    });
    expect(answers).not.toContain(TYPE_RESPONSE);
    // 20 attempts are one need's.
    expect(drops[Drop.badHandshake]! - before).toBeGreaterThanOrEqual(18);
    expect(talk(pair, 5 * MINUTE, { a: true, b: false }).a).toBe(0);
  });

  it("and both are heard as soon as b has something to say, and from then on", () => {
    const pair = late();
    talk(pair, MINUTE, { a: true, b: false });
    const both = talk(pair, 30 * MINUTE, { a: true, b: true });
    // b's first packet brings the session; what a had waiting comes too.
    expect(both.b).toBe(30 * 60);
    expect(both.a).toBeGreaterThanOrEqual(30 * 60);
  });

  it("or as soon as b keeps its path open", () => {
    const pair = late();
    pair.peerA.timers.persistentIntervalMs = 25_000;
    pair.b.tunnel.startPeer(pair.peerA, true, pair.clockB);
    pair.exchange();
    expect(talk(pair, 30 * MINUTE, { a: true, b: false }).a).toBe(30 * 60);
  });

  it("or when b restarts, which forgets what it has seen", () => {
    const pair = late();
    talk(pair, MINUTE, { a: true, b: false });
    pair.restartB();
    // a's next attempt is at most one retry away.
    const { a } = talk(pair, 5 * MINUTE, { a: true, b: false });
    expect(a).toBeGreaterThanOrEqual(5 * 60 - 6);
  });

  it("or when the hour has passed", () => {
    const pair = late();
    pair.advance(HOUR, undefined, MINUTE);
    expect(talk(pair, MINUTE, { a: true, b: false }).a).toBe(60);
  });
});

it("a clock that goes back under a session that is in use harms nobody while the other side renews it", () => {
  const pair = new Pair();
  pair.connect();
  pair.clockA.skewMs = -HOUR;
  const { a, b } = talk(pair, 30 * MINUTE, { a: true, b: true });
  // a began the session and may not renew it; between 180 s and b's initiation, which the same second brings, nothing is lost.
  expect(b).toBe(30 * 60);
  expect(a).toBe(30 * 60);
  expect(pair.b.tunnel.state.drops[Drop.badHandshake]).toBeGreaterThan(0);
  expect(pair.peerA.initiations).toBeGreaterThan(0);
});

it("the responder's clock does not matter", () => {
  const pair = new Pair();
  pair.connect();
  pair.clockB.skewMs = -HOUR;
  // a renews, b answers.
  expect(talk(pair, 30 * MINUTE, { a: true, b: true })).toEqual({ a: 30 * 60, b: 30 * 60 });
  expect(pair.a.tunnel.state.drops[Drop.badHandshake]).toBe(0);
});
