/** A peer that gets a new address and a new port is followed, within the session it has. */
import { describe, expect } from "vitest";
import { addressLine } from "../../src/cli/demo/lab.ts";
import { ping, pingUntil } from "../../src/cli/demo/measure.ts";
import { makePair, type PairEnd } from "../../src/cli/demo/pair.ts";
import { until } from "../../src/control/linux/command.ts";
import { labTest } from "./harness/lab-test.ts";
import { PAIRS } from "./harness/subject.ts";

const NEW_PORT = 40_001;

/** Takes the end's cable address away and gives it another one. */
async function renumber(end: PairEnd, carrier: "v4" | "v6"): Promise<string> {
  const old = carrier === "v4" ? `${end.outer4}/24` : `${end.outer6}/64`;
  const next = carrier === "v4" ? "192.0.2.77" : "2001:db8::77";
  await end.namespace.ip([
    `address del ${old} dev ${end.cable}`,
    addressLine(`${next}/${carrier === "v4" ? 24 : 64}`, end.cable),
  ]);
  return carrier === "v4" ? next : `[${next}]`;
}

for (const { a, b, title } of PAIRS) {
  describe(title, () => {
    for (const carrier of ["v4", "v6"] as const) {
      for (const mover of ["a", "b"] as const) {
        const who = mover === "a" ? "initiator" : "responder";
        labTest(
          `the ${who} moves to a new IP${carrier} address, then to a new port`,
          async (lab) => {
            const pair = await makePair(lab, { a, b, carrier });
            await pingUntil(pair.a.namespace, pair.b.inner4);
            const moved = pair[mover];
            const stayed = pair[mover === "a" ? "b" : "a"];
            const before = await stayed.node.peer(moved.node.keys.publicKey);

            const address = await renumber(moved, carrier);
            await pingUntil(moved.namespace, stayed.inner4);
            const port = await moved.node.listenPort();
            await until("the endpoint has the new address", async () => {
              const { endpoint } = await stayed.node.peer(moved.node.keys.publicKey);
              return endpoint === `${address}:${port}`;
            });
            expect((await ping(stayed.namespace, moved.inner4)).received).toBe(3);

            await moved.node.set(["listen-port", `${NEW_PORT}`]);
            await pingUntil(moved.namespace, stayed.inner4);
            const after = await stayed.node.peer(moved.node.keys.publicKey);
            expect(after.endpoint).toBe(`${address}:${NEW_PORT}`);
            expect((await ping(stayed.namespace, moved.inner6)).received).toBe(3);
            // Since Linux 5.x a vanished IPv4 source is ENETUNREACH, which wireguard-go 0.0.20220316 takes for "no route": it needs
            // a new handshake to get over it.
            const isStuck = moved.node.implementation === "wireguard-go" && carrier === "v4";
            if (!isStuck) expect(after.latestHandshake).toBe(before.latestHandshake);
          },
        );
      }
    }
  });
}
