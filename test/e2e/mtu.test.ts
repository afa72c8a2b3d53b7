/** MTUs from 576 to 9000, changed while the tunnel runs: whole packets pass, streams flow. */
import { describe, expect } from "vitest";
import { iperf, ping, pingUntil } from "../../src/cli/demo/measure.ts";
import { makePair } from "../../src/cli/demo/pair.ts";
import { labTest } from "./harness/lab-test.ts";
import { PAIRS } from "./harness/subject.ts";

const CABLE_MTU = 9200;
const IPV4_PING = 28;
const IPV6_PING = 48;
const BYTES = 20_000_000;

for (const { a, b, title } of PAIRS) {
  for (const carrier of ["v4", "v6"] as const) {
    describe(`${title}, over IP${carrier}`, () => {
      labTest("1420, 1280, 9000, 576, 1420", async (lab) => {
        const pair = await makePair(lab, { a, b, carrier, cableMtu: CABLE_MTU });
        await pingUntil(pair.a.namespace, pair.b.inner4);
        for (const mtu of [1420, 1280, 9000, 576, 1420]) {
          await pair.b.node.setMtu(mtu);
          await pair.a.node.setMtu(mtu);
          for (const [from, to] of [
            [pair.a, pair.b],
            [pair.b, pair.a],
          ] as const) {
            const size = mtu - IPV4_PING;
            const whole = await ping(from.namespace, to.inner4, { size, isWhole: true });
            expect(whole.received, `MTU ${mtu}`).toBe(3);
            const over = await ping(from.namespace, to.inner4, {
              size: size + 1,
              isWhole: true,
              count: 1,
              waitSeconds: 1,
            });
            expect(over.received, `one byte over MTU ${mtu}`).toBe(0);
          }
          for (const isReverse of [false, true]) {
            const tcp = await iperf(pair.a.namespace, pair.b.namespace, pair.b.inner4, {
              bytes: BYTES,
              isReverse,
            });
            expect(tcp.bytes, `MTU ${mtu}`).toBeGreaterThan(BYTES * 0.5);
          }
        }
      });

      labTest("whole IPv6 packets of 1280, 1420 and 9000 bytes", async (lab) => {
        const pair = await makePair(lab, { a, b, carrier, cableMtu: CABLE_MTU });
        await pingUntil(pair.a.namespace, pair.b.inner6);
        for (const mtu of [1280, 1420, 9000]) {
          await pair.b.node.setMtu(mtu);
          await pair.a.node.setMtu(mtu);
          const size = mtu - IPV6_PING;
          const whole = await ping(pair.a.namespace, pair.b.inner6, { size, isWhole: true });
          expect(whole.received, `MTU ${mtu}`).toBe(3);
        }
      });
    });
  }
}
