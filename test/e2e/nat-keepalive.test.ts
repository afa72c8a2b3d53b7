/**
 * Behind a NAT that forgets a flow after 2 s, a persistent keepalive of 1 s keeps the way in open; without, it closes. A NAT that
 * gives the flow another port afterwards is followed within the session.
 */
import { describe, expect } from "vitest";
import type { Lab, Namespace } from "../../src/cli/demo/lab.ts";
import { ping, pingUntil } from "../../src/cli/demo/measure.ts";
import { WireguardNode } from "../../src/cli/demo/wireguard-node.ts";
import { until } from "../../src/control/linux/command.ts";
import { labTest } from "./harness/lab-test.ts";
import { knownFlows, makeNatGateway, setNatPort, UDP_TIMEOUT_SECONDS } from "./harness/nat.ts";
import { PAIRS, type Roles } from "./harness/subject.ts";

const KEEPALIVE_BYTES = 32;
const PORT = 51820;
const OTHER_PORT = 40_007;

interface Ends {
  readonly inside: WireguardNode;
  readonly outside: WireguardNode;
  readonly gateway: Namespace;
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
  return { inside, outside, gateway };
}

async function untilForgotten(gateway: Namespace): Promise<void> {
  await until("the NAT knows no flow", async () => (await knownFlows(gateway)) === 0, 9_000);
}

for (const roles of PAIRS) {
  describe(roles.title, () => {
    labTest("with a keepalive of 1 s, pings come in after 5 s of silence", async (lab) => {
      const { inside, outside, gateway } = await makeNatted(lab, roles, 1);
      const peer = await outside.peer(inside.keys.publicKey);
      expect(peer.endpoint).toMatch(/^192\.0\.2\.254:/);
      await until("6 keepalives came", async () => {
        expect(await knownFlows(gateway)).toBeGreaterThan(0);
        const { rxBytes } = await outside.peer(inside.keys.publicKey);
        return rxBytes - peer.rxBytes >= 6 * KEEPALIVE_BYTES;
      });
      expect((await ping(outside.namespace, "10.77.0.1")).received).toBe(3);
    });

    labTest("without a keepalive the NAT closes, until the inner side speaks", async (lab) => {
      const { inside, outside, gateway } = await makeNatted(lab, roles, 0);
      const before = await outside.peer(inside.keys.publicKey);
      expect((await ping(outside.namespace, "10.77.0.1", { count: 1 })).received).toBe(1);
      // In less than the 10 s after which the inner side would send a keepalive.
      await untilForgotten(gateway);
      const shut = await ping(outside.namespace, "10.77.0.1", { count: 3, waitSeconds: 1 });
      expect(shut.received).toBe(0);
      expect((await ping(inside.namespace, "10.77.0.2")).received).toBe(3);
      expect((await ping(outside.namespace, "10.77.0.1")).received).toBe(3);

      await untilForgotten(gateway);
      await setNatPort(gateway, OTHER_PORT);
      expect((await ping(inside.namespace, "10.77.0.2")).received).toBe(3);
      const after = await outside.peer(inside.keys.publicKey);
      expect(after.endpoint).toBe(`192.0.2.254:${OTHER_PORT}`);
      expect(after.latestHandshake).toBe(before.latestHandshake);
      expect((await ping(outside.namespace, "10.77.0.1")).received).toBe(3);

      // From now on the inner side keeps it open by itself, beginning at once.
      await untilForgotten(gateway);
      await inside.set(["peer", outside.keys.publicKey, "persistent-keepalive", "1"]);
      await pingUntil(outside.namespace, "10.77.0.1", (1 + UDP_TIMEOUT_SECONDS) * 1000);
    });
  });
}
