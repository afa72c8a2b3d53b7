import { describe, expect, it } from "vitest";
import {
  type FamilyReachability,
  UNKNOWN,
  type Verdict,
} from "../../../../../src/control/model/reachability.ts";
import { FamilyWatch } from "../../../../../src/control/node/reachability/family-watch.ts";
import type { Bounds } from "../../../../../src/control/node/reachability/lifetime.ts";
import type { Probed } from "../../../../../src/control/node/reachability/probe.ts";
import { VirtualClock } from "../../virtual-clock.ts";

const CONTACT = { name: "r", to: { address: "192.0.2.1", port: 1 }, cookie: new Uint8Array(16) };

/** A family before a NAT and responders that do as the test says. */
class World {
  readonly clock = new VirtualClock();
  verdict: Verdict = "hidden";
  address = "198.51.100.1";
  bounds: Bounds | undefined = { aliveMs: 28_000, deadMs: 30_000 };
  probes = 0;
  measurements = 0;
  changes = 0;
  /** Verdicts of the next probes, before all others. */
  readonly next: Verdict[] = [];
  readonly logs: string[] = [];
  readonly watch: FamilyWatch;

  constructor(before?: FamilyReachability) {
    this.watch = new FamilyWatch({
      clock: this.clock,
      family: 4,
      responders: [],
      portRange: [1, 2],
      namespace: () => undefined,
      onChange: () => {
        this.changes += 1;
      },
      log: (text) => this.logs.push(text),
      wallMs: () => this.clock.now(),
      before,
      probe: async (): Promise<Probed> => {
        this.probes += 1;
        const verdict = this.next.shift() ?? this.verdict;
        const seen =
          verdict === "unknown" ? undefined : { address: this.address, port: this.probes };
        return { verdict, why: verdict, seen, contacts: seen === undefined ? [] : [CONTACT] };
      },
      measure: async (_place, _contact, signal) => {
        this.measurements += 1;
        await this.clock.wait(40_000, signal);
        return signal.aborted ? undefined : this.bounds;
      },
    });
  }

  async start(): Promise<FamilyReachability> {
    this.watch.start();
    await this.clock.advance(0);
    return this.watch.state;
  }

  async pass(ms: number): Promise<FamilyReachability> {
    await this.clock.advance(ms);
    return this.watch.state;
  }
}

const HIDDEN_MEASURED = {
  verdict: "hidden",
  lifetimeMs: 28_000,
  lifetimeBelowMs: 30_000,
  keepaliveSeconds: 14,
};

describe("watch of a family", () => {
  it("items 30, 32: a hidden one is measured once, then again after hours, and meanwhile probed", async () => {
    const world = new World();
    expect(await world.start()).toMatchObject({ verdict: "hidden", keepaliveSeconds: 25 });
    expect(await world.pass(40_000)).toMatchObject(HIDDEN_MEASURED);
    await world.pass(3_600_000);
    expect(world.measurements).toBe(1);
    expect(world.probes).toBeGreaterThan(10);
    expect(world.probes).toBeLessThan(25);
    world.bounds = { aliveMs: 120_000, deadMs: undefined };
    expect(await world.pass(6 * 3_600_000)).toMatchObject({
      lifetimeMs: 120_000,
      lifetimeBelowMs: null,
      keepaliveSeconds: 60,
    });
    expect(world.measurements).toBe(2);
    await world.watch.stop();
  });

  it("item 30: a public one is not measured, and tells its address", async () => {
    const world = new World();
    world.verdict = "public";
    expect(await world.start()).toMatchObject({
      verdict: "public",
      address: "198.51.100.1",
      lifetimeMs: null,
    });
    await world.pass(600_000);
    expect(world.measurements).toBe(0);
    await world.watch.stop();
  });

  it("a verdict that turns is asked for twice: one probe whose packets were lost turns nothing", async () => {
    const world = new World();
    world.verdict = "public";
    await world.start();
    world.next.push("hidden");
    expect((await world.pass(400_000)).verdict).toBe("public");
    expect(world.logs).toHaveLength(1);
    world.verdict = "hidden";
    expect((await world.pass(400_000)).verdict).toBe("hidden");
    await world.watch.stop();
  });

  it("responders that are away change nothing, until the addresses are others; then they are asked soon", async () => {
    const world = new World();
    await world.start();
    await world.pass(40_000);
    world.verdict = "unknown";
    const away = await world.pass(400_000);
    expect(away).toMatchObject(HIDDEN_MEASURED);
    expect(away.why).toContain("now nobody answers");
    world.watch.restart();
    expect(await world.pass(0)).toEqual({ ...UNKNOWN, why: "unknown" });
    world.verdict = "public";
    expect((await world.pass(2_000)).verdict).toBe("public");
    await world.watch.stop();
  });

  it("another address outside is another NAT: measured anew; also when told so in the middle", async () => {
    const world = new World();
    await world.start();
    await world.pass(40_000);
    world.address = "198.51.100.2";
    expect(await world.pass(400_000)).toMatchObject(HIDDEN_MEASURED);
    expect(world.measurements).toBe(2);
    world.watch.restart();
    await world.pass(10_000);
    world.watch.restart();
    await world.pass(0);
    expect(world.measurements).toBe(4);
    await world.watch.stop();
    expect(world.watch.state.lifetimeMs).toBeNull();
  });

  it("what was measured before a restart holds, and is not measured again before the same address", async () => {
    const before = { ...UNKNOWN, ...HIDDEN_MEASURED, seen: "198.51.100.1:7" } as FamilyReachability;
    const world = new World(before);
    world.verdict = "unknown";
    expect(world.watch.state).toMatchObject(HIDDEN_MEASURED);
    expect(await world.start()).toMatchObject(HIDDEN_MEASURED);
    world.verdict = "hidden";
    expect(await world.pass(400_000)).toMatchObject(HIDDEN_MEASURED);
    expect(world.measurements).toBe(0);
    const moved = new World(before);
    moved.address = "198.51.100.2";
    expect(await moved.start()).toMatchObject({ lifetimeMs: null, keepaliveSeconds: 25 });
    await Promise.all([world.watch.stop(), moved.watch.stop()]);
  });

  it("nobody who helps to measure is said; the default stays", async () => {
    const world = new World();
    world.bounds = undefined;
    await world.start();
    expect(await world.pass(40_000)).toMatchObject({ keepaliveSeconds: 25, lifetimeMs: null });
    expect(world.logs.join()).toContain("no responder helps to measure");
    await world.watch.stop();
  });
});
