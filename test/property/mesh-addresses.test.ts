/** Addresses of a network that grows and shrinks at random: never one in use, never one of the underlay, the same answer each time. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { networkFaults } from "../../src/control/mesh/check.ts";
import {
  type AddressSpace,
  type InUse,
  type MemberAddresses,
  nextClient,
  nextMember,
} from "../../src/control/mesh/ipam.ts";
import { RefusedError } from "../../src/control/model/problem.ts";

const spaces: fc.Arbitrary<AddressSpace> = fc.record({
  range: fc.constantFrom("10.20.0.0/16", "10.20.0.0/21", "172.16.4.0/22"),
  range6: fc.constantFrom(undefined, "fd01::/48", "fd01::/61"),
  subnetLength: fc.constantFrom(24, 26, 28),
  subnetLength6: fc.constant(64),
  tunnelRanges: fc.constantFrom(["100.64.0.0/16"], ["100.64.0.0/28", "100.96.0.0/28"]),
});

const underlays: fc.Arbitrary<string[]> = fc.subarray([
  "0.0.0.0/0",
  "10.20.1.0/24",
  "10.20.4.128/25",
  "172.16.5.0/24",
  "100.64.0.0/29",
  "100.64.20.0/30",
  "fd01:0:0:2::/64",
]);

type Step =
  | { readonly kind: "member" | "client" }
  | { readonly kind: "remove"; readonly which: number };
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.constant<Step>({ kind: "member" }) },
    { weight: 3, arbitrary: fc.constant<Step>({ kind: "client" }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant("remove" as const), which: fc.nat(40) }),
    },
  ),
  { minLength: 15, maxLength: 40 },
);

/** First and last address of a prefix; written apart from what it checks. */
function span(text: string): readonly [bigint, bigint] {
  const [address = "", length = ""] = text.split("/");
  const isFour = !address.includes(":");
  const [head = "", tail] = address.split("::");
  const groups = (part: string) => part.split(":").filter((group) => group !== "");
  const [left, right] = [groups(head), groups(tail ?? "")];
  const parts = isFour
    ? address.split(".").map((part) => BigInt(part))
    : [...left, ...Array.from({ length: 8 - left.length - right.length }, () => "0"), ...right].map(
        (group) => BigInt(`0x${group}`),
      );
  // IPv4 far from IPv6: they never meet.
  const value =
    parts.reduce((sum, part) => sum * (isFour ? 256n : 65_536n) + part, 0n) -
    (isFour ? 2n ** 40n : 0n);
  return [value, value + 2n ** BigInt((isFour ? 32 : 128) - Number(length)) - 1n];
}

function clash(a: string, b: string): boolean {
  const [[from, to], [first, last]] = [span(a), span(b)];
  return from <= last && first <= to;
}

test("nothing is given twice, nothing of the underlay, and the plan's own check agrees", () => {
  let [given, refused] = [0, 0];
  fc.assert(
    fc.property(spaces, underlays, steps, (space, underlay, history) => {
      const members: MemberAddresses[] = [];
      const clients: { addresses: readonly string[] }[] = [];
      for (const step of history) {
        const inUse: InUse = { members, clients };
        const used = [
          ...members.flatMap(({ subnet, subnet6, tunnelAddresses }) => [
            subnet,
            ...(subnet6 === undefined ? [] : [subnet6]),
            ...tunnelAddresses,
          ]),
          ...clients.flatMap(({ addresses }) => addresses),
        ];
        if (step.kind === "remove") {
          members.splice(step.which, 1);
          clients.splice(step.which, 1);
          continue;
        }
        let fresh: string[] = [];
        try {
          if (step.kind === "member") {
            const next = nextMember(space, inUse, underlay);
            expect(nextMember(space, inUse, underlay)).toEqual(next);
            fresh = [
              next.subnet,
              ...(next.subnet6 === undefined ? [] : [next.subnet6]),
              ...next.tunnelAddresses,
            ];
            members.push(next);
          } else {
            const addresses = nextClient(space, inUse, underlay);
            expect(addresses).toHaveLength(space.range6 === undefined ? 1 : 2);
            fresh = [...addresses];
            clients.push({ addresses });
          }
          given++;
        } catch (error) {
          expect(error).toBeInstanceOf(RefusedError);
          refused++;
        }
        for (const [at, prefix] of fresh.entries()) {
          for (const other of [
            ...used,
            ...fresh.slice(0, at),
            ...underlay.filter((text) => text !== "0.0.0.0/0"),
          ]) {
            expect(clash(prefix, other), `${prefix} and ${other}`).toBe(false);
          }
        }
      }
      const key = (at: number) => Buffer.alloc(32, at + 1).toString("base64");
      expect(
        networkFaults({
          id: "n",
          range: space.range,
          range6: space.range6,
          members: members.map((part, at) => ({
            ...part,
            node: `n${at}`,
            publicKey: key(at),
            listenPort: 1,
          })),
          clients: clients.map((part, at) => ({
            ...part,
            id: `c${at}`,
            publicKey: key(at + 100),
            access: "n0",
          })),
        }),
      ).toEqual([]);
    }),
    { numRuns: 80 },
  );
  expect(given).toBeGreaterThan(200);
  expect(refused).toBeGreaterThan(20);
});
