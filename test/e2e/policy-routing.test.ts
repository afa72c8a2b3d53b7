/**
 * The default route through the tunnel as wg-quick makes it, of both families: what the tunnel itself sends bears the mark and
 * leaves by the main table, nothing else leaves beside it but what has a route of its own. The counts are the kernel's.
 */
import { describe, expect } from "vitest";
import { addressLine, type Lab } from "../../src/cli/demo/lab.ts";
import { iperf, ping, pingUntil } from "../../src/cli/demo/measure.ts";
import { LISTEN_PORT } from "../../src/cli/demo/pair.ts";
import { PacketCounters } from "./harness/counters.ts";
import { type End, join, peerOf, startEnd, withPort } from "./harness/ends.ts";
import { labTest } from "./harness/lab-test.ts";
import { connect, makeRouter } from "./harness/router.ts";
import { PAIRS, type Roles } from "./harness/subject.ts";

const MARK = 51_820;
const OTHER_MARK = 7;
const BYTES = 20_000_000;
const MANY = { count: 20 };
/** On the far side of the tunnel; in no table but by the default routes. */
const FAR = ["198.51.100.7", "2001:db8:f::7"] as const;
/** In the router, with routes of their own in the main table. */
const NEAR = ["203.0.113.9", "2001:db8:e::9"] as const;

interface Network {
  readonly a: End;
  readonly b: End;
  /** What leaves A's namespace by its cable. */
  readonly leaving: PacketCounters;
}

const alone = (address: string): string => `${address}/${address.includes(":") ? 128 : 32}`;

/** wg-quick(8) `add_default`: the table has the mark's number. */
async function setDefault(end: End): Promise<void> {
  for (const family of ["-4", "-6"]) {
    for (const line of [
      `route add default dev ${end.node.name} table ${MARK}`,
      `rule add not fwmark ${MARK} table ${MARK}`,
      "rule add table main suppress_prefixlength 0",
    ]) {
      await end.namespace.exec(["ip", family, ...line.split(" ")]);
    }
  }
}

async function makeNetwork(lab: Lab, roles: Roles, carrier: "v4" | "v6"): Promise<Network> {
  const router = await makeRouter(lab, "ro");
  const [an, bn] = [await lab.namespace("an"), await lab.namespace("bn")];
  const link = await connect(lab, { router, namespace: an, label: "1", net: 1 });
  const far = await connect(lab, { router, namespace: bn, label: "2", net: 2 });
  await router.ip(NEAR.map((address) => addressLine(alone(address), "lo")));
  await an.ip([
    `route add ${alone(NEAR[0])} via 10.1.0.1`,
    `route add ${alone(NEAR[1])} via 2001:db8:1::1`,
  ]);
  const a = await startEnd(lab, { implementation: roles.a, namespace: an, label: "aw", host: 1 });
  const b = await startEnd(lab, { implementation: roles.b, namespace: bn, label: "bw", host: 2 });
  await join(a, b, { endpoint: far[carrier], fwmark: MARK });
  const everything = { allowedIps: ["0.0.0.0/0", "::/0"], endpoint: withPort(far[carrier]) };
  await a.node.configure([peerOf(b, everything)], undefined, MARK);
  await bn.ip(FAR.map((address) => addressLine(alone(address), "lo")));
  await setDefault(a);
  const out = `oifname "${link.cable}"`;
  const tunnel = `${out} udp dport ${LISTEN_PORT}`;
  const leaving = await PacketCounters.start(an, {
    postrouting: {
      marked: `${tunnel} meta mark ${MARK}`,
      otherMark: `${tunnel} meta mark ${OTHER_MARK}`,
      unmarked: `${tunnel} meta mark 0`,
      near: `${out} ip daddr ${NEAR[0]} icmp type echo-request`,
      near6: `${out} ip6 daddr ${NEAR[1]} icmpv6 type echo-request`,
      strays: `${out} ip daddr ${FAR[0]}`,
      strays6: `${out} ip6 daddr ${FAR[1]}`,
      inside: `${out} ip daddr 10.77.0.0/16`,
      inside6: `${out} ip6 daddr fd77::/16`,
    },
  });
  await pingUntil(an, FAR[0]);
  return { a, b, leaving };
}

for (const roles of PAIRS) {
  describe(roles.title, () => {
    for (const carrier of ["v4", "v6"] as const) {
      labTest(`0.0.0.0/0 and ::/0 with a mark, over IP${carrier}`, async (lab) => {
        const { a, b, leaving } = await makeNetwork(lab, roles, carrier);
        const seen = await leaving.during(async () => {
          for (const far of FAR) expect((await ping(a.namespace, far, MANY)).received).toBe(20);
          for (const near of NEAR) expect((await ping(a.namespace, near)).received).toBe(3);
          expect((await ping(b.namespace, a.inner4)).received).toBe(3);
          const tcp = await iperf(a.namespace, b.namespace, FAR[0], { bytes: BYTES });
          expect(tcp.bytes).toBeGreaterThan(BYTES * 0.5);
        });
        const { marked, near, near6, ...beside } = seen;
        expect(marked).toBeGreaterThan(0);
        expect([near, near6]).toEqual([3, 3]);
        for (const [name, count] of Object.entries(beside)) expect(count, name).toBe(0);
      });

      // B has no part in it.
      if (roles !== PAIRS[0]) continue;
      labTest(`another mark, and another port under that, over IP${carrier}`, async (lab) => {
        const { a, leaving } = await makeNetwork(lab, roles, carrier);
        for (const family of ["-4", "-6"]) {
          const rule = `rule add priority 100 fwmark ${OTHER_MARK} table main`;
          await a.namespace.exec(["ip", family, ...rule.split(" ")]);
        }
        for (const change of [
          ["fwmark", `${OTHER_MARK}`],
          ["listen-port", "40001"],
        ]) {
          await a.node.set(change);
          const { otherMark, marked, unmarked, strays } = await leaving.during(async () => {
            await pingUntil(a.namespace, FAR[0]);
            expect((await ping(a.namespace, FAR[1], MANY)).received).toBe(20);
          });
          expect(otherMark).toBeGreaterThan(0);
          expect([marked, unmarked, strays]).toEqual([0, 0, 0]);
        }
      });
    }
  });
}
