/** How long a tunnel needs to be of use: from the start of the program to the first packet answered through it. */
import type { Lab } from "../src/cli/demo/lab.ts";
import { pingUntil } from "../src/cli/demo/measure.ts";
import { endpointOf, innerOf, type Pair } from "../src/cli/demo/pair.ts";
import { WireguardNode } from "../src/cli/demo/wireguard-node.ts";
import { TUNNEL_MTU } from "./contestant.ts";

/**
 * Ends A's program and starts it anew, with the same keys: milliseconds until B, which has run on, answers a ping. `wg`, `ip`
 * and `ping` take part of that, some 20 ms, for all alike.
 */
export async function startMilliseconds(lab: Lab, pair: Pair): Promise<number> {
  const { a, b } = pair;
  await a.node.stop();
  const start = performance.now();
  const node = WireguardNode.launch(lab, {
    implementation: a.node.implementation,
    namespace: a.namespace,
    label: "anew",
  });
  node.keys = a.node.keys;
  await node.waitUntilReady();
  await node.configure([
    {
      publicKey: b.node.keys.publicKey,
      allowedIps: innerOf(b),
      endpoint: endpointOf(b, "v4"),
    },
  ]);
  await node.up([`${a.inner4}/24`], TUNNEL_MTU);
  await pingUntil(a.namespace, b.inner4);
  return performance.now() - start;
}
