/** Under a flood of initiations that cost the responder a Diffie-Hellman each, cookies are asked for, and an honest peer still gets in. */
import { fileURLToPath } from "node:url";
import { describe, expect } from "vitest";
import type { Background } from "../../src/cli/demo/command.ts";
import { addressLine } from "../../src/cli/demo/lab.ts";
import { pingUntil } from "../../src/cli/demo/measure.ts";
import { endpointOf, innerOf, LISTEN_PORT, makePair, type Pair } from "../../src/cli/demo/pair.ts";
import { labTest } from "./harness/lab-test.ts";
import { PAIRS, REFERENCE, SUBJECT } from "./harness/subject.ts";

const FLOOD = fileURLToPath(new URL("./harness/flood.mjs", import.meta.url));
const BURST = 1500;

interface FloodCount {
  readonly sent: number;
  readonly cookies: number;
  readonly others: number;
}

async function startFlood(pair: Pair, carrier: "v4" | "v6", burst: number): Promise<Background> {
  const source = carrier === "v4" ? "192.0.2.66" : "2001:db8::66";
  const target = carrier === "v4" ? pair.b.outer4 : pair.b.outer6;
  const length = carrier === "v4" ? 24 : 64;
  await pair.a.namespace.ip([addressLine(`${source}/${length}`, pair.a.cable)]);
  const flood = pair.a.namespace.spawn([
    process.execPath,
    FLOOD,
    target,
    `${LISTEN_PORT}`,
    pair.b.node.keys.publicKey,
    source,
    `${burst}`,
  ]);
  await flood.waitFor("flooding");
  return flood;
}

/** Makes A forget its session with B: what it says next is an initiation without a cookie. */
async function forgetPeer({ a, b }: Pair, carrier: "v4" | "v6"): Promise<void> {
  const { publicKey } = b.node.keys;
  await a.node.set(["peer", publicKey, "remove"]);
  await a.node.set([
    ...["peer", publicKey, "allowed-ips", innerOf(b).join(",")],
    ...["endpoint", endpointOf(b, carrier)],
  ]);
}

async function stopFlood(flood: Background): Promise<FloodCount> {
  expect(flood.isRunning).toBe(true);
  const { stdout } = await flood.stop();
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as FloodCount;
}

for (const { a, b, title } of PAIRS) {
  describe(title, () => {
    for (const carrier of ["v4", "v6"] as const) {
      labTest(
        `a handshake completes during a flood over IP${carrier}`,
        async (lab) => {
          const pair = await makePair(lab, { a, b, carrier });
          await pingUntil(pair.a.namespace, pair.b.inner4);
          const flood = await startFlood(pair, carrier, BURST);
          await flood.waitFor("cookie");
          await forgetPeer(pair, carrier);
          await pingUntil(pair.a.namespace, pair.b.inner4, 75_000);
          const peer = await pair.b.node.peer(pair.a.node.keys.publicKey);
          expect(peer.latestHandshake).toBeGreaterThan(0);
          const count = await stopFlood(flood);
          expect(count.cookies).toBeGreaterThan(0);
          if (a === SUBJECT && b === SUBJECT && SUBJECT !== REFERENCE) {
            expect(pair.a.node.program.output).toContain("Received cookie reply");
          }
          // Nothing else is ever sent to those who do not know a peer's key.
          expect(count.others).toBe(0);
        },
        120_000,
      );
    }

    labTest("without load nobody is asked for a cookie", async (lab) => {
      const pair = await makePair(lab, { a, b });
      const flood = await startFlood(pair, "v4", 1);
      await pingUntil(pair.a.namespace, pair.b.inner4);
      const count = await stopFlood(flood);
      expect(count).toEqual({ sent: count.sent, cookies: 0, others: 0 });
    });
  });
}
