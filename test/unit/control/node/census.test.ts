import { describe, expect, it } from "vitest";
import { Bell } from "../../../../src/control/linux/clock.ts";
import type { Nic } from "../../../../src/control/model/nic.ts";
import { Census } from "../../../../src/control/node/census.ts";
import { settle, VirtualClock } from "../virtual-clock.ts";

function nic(name: string, more: Partial<Nic> = {}): Nic {
  return {
    name,
    mac: "02:00:00:00:00:01",
    kind: "device",
    mtu: 1500,
    carrier: true,
    up: true,
    addresses: [],
    routes: [],
    gateways: [],
    ...more,
  };
}

class Machine {
  readonly clock = new VirtualClock();
  readonly published: string[][] = [];
  readonly logs: string[] = [];
  readonly away = new Set<string>();
  links: Nic[] = [nic("eth0"), nic("eth1")];
  reads = 0;
  isRegistryUp = true;
  beside: unknown;
  readonly besides: unknown[] = [];
  readonly census = new Census({
    clock: this.clock,
    match: { kinds: ["device"] },
    away: () => this.away,
    log: (text) => this.logs.push(text),
    read: async () => {
      this.reads += 1;
      return this.links;
    },
    beside: () => this.beside,
    publish: async (nics) => {
      if (!this.isRegistryUp) throw new Error("away");
      this.besides.push(this.beside);
      this.published.push(nics.map(({ name, carrier }) => `${name}${carrier ? "" : "!"}`));
    },
  });

  async start(): Promise<void> {
    this.census.start();
    await this.clock.advance(0);
  }
}

describe("census", () => {
  it("is published after the start, with bridges of ours and without what is no NIC", async () => {
    const machine = new Machine();
    machine.links.push(
      nic("zos", { kind: "bridge", mark: "uplink" }),
      nic("docker0", { kind: "bridge" }),
      nic("b-1", { kind: "bridge", mark: "network" }),
      nic("w-1", { kind: "tun" }),
    );
    await machine.start();
    expect(machine.published).toEqual([["eth0", "eth1", "zos"]]);
    await machine.census.whenPublished();
    await machine.census.stop();
  });

  it("a burst of changes is one reading, and no change is no publication", async () => {
    const machine = new Machine();
    await machine.start();
    for (let i = 0; i < 50; i += 1) machine.census.poke();
    await machine.clock.advance(1_000);
    expect(machine.reads).toBe(2);
    expect(machine.published).toHaveLength(1);
    machine.links = [nic("eth0", { carrier: false }), nic("eth1")];
    machine.census.poke();
    await machine.clock.advance(1_000);
    expect(machine.published.at(-1)).toEqual(["eth0!", "eth1"]);
    await machine.census.stop();
  });

  it("while the registry is away changes are kept, and the newest arrives", async () => {
    const machine = new Machine();
    machine.isRegistryUp = false;
    await machine.start();
    machine.links = [nic("eth0")];
    machine.census.poke();
    await machine.clock.advance(600_000);
    expect(machine.published).toEqual([]);
    expect(machine.logs).toHaveLength(1);
    machine.isRegistryUp = true;
    await machine.clock.advance(30_000);
    expect(machine.published).toEqual([["eth0"]]);
    expect(machine.census.isPublished).toBe(true);
    await machine.census.stop();
  });

  it("a NIC that is being probed counts as it was; one not seen yet is waited for", async () => {
    const machine = new Machine();
    machine.away.add("eth1");
    machine.links = [nic("eth0")];
    await machine.start();
    expect(machine.published).toEqual([]);
    machine.away.clear();
    machine.links = [nic("eth0"), nic("eth1")];
    machine.census.poke();
    await machine.clock.advance(1_000);
    expect(machine.published).toEqual([["eth0", "eth1"]]);
    machine.away.add("eth1");
    machine.links = [nic("eth0")];
    machine.census.poke();
    await machine.clock.advance(1_000);
    expect(machine.published).toHaveLength(1);
    await machine.census.stop();
  });

  it("item 30: what is published beside the NICs arrives as it is then, also after the registry was away", async () => {
    const machine = new Machine();
    await machine.start();
    expect(machine.besides).toEqual([undefined]);
    machine.beside = { ipv4: "hidden" };
    machine.census.tell();
    await machine.clock.advance(0);
    expect(machine.besides.at(-1)).toEqual({ ipv4: "hidden" });
    machine.isRegistryUp = false;
    machine.beside = { ipv4: "public" };
    machine.census.tell();
    await machine.clock.advance(60_000);
    expect(machine.census.isPublished).toBe(false);
    machine.isRegistryUp = true;
    await machine.clock.advance(60_000);
    expect(machine.besides.slice(1)).toEqual([{ ipv4: "hidden" }, { ipv4: "public" }]);
    machine.census.tell();
    await machine.clock.advance(0);
    expect(machine.besides).toHaveLength(3);
    await machine.census.stop();
  });

  it("a change without an event is found within a minute", async () => {
    const machine = new Machine();
    await machine.start();
    machine.links = [nic("eth0")];
    await machine.clock.advance(61_000);
    expect(machine.published.at(-1)).toEqual(["eth0"]);
    await machine.census.stop();
  });
});

describe("bell", () => {
  it("wakes who waits, and is heard by the next if nobody does", async () => {
    const clock = new VirtualClock();
    const bell = new Bell(clock);
    const first = bell.wait(1_000);
    bell.ring();
    expect(await first).toBe(true);
    bell.ring();
    bell.ring();
    expect(await bell.wait(1_000)).toBe(true);
    const third = bell.wait(1_000);
    await settle();
    await clock.advance(1_000);
    expect(await third).toBe(false);
  });
});
