/** One real rekey: after 120 s the initiator makes a new session, and not one ping is lost. All pairs run at once. */
import { expect } from "vitest";
import { ping, pingUntil } from "../../src/cli/demo/measure.ts";
import { makePair } from "../../src/cli/demo/pair.ts";
import { labTest } from "./harness/lab-test.ts";
import { PAIRS } from "./harness/subject.ts";

const REKEY_AFTER_SECONDS = 120;
const INTERVAL_SECONDS = 0.1;
const WATCH_SECONDS = REKEY_AFTER_SECONDS + 12;

labTest(
  "the session is renewed after 120 s without the loss of a ping",
  async (lab) => {
    const pairs = await Promise.all(
      PAIRS.map(async ({ a, b, title }, index) => {
        const pair = await makePair(lab, { a, b, label: `${index}` });
        await pingUntil(pair.a.namespace, pair.b.inner4);
        return { pair, title };
      }),
    );
    await Promise.all(
      pairs.map(async ({ pair, title }) => {
        const key = pair.b.node.keys.publicKey;
        const before = await pair.a.node.peer(key);
        expect(before.latestHandshake, title).toBeGreaterThan(0);
        const result = await ping(pair.a.namespace, pair.b.inner4, {
          count: WATCH_SECONDS / INTERVAL_SECONDS,
          intervalSeconds: INTERVAL_SECONDS,
        });
        const after = await pair.a.node.peer(key);
        const apart = after.latestHandshake - before.latestHandshake;
        expect(apart, title).toBeGreaterThanOrEqual(REKEY_AFTER_SECONDS - 1);
        expect(apart, title).toBeLessThan(WATCH_SECONDS);
        expect(result.received, title).toBe(result.sent);
        const seenByB = await pair.b.node.peer(pair.a.node.keys.publicKey);
        expect(Math.abs(seenByB.latestHandshake - after.latestHandshake), title).toBeLessThan(2);
      }),
    );
  },
  240_000,
);
