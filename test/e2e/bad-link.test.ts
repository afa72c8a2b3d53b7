/** A link that loses, delays, reorders and doubles datagrams: handshakes get through, streams flow, nothing arrives twice. */
import { describe, expect } from "vitest";
import { iperf, ping, pingUntil } from "../../src/cli/demo/measure.ts";
import { makePair } from "../../src/cli/demo/pair.ts";
import { labTest } from "./harness/lab-test.ts";
import { PAIRS } from "./harness/subject.ts";
import { UdpProxy } from "./harness/udp-proxy.ts";

const RELAY_PORT = 40_000;

for (const { a, b, title } of PAIRS) {
  describe(title, () => {
    labTest("5 % loss, 10 % doubled, 10 ms plus or minus 8", async (lab) => {
      const pair = await makePair(lab, { a, b });
      const relay = await UdpProxy.start(pair.a.namespace, {
        listen: ["192.0.2.1", RELAY_PORT],
        target: ["192.0.2.2", 51_820],
        delayMs: 10,
        jitterMs: 8,
        loss: 0.05,
        duplicate: 0.1,
        seed: 7,
      });
      const key = pair.b.node.keys.publicKey;
      await pair.a.node.set(["peer", key, "endpoint", `192.0.2.1:${RELAY_PORT}`]);
      await pingUntil(pair.a.namespace, pair.b.inner4, 40_000);
      const result = await ping(pair.a.namespace, pair.b.inner4, {
        count: 200,
        intervalSeconds: 0.02,
      });
      expect(result.received).toBeGreaterThan(150);
      // ping prints a line for each answer, also for one that came twice.
      expect(result.roundTrips).toHaveLength(result.received);
      const tcp = await iperf(pair.a.namespace, pair.b.namespace, pair.b.inner4, { seconds: 3 });
      expect(tcp.bytes).toBeGreaterThan(100_000);
      const count = await relay.stop();
      expect(count.lost).toBeGreaterThan(0);
      expect(count.doubled).toBeGreaterThan(0);
    });
  });
}
