/**
 * Answers leave from the address that the peer spoke to, whichever the kernel would choose; when that address is taken away,
 * another is used and the tunnel goes on in its session. In the kernel's netns.sh: "sticky but not too sticky".
 */
import { describe, expect } from "vitest";
import { addressLine, type Lab } from "../../src/cli/demo/lab.ts";
import { ping, pingUntil } from "../../src/cli/demo/measure.ts";
import { LISTEN_PORT, makePair, type Pair } from "../../src/cli/demo/pair.ts";
import { PacketCounters } from "./harness/counters.ts";
import { withPort } from "./harness/ends.ts";
import { labTest } from "./harness/lab-test.ts";
import { PAIRS, REFERENCE, type Roles, SUBJECT } from "./harness/subject.ts";

type Carrier = "v4" | "v6";

/** B's addresses: the first is the kernel's choice, the third is on another interface than the one that the route goes by. */
const ADDRESSES: Readonly<Record<Carrier, readonly [string, string, string]>> = {
  v4: ["192.0.2.2", "192.0.2.22", "198.51.100.1"],
  v6: ["2001:db8::2", "2001:db8::22", "2001:db8:50::1"],
};

interface Watched {
  readonly pair: Pair;
  /** Datagrams of B's tunnel as they come to A, by the place of their source in ADDRESSES. */
  readonly sources: PacketCounters;
}

async function makeWatched(lab: Lab, { a, b }: Roles, carrier: Carrier): Promise<Watched> {
  const pair = await makePair(lab, { a, b, carrier });
  const [, second, third] = ADDRESSES[carrier];
  const isV4 = carrier === "v4";
  await pair.b.namespace.ip([
    addressLine(`${second}/${isV4 ? 24 : 64}`, pair.b.cable),
    addressLine(`${third}/${isV4 ? 32 : 128}`, "lo"),
  ]);
  const gateway = isV4 ? pair.b.outer4 : pair.b.outer6;
  await pair.a.namespace.ip([
    `route add ${third}/${isV4 ? 32 : 128} via ${gateway} dev ${pair.a.cable}`,
  ]);
  const rules = ADDRESSES[carrier].map((address, index) => [
    `from${index}`,
    `udp sport ${LISTEN_PORT} ${isV4 ? "ip" : "ip6"} saddr ${address}`,
  ]);
  const sources = await PacketCounters.start(pair.a.namespace, {
    prerouting: { ...Object.fromEntries(rules), tunnel: `udp sport ${LISTEN_PORT}` },
  });
  await pingUntil(pair.a.namespace, pair.b.inner4);
  return { pair, sources };
}

for (const roles of PAIRS) {
  describe(roles.title, () => {
    for (const carrier of ["v4", "v6"] as const) {
      labTest(`answers come from where the peer spoke to, IP${carrier}`, async (lab) => {
        const { pair, sources } = await makeWatched(lab, roles, carrier);
        const { a, b } = pair;
        const key = b.node.keys.publicKey;
        for (const index of [1, 0, 2, 1]) {
          const endpoint = withPort(ADDRESSES[carrier][index]!);
          await a.node.set(["peer", key, "endpoint", endpoint]);
          const seen = await sources.during(async () => {
            expect((await ping(a.namespace, b.inner4)).received).toBe(3);
            expect((await ping(b.namespace, a.inner6)).received).toBe(3);
          });
          expect(seen[`from${index}`]).toBeGreaterThan(0);
          expect(seen["tunnel"]).toBe(seen[`from${index}`]);
          expect((await a.node.peer(key)).endpoint).toBe(endpoint);
        }
      });

      // wireguard-go 0.0.20220316 needs 15 s and a new session for it (see roaming.test.ts).
      if (roles.b === REFERENCE && SUBJECT !== REFERENCE && carrier === "v4") continue;
      labTest(`an address that is removed makes way for another, IP${carrier}`, async (lab) => {
        const { pair, sources } = await makeWatched(lab, roles, carrier);
        const { a, b } = pair;
        const [first, second] = ADDRESSES[carrier];
        const length = carrier === "v4" ? 24 : 64;
        await a.node.set(["peer", b.node.keys.publicKey, "endpoint", withPort(second)]);
        expect((await ping(a.namespace, b.inner4)).received).toBe(3);
        const before = await a.node.peer(b.node.keys.publicKey);
        expect(before.endpoint).toBe(withPort(second));

        await b.namespace.ip([`address del ${second}/${length} dev ${b.cable}`]);
        // B speaks first: what A sends to the address that has gone is lost.
        await pingUntil(b.namespace, a.inner4);
        const after = await a.node.peer(b.node.keys.publicKey);
        expect(after.endpoint).toBe(withPort(first));
        expect((await ping(a.namespace, b.inner6)).received).toBe(3);

        // It comes back: nobody speaks to it, so nothing leaves from it, until somebody does.
        await b.namespace.ip([addressLine(`${second}/${length}`, b.cable)]);
        const back = await sources.during(async () => {
          expect((await ping(a.namespace, b.inner4)).received).toBe(3);
        });
        expect(back["from1"]).toBe(0);
        await a.node.set(["peer", b.node.keys.publicKey, "endpoint", withPort(second)]);
        const again = await sources.during(async () => {
          expect((await ping(a.namespace, b.inner4)).received).toBe(3);
        });
        expect(again["from0"]).toBe(0);
        expect(again["from1"]).toBeGreaterThan(0);
        expect((await a.node.peer(b.node.keys.publicKey)).latestHandshake).toBe(
          before.latestHandshake,
        );
      });
    }
  });
}
