/** An underlay without any IPv4, not even on the loopback: over a router, and between link-local addresses with a scope. */
import { describe, expect } from "vitest";
import type { Lab, Namespace } from "../../src/cli/demo/lab.ts";
import { iperf, ping, pingUntil } from "../../src/cli/demo/measure.ts";
import { LISTEN_PORT } from "../../src/cli/demo/pair.ts";
import { run } from "../../src/control/linux/command.ts";
import { PacketCounters } from "./harness/counters.ts";
import { type End, join, peerOf, startEnd, withPort } from "./harness/ends.ts";
import { labTest } from "./harness/lab-test.ts";
import { connect, makeRouter } from "./harness/router.ts";
import { PAIRS, type Roles } from "./harness/subject.ts";

const BYTES = 20_000_000;

/** A namespace that has never had an IPv4 address, and gives its interfaces no IPv6 addresses but those that it is told. */
async function makeBare(lab: Lab, label: string): Promise<Namespace> {
  const namespace = await lab.namespace(label);
  await namespace.exec(["sysctl", "-q", "-w", "net.ipv6.conf.default.addr_gen_mode=1"]);
  await namespace.ip(["address flush dev lo", "address add ::1/128 dev lo"]);
  return namespace;
}

async function startEnds(lab: Lab, roles: Roles, places: readonly Namespace[]): Promise<End[]> {
  const ends: End[] = [];
  for (const [index, namespace] of places.entries()) {
    const implementation = index === 0 ? roles.a : roles.b;
    const label = index === 0 ? "aw" : "bw";
    ends.push(await startEnd(lab, { implementation, namespace, label, host: index + 1 }));
  }
  return ends;
}

async function expectTraffic(a: End, b: End): Promise<void> {
  await pingUntil(a.namespace, b.inner4);
  expect((await ping(a.namespace, b.inner6)).received).toBe(3);
  expect((await ping(b.namespace, a.inner4)).received).toBe(3);
  expect((await ping(b.namespace, a.inner6)).received).toBe(3);
  for (const [address, isReverse] of [
    [b.inner4, false],
    [b.inner6, true],
  ] as const) {
    const tcp = await iperf(a.namespace, b.namespace, address, { bytes: BYTES, isReverse });
    expect(tcp.bytes).toBeGreaterThan(BYTES * 0.5);
  }
}

for (const roles of PAIRS) {
  describe(roles.title, () => {
    labTest("through an IPv6 router", async (lab) => {
      const router = await makeRouter(lab, "ro");
      const places = [await makeBare(lab, "an"), await makeBare(lab, "bn")];
      const links = [];
      for (const [index, namespace] of places.entries()) {
        const net = index + 1;
        const link = await connect(lab, { router, namespace, label: `${net}`, net });
        await namespace.ip([`address del ${link.v4}/24 dev ${link.cable}`]);
        links.push(link);
      }
      for (const { routerCable } of links) {
        await run(["ip", "-n", router.name, "-4", "address", "flush", "dev", routerCable]);
      }
      const [a, b] = (await startEnds(lab, roles, places)) as [End, End];
      const outer = await PacketCounters.start(router, {
        prerouting: {
          v4: "meta nfproto ipv4",
          tunnel: `meta nfproto ipv6 udp dport ${LISTEN_PORT}`,
        },
      });
      await join(a, b, { endpoint: links[1]!.v6 });
      const seen = await outer.during(async () => await expectTraffic(a, b));
      expect(seen["v4"]).toBe(0);
      expect(seen["tunnel"]).toBeGreaterThan(0);
      const { endpoint } = await b.node.peer(a.node.keys.publicKey);
      expect(endpoint).toBe(`[${links[0]!.v6}]:${await a.node.listenPort()}`);
    });

    labTest("between link-local addresses", async (lab) => {
      const places = [await makeBare(lab, "an"), await makeBare(lab, "bn")];
      const names = [lab.name("v0"), lab.name("v1")];
      const locals = ["fe80::a", "fe80::b"];
      const ends = places.map((namespace, index) => ({
        namespace,
        name: names[index]!,
        addresses: [`${locals[index]!}/64`],
      }));
      await lab.cable(ends[0]!, ends[1]!);
      const [a, b] = (await startEnds(lab, roles, places)) as [End, End];
      await b.node.configure([peerOf(a)], LISTEN_PORT);
      await a.node.configure([peerOf(b)]);
      for (const end of [b, a]) await end.node.up([`${end.inner4}/24`, `${end.inner6}/64`]);
      // `wg` looks scopes up in the namespace where it runs.
      const wg = async (end: End, args: readonly string[]): Promise<string> =>
        (await end.namespace.exec(["wg", ...args])).trim();
      const endpoint = withPort(`${locals[1]!}%${names[0]!}`);
      await wg(a, ["set", a.node.name, "peer", b.node.keys.publicKey, "endpoint", endpoint]);
      await expectTraffic(a, b);
      const port = await wg(a, ["show", a.node.name, "listen-port"]);
      const seen = await wg(b, ["show", b.node.name, "endpoints"]);
      // wireguard-go 0.0.20220316 does not tell the scope.
      const scope = roles.b === "wireguard-go" ? "" : `%${names[1]!}`;
      const wanted = withPort(`${locals[0]!}${scope}`, Number(port));
      expect(seen).toBe(`${a.node.keys.publicKey}\t${wanted}`);
    });
  });
}
