/**
 * Whatever arrives in whatever order, mixed into true traffic: no exception, no answer to strangers, no packet delivered that was
 * not sent, no counter unmoved, and the session goes on. Datagrams are built from true ones: changed, cut, grown, repeated.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatHex } from "../../src/bytes/hex.ts";
import type { Datagram } from "../sim/node.ts";
import { Pair } from "../sim/pair.ts";

const STRANGER = "198.51.100.9:9";
const RESPONSE_BYTES = 92;
const COOKIE_REPLY_BYTES = 64;

/** How a datagram is made from one that was really sent. */
type Change =
  | { readonly kind: "repeat" }
  | { readonly kind: "flip"; readonly at: number; readonly bit: number }
  | { readonly kind: "cut"; readonly to: number }
  | { readonly kind: "grow"; readonly tail: Uint8Array }
  | { readonly kind: "type"; readonly type: number }
  | { readonly kind: "noise"; readonly bytes: Uint8Array };

const change: fc.Arbitrary<Change> = fc.oneof(
  fc.constant({ kind: "repeat" } as const),
  fc.record({ kind: fc.constant("flip" as const), at: fc.nat(1500), bit: fc.nat(7) }),
  fc.record({ kind: fc.constant("cut" as const), to: fc.nat(1500) }),
  fc.record({
    kind: fc.constant("grow" as const),
    tail: fc.uint8Array({ minLength: 1, maxLength: 64 }),
  }),
  fc.record({ kind: fc.constant("type" as const), type: fc.nat(6) }),
  fc.record({ kind: fc.constant("noise" as const), bytes: fc.uint8Array({ maxLength: 200 }) }),
);
const step = fc.record({ pick: fc.nat(1000), change, wait: fc.nat(3000) });

function applied(bytes: Uint8Array, how: Change): Uint8Array {
  const copy = bytes.slice();
  switch (how.kind) {
    case "flip":
      copy[how.at % copy.length]! ^= 1 << how.bit;
      return copy;
    case "cut":
      return copy.subarray(0, how.to % copy.length);
    case "grow":
      return Uint8Array.of(...copy, ...how.tail);
    case "type":
      copy[0] = how.type;
      return copy;
    case "noise":
      return how.bytes;
    default:
      return copy;
  }
}

function dropped(pair: Pair): number {
  return pair.b.tunnel.state.drops.reduce((sum, count) => sum + count, 0);
}

describe("a tunnel on a hostile network", () => {
  it("keeps its session, its silence and its counters", () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) => {
        const pair = new Pair();
        const heard: Datagram[] = [];
        const listen = (datagram: Datagram): boolean => {
          if (datagram.to === pair.b.address) heard.push(datagram);
          return true;
        };
        pair.a.send(pair.aToB(0));
        pair.exchange(listen);
        const sent = new Set([formatHex(pair.aToB(0))]);
        let mark = 1;
        for (const { pick, change: how, wait } of steps) {
          const bytes = applied(heard[pick % heard.length]!.bytes, how);
          const before = dropped(pair);
          const received = pair.peerA.rxBytes;
          const endpoint = formatHex(pair.peerA.endpoint);
          pair.b.receive({ bytes, from: STRANGER, to: pair.b.address, tos: 0 });
          // It is refused and counted: every true datagram was delivered before, so this one is a repetition at best.
          expect(dropped(pair)).toBe(before + 1);
          expect(pair.peerA.rxBytes).toBe(received);
          expect(formatHex(pair.peerA.endpoint)).toBe(endpoint);
          // No answer: a response or a cookie reply would tell strangers that somebody is here.
          const answers = pair.b.outgoing.filter(({ to }) => to === STRANGER);
          expect(answers).toEqual([]);
          for (const { bytes: out } of pair.b.outgoing) {
            expect([RESPONSE_BYTES, COOKIE_REPLY_BYTES]).not.toContain(out.length);
          }
          pair.advance(wait, listen, 1_000);
          const packet = pair.aToB(mark++);
          sent.add(formatHex(packet));
          pair.a.send(packet);
          pair.exchange(listen);
          expect(formatHex(pair.b.delivered.at(-1)!)).toBe(formatHex(packet));
        }
        for (const packet of pair.b.delivered) expect(sent.has(formatHex(packet))).toBe(true);
        expect(pair.b.delivered).toHaveLength(steps.length + 1);
      }),
      { numRuns: 300 },
    );
  });
});
