/** Ports: whose they are, for how long, and which are never chosen. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { PortLease } from "../../../../src/control/model/desired-state.ts";
import { Ports, type PortsOptions } from "../../../../src/control/node/ports.ts";

interface Fixture {
  readonly ports: Ports;
  readonly saved: (readonly PortLease[])[];
  readonly busy: Set<number>;
  now: number;
}

function fixture(more: Partial<PortsOptions> = {}): Fixture {
  const saved: (readonly PortLease[])[] = [];
  const busy = new Set<number>();
  const result: { now: number } = { now: 1_000 };
  const ports = new Ports({
    range: [2000, 2009],
    reserved: [2003],
    isFree: (port) => !busy.has(port),
    now: () => result.now,
    random: () => 0,
    save: (leases) => saved.push(leases),
    ...more,
  });
  return Object.assign(result, { ports, saved, busy });
}

describe("Ports", () => {
  it("chooses each port once, and neither reserved, leased nor busy ones", () => {
    const { ports, busy } = fixture();
    busy.add(2001);
    ports.lease("bob", 60, 2002);
    const chosen = Array.from({ length: 7 }, (_, index) => ports.choose(`n${index}`));
    expect(chosen.toSorted()).toEqual([2000, 2004, 2005, 2006, 2007, 2008, 2009]);
    expect(() => ports.choose("one more")).toThrow(/no port from 2000 to 2009 is free/);
    ports.keep("n0", []);
    expect(ports.choose("one more")).toBe(chosen[0]);
  });

  it("a lease is its holder's until it expires or is used; each change is stored", () => {
    const world = fixture();
    const { ports, saved } = world;
    const lease = ports.lease("bob", 60);
    expect(lease).toEqual({ port: 2000, holder: "bob", expiresMs: 61_000 });
    expect(() => ports.claim("net", 2000, "alice")).toThrow(/2000 is leased/);
    expect(() => ports.lease("alice", 60, 2000)).toThrow(/2000 is not free/);
    ports.claim("net", 2000, "bob");
    expect(saved).toEqual([[lease], []]);
    ports.lease("bob", 60, 2005);
    world.now = 62_000;
    expect(ports.list().leases).toEqual([]);
    ports.claim("other", 2005, "alice");
    expect(() => ports.endLease(2005, "bob")).toThrow(/no lease of port 2005/);
  });

  it("a lease that can't be stored was not made", () => {
    const { ports } = fixture({
      save: () => {
        throw new Error("the disk is full");
      },
    });
    expect(() => ports.lease("bob", 60, 2000)).toThrow(/disk is full/);
    expect(ports.list().leases).toEqual([]);
    ports.claim("net", 2000, undefined);
  });

  it.each([
    [() => fixture().ports.lease("", 60), /needs a holder/],
    [() => fixture().ports.lease("bob", 0), /1 to 86400 seconds/],
    [() => fixture().ports.lease("bob", Number.NaN), /1 to 86400 seconds/],
    [() => fixture().ports.lease("bob", 60, 70_000), /70000 is no port/],
    [() => fixture().ports.lease("bob", 60, 2003), /2003 is not free/],
    [() => fixture().ports.claim("net", 2003, undefined), /2003 is reserved/],
  ])("bad input %# is refused by name", (call, message) => {
    expect(call).toThrow(message);
  });

  it("no port has two owners, whatever is asked in whatever order", () => {
    const steps = fc.array(
      fc.record({
        what: fc.constantFrom("claim", "choose", "keep", "lease", "wait"),
        who: fc.constantFrom("a", "b", "c"),
        port: fc.integer({ min: 2000, max: 2005 }),
      }),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(steps, (list) => {
        const world = fixture();
        for (const { what, who, port } of list) {
          try {
            if (what === "claim") world.ports.claim(who, port, who);
            else if (what === "choose") world.ports.choose(who);
            else if (what === "keep") world.ports.keep(who, [port]);
            else if (what === "lease") world.ports.lease(who, 10, port);
            else world.now += 7_000;
          } catch {
            // Refused: nothing may have changed for the worse, which is looked at below.
          }
          const { used, leases } = world.ports.list();
          const all = [...used.map((entry) => entry.port), ...leases.map((entry) => entry.port)];
          expect(new Set(all).size).toBe(all.length);
          expect(all).not.toContain(2003);
        }
      }),
    );
  });
});
