/** Differences of plans: a whole and all that was said since is the last plan, whatever the plans were and in whatever order JSON came back. */
import { array, assert, constantFrom, property, record, uniqueArray } from "fast-check";
import { expect, test } from "vitest";
import type { NetworkPeer, NetworkResource } from "../../src/control/model/network-resource.ts";
import type { NetworkChange } from "../../src/control/registry/client.ts";
import { differenceOf, partOf } from "../../src/control/registry/kept-plans.ts";

const prefixes = uniqueArray(constantFrom("10.1.1.0/24", "10.1.2.0/24", "fd00::/64"), {
  maxLength: 3,
});

const peers = uniqueArray(
  record<NetworkPeer>({
    publicKey: constantFrom("a", "b", "c", "d", "e"),
    allowedIps: prefixes,
    keepalive: constantFrom<0 | 25 | "auto">(0, 25, "auto"),
  }),
  { selector: ({ publicKey }) => publicKey, maxLength: 5 },
);

const plans = array(record({ peers, listenPort: constantFrom(1_000, 2_000) }), {
  minLength: 1,
  maxLength: 8,
}).map((all) =>
  all.map(
    ({ peers: those, listenPort }, at): NetworkResource => ({
      ...{ id: "net", name: "net", owner: "1", range: "10.1.0.0/16", subnet: "10.1.0.0/24" },
      ...{ tunnelAddresses: [], internet: true, lan: [], listenPort, peers: those },
      revision: at + 1,
    }),
  ),
);

/** As the database gives it back: other order of parts. */
function shuffled<T>(value: T): T {
  return JSON.parse(
    JSON.stringify(value, (_key, part: unknown) =>
      typeof part === "object" && part !== null && !Array.isArray(part)
        ? Object.fromEntries(Object.entries(part).reverse())
        : part,
    ),
  ) as T;
}

function sorted(plan: NetworkResource): unknown {
  const byKey = (a: NetworkPeer, b: NetworkPeer): number => (a.publicKey < b.publicKey ? -1 : 1);
  return { ...plan, peers: plan.peers.toSorted(byKey) };
}

test("the whole and its differences are the last plan that differed", () => {
  assert(
    property(plans, ([first, ...rest]) => {
      const differences: NetworkChange[] = [];
      let told = first!;
      for (const plan of rest) {
        const difference = differenceOf(shuffled(told), plan);
        const isOther =
          JSON.stringify({ ...(sorted(plan) as object), revision: 0 }) !==
          JSON.stringify({ ...(sorted(told) as object), revision: 0 });
        expect(difference !== undefined).toBe(isOther);
        if (difference === undefined) continue;
        expect(difference.base).toBe(told.revision);
        differences.push(shuffled(difference));
        told = plan;
      }
      const kept = partOf({ plan: shuffled(first!), differences });
      expect(sorted(kept)).toEqual(sorted(told));
    }),
  );
});
