/** A link that is set down is silent, and goes on where it was when it is set up again. */
import { describe, expect } from "vitest";
import { ping, pingUntil } from "../../src/cli/demo/measure.ts";
import { makePair } from "../../src/cli/demo/pair.ts";
import { until } from "../../src/control/linux/command.ts";
import { socketsOn } from "./harness/bound-sockets.ts";
import { labTest } from "./harness/lab-test.ts";
import { PAIRS, SUBJECT } from "./harness/subject.ts";

for (const { a, b, title } of PAIRS) {
  describe(title, () => {
    for (const which of ["a", "b"] as const) {
      labTest(`the ${which === "a" ? "initiator" : "responder"} goes down and up`, async (lab) => {
        const pair = await makePair(lab, { a, b });
        await pingUntil(pair.a.namespace, pair.b.inner4);
        const { node, namespace, inner6 } = pair[which];
        const other = pair[which === "a" ? "b" : "a"];
        const port = await node.listenPort();
        for (let round = 0; round < 2; round++) {
          await namespace.ip([`link set dev ${node.name} down`]);
          const silent = await ping(other.namespace, pair[which].inner4, {
            count: 2,
            waitSeconds: 1,
          });
          expect(silent.received).toBe(0);
          expect(await node.listenPort()).toBe(port);
          // The kernel takes IPv6 addresses away from a link that goes down.
          await node.up([`${inner6}/64`]);
          await pingUntil(namespace, other.inner4, 40_000);
          expect((await ping(other.namespace, pair[which].inner4)).received).toBe(3);
          expect((await ping(other.namespace, inner6)).received).toBe(3);
          expect(await node.listenPort()).toBe(port);
        }
      });
    }
  });
}

const FLIPS = 25;

for (const lanes of [1, 3]) {
  labTest(`down and up at once, ${FLIPS} times, with lanes=${lanes}`, async (lab) => {
    const environment = { WIREHAUL_LANES: `${lanes}` };
    const { a, b } = await makePair(lab, { a: SUBJECT, b: SUBJECT, environment });
    await pingUntil(a.namespace, b.inner4);
    const port = await a.node.listenPort();
    for (let flip = 0; flip < FLIPS; flip++) {
      await a.namespace.ip([`link set dev ${a.node.name} down`, `link set dev ${a.node.name} up`]);
      await pingUntil(a.namespace, b.inner4);
      expect(await a.node.listenPort()).toBe(port);
      expect(await socketsOn(a.namespace, port)).toBe(2 * lanes);
    }
    expect(a.node.program.output).not.toContain("ERROR");
  });
}

labTest("a port that was taken while it was down is opened when it is free", async (lab) => {
  const { a, b } = await makePair(lab, { a: SUBJECT, b: SUBJECT });
  await pingUntil(a.namespace, b.inner4);
  const port = await a.node.listenPort();
  await a.namespace.ip([`link set dev ${a.node.name} down`]);
  await until("the port is free", async () => (await socketsOn(a.namespace, port)) === 0);
  const squatter = a.namespace.spawn([
    process.execPath,
    "-e",
    `require("dgram").createSocket("udp4").bind(${port})`,
  ]);
  await until("it is taken", async () => (await socketsOn(a.namespace, port)) === 1);
  await a.namespace.ip([`link set dev ${a.node.name} up`]);
  const problem = `Unable to open UDP port ${port}: EADDRINUSE`;
  await until("the log tells", () => a.node.program.output.includes(problem));
  await squatter.stop();
  await until("the port is ours", async () => (await socketsOn(a.namespace, port)) === 2);
  await pingUntil(a.namespace, b.inner4, 40_000);
  expect(a.node.program.output.split(problem)).toHaveLength(2);
});
