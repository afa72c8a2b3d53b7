import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  Answering,
  DELAY_MAX_MS,
  type Sending,
} from "../../../../../src/control/node/reachability/answering.ts";
import { Cookies } from "../../../../../src/control/node/reachability/cookies.ts";
import {
  ACCEPTED,
  type Answer,
  decodeAnswer,
  ECHO,
  encodeRequest,
  LATER,
  REACH,
  REACHED,
  REFUSED,
  type RequestKind,
  SEEN,
  WOKEN,
} from "../../../../../src/control/node/reachability/message.ts";

const SOURCE = { address: "192.0.2.7", port: 40_000 };
const NONCE = new Uint8Array(16).fill(9);
const NO_COOKIE = new Uint8Array(16);

function make(): Answering {
  return new Answering(new Cookies(new Uint8Array(32).fill(3)));
}

function ask(
  kind: RequestKind,
  more: { cookie?: Uint8Array; port?: number; delayMs?: number; nonce?: Uint8Array } = {},
): Uint8Array {
  return encodeRequest({ kind, nonce: NONCE, cookie: NO_COOKIE, port: 0, delayMs: 0, ...more });
}

function read({ bytes }: Sending): Answer {
  const answer = decodeAnswer(bytes);
  if (answer === undefined) throw new Error("no answer");
  return answer;
}

function cookieFor(answering: Answering, source = SOURCE, now = 0): Uint8Array {
  const [seen] = answering.take(ask(ECHO), source, now);
  if (seen === undefined) throw new Error("not answered");
  return read(seen).cookie;
}

describe("answering", () => {
  it("tells where a request came from", () => {
    const [seen, ...rest] = make().take(ask(ECHO), SOURCE, 0);
    expect(rest).toEqual([]);
    expect(seen).toMatchObject({ from: "asked", to: SOURCE });
    expect(read(seen!)).toMatchObject({ kind: SEEN, nonce: NONCE, seen: SOURCE });
  });

  it("without a good cookie nothing goes to another port, nor later: the cookie for that address is told", () => {
    const answering = make();
    const cookie = cookieFor(answering);
    for (const kind of [REACH, LATER] as const) {
      const wrong = [NO_COOKIE, cookie.map((byte) => byte ^ 1)];
      for (const other of wrong) {
        const got = answering.take(ask(kind, { cookie: other, port: 5_000 }), SOURCE, 0);
        expect(got.map(read).map((answer) => answer.kind)).toEqual([SEEN]);
        expect(read(got[0]!).cookie).toEqual(cookie);
      }
      // Somebody else's cookie is none.
      const thief = { address: "192.0.2.8", port: 40_000 };
      const got = answering.take(ask(kind, { cookie, port: 5_000 }), thief, 0);
      expect(got.map(read).map((answer) => answer.kind)).toEqual([SEEN]);
    }
    expect(answering.waiting).toBe(0);
  });

  it("a cookie is good for two minutes at least and four at most, from each port of its address", () => {
    const answering = make();
    const cookie = cookieFor(answering, SOURCE, 119_999);
    const kinds = (now: number, port = 1): number[] =>
      answering
        .take(ask(REACH, { cookie, port: 5_000 }), { ...SOURCE, port }, now)
        .map((sending) => read(sending).kind);
    expect(kinds(120_000)).toEqual([ACCEPTED, REACHED]);
    expect(kinds(239_999, 77)).toEqual([ACCEPTED, REACHED]);
    expect(kinds(240_000)).toEqual([SEEN]);
  });

  it("reaches a port of the asker's address from the other socket, and no privileged one", () => {
    const answering = make();
    const cookie = cookieFor(answering);
    const [accepted, reached] = answering.take(ask(REACH, { cookie, port: 5_000 }), SOURCE, 0);
    expect(accepted).toMatchObject({ from: "asked", to: SOURCE });
    expect(reached).toMatchObject({ from: "other", to: { ...SOURCE, port: 5_000 } });
    expect([read(accepted!).kind, read(reached!).kind]).toEqual([ACCEPTED, REACHED]);
    expect(read(reached!).nonce).toEqual(NONCE);
    for (const port of [0, 53, 1_023]) {
      const got = answering.take(ask(REACH, { cookie, port }), SOURCE, 0);
      expect(got.map(read).map(({ kind }) => kind)).toEqual([REFUSED]);
    }
  });

  it("wakes after the silence asked for, once, also if the request came twice", () => {
    const answering = make();
    const cookie = cookieFor(answering);
    const later = ask(LATER, { cookie, delayMs: 3_000 });
    expect(answering.take(later, SOURCE, 0).map(read)[0]?.kind).toBe(ACCEPTED);
    expect(answering.take(later, SOURCE, 400).map(read)[0]?.kind).toBe(ACCEPTED);
    expect(answering.waiting).toBe(1);
    expect(answering.due(3_399)).toEqual([]);
    const [woken, ...rest] = answering.due(3_400);
    expect(rest).toEqual([]);
    expect(woken).toMatchObject({ from: "asked", to: SOURCE });
    expect(read(woken!)).toMatchObject({ kind: WOKEN, nonce: NONCE });
    expect(answering.due(9_999)).toEqual([]);
    const long = ask(LATER, { cookie, delayMs: DELAY_MAX_MS + 1 });
    expect(answering.take(long, SOURCE, 0).map(read)[0]?.kind).toBe(REFUSED);
  });

  it("what one source, an IPv6 prefix of 64 bits too, may have waiting is bounded, and given back", () => {
    const answering = make();
    for (const base of ["192.0.2.7", "2001:db8::"]) {
      const kinds: number[] = [];
      for (let index = 0; index < 130; index++) {
        const address = base.endsWith(":") ? `${base}${index + 1}` : base;
        const source = { address, port: 40_000 };
        const now = index * 100;
        const cookie = cookieFor(answering, source, now);
        const nonce = new Uint8Array(16).fill(index);
        const request = ask(LATER, { cookie, delayMs: 100_000, nonce });
        kinds.push(...answering.take(request, source, now).map((sending) => read(sending).kind));
      }
      expect(kinds.slice(0, 128).every((kind) => kind === ACCEPTED)).toBe(true);
      expect(kinds.slice(128)).toEqual([REFUSED, REFUSED]);
    }
    expect([answering.waiting, answering.places]).toEqual([256, 2]);
    expect(answering.due(1e9)).toHaveLength(256);
    expect([answering.waiting, answering.places]).toEqual([0, 0]);
    const cookie = cookieFor(answering, SOURCE, 1e9);
    expect(answering.take(ask(LATER, { cookie, delayMs: 1 }), SOURCE, 1e9).map(read)[0]?.kind).toBe(
      ACCEPTED,
    );
  });

  it("a flood of one source is cut off, another's requests are answered; so is the flood of all", () => {
    const answering = make();
    const count = (source: typeof SOURCE, requests: number): number =>
      Array.from({ length: requests }, () => answering.take(ask(ECHO), source, 5)).flat().length;
    expect(count(SOURCE, 1_000)).toBe(200);
    expect(count({ ...SOURCE, address: "192.0.2.9" }, 10)).toBe(10);
    let answered = 0;
    for (let host = 0; host < 10_000; host++) {
      const address = `198.18.${host >> 8}.${host & 255}`;
      answered += answering.take(ask(ECHO), { address, port: 1 }, 5).length;
    }
    expect(answered).toBe(5_000 - 210);
    // A second later all is as before.
    expect(answering.take(ask(ECHO), SOURCE, 2_005)).toHaveLength(1);
  });

  it("whatever comes, nothing goes to another address, and never more than came", () => {
    const datagram = fc.oneof(
      fc.uint8Array({ maxLength: 500 }),
      fc
        .record({
          kind: fc.constantFrom<RequestKind[]>(ECHO, REACH, LATER),
          port: fc.nat(65_535),
          delayMs: fc.nat(400_000),
          good: fc.boolean(),
          cut: fc.nat(400),
        })
        .map((shape) => shape),
    );
    fc.assert(
      fc.property(fc.array(datagram, { maxLength: 30 }), (datagrams) => {
        const answering = make();
        const cookie = cookieFor(answering);
        let came = 0;
        let went = 0;
        for (const shape of datagrams) {
          const bytes =
            shape instanceof Uint8Array
              ? shape
              : ask(shape.kind, {
                  cookie: shape.good ? cookie : NO_COOKIE,
                  port: shape.port,
                  delayMs: shape.delayMs,
                }).slice(0, Math.max(shape.cut, 64));
          came += bytes.length;
          for (const { to, bytes: sent } of answering.take(bytes, SOURCE, 1)) {
            went += sent.length;
            expect(to.address).toBe(SOURCE.address);
          }
        }
        for (const { to, bytes: sent } of answering.due(1e9)) {
          went += sent.length;
          expect(to).toEqual(SOURCE);
        }
        expect(went).toBeLessThanOrEqual(came);
      }),
    );
  });
});
