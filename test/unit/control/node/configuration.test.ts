import { describe, expect, it } from "vitest";
import type { Nic } from "../../../../src/control/model/nic.ts";
import { EMPTY_NODE_CONFIG, type NodeConfig } from "../../../../src/control/model/node-config.ts";
import type { RolePlan } from "../../../../src/control/model/role-plan.ts";
import type { BootStatus } from "../../../../src/control/node/boot/boot.ts";
import type { UplinkSettings } from "../../../../src/control/node/boot/uplink.ts";
import {
  ConfigRefused,
  ConfigRolledBack,
  Configuration,
} from "../../../../src/control/node/configuration.ts";
import { VirtualClock } from "../virtual-clock.ts";

const CENSUS: readonly Nic[] = ["eth0", "eth1"].map((name, index) => ({
  name,
  mac: `02:00:00:00:00:0${index}`,
  kind: "device",
  mtu: 1500,
  carrier: true,
  up: true,
  addresses: [],
  routes: [],
  gateways: [],
}));

const STATUS: BootStatus = {
  state: "online",
  why: "",
  internet: true,
  nics: [],
  answers: [],
  uplink: {
    nic: "eth0",
    bridge: "zos",
    carrier: true,
    mtu: 1500,
    addresses: [],
    dns: [],
    addressing: "automatic",
    isServerAway: false,
  },
};

class Node {
  readonly clock = new VirtualClock();
  readonly uplinks: UplinkSettings[] = [];
  readonly plans: RolePlan[] = [];
  readonly saved: NodeConfig[] = [];
  readonly probing = new Set<string>();
  isReached = true;
  isHeld = false;
  fault: string | undefined;
  saveFault: string | undefined;
  readonly configuration = new Configuration({
    initial: EMPTY_NODE_CONFIG,
    bridge: "zos",
    clock: this.clock,
    probationMs: 10_000,
    log: () => undefined,
    read: async () => CENSUS,
    save: async (config) => {
      if (this.saveFault !== undefined) throw new Error(this.saveFault);
      this.saved.push(config);
    },
    boot: {
      configure: async (settings) => {
        this.uplinks.push(settings);
      },
      hold: (isHeld) => {
        this.isHeld = isHeld;
      },
      isRegistryReached: async () => this.isReached,
      probing: this.probing,
      status: () => STATUS,
    },
    roles: {
      apply: async (plan) => {
        this.plans.push(plan);
        if (this.fault !== undefined && plan.bridges.length > 0) throw new Error(this.fault);
      },
    },
  });

  /** Starts a change and lets it come to its end. */
  async change(value: unknown, isOnProbation = true): Promise<Error | undefined> {
    const done = this.configuration.change(value, isOnProbation).then(
      () => undefined,
      (error: Error) => error,
    );
    await this.clock.advance(60_000);
    return await done;
  }
}

const WANTED = {
  revision: 3,
  nics: [
    { nic: "eth0", roles: ["management"] },
    { nic: "eth1", roles: ["overlay"], addresses: ["192.0.2.7/24"], gateways: ["192.0.2.1"] },
  ],
};

describe("node configuration", () => {
  it("is applied, then saved", async () => {
    const node = new Node();
    expect(await node.change(WANTED)).toBeUndefined();
    expect(node.uplinks.at(-1)).toMatchObject({ chosen: "eth0" });
    expect([...(node.uplinks.at(-1)?.reserved ?? [])]).toEqual([["eth1", "overlay"]]);
    expect(node.plans.at(-1)?.legs.map(({ namespace }) => namespace)).toEqual(["wh-overlay"]);
    expect(node.saved.map(({ revision }) => revision)).toEqual([3]);
    expect(node.configuration.status().state).toBe("applied");
  });

  it("refused, it touches nothing", async () => {
    const node = new Node();
    const error = await node.change({ nics: [{ nic: "eth7", roles: ["exit"] }] });
    expect(error).toBeInstanceOf(ConfigRefused);
    expect([node.uplinks, node.plans, node.saved]).toEqual([[], [], []]);
  });

  it("an older revision is refused", async () => {
    const node = new Node();
    await node.change(WANTED);
    expect((await node.change({ ...WANTED, revision: 2 }))?.message).toContain("older than 3");
  });

  it.each([
    ["the registry is not reached", { isReached: false }, "not reached within 10 s"],
    ["a NIC fails", { fault: "eth1: broken" }, "eth1: broken"],
    ["the disk is full", { saveFault: "no space" }, "no space"],
  ])("taken back when %s", async (_name, condition, reason) => {
    const node = Object.assign(new Node(), condition);
    const error = await node.change(WANTED);
    expect(error).toBeInstanceOf(ConfigRolledBack);
    expect(error?.message).toContain(reason);
    expect(node.saved).toEqual([]);
    expect(node.plans.at(-1)).toMatchObject({ bridges: [], legs: [] });
    // Nothing was chosen before; the NIC that was the uplink then is to be so again.
    expect(node.uplinks.at(-1)).toMatchObject({ prefer: "eth0" });
    expect(node.configuration.status()).toMatchObject({
      state: "rolled back",
      config: { revision: 0 },
    });
  });

  it("a registry that answers within probation is soon enough", async () => {
    const node = Object.assign(new Node(), { isReached: false });
    const done = node.configuration.change(WANTED);
    await node.clock.advance(5_000);
    expect(node.configuration.status().state).toBe("on probation");
    expect([node.saved, node.isHeld]).toEqual([[], true]);
    node.isReached = true;
    await node.clock.advance(2_000);
    await done;
    expect(node.isHeld).toBe(false);
    expect(node.saved).toHaveLength(1);
  });

  it("waits until no NIC is away for a probe", async () => {
    const node = new Node();
    node.probing.add("eth1");
    const done = node.configuration.change(WANTED);
    await node.clock.advance(5_000);
    expect([node.isHeld, node.plans]).toEqual([true, []]);
    node.probing.clear();
    await node.clock.advance(1_000);
    await done;
    expect(node.saved).toHaveLength(1);
  });

  it("without probation it stays", async () => {
    const node = Object.assign(new Node(), { isReached: false, fault: "eth1: no carrier yet" });
    expect(await node.change(WANTED, false)).toBeUndefined();
    expect(node.saved).toHaveLength(1);
  });

  it("changes come one after the other", async () => {
    const node = new Node();
    const both = Promise.all([
      node.configuration.change(WANTED),
      node.configuration.change({ ...WANTED, revision: 4 }),
    ]);
    await node.clock.advance(10_000);
    await both;
    expect(node.saved.map(({ revision }) => revision)).toEqual([3, 4]);
  });

  it("what fails at the start is tried for ever, and then said to be in place", async () => {
    const node = new Node();
    await node.change(WANTED);
    node.fault = "eth1: gone";
    node.configuration.start();
    await node.clock.advance(100);
    expect(node.configuration.status()).toMatchObject({ state: "failing", why: "eth1: gone" });
    const attempts = node.plans.length;
    await node.clock.advance(600_000);
    expect(node.plans.length).toBeGreaterThan(attempts + 20);
    node.fault = undefined;
    await node.clock.advance(30_000);
    expect(node.configuration.status().state).toBe("applied");
    await node.configuration.stop();
  });
});
