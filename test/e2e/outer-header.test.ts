/** What a bystander on the cable sees: message sizes, padding, and the DSCP and ECN bits of the outer header. */
import { describe, expect } from "vitest";
import { pingUntil } from "../../src/cli/demo/measure.ts";
import { makePair } from "../../src/cli/demo/pair.ts";
import { until } from "../../src/control/linux/command.ts";
import { Capture, type Datagram } from "./harness/capture.ts";
import { labTest } from "./harness/lab-test.ts";
import { PAIRS } from "./harness/subject.ts";

const ECT_0 = 2;
/** AF41, as the kernel marks handshakes. */
const HANDSHAKE_CLASS = 0x88;
const TRANSPORT_OVERHEAD = 32;
const SIZES: Readonly<Record<number, number>> = { 1: 148, 2: 92, 3: 64 };

const typeOf = (datagram: Datagram): number => datagram.payload.readUInt32LE(0);

for (const { a, b, title } of PAIRS) {
  describe(title, () => {
    for (const carrier of ["v4", "v6"] as const) {
      labTest(`sizes, padding and traffic class over IP${carrier}`, async (lab) => {
        const pair = await makePair(lab, { a, b, carrier });
        const capture = await Capture.start(lab, pair.b.namespace, pair.b.cable);
        await pingUntil(pair.a.namespace, pair.b.inner4);
        // 28 + 101 bytes, which is no multiple of 16.
        const size = ["-s", "101", "-Q", `${ECT_0}`];
        await pair.a.namespace.exec(["ping", "-n", "-c", "3", "-i", "0.1", ...size, pair.b.inner4]);
        const padded = Math.ceil((28 + 101) / 16) * 16 + TRANSPORT_OVERHEAD;
        const sent = await until("the pings are in the capture", () => {
          const seen = capture.datagrams();
          const large = seen.filter(({ payload }) => payload.length === padded);
          return large.length >= 6 ? seen : undefined;
        });
        await capture.stop();
        expect(sent.map(typeOf)).toEqual(expect.arrayContaining([1, 2, 4]));
        for (const datagram of sent) {
          const type = typeOf(datagram);
          expect(datagram.family).toBe(carrier === "v4" ? 4 : 6);
          if (type === 4) expect((datagram.payload.length - TRANSPORT_OVERHEAD) % 16).toBe(0);
          else expect(datagram.payload.length).toBe(SIZES[type]);
        }
        const initiation = sent.find((datagram) => typeOf(datagram) === 1);
        const response = sent.find((datagram) => typeOf(datagram) === 2);
        if (a === "wirehaul") {
          expect(initiation?.trafficClass).toBe(HANDSHAKE_CLASS);
          const requests = sent.filter(
            ({ payload, targetPort }) => payload.length === padded && targetPort === 51820,
          );
          expect(requests.map(({ trafficClass }) => trafficClass)).toEqual([ECT_0, ECT_0, ECT_0]);
        }
        if (b === "wirehaul") expect(response?.trafficClass).toBe(HANDSHAKE_CLASS);
      });
    }
  });
}
