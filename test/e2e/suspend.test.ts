/**
 * A program that stands still (SIGSTOP) under traffic and goes on. First with sessions that outlive it; then for five minutes of its
 * own time: its clocks leap while it is stopped, as CLOCK_BOOTTIME does on a machine that sleeps. WIREHAUL_SUSPEND_SECONDS=300 really
 * waits, instead of 20 seconds. Every moment of it in virtual time: test/sim/sleep.test.ts.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { ping, pingUntil } from "../../src/cli/demo/measure.ts";
import { innerOf, LISTEN_PORT, makePair, type Pair } from "../../src/cli/demo/pair.ts";
import { FakeClock } from "./harness/fake-clock.ts";
import { labTest } from "./harness/lab-test.ts";
import { PingStream } from "./harness/ping-stream.ts";
import { statusOf } from "./harness/status.ts";

const SECONDS = Number(process.env["WIREHAUL_SUSPEND_SECONDS"] ?? 20);
/** WP 6.1 REJECT_AFTER_TIME. */
const SESSION_SECONDS = 180;
/** A retry of an initiation, twice, and what this machine needs. */
const RECOVERY_MAX_MS = 30_000;
const RSS_GROWTH_MAX = 16 << 20;

/** Stops one side of a pair, or both, for a while; what it was before and is after. */
async function stand(pair: Pair, sides: readonly ("a" | "b")[]): Promise<void> {
  const ends = sides.map((side) => pair[side]);
  const stream = await PingStream.start(pair.a.namespace, pair.b.inner4, { intervalMs: 10 });
  const back = await PingStream.start(pair.b.namespace, pair.a.inner4, { intervalMs: 10 });
  const before = await Promise.all(ends.map(({ node }) => statusOf(node.name)));
  for (const { node } of ends) node.program.signal("SIGSTOP");
  await sleep(SECONDS * 1000);
  for (const { node } of ends) node.program.signal("SIGCONT");
  await stream.flows(RECOVERY_MAX_MS);
  await back.flows(RECOVERY_MAX_MS);
  await stream.stop();
  await back.stop();
  for (const [index, { node }] of ends.entries()) {
    const after = await statusOf(node.name);
    const earlier = before[index]!;
    if (SECONDS >= SESSION_SECONDS) {
      expect(after.peers[0]!.handshakes).toBeGreaterThan(earlier.peers[0]!.handshakes);
    }
    expect(after.process.descriptors).toBe(earlier.process.descriptors);
    expect(after.process.residentBytes - earlier.process.residentBytes).toBeLessThan(
      RSS_GROWTH_MAX,
    );
    expect(after.indexes).toBeLessThanOrEqual(4);
    expect(after.handshakeQueue).toBe(0);
    expect(node.program.output).not.toContain("ERROR");
  }
  expect((await ping(pair.a.namespace, pair.b.inner6, { count: 20 })).received).toBe(20);
}

labTest(
  `SIGSTOP for ${SECONDS} s under traffic, of either side and of both`,
  async (lab) => {
    const cases = [["a"], ["b"], ["a", "b"]] as const;
    const pairs: Pair[] = [];
    for (const [index] of cases.entries()) {
      const pair = await makePair(lab, { a: "wirehaul", b: "wirehaul", label: `${index}` });
      await pingUntil(pair.a.namespace, pair.b.inner4);
      pairs.push(pair);
    }
    // At once: it is waiting, most of it.
    await Promise.all(cases.map((sides, index) => stand(pairs[index]!, sides)));
  },
  (SECONDS + 90) * 1000,
);

labTest("SIGSTOP while five minutes pass for it", async (lab, context) => {
  const clock = new FakeClock(lab, context, "all");
  const pair = await makePair(lab, { a: "wirehaul", b: "wirehaul" });
  const { a, b } = pair;
  await b.node.stop();
  const leaper = await b.node.startAgain(clock.environment);
  for (const path of FakeClock.leftovers(leaper.program.pid)) lab.leftover(path);
  await leaper.configure(
    [{ publicKey: a.node.keys.publicKey, allowedIps: innerOf(a) }],
    LISTEN_PORT,
  );
  await leaper.up([`${b.inner4}/24`, `${b.inner6}/64`]);
  await pingUntil(a.namespace, b.inner4);
  const stream = await PingStream.start(a.namespace, b.inner4, { intervalMs: 10 });
  await stream.flows();
  const before = await statusOf(leaper.name);

  leaper.program.signal("SIGSTOP");
  clock.shift(300);
  await sleep(2_000);
  leaper.program.signal("SIGCONT");
  await stream.flows(RECOVERY_MAX_MS);
  const { longestGapMs } = await stream.stop();
  console.log(`after five minutes in two seconds: longest gap ${Math.round(longestGapMs)} ms`);

  const after = await statusOf(leaper.name);
  // What lay in its socket was sealed under a key that is too old by its clock, though not by its peer's.
  expect((after.drops["expiredKey"] ?? 0) - (before.drops["expiredKey"] ?? 0)).toBeGreaterThan(0);
  expect(after.peers[0]!.handshakes).toBeGreaterThan(before.peers[0]!.handshakes);
  expect(after.process.descriptors).toBe(before.process.descriptors);
  expect(leaper.program.output).not.toContain("ERROR");
  expect((await ping(a.namespace, b.inner6, { count: 20 })).received).toBe(20);
});
