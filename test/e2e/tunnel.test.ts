/** Whether traffic of all kinds passes between every pair of implementations, over both protocols, with and without a preshared key. */
import { describe, expect } from "vitest";
import { iperf, ping, pingUntil } from "../../src/cli/demo/measure.ts";
import { makePair, type Pair } from "../../src/cli/demo/pair.ts";
import { labTest } from "./harness/lab-test.ts";
import { FURTHER_PAIRS, PAIRS } from "./harness/subject.ts";

const TCP_BYTES = 20_000_000;
const UDP_RATE = 5_000_000;

async function expectPings(pair: Pair): Promise<void> {
  await pingUntil(pair.a.namespace, pair.b.inner4);
  for (const [from, to] of [
    [pair.a, pair.b],
    [pair.b, pair.a],
  ] as const) {
    expect((await ping(from.namespace, to.inner4)).received).toBe(3);
    expect((await ping(from.namespace, to.inner6)).received).toBe(3);
  }
}

async function expectStreams(pair: Pair): Promise<void> {
  for (const isReverse of [false, true]) {
    const address = isReverse ? pair.b.inner6 : pair.b.inner4;
    const tcp = await iperf(pair.a.namespace, pair.b.namespace, address, {
      bytes: TCP_BYTES,
      isReverse,
    });
    // What is in the sockets' buffers at the end is not counted.
    expect(tcp.bytes).toBeGreaterThan(TCP_BYTES * 0.5);
    const udp = await iperf(pair.a.namespace, pair.b.namespace, address, {
      isUdp: true,
      rate: UDP_RATE,
      size: 1200,
      seconds: 1,
      isReverse,
    });
    expect(udp.lostPercent).toBeLessThan(5);
    expect(udp.bitsPerSecond).toBeGreaterThan(UDP_RATE * 0.7);
  }
}

for (const { a, b, title } of [...PAIRS, ...FURTHER_PAIRS]) {
  describe(title, () => {
    for (const carrier of ["v4", "v6"] as const) {
      for (const hasPsk of [false, true]) {
        labTest(
          `over IP${carrier}, ${hasPsk ? "with" : "without"} a preshared key`,
          async (lab) => {
            const pair = await makePair(lab, { a, b, carrier, hasPsk });
            await expectPings(pair);
            await expectStreams(pair);
            const seenByB = await pair.b.node.peer(pair.a.node.keys.publicKey);
            const address = carrier === "v4" ? pair.a.outer4 : `[${pair.a.outer6}]`;
            expect(seenByB.endpoint).toBe(`${address}:${await pair.a.node.listenPort()}`);
            expect(seenByB.rxBytes).toBeGreaterThan(TCP_BYTES * 0.5);
            expect(seenByB.txBytes).toBeGreaterThan(TCP_BYTES * 0.5);
          },
        );
      }
    }
  });
}

describe("a wrong preshared key", () => {
  for (const { a, b, title } of PAIRS) {
    labTest(`lets nothing through: ${title}`, async (lab) => {
      const pair = await makePair(lab, { a, b, hasPsk: true });
      await pingUntil(pair.a.namespace, pair.b.inner4);
      const other = await makePair(lab, { a, b, hasPsk: true, label: "o" });
      await other.a.node.set(["peer", other.b.node.keys.publicKey, "preshared-key", "/dev/null"]);
      expect((await ping(other.a.namespace, other.b.inner4, { count: 3 })).received).toBe(0);
      expect((await other.a.node.peer(other.b.node.keys.publicKey)).latestHandshake).toBe(0);
    });
  }
});
