/**
 * A tunnel through a tunnel, each end of both in one namespace: whole packets and streams pass, with an MTU that fits and with
 * one for which the inner tunnel's datagrams are cut. In the kernel's netns.sh: "we can route wg through wg".
 */
import { describe, expect } from "vitest";
import type { Implementation } from "../../src/cli/demo/implementations.ts";
import type { Lab } from "../../src/cli/demo/lab.ts";
import { iperf, ping, pingUntil } from "../../src/cli/demo/measure.ts";
import { makePair } from "../../src/cli/demo/pair.ts";
import { type End, join, startEnd } from "./harness/ends.ts";
import { labTest } from "./harness/lab-test.ts";
import { REFERENCE, SUBJECT } from "./harness/subject.ts";

const BYTES = 20_000_000;
const IPV4_PING = 28;
/** 1420 less IPv6 and UDP headers and what WireGuard adds. */
const FITTING_MTU = 1340;
const CUT_MTU = 1420;
/** The outer tunnel has the usual one. */
const INNER_PORT = 51_821;

interface Nesting {
  readonly inner: Implementation;
  readonly outer: Implementation;
}

const NESTINGS: readonly Nesting[] =
  SUBJECT === REFERENCE
    ? [{ inner: SUBJECT, outer: SUBJECT }]
    : [
        { inner: SUBJECT, outer: SUBJECT },
        { inner: SUBJECT, outer: REFERENCE },
        { inner: REFERENCE, outer: SUBJECT },
      ];

interface Nested {
  readonly a: End;
  readonly b: End;
  /** What went through the outer tunnel, both ways. */
  readonly carried: () => Promise<number>;
}

async function makeNested(lab: Lab, nesting: Nesting, carrier: "v4" | "v6"): Promise<Nested> {
  const { inner, outer } = nesting;
  const pair = await makePair(lab, { a: outer, b: outer, carrier });
  await pingUntil(pair.a.namespace, pair.b.inner4);
  const ends: End[] = [];
  for (const [index, { namespace }] of [pair.a, pair.b].entries()) {
    const label = index === 0 ? "ai" : "bi";
    const place = { implementation: inner, namespace, label, host: index + 1, net: 1 };
    ends.push(await startEnd(lab, place));
  }
  const [a, b] = ends as [End, End];
  await join(a, b, {
    endpoint: carrier === "v4" ? pair.b.inner4 : pair.b.inner6,
    port: INNER_PORT,
    mtu: FITTING_MTU,
  });
  return {
    a,
    b,
    carried: async () => {
      const { rxBytes, txBytes } = await pair.b.node.peer(pair.a.node.keys.publicKey);
      return rxBytes + txBytes;
    },
  };
}

async function expectWhole(from: End, to: End, mtu: number): Promise<void> {
  const size = mtu - IPV4_PING;
  expect((await ping(from.namespace, to.inner4, { size, isWhole: true })).received).toBe(3);
}

for (const nesting of NESTINGS) {
  describe(`${nesting.inner} in ${nesting.outer}`, () => {
    for (const carrier of ["v4", "v6"] as const) {
      labTest(`whole packets and streams, over IP${carrier}`, async (lab) => {
        const { a, b, carried } = await makeNested(lab, nesting, carrier);
        await pingUntil(a.namespace, b.inner4);
        for (const mtu of [FITTING_MTU, CUT_MTU]) {
          for (const { node } of [a, b]) await node.setMtu(mtu);
          await expectWhole(a, b, mtu);
          await expectWhole(b, a, mtu);
          const before = await carried();
          for (const [address, isReverse] of [
            [b.inner4, false],
            [b.inner6, true],
          ] as const) {
            const tcp = await iperf(a.namespace, b.namespace, address, { bytes: BYTES, isReverse });
            expect(tcp.bytes, `MTU ${mtu}`).toBeGreaterThan(BYTES * 0.5);
          }
          // It did go through the outer tunnel.
          expect((await carried()) - before).toBeGreaterThan(BYTES);
        }
      });
    }
  });
}
