import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  autoKeepalive,
  DEFAULT_KEEPALIVE,
  explainKeepalive,
  type FamilyReachability,
  KEEPALIVE_MAX,
  keepaliveFor,
  lasting,
  parseReachability,
  type Reachability,
  UNKNOWN,
  type Verdict,
} from "../../../../src/control/model/reachability.ts";

function family(verdict: Verdict, lifetimeMs: number | null = null): FamilyReachability {
  return { ...UNKNOWN, verdict, lifetimeMs, keepaliveSeconds: keepaliveFor(lifetimeMs) };
}

const V4 = { endpoint: "10.0.0.1:51820" };
const V6 = { endpoint: "[2001:db8::1]:51820" };
const NONE = { endpoint: undefined };

describe("what is kept", () => {
  it("comes back from the disk, without the ports of probes and times", () => {
    const ipv4 = { ...family("hidden", 28_000), seen: "192.0.2.1:4711", why: "so", checkedMs: 5 };
    const kept = lasting({ ipv4, ipv6: { ...family("public"), seen: "[2001:db8::1]:4711" } });
    expect(kept.ipv4).toEqual({ ...family("hidden", 28_000), seen: "192.0.2.1:0", why: "" });
    expect(kept.ipv6.seen).toBe("[2001:db8::1]:0");
    expect(parseReachability(JSON.parse(JSON.stringify(kept)))).toEqual(kept);
    const odd = { ...kept, ipv4: { ...kept.ipv4, keepaliveSeconds: 0 } };
    expect(() => parseReachability(odd)).toThrow("keepaliveSeconds");
  });
});

describe("keepalive", () => {
  it("item 32: is the default until a lifetime is measured, then half of it, within bounds", () => {
    expect(keepaliveFor(null)).toBe(25);
    expect(keepaliveFor(30_000)).toBe(15);
    expect(keepaliveFor(5_750)).toBe(2);
    expect(keepaliveFor(0)).toBe(1);
    expect(keepaliveFor(120_000)).toBe(KEEPALIVE_MAX);
    fc.assert(
      fc.property(fc.integer({ min: 2_000, max: 600_000 }), (lifetimeMs) => {
        const seconds = keepaliveFor(lifetimeMs);
        expect(seconds).toBeGreaterThanOrEqual(1);
        expect(seconds).toBeLessThanOrEqual(KEEPALIVE_MAX);
        // One lost keepalive does not close the mapping.
        expect(seconds * 2 * 1000).toBeLessThanOrEqual(lifetimeMs);
      }),
    );
  });

  it("item 32: goes by the family of the peer's endpoint; it is off only if both ends can be reached", () => {
    const state: Reachability = { ipv4: family("hidden", 28_000), ipv6: family("public") };
    expect(autoKeepalive(V4, state)).toBe(14);
    expect(autoKeepalive(V6, state)).toBe(0);
    expect(autoKeepalive(NONE, state)).toBe(14);
    const both: Reachability = { ipv4: family("public"), ipv6: family("public") };
    expect(autoKeepalive(V4, both)).toBe(0);
    expect(autoKeepalive(NONE, both)).toBe(DEFAULT_KEEPALIVE);
    const none: Reachability = { ipv4: UNKNOWN, ipv6: UNKNOWN };
    for (const peer of [V4, V6, NONE]) {
      expect(autoKeepalive(peer, none)).toBe(DEFAULT_KEEPALIVE);
      expect(autoKeepalive(peer, undefined)).toBe(DEFAULT_KEEPALIVE);
    }
  });

  it("items 31, 32: is explained, and so is who begins", () => {
    const state: Reachability = { ipv4: family("hidden", 28_000), ipv6: family("unknown") };
    const explain = (peer: { endpoint: string | undefined }): string =>
      explainKeepalive({ ...peer, keepalive: "auto" }, state).join("; ");
    expect(explain(V4)).toBe(
      "this node is hidden in IPv4: it begins; keepalive every 14 s: a silent mapping lives 28 s at least",
    );
    expect(explain(V6)).toContain("whether this node can be reached in IPv6 is not known");
    expect(explain(NONE)).toContain("neither can begin");
    expect(explainKeepalive({ ...V4, keepalive: 7 }, state)).toEqual([
      "keepalive every 7 s, as configured",
    ]);
    const open: Reachability = { ipv4: family("public"), ipv6: UNKNOWN };
    expect(explainKeepalive({ ...V4, keepalive: "auto" }, open)).toEqual([
      "no keepalive: in IPv4 both ends can be reached",
    ]);
    expect(explainKeepalive({ ...NONE, keepalive: "auto" }, open)[0]).toContain("and begins");
    expect(explainKeepalive({ ...V4, keepalive: "auto" }, undefined)[0]).toContain("--responders");
  });
});
