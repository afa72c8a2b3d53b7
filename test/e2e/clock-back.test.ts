/**
 * The wall clock of one side is an hour back after a restart. Initiations bear the time (whitepaper 5.1), so its
 * peer takes them for replays, whether it is wirehaul or wireguard-go; what the other side begins works, and so does all after it.
 * The machine's clock stays as it is: libfaketime moves the program's. In virtual time: test/sim/clock-back.test.ts.
 */
import { expect, type TestContext } from "vitest";
import type { Implementation } from "../../src/cli/demo/implementations.ts";
import type { Lab } from "../../src/cli/demo/lab.ts";
import { ping, pingUntil } from "../../src/cli/demo/measure.ts";
import { endpointOf, innerOf, makePair, type Pair } from "../../src/cli/demo/pair.ts";
import type { WireguardNode } from "../../src/cli/demo/wireguard-node.ts";
import { until } from "../../src/control/linux/command.ts";
import { FakeClock } from "./harness/fake-clock.ts";
import { labTest } from "./harness/lab-test.ts";
import { statusOf } from "./harness/status.ts";
import { REFERENCE } from "./harness/subject.ts";

const HOUR = 3600;
/** 15 s without an answer, a retry of an initiation, and what this machine needs. */
const RECOVERY_MAX_MS = 45_000;

/** Starts a's program again with the clock; its port is 51821, which b is told of. */
async function restart(lab: Lab, pair: Pair, clock: FakeClock): Promise<WireguardNode> {
  const { a, b } = pair;
  await a.node.stop();
  const again = await a.node.startAgain(clock.environment);
  for (const path of FakeClock.leftovers(again.program.pid)) lab.leftover(path);
  const peer = {
    publicKey: b.node.keys.publicKey,
    allowedIps: innerOf(b),
    endpoint: endpointOf(b, "v4"),
  };
  await again.configure([peer], 51_821);
  await again.up([`${a.inner4}/24`, `${a.inner6}/64`]);
  await b.node.set(["peer", a.node.keys.publicKey, "endpoint", endpointOf(a, "v4", 51_821)]);
  return again;
}

/** a has tried `more` times and was not heard. */
async function triesInVain(pair: Pair, name: string, more: number): Promise<void> {
  const { initiations, handshakes } = (await statusOf(name)).peers[0]!;
  // One packet is a need with twenty retries; as long as it waits there is one attempt after the other.
  expect((await ping(pair.a.namespace, pair.b.inner4, { count: 1, waitSeconds: 1 })).received).toBe(
    0,
  );
  await until(`${more} more initiations`, async () => {
    return (await statusOf(name)).peers[0]!.initiations >= initiations + more;
  });
  expect((await statusOf(name)).peers[0]!.handshakes).toBe(handshakes);
}

async function goBack(
  lab: Lab,
  context: TestContext,
  other: Implementation,
  label: string,
): Promise<void> {
  const clock = new FakeClock(lab, context, "wall", label);
  const pair = await makePair(lab, { a: "wirehaul", b: other, label });
  const { a, b } = pair;
  await pingUntil(a.namespace, b.inner4);
  clock.shift(-HOUR);
  const again = await restart(lab, pair, clock);
  await triesInVain(pair, again.name, 2);
  if (other === "wirehaul") {
    expect((await statusOf(b.node.name)).drops["badHandshake"]).toBeGreaterThan(0);
  } else {
    expect(b.node.program.output).toContain("Received invalid initiation message");
  }
  // b still holds a session that a has no more. It takes b 15 s without an answer to begin anew, and then both are heard.
  await pingUntil(b.namespace, a.inner4, RECOVERY_MAX_MS);
  expect((await ping(a.namespace, b.inner6, { count: 20 })).received).toBe(20);
  const shown = (await statusOf(again.name)).peers[0]!;
  expect(shown).toMatchObject({ handshakes: 1, sessions: ["current"] });
  // By its own clock.
  expect(Math.abs(Date.now() - HOUR * 1000 - shown.lastHandshakeMs)).toBeLessThan(120_000);
  expect(again.program.output).not.toContain("ERROR");
}

labTest(
  "a restart with the clock an hour back, its peers are wirehaul and wireguard-go",
  async (lab, context) => {
    // At once: it is waiting, most of it.
    await Promise.all([
      goBack(lab, context, "wirehaul", "w"),
      goBack(lab, context, REFERENCE, "g"),
    ]);
  },
);
