import { PerformanceObserver } from "node:perf_hooks";
import { expect, it } from "vitest";
import { AllowedIps } from "../../../src/route/allowed-ips.ts";
import { decapsulate, encapsulate } from "../../../src/route/ecn.ts";
import { composeUnreachable } from "../../../src/route/icmp-unreachable.ts";
import { innerLength, setEcn, tos } from "../../../src/route/ip-header.ts";
import { ipv4, ipv6 } from "./packets.ts";

const ROUNDS = 2_000_000;

async function collections(work: () => void): Promise<number> {
  let count = 0;
  const observer = new PerformanceObserver((list) => {
    count += list.getEntries().length;
  });
  observer.observe({ entryTypes: ["gc"] });
  work();
  // Entries are handed out after the loop has turned.
  await new Promise((resolve) => setTimeout(resolve, 50));
  observer.disconnect();
  return count;
}

/** A table whose addresses have the high bit set: as unsigned numbers they would not be small integers. */
function table(): AllowedIps {
  const trie = new AllowedIps();
  for (let i = 0; i < 256; i += 1) {
    trie.insert(2, Uint8Array.of(0xf0, i, 0xff, 0xff), 0, 32, i);
    trie.insert(10, Uint8Array.of(0xfd, i, ...new Uint8Array(14).fill(0xff)), 0, 128, i);
  }
  return trie;
}

it("look-ups, header fields, ECN and answers allocate nothing", async () => {
  const trie = table();
  const v4 = ipv4({ source: "240.7.255.255", tos: 2 });
  const v6 = ipv6({ source: "fd07:ffff:ffff:ffff:ffff:ffff:ffff:ffff", tos: 2 });
  const answerable = ipv4();
  const out = new Uint8Array(1280);
  const carry = (packet: Uint8Array): number => {
    const length = innerLength(packet, 0, packet.length);
    const inner = tos(packet, 0);
    setEcn(packet, 0, decapsulate(encapsulate(inner), inner));
    const peer = length === 28 ? trie.lookup4At(packet, 12) : trie.lookup6At(packet, 8);
    return peer + composeUnreachable(out, 0, answerable, 0, 28);
  };
  const run = (rounds: number): number => {
    let sum = 0;
    for (let i = 0; i < rounds; i += 1) sum += carry(v4) + carry(v6);
    return sum;
  };
  run(200_000);
  let sum = 0;
  const count = await collections(() => {
    sum = run(ROUNDS);
  });
  expect(sum).toBe(ROUNDS * 2 * (7 + 56));
  // The test runner allocates a little, too.
  expect(count).toBeLessThanOrEqual(2);
});

it("counts collections at all: a boxed number per round shows", async () => {
  const kept: unknown[] = [undefined];
  const count = await collections(() => {
    for (let i = 0; i < ROUNDS; i += 1) kept[0] = { number: i + 0.5 };
  });
  expect(kept.length).toBe(1);
  expect(count).toBeGreaterThan(2);
});
