/**
 * Random tables of allowed IPs through whole lanes, answered by the linear twin: inner packets pass or are dropped as the twin says,
 * inward and outward, on every backend. How it is looked at is `vectors/lane/tables.mjs`.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { formatAddress, formatPrefix } from "../../../src/route/address.ts";
import { loadSets, makeBackends } from "../../../vectors/run.mjs";
import { LinearAllowedIps } from "../../reference/linear-allowed-ips.ts";

const PEERS = 4;

const backends = await makeBackends(
  (path) =>
    import(
      /* @vite-ignore */ new URL(`../../../src/${path}.ts`, import.meta.url).href
    ) as Promise<object>,
  (error) => {
    throw error;
  },
);
const { check } = loadSets().find(({ name }) => name === "allowed-ips")!;

/** Few values per octet, so that prefixes nest and neighbour; mostly zeros, so that IPv6 addresses agree beyond the first word. */
const octet = fc.constantFrom(0, 0, 1, 0x7f, 0x80, 0xff);
const address = fc.record({
  family: fc.constantFrom(2 as const, 10 as const),
  bytes: fc.array(octet, { minLength: 16, maxLength: 16 }).map((octets) => Uint8Array.from(octets)),
});
const step = fc.record({
  kind: fc.constantFrom("insert", "insert", "insert", "lookup", "lookup", "remove"),
  address,
  bits: fc.integer({ min: 0, max: 128 }),
  peer: fc.integer({ min: 0, max: PEERS - 1 }),
});

it.each(backends.filter(({ name }) => name.endsWith("lane")))("$name", ({ backend }) => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 10, maxLength: 40 }), (plan) => {
      const twin = new LinearAllowedIps();
      const nameOf = (peer: number): string => (peer < 0 ? "" : `p${peer}`);
      const steps: object[] = [];
      for (const { kind, address: one, bits, peer } of plan) {
        const { family, bytes } = one;
        const cidr = family === 2 ? bits % 33 : bits;
        if (kind === "insert") {
          twin.insert(family, bytes, cidr, peer);
          const prefix = formatPrefix(family, bytes, cidr);
          steps.push({ do: "insert", prefix, peer: nameOf(peer) });
        } else if (kind === "remove") {
          twin.removeByPeer(peer);
          steps.push({ do: "remove-peer", peer: nameOf(peer) });
        }
        const owner = nameOf(twin.lookup(family, bytes));
        steps.push({ do: "lookup", address: formatAddress(family, bytes), peer: owner });
      }
      for (let peer = 0; peer < PEERS; peer++) {
        const prefixes = twin
          .entries(peer)
          .map(({ family, bytes, cidr }) => formatPrefix(family, bytes, cidr));
        steps.push({ do: "list", peer: nameOf(peer), prefixes: prefixes.sort() });
      }
      expect(check(backend!, { name: "random", steps } as { name: string })).toBe(true);
    }),
    { numRuns: 12 },
  );
});
