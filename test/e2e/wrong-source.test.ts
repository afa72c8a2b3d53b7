/**
 * Packets from the wrong source. Inside: what a peer may not send is not delivered. Outside: an authentic datagram moves its
 * peer's endpoint wherever it comes from; one that is forged, changed or sent again moves nothing.
 */
import { fileURLToPath } from "node:url";
import { describe, expect } from "vitest";
import { generateKeys } from "../../src/cli/demo/keys.ts";
import { addressLine, type Lab } from "../../src/cli/demo/lab.ts";
import { ping, pingUntil } from "../../src/cli/demo/measure.ts";
import { LISTEN_PORT, makePair, type Pair, type PairEnd } from "../../src/cli/demo/pair.ts";
import { Capture, sendSingly } from "./harness/capture.ts";
import { PacketCounters } from "./harness/counters.ts";
import { withPort } from "./harness/ends.ts";
import { labTest } from "./harness/lab-test.ts";
import { statusOf } from "./harness/status.ts";
import { PAIRS, type Roles } from "./harness/subject.ts";
import { UdpProxy } from "./harness/udp-proxy.ts";

const SENDER = fileURLToPath(new URL("./hostile-sender.mjs", import.meta.url));
/** Not among A's allowed IPs at B. */
const STRANGE = { v4: "10.77.0.99", v6: "fd77::99" } as const;
/** Other addresses of A's namespace on the cable. */
const ELSEWHERE = { v4: "192.0.2.66", v6: "2001:db8::66" } as const;
const RELAY_PORT = 40_000;

/** wirehaul's count of packets that their peer may not send; the others keep none. */
async function wrongSources(pair: Pair): Promise<number | undefined> {
  if (pair.b.node.implementation !== "wirehaul") return undefined;
  return (await statusOf(pair.b.node.name)).drops["wrongSource"] ?? 0;
}

/** Another inner address of A, which B would answer through the tunnel if it were delivered. */
async function makeStrange(lab: Lab, { a, b }: Roles): Promise<Pair> {
  const pair = await makePair(lab, { a, b });
  for (const address of [`${STRANGE.v4}/24`, `${STRANGE.v6}/64`]) {
    await pair.a.namespace.ip([addressLine(address, pair.a.node.name)]);
  }
  await pingUntil(pair.a.namespace, pair.b.inner4);
  return pair;
}

/** Another outer address of A, which it uses only when told to (deprecated, RFC 4862 5.5.4). */
async function addElsewhere({ namespace, cable }: PairEnd, carrier: "v4" | "v6"): Promise<void> {
  const address = `${ELSEWHERE[carrier]}/${carrier === "v4" ? 24 : 64}`;
  await namespace.ip([`${addressLine(address, cable)} preferred_lft 0`]);
}

for (const roles of PAIRS) {
  describe(roles.title, () => {
    labTest("inner sources that are not the peer's are not delivered", async (lab) => {
      const pair = await makeStrange(lab, roles);
      const { a, b } = pair;
      const delivered = await PacketCounters.start(b.namespace, {
        prerouting: {
          strange: `iifname "${b.node.name}" ip saddr ${STRANGE.v4}`,
          strange6: `iifname "${b.node.name}" ip6 saddr ${STRANGE.v6}`,
          own: `iifname "${b.node.name}" ip saddr ${a.inner4}`,
        },
      });
      const send = async (): Promise<void> => {
        for (const [source, target] of [
          [STRANGE.v4, b.inner4],
          [STRANGE.v6, b.inner6],
        ] as const) {
          const options = ["-n", "-c", "5", "-i", "0.01", "-W", "0.2", "-I", source];
          await a.namespace.attempt(["ping", ...options, target]);
        }
      };
      const before = await wrongSources(pair);
      const seen = await delivered.during(async () => {
        await send();
        expect((await ping(a.namespace, b.inner4)).received).toBe(3);
      });
      expect(seen).toEqual({ strange: 0, strange6: 0, own: 3 });
      const after = await wrongSources(pair);
      if (before !== undefined) expect(after).toBe(before + 10);

      // Given to another peer, an address that was A's is A's no more, though A's own list covers it.
      const key = a.node.keys.publicKey;
      await b.node.set(["peer", key, "allowed-ips", "10.77.0.0/24,fd77::/64"]);
      expect((await delivered.during(send))["strange"]).toBe(5);
      const other = generateKeys().publicKey;
      await b.node.set(["peer", other, "allowed-ips", `${STRANGE.v4}/32,${STRANGE.v6}/128`]);
      const taken = await delivered.during(send);
      expect([taken["strange"], taken["strange6"]]).toEqual([0, 0]);
    });

    for (const carrier of ["v4", "v6"] as const) {
      labTest(
        `an authentic datagram from elsewhere moves the endpoint, IP${carrier}`,
        async (lab) => {
          const pair = await makePair(lab, { ...roles, carrier });
          const { a, b } = pair;
          await addElsewhere(a, carrier);
          await pingUntil(a.namespace, b.inner4);
          const before = await b.node.peer(a.node.keys.publicKey);
          const relay = await UdpProxy.start(a.namespace, {
            listen: [ELSEWHERE[carrier], RELAY_PORT],
            target: [carrier === "v4" ? b.outer4 : b.outer6, LISTEN_PORT],
          });
          const endpoint = withPort(ELSEWHERE[carrier], RELAY_PORT);
          await a.node.set(["peer", b.node.keys.publicKey, "endpoint", endpoint]);
          expect((await ping(a.namespace, b.inner4)).received).toBe(3);
          const moved = await b.node.peer(a.node.keys.publicKey);
          expect(moved.endpoint.startsWith(withPort(ELSEWHERE[carrier], 0).slice(0, -1))).toBe(
            true,
          );
          expect(moved.latestHandshake).toBe(before.latestHandshake);
          expect((await ping(b.namespace, a.inner6)).received).toBe(3);
          const count = await relay.stop();
          expect(count.passed).toBeGreaterThanOrEqual(12);
        },
      );

      labTest(`what is not authentic or not new moves nothing, IP${carrier}`, async (lab) => {
        const pair = await makePair(lab, { ...roles, carrier });
        const { a, b } = pair;
        await addElsewhere(a, carrier);
        await sendSingly(a.namespace, a.cable);
        const capture = await Capture.start(lab, b.namespace, b.cable);
        await pingUntil(a.namespace, b.inner4);
        expect((await ping(a.namespace, b.inner4, { count: 10 })).received).toBe(10);
        const recorded = await capture.conversation();
        await capture.stop();
        const changed = recorded.map((payload) => {
          const copy = Buffer.from(payload);
          copy[copy.length - 1]! ^= 1;
          return copy;
        });
        const before = await b.node.peer(a.node.keys.publicKey);
        const answers = await PacketCounters.start(b.namespace, {
          output: {
            astray: `${carrier === "v4" ? "ip" : "ip6"} daddr ${ELSEWHERE[carrier]} meta l4proto udp`,
          },
        });
        // B speaks all the while: an endpoint that moved, and be it for a moment, would draw its pings.
        const pings = ping(b.namespace, a.inner4, { count: 200, intervalSeconds: 0.005 });
        const settings = {
          source: ELSEWHERE[carrier],
          target: carrier === "v4" ? b.outer4 : b.outer6,
          port: LISTEN_PORT,
          replay: [...recorded, ...changed].map((payload) => payload.toString("hex")),
        };
        const sender = a.namespace.spawn([process.execPath, SENDER, JSON.stringify(settings)]);
        await sender.waitFor(`sent ${settings.replay.length}\n`);
        // A slow last answer is not waited for.
        expect((await pings).received).toBeGreaterThanOrEqual(199);
        expect(await answers.read()).toEqual({ astray: 0 });
        const { stdout } = await sender.stop();
        const last = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as { answers: number };
        expect(last.answers).toBe(0);
        const after = await b.node.peer(a.node.keys.publicKey);
        expect(after.endpoint).toBe(before.endpoint);
        expect(after.latestHandshake).toBe(before.latestHandshake);
      });
    }
  });
}
