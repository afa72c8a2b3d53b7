import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  ACCEPTED,
  type Answer,
  cutMessages,
  decodeAnswer,
  decodeRequest,
  ECHO,
  encodeAnswer,
  encodeRequest,
  LATER,
  REACH,
  REACHED,
  REFUSED,
  type Request,
  SEEN,
  WOKEN,
} from "../../../../../src/control/node/reachability/message.ts";
import { formatAddress } from "../../../../../src/route/address.ts";

const bytes16 = fc.uint8Array({ minLength: 16, maxLength: 16 });
const port = fc.integer({ min: 0, max: 65_535 });
const request: fc.Arbitrary<Request> = fc.record({
  kind: fc.constantFrom(ECHO, REACH, LATER),
  nonce: bytes16,
  cookie: bytes16,
  port,
  delayMs: fc.nat(0xffff_ffff),
});
const address = fc
  .tuple(fc.constantFrom<(2 | 10)[]>(2, 10), bytes16)
  .map(([family, bytes]) => formatAddress(family, bytes));
const answer: fc.Arbitrary<Answer> = fc.oneof(
  fc.record({
    kind: fc.constant(SEEN),
    nonce: bytes16,
    cookie: bytes16,
    seen: fc.record({ address, port }),
  }),
  fc.record({
    kind: fc.constantFrom(ACCEPTED, REACHED, WOKEN, REFUSED),
    nonce: bytes16,
    cookie: bytes16,
    seen: fc.constant(undefined),
  }),
);

function join(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

describe("messages", () => {
  it("requests and answers come out as they went in, also several in one receive", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(request, answer), { minLength: 1, maxLength: 9 }),
        (messages) => {
          const encoded = messages.map((message) =>
            "delayMs" in message ? encodeRequest(message) : encodeAnswer(message),
          );
          const decoded = cutMessages(join(encoded)).map(
            (bytes) => decodeRequest(bytes) ?? decodeAnswer(bytes),
          );
          expect(decoded).toEqual(messages);
        },
      ),
    );
  });

  it("an address never lies open in an answer, since NATs rewrite what looks like one", () => {
    const nonce = new Uint8Array(16).fill(0xa5);
    const bytes = encodeAnswer({
      kind: SEEN,
      nonce,
      cookie: new Uint8Array(16),
      seen: { address: "10.1.2.3", port: 7 },
    });
    expect(Buffer.from(bytes).includes(Buffer.from([10, 1, 2, 3]))).toBe(false);
  });

  it("a request is longer than all the answers that it may get, with the headers of IPv6 and UDP", () => {
    const headers = 48;
    const empty = { nonce: new Uint8Array(16), cookie: new Uint8Array(16), port: 0, delayMs: 0 };
    const length = encodeAnswer({ ...empty, kind: ACCEPTED, seen: undefined }).length + headers;
    expect(encodeRequest({ ...empty, kind: ECHO }).length + headers).toBeGreaterThanOrEqual(length);
    for (const kind of [REACH, LATER] as const) {
      expect(encodeRequest({ ...empty, kind }).length + headers).toBeGreaterThanOrEqual(2 * length);
    }
  });

  it("hostile bytes are never read beyond their end, and bring nothing or messages", () => {
    const mangled = fc
      .tuple(request, fc.array(fc.tuple(fc.nat(191), fc.nat(255)), { maxLength: 4 }), fc.nat(400))
      .map(([message, changes, length]) => {
        const bytes = join([encodeRequest(message), encodeRequest(message)]).slice(0, length);
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        return bytes;
      });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 2_000 }), mangled), (bytes) => {
        let total = 0;
        for (const message of cutMessages(bytes)) {
          total += message.length;
          decodeRequest(message);
          decodeAnswer(message);
        }
        expect(total).toBeLessThanOrEqual(bytes.length);
      }),
    );
    // At most 64 of what one receive can bring.
    const many = join(
      Array.from({ length: 1_000 }, () => encodeRequest({ ...NOTHING, kind: ECHO })),
    );
    expect(cutMessages(many)).toHaveLength(64);
  });
});

const NOTHING = {
  nonce: new Uint8Array(16),
  cookie: new Uint8Array(16),
  port: 0,
  delayMs: 0,
};
