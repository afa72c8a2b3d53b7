/** A link that is set down is silent, and goes on where it was when it is set up again. */
import { describe, expect } from "vitest";
import { ping, pingUntil } from "../../src/cli/demo/measure.ts";
import { makePair } from "../../src/cli/demo/pair.ts";
import { labTest } from "./harness/lab-test.ts";
import { PAIRS } from "./harness/subject.ts";

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
