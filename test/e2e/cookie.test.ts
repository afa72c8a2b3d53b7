/**
 * Under a flood of initiations that cost the responder a Diffie-Hellman each, cookies are asked for, and an honest peer still gets in.
 * What comes from one source is shed by the kernel, and then nobody is asked for anything.
 */
import { fileURLToPath } from "node:url";
import { describe, expect } from "vitest";
import { addressLine } from "../../src/cli/demo/lab.ts";
import { pingUntil } from "../../src/cli/demo/measure.ts";
import { endpointOf, innerOf, LISTEN_PORT, makePair, type Pair } from "../../src/cli/demo/pair.ts";
import { type Background, until } from "../../src/control/linux/command.ts";
import { labTest } from "./harness/lab-test.ts";
import { statusOf } from "./harness/status.ts";
import { PAIRS, REFERENCE, SUBJECT } from "./harness/subject.ts";

const FLOOD = fileURLToPath(new URL("./harness/flood.mjs", import.meta.url));
const BURST = 1500;

interface FloodCount {
  readonly sent: number;
  readonly cookies: number;
  readonly others: number;
}

/** Addresses of the flood, in a network where the honest have none: IPv6 sources are limited by their /64. */
const SOURCES = 8;

/** From `sources` addresses; the first octet or group after the prefix tells them apart. */
async function startFlood(
  { a, b }: Pair,
  carrier: "v4" | "v6",
  burst: number,
  sources: number,
): Promise<Background> {
  const prefix = carrier === "v4" ? "198.51.100." : "2001:db8:0:66::";
  const length = carrier === "v4" ? 24 : 64;
  const addresses = Array.from({ length: sources }, (_, index) => `${prefix}${66 + index}`);
  await a.namespace.ip(addresses.map((address) => addressLine(`${address}/${length}`, a.cable)));
  await b.namespace.ip([addressLine(`${prefix}2/${length}`, b.cable)]);
  const flood = a.namespace.spawn([
    process.execPath,
    FLOOD,
    `${prefix}2`,
    `${LISTEN_PORT}`,
    b.node.keys.publicKey,
    addresses.join(","),
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
          const flood = await startFlood(pair, carrier, BURST, SOURCES);
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

    if (b === SUBJECT && SUBJECT !== REFERENCE) {
      for (const carrier of ["v4", "v6"] as const) {
        labTest(
          `from one address it is shed, and a neighbour gets in, over IP${carrier}`,
          async (lab) => {
            const pair = await makePair(lab, { a, b, carrier });
            await pingUntil(pair.a.namespace, pair.b.inner4);
            const flood = await startFlood(pair, carrier, BURST, 1);
            const shed = await until("the flood is shed", async () => {
              return (await statusOf(pair.b.node.name)).shedding ?? undefined;
            });
            expect(shed).toBe(carrier === "v4" ? "198.51.100.66" : "2001:db8:0:66::66");
            // The flood goes on, its load passes.
            await until(
              "there is no load",
              async () => !(await statusOf(pair.b.node.name)).isUnderLoad,
            );
            const before = await statusOf(pair.b.node.name);
            const sent = performance.now();
            await forgetPeer(pair, carrier);
            await pingUntil(pair.a.namespace, pair.b.inner4);
            // Without a cookie, which would take another initiation, five seconds later.
            expect(performance.now() - sent).toBeLessThan(4_000);
            const after = await statusOf(pair.b.node.name);
            expect(after.shedding).toBe(shed);
            expect(after.floods).toBe(before.floods);
            const came = after.lane.datagramsReceived - before.lane.datagramsReceived;
            const { sent: total } = await stopFlood(flood);
            expect(came).toBeLessThan(total / 10);
          },
        );
      }
    }

    labTest("without load nobody is asked for a cookie", async (lab) => {
      const pair = await makePair(lab, { a, b });
      const flood = await startFlood(pair, "v4", 1, 1);
      await pingUntil(pair.a.namespace, pair.b.inner4);
      const count = await stopFlood(flood);
      expect(count).toEqual({ sent: count.sent, cookies: 0, others: 0 });
    });
  });
}
