/**
 * A path that is narrower in the middle than at its ends. Routers that say so (ICMP "fragmentation needed", "packet too big") and
 * routers that stay silent, the black hole. Expected, at the tunnel's usual MTU of 1420:
 *
 * - told: streams flow, since the kernel cuts the outer datagrams from then on; over IPv4 and IPv6.
 * - silent, IPv4: streams flow. As in the kernel driver "do not fragment" is off outside, so the router cuts. wireguard-go leaves it
 *   on and its streams stand still; so does the direction in which it sends.
 * - silent, IPv6: large packets are lost whoever sends them, since no router cuts IPv6. A smaller MTU of the tunnel, or a smaller
 *   MSS of the streams, is the way out; small packets pass all the time.
 */
import { describe, expect } from "vitest";
import type { Lab, Namespace } from "../../src/cli/demo/lab.ts";
import { iperf, ping, pingUntil } from "../../src/cli/demo/measure.ts";
import { PacketCounters } from "./harness/counters.ts";
import { type End, join, startEnd } from "./harness/ends.ts";
import { labTest } from "./harness/lab-test.ts";
import { connect, makeRouter } from "./harness/router.ts";
import { PAIRS, type Roles } from "./harness/subject.ts";

type Carrier = "v4" | "v6";

const NARROW_MTU = 1400;
/** The narrow MTU less outer IPv6 and UDP headers and what WireGuard adds, a multiple of 16 below. */
const FITTING_MTU = 1312;
const USUAL_MTU = 1420;
const IPV4_PING = 28;
/** Of IP and TCP. */
const IPV4_HEADERS = 40;
const BYTES = 10_000_000;

interface Path {
  readonly a: End;
  readonly b: End;
  /** Fragments as they come to B. */
  readonly pieces: PacketCounters;
}

/** a - router - narrow - router - b */
async function makePath(
  lab: Lab,
  roles: Roles,
  carrier: Carrier,
  isSilent: boolean,
): Promise<Path> {
  const routers = [await makeRouter(lab, "ra"), await makeRouter(lab, "rb")] as const;
  const [an, bn] = [await lab.namespace("an"), await lab.namespace("bn")];
  await connect(lab, { router: routers[0], namespace: an, label: "1", net: 1 });
  const far = await connect(lab, { router: routers[1], namespace: bn, label: "2", net: 2 });
  const ends = routers.map((namespace, index) => ({
    namespace,
    name: lab.name(`m${index}`),
    addresses: [`10.9.0.${index + 1}/24`, `2001:db8:9::${index + 1}/64`],
  }));
  await lab.cable(ends[0]!, ends[1]!, NARROW_MTU);
  await routers[0].ip([
    "route add 10.2.0.0/24 via 10.9.0.2",
    "route add 2001:db8:2::/64 via 2001:db8:9::2",
  ]);
  await routers[1].ip([
    "route add 10.1.0.0/24 via 10.9.0.1",
    "route add 2001:db8:1::/64 via 2001:db8:9::1",
  ]);
  if (isSilent) for (const router of routers) await silence(router);
  const a = await startEnd(lab, { implementation: roles.a, namespace: an, label: "aw", host: 1 });
  const b = await startEnd(lab, { implementation: roles.b, namespace: bn, label: "bw", host: 2 });
  const pieces = await PacketCounters.start(bn, {
    prerouting: { pieces: "ip frag-off & 0x3fff != 0", pieces6: "exthdr frag exists" },
  });
  await join(a, b, { endpoint: far[carrier], mtu: USUAL_MTU });
  await pingUntil(an, b.inner4);
  return { a, b, pieces };
}

/** The router drops what is too big and tells nobody. */
async function silence(router: Namespace): Promise<void> {
  const lines = ["icmp type destination-unreachable drop", "icmpv6 type packet-too-big drop"];
  const input = `table inet silence {
  chain output {
    type filter hook output priority filter
    ${lines.join("\n    ")}
  }
}
`;
  await router.exec(["nft", "-f", "-"], { input });
}

/** Of packets as large as the tunnel takes: how many of three come through and are answered. */
async function wholePings({ a, b }: Path, mtu: number): Promise<number> {
  const size = mtu - IPV4_PING;
  const options = { size, isWhole: true, waitSeconds: 1 };
  return (await ping(a.namespace, b.inner4, options)).received;
}

async function expectStream(from: End, to: End): Promise<void> {
  const tcp = await iperf(from.namespace, to.namespace, to.inner4, { bytes: BYTES });
  expect(tcp.bytes).toBeGreaterThan(BYTES * 0.5);
}

for (const roles of PAIRS) {
  describe(roles.title, () => {
    for (const carrier of ["v4", "v6"] as const) {
      labTest(`routers that tell, IP${carrier}: streams flow`, async (lab) => {
        const path = await makePath(lab, roles, carrier, false);
        const { a, b, pieces } = path;
        const seen = await pieces.during(async () => {
          await expectStream(a, b);
          await expectStream(b, a);
          expect(await wholePings(path, USUAL_MTU)).toBe(3);
        });
        // Each of the stream's segments in two.
        const name = carrier === "v4" ? "pieces" : "pieces6";
        expect(seen[name]).toBeGreaterThan((2 * BYTES * 0.5) / USUAL_MTU);
      });
    }

    labTest("silent routers, IPv4: what leaves without DF is cut and passes", async (lab) => {
      const path = await makePath(lab, roles, "v4", true);
      for (const [from, to] of [
        [path.a, path.b],
        [path.b, path.a],
      ] as const) {
        if (from.node.implementation === "wirehaul") await expectStream(from, to);
      }
      const areBothCut = roles.a === "wirehaul" && roles.b === "wirehaul";
      expect(await wholePings(path, USUAL_MTU)).toBe(areBothCut ? 3 : 0);
    });

    labTest("silent routers, IPv6: a smaller MTU or MSS is the way out", async (lab) => {
      const path = await makePath(lab, roles, "v6", true);
      const { a, b } = path;
      expect(await wholePings(path, USUAL_MTU)).toBe(0);
      expect(await wholePings(path, FITTING_MTU)).toBe(3);
      // What each tells the other to send at most.
      const mss = FITTING_MTU - IPV4_HEADERS;
      for (const { namespace, node } of [a, b]) {
        await namespace.ip([`route replace 10.77.0.0/24 dev ${node.name} advmss ${mss}`]);
      }
      await expectStream(a, b);
      await expectStream(b, a);
      for (const { namespace, node } of [a, b]) {
        await namespace.ip([`route replace 10.77.0.0/24 dev ${node.name}`]);
        await node.setMtu(FITTING_MTU);
      }
      await expectStream(a, b);
      await expectStream(b, a);
      expect(await wholePings(path, FITTING_MTU)).toBe(3);
    });
  });
}
