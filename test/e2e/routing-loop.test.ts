/**
 * Routes that lead a tunnel's own datagrams back into it, or round through two tunnels. No growth, and other traffic lives; where
 * one tunnel is enough to see it, no storm either: each datagram is dropped at its first return, and counted. In the kernel's
 * netns.sh: "a routing loop between the two namespaces" and "onion routing works, even when it loops".
 */
import { readFileSync } from "node:fs";
import { describe, expect } from "vitest";
import type { Implementation } from "../../src/cli/demo/implementations.ts";
import type { Lab, Namespace } from "../../src/cli/demo/lab.ts";
import { ping, pingUntil } from "../../src/cli/demo/measure.ts";
import type { PeerSettings } from "../../src/cli/demo/wireguard-node.ts";
import { until } from "../../src/control/linux/command.ts";
import { type End, peerOf, startEnd, withPort } from "./harness/ends.ts";
import { labTest } from "./harness/lab-test.ts";
import { statusOf } from "./harness/status.ts";
import { PAIRS, type Roles } from "./harness/subject.ts";

type Carrier = "v4" | "v6";

/** As netns.sh: what ten pings in a loop may make a tunnel send. */
const LOOP_BYTES_MAX = 70_000;
/** Of a process, over a loop: as in bad-conditions.test.ts. */
const GROWTH_MAX = 24 << 20;
const INITIATION_BYTES = 148;
const MANY = { count: 40, intervalSeconds: 0.05 };
const PINGS = { count: 10, intervalSeconds: 0.02, waitSeconds: 1 };

function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
}

/** Outer addresses: A and A2 are in one namespace, B and B2 in another, C in a third. */
const OUTER = {
  b: { v4: "192.0.2.2", v6: "2001:db8::2" },
  b2: { v4: "192.0.2.3", v6: "2001:db8::3" },
  c: { v4: "198.51.100.2", v6: "2001:db8:c::2" },
} as const;
const PORTS = { b: 51_821, b2: 51_822, c: 51_823 } as const;
const alone = (address: string): string => `${address}/${address.includes(":") ? 128 : 32}`;

interface Network {
  readonly near: Namespace;
  /** Two interfaces, the second for loops over both. */
  readonly a: End;
  readonly a2: End;
  /** Peers of A. */
  readonly b: End;
  readonly c: End;
  /** Peer of A2. */
  readonly b2: End;
}

async function makeNetwork(lab: Lab, roles: Roles, carrier: Carrier): Promise<Network> {
  const [near, far, third] = [
    await lab.namespace("an"),
    await lab.namespace("bn"),
    await lab.namespace("cn"),
  ];
  const { b: bAt, b2: b2At, c: cAt } = OUTER;
  await lab.cable(
    { namespace: near, name: lab.name("v0"), addresses: ["192.0.2.1/24", "2001:db8::1/64"] },
    {
      namespace: far,
      name: lab.name("v1"),
      addresses: [`${bAt.v4}/24`, `${b2At.v4}/24`, `${bAt.v6}/64`, `${b2At.v6}/64`],
    },
  );
  await lab.cable(
    { namespace: near, name: lab.name("v2"), addresses: ["198.51.100.1/24", "2001:db8:c::1/64"] },
    { namespace: third, name: lab.name("v3"), addresses: [`${cAt.v4}/24`, `${cAt.v6}/64`] },
  );
  const start = async (
    implementation: Implementation,
    namespace: Namespace,
    place: { readonly label: string; readonly host: number; readonly net: number },
  ): Promise<End> => await startEnd(lab, { implementation, namespace, ...place });
  const a = await start(roles.a, near, { label: "a", host: 1, net: 0 });
  const a2 = await start(roles.a, near, { label: "d", host: 1, net: 1 });
  const b = await start(roles.b, far, { label: "b", host: 2, net: 0 });
  const b2 = await start(roles.b, far, { label: "e", host: 2, net: 1 });
  const c = await start(roles.b, third, { label: "c", host: 3, net: 0 });
  await b.node.configure([peerOf(a)], PORTS.b);
  await b2.node.configure([peerOf(a2)], PORTS.b2);
  await c.node.configure([peerOf(a)], PORTS.c);
  const peer = (end: End, which: keyof typeof OUTER, more: readonly string[]): PeerSettings =>
    peerOf(end, {
      allowedIps: [alone(end.inner4), alone(end.inner6), ...more],
      endpoint: withPort(OUTER[which][carrier], PORTS[which]),
    });
  // The endpoints are allowed inside, so that routes alone decide.
  await a.node.configure([
    peer(b, "b", [alone(bAt[carrier]), alone(b2At[carrier])]),
    peer(c, "c", []),
  ]);
  await a2.node.configure([peer(b2, "b2", [alone(bAt[carrier])])]);
  for (const end of [a, a2, b, b2, c]) {
    await end.node.up([`${end.inner4}/24`, `${end.inner6}/64`]);
  }
  return { near, a, a2, b, c, b2 };
}

/** What A has sent to B, in bytes. */
async function sentBytes({ a, b }: Network): Promise<number> {
  return (await a.node.peer(b.node.keys.publicKey)).txBytes;
}

async function loopsSeen({ a }: Network): Promise<number> {
  return (await statusOf(a.node.name)).drops["routingLoop"] ?? 0;
}

/** Routes in A's namespace, there for as long as `body` runs. */
async function withRoutes(
  { near }: Network,
  routes: readonly string[],
  body: () => Promise<void>,
): Promise<void> {
  await near.ip(routes.map((route) => `route add ${route}`));
  await body();
  await near.ip(routes.map((route) => `route del ${route}`));
}

for (const roles of PAIRS.filter(({ a }) => a === "wirehaul")) {
  describe(roles.title, () => {
    for (const carrier of ["v4", "v6"] as const) {
      labTest(`the endpoint is led into the tunnel itself, IP${carrier}`, async (lab) => {
        const network = await makeNetwork(lab, roles, carrier);
        const { near, a, b, c } = network;
        for (const { inner4 } of [b, c]) await pingUntil(near, inner4);
        const before = await a.node.peer(b.node.keys.publicKey);
        const loop = `${alone(OUTER.b[carrier])} dev ${a.node.name}`;
        const [sent, seen] = [await sentBytes(network), await loopsSeen(network)];
        await withRoutes(network, [loop], async () => {
          expect((await ping(near, b.inner4, PINGS)).received).toBe(0);
          expect((await ping(near, c.inner4, { count: 20 })).received).toBe(20);
          // Of each ping its datagram's first return, and no second.
          expect((await loopsSeen(network)) - seen).toBe(PINGS.count);
          expect((await sentBytes(network)) - sent).toBeLessThan(LOOP_BYTES_MAX);
        });
        await pingUntil(near, b.inner4);
        expect((await a.node.peer(b.node.keys.publicKey)).latestHandshake).toBe(
          before.latestHandshake,
        );
      });
    }

    labTest("and that before there is a session", async (lab) => {
      const network = await makeNetwork(lab, roles, "v4");
      const { near, a, b } = network;
      await withRoutes(network, [`${alone(OUTER.b.v4)} dev ${a.node.name}`], async () => {
        expect((await ping(near, b.inner4, PINGS)).received).toBe(0);
        await until("the initiation has come back", async () => (await loopsSeen(network)) === 1);
        expect(await sentBytes(network)).toBe(INITIATION_BYTES);
      });
      // The next try is sent five seconds after the first.
      await pingUntil(near, b.inner4);
    });
  });
}

describe(PAIRS[0]!.title, () => {
  for (const carrier of ["v4", "v6"] as const) {
    // Neither tunnel can see that the other's datagrams hold its own. They go round, as in wireguard-go, while the routes are so.
    labTest(`two tunnels carry each other, IP${carrier}`, async (lab) => {
      const network = await makeNetwork(lab, PAIRS[0]!, carrier);
      const { near, a, a2, b, b2, c } = network;
      for (const { inner4 } of [b, b2, c]) await pingUntil(near, inner4);
      const programs = [a.node.program.pid, a2.node.program.pid];
      const memory = programs.map(residentBytes);
      const loop = [
        `${alone(OUTER.b[carrier])} dev ${a2.node.name}`,
        `${alone(OUTER.b2[carrier])} dev ${a.node.name}`,
      ];
      await withRoutes(network, loop, async () => {
        expect((await ping(near, b.inner4, PINGS)).received).toBe(0);
        // The queue of the TUN is full of what goes round, so some are lost.
        expect((await ping(near, c.inner4, MANY)).received).toBeGreaterThan(10);
        programs.forEach((pid, index) => {
          expect(residentBytes(pid) - memory[index]!).toBeLessThan(GROWTH_MAX);
        });
      });
      let sent = -1;
      await until("nothing goes round any more", async () => {
        const before = sent;
        sent = await sentBytes(network);
        return sent === before;
      });
      for (const { inner4 } of [b, b2, c]) await pingUntil(near, inner4);
      expect((await ping(near, c.inner4)).received).toBe(3);
    });
  }
});
