/** Behind a NAT that forgets a flow after 2 s, a persistent keepalive of 1 s keeps the way in open; without, it closes. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect } from "vitest";
import { until } from "../../src/cli/demo/command.ts";
import type { Lab } from "../../src/cli/demo/lab.ts";
import { ping, pingUntil } from "../../src/cli/demo/measure.ts";
import { WireguardNode } from "../../src/cli/demo/wireguard-node.ts";
import { labTest } from "./harness/lab-test.ts";
import { makeNatGateway, UDP_TIMEOUT_SECONDS } from "./harness/nat.ts";
import { PAIRS, type Roles } from "./harness/subject.ts";

const KEEPALIVE_BYTES = 32;
const PORT = 51820;

interface Ends {
  readonly inside: WireguardNode;
  readonly outside: WireguardNode;
}

/** inside (10.99.0.2) - gateway (10.99.0.1, 192.0.2.254) - outside (192.0.2.2) */
async function makeNatted(lab: Lab, roles: Roles, keepaliveSeconds: number): Promise<Ends> {
  const hidden = await lab.namespace("in");
  const gateway = await lab.namespace("gw");
  const world = await lab.namespace("ou");
  await lab.cable(
    { namespace: hidden, name: lab.name("v0"), addresses: ["10.99.0.2/24"] },
    { namespace: gateway, name: lab.name("v1"), addresses: ["10.99.0.1/24"] },
  );
  await lab.cable(
    { namespace: gateway, name: lab.name("v2"), addresses: ["192.0.2.254/24"] },
    { namespace: world, name: lab.name("v3"), addresses: ["192.0.2.2/24"] },
  );
  await hidden.ip(["route add default via 10.99.0.1"]);
  await makeNatGateway(gateway, lab.name("v2"));
  const inside = await WireguardNode.start(lab, {
    implementation: roles.a,
    namespace: hidden,
    label: "w0",
  });
  const outside = await WireguardNode.start(lab, {
    implementation: roles.b,
    namespace: world,
    label: "w1",
  });
  await outside.configure(
    [{ publicKey: inside.keys.publicKey, allowedIps: ["10.77.0.1/32"] }],
    PORT,
  );
  await inside.configure([
    {
      publicKey: outside.keys.publicKey,
      allowedIps: ["10.77.0.2/32"],
      endpoint: `192.0.2.2:${PORT}`,
      keepaliveSeconds,
    },
  ]);
  await outside.up(["10.77.0.2/24"]);
  await inside.up(["10.77.0.1/24"]);
  await pingUntil(hidden, "10.77.0.2");
  return { inside, outside };
}

for (const roles of PAIRS) {
  describe(roles.title, () => {
    labTest("with a keepalive of 1 s, pings come in after 5 s of silence", async (lab) => {
      const { inside, outside } = await makeNatted(lab, roles, 1);
      const peer = await outside.peer(inside.keys.publicKey);
      expect(peer.endpoint).toMatch(/^192\.0\.2\.254:/);
      await until("6 keepalives came", async () => {
        const { rxBytes } = await outside.peer(inside.keys.publicKey);
        return rxBytes - peer.rxBytes >= 6 * KEEPALIVE_BYTES;
      });
      expect((await ping(outside.namespace, "10.77.0.1")).received).toBe(3);
    });

    labTest("without a keepalive the NAT closes, until the inner side speaks", async (lab) => {
      const { inside, outside } = await makeNatted(lab, roles, 0);
      expect((await ping(outside.namespace, "10.77.0.1", { count: 1 })).received).toBe(1);
      // The time that passes is what is tested: shorter than the 10 s after which the inner side sends a keepalive.
      await sleep((UDP_TIMEOUT_SECONDS + 1.5) * 1000);
      const shut = await ping(outside.namespace, "10.77.0.1", { count: 3, waitSeconds: 1 });
      expect(shut.received).toBe(0);
      expect((await ping(inside.namespace, "10.77.0.2")).received).toBe(3);
      expect((await ping(outside.namespace, "10.77.0.1")).received).toBe(3);
    });
  });
}
