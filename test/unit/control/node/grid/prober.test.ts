/** Probes in time: how often, what an answer and three misses mean, what it costs; and when links are reported. */
import { describe, expect, it } from "vitest";
import { cidrOf } from "../../../../../src/control/model/cidr.ts";
import type { NetworkPeer } from "../../../../../src/control/model/network-resource.ts";
import { isDue, linkOf, type NetworkLinks } from "../../../../../src/control/node/grid/links.ts";
import { ProbeRecord } from "../../../../../src/control/node/grid/probe-record.ts";
import { PER_TICK_MAX, Prober } from "../../../../../src/control/node/grid/prober.ts";
import type { GridNetwork } from "../../../../../src/control/node/grid/source.ts";
import type { PeerLink } from "../../../../../src/control/registry/client.ts";

const TICK_MS = 250;

function peer(number: number, isRelay = false): NetworkPeer {
  const subnet = `10.${number >> 8}.${number & 255}.0/24`;
  const others = isRelay ? ["10.200.0.0/24"] : [];
  return {
    publicKey: `key ${number}`,
    allowedIps: [subnet, `100.64.${number >> 8}.${number & 255}/32`, ...others],
    ...{ subnet, keepalive: 0 },
  };
}

function network(id: string, revision: number, peers: readonly NetworkPeer[]): GridNetwork {
  return {
    resource: {
      ...{ id, name: id, owner: "u", range: "10.0.0.0/8", subnet: "10.255.0.0/24", revision },
      ...{ tunnelAddresses: [], internet: true, lan: [], peers },
    },
    ...{ publicKey: "own", problem: undefined },
  };
}

class Scene {
  networks: GridNetwork[] = [];
  now = 0;
  /** Who answers, after how long. */
  readonly answers = new Map<string, number>();
  readonly sent: { readonly address: string; readonly atMs: number }[] = [];
  opened = 0;
  closed = 0;
  turns = 0;
  readonly #waiting: { readonly atMs: number; readonly run: () => void }[] = [];
  readonly prober = new Prober({
    clock: {
      now: () => this.now,
      wait: () => Promise.reject(new Error("unused")),
      random: () => 0,
    },
    networks: () => this.networks,
    lans: () => [cidrOf("192.168.0.1/24")],
    onTurn: () => {
      this.turns += 1;
    },
    open: (_id, _family, onMessage) => {
      this.opened += 1;
      return {
        send: (bytes, address) => {
          this.sent.push({ address, atMs: this.now });
          const delayMs = this.answers.get(address);
          if (delayMs === undefined) return;
          const answer = Uint8Array.of(0, ...bytes.subarray(1));
          this.#waiting.push({ atMs: this.now + delayMs, run: () => onMessage(answer) });
        },
        close: () => {
          this.closed += 1;
        },
      };
    },
  });

  run(ms: number): void {
    for (const end = this.now + ms; this.now < end; this.now += TICK_MS) {
      for (const [at, { atMs, run }] of [...this.#waiting.entries()].reverse()) {
        if (atMs > this.now) continue;
        this.#waiting.splice(at, 1);
        run();
      }
      this.prober.tick();
    }
  }

  isAlive(key: number): boolean | undefined {
    return this.prober.recordOf("x", `key ${key}`)?.isAlive;
  }
}

describe("probes", () => {
  it("relays in use every 2 s, others every 10 s, by one socket", () => {
    const scene = new Scene();
    scene.networks = [network("x", 1, [peer(1), peer(2, true)])];
    for (const address of ["100.64.0.1", "100.64.0.2"]) scene.answers.set(address, 500);
    scene.run(60_000);
    const count = (address: string): number =>
      scene.sent.filter((probe) => probe.address === address).length;
    expect([count("100.64.0.1"), count("100.64.0.2"), scene.opened]).toEqual([6, 30, 1]);
    expect(scene.turns).toBe(2);
    expect(scene.prober.recordOf("x", "key 1")).toMatchObject({ loss: 0, roundTripMs: 500 });
  });

  it("three misses in a row: not alive, within 8 s for a relay; one answer: alive", () => {
    const scene = new Scene();
    scene.networks = [network("x", 1, [peer(1), peer(2, true)])];
    for (const address of ["100.64.0.1", "100.64.0.2"]) scene.answers.set(address, 1);
    scene.run(20_250);
    expect([scene.isAlive(1), scene.isAlive(2)]).toEqual([true, true]);
    scene.answers.clear();
    const diedMs = scene.now;
    while (scene.isAlive(2) === true) scene.run(TICK_MS);
    expect(scene.now - diedMs).toBeLessThanOrEqual(8_250);
    // Doubt about a calm one is settled at the urgent pace.
    while (scene.isAlive(1) === true) scene.run(TICK_MS);
    expect(scene.now - diedMs).toBeLessThanOrEqual(16_250);
    const turns = scene.turns;
    scene.answers.set("100.64.0.2", 1);
    scene.run(2_500);
    expect([scene.isAlive(1), scene.isAlive(2), scene.turns - turns]).toEqual([false, true, 1]);
  });

  it("two misses are nothing, and who was never heard is not known before three", () => {
    const scene = new Scene();
    scene.networks = [network("x", 1, [peer(1, true)])];
    scene.run(3_000);
    expect(scene.isAlive(1)).toBeUndefined();
    scene.answers.set("100.64.0.1", 1);
    scene.run(2_000);
    expect(scene.isAlive(1)).toBe(true);
    scene.answers.clear();
    scene.run(4_000);
    scene.answers.set("100.64.0.1", 1);
    scene.run(10_000);
    expect([scene.isAlive(1), scene.turns]).toEqual([true, 1]);
  });

  it("a peer that goes, a network that goes, a new revision: nothing of the old is left", () => {
    const scene = new Scene();
    scene.networks = [network("x", 1, [peer(1), peer(2)]), network("y", 1, [peer(3)])];
    scene.run(20_000);
    expect([scene.opened, scene.closed]).toEqual([2, 0]);
    scene.networks = [network("x", 2, [peer(1)])];
    scene.prober.poke();
    const before = scene.sent.length;
    scene.run(20_000);
    expect([scene.opened, scene.closed]).toEqual([3, 2]);
    expect(new Set(scene.sent.slice(before).map(({ address }) => address))).toEqual(
      new Set(["100.64.0.1"]),
    );
    expect(scene.prober.recordOf("x", "key 2")).toBeUndefined();
  });

  it("200 peers cost 20 packets a second; with far more all have their turn, and the rate is bounded", () => {
    const scene = new Scene();
    const peers = Array.from({ length: 200 }, (_, number) => peer(number));
    for (const [number] of peers.entries()) scene.answers.set(`100.64.0.${number}`, 1);
    scene.networks = [network("x", 1, peers)];
    scene.run(60_000);
    expect(scene.sent.length).toBe(200 * 6);
    const many = new Scene();
    const all = Array.from({ length: 6_000 }, (_, number) => peer(number, true));
    many.networks = [network("x", 1, all)];
    many.run(60_000);
    expect(many.sent.length).toBe((PER_TICK_MAX * 60_000) / TICK_MS);
    expect(new Set(many.sent.map(({ address }) => address)).size).toBe(6_000);
  });
});

describe("links", () => {
  const recordOf = (trips: readonly (number | undefined)[]): ProbeRecord => {
    const record = new ProbeRecord();
    for (const trip of trips) {
      if (trip === undefined) record.missed();
      else record.answered(trip);
    }
    return record;
  };
  const DEVICE = { lastHandshakeMs: 1_000_000, endpoint: "192.0.2.1:3000" };

  it("of the last 20 probes: median of the answered, share of the lost", () => {
    const record = recordOf([900, 900, ...Array.from({ length: 18 }, () => 4), undefined, 6]);
    expect(linkOf("k", DEVICE, record, 1_090_000)).toEqual({
      ...{ publicKey: "k", endpoint: "192.0.2.1:3000", handshakeAge: 90 },
      ...{ isAlive: true, roundTripMs: 4, loss: 0.05 },
    });
    expect(recordOf([1, 2]).roundTripMs).toBe(1.5);
  });

  it("a peer that can't be probed is judged by its handshakes", () => {
    expect(linkOf("k", DEVICE, undefined, 1_000_000 + 180_000).isAlive).toBe(true);
    expect(linkOf("k", DEVICE, undefined, 1_000_000 + 180_001).isAlive).toBe(false);
    expect(linkOf("k", undefined, undefined, 1)).toMatchObject({ isAlive: false });
    expect(linkOf("k", { lastHandshakeMs: 0, endpoint: null }, recordOf([]), 1)).toEqual({
      publicKey: "k",
    });
  });

  it("a turn is told at once, noise is not, the rest after half a minute", () => {
    const of = (link: Partial<PeerLink>): NetworkLinks => ({
      network: "x",
      peers: [
        { publicKey: "k", isAlive: true, handshakeAge: 5, roundTripMs: 20, loss: 0, ...link },
      ],
    });
    expect(isDue(undefined, of({}), Number.POSITIVE_INFINITY)).toBe(true);
    expect(isDue(of({}), of({ isAlive: false }), 0)).toBe(true);
    expect(isDue(of({}), { network: "x", peers: [] }, 0)).toBe(true);
    const noise = of({ handshakeAge: 100, roundTripMs: 20.5, loss: 0.04 });
    expect(isDue(of({}), noise, 30_000)).toBe(false);
    expect(isDue(of({}), noise, 300_000)).toBe(true);
    for (const news of [{ endpoint: "192.0.2.9:1" }, { roundTripMs: 60 }, { loss: 0.3 }]) {
      expect(isDue(of({}), of(news), 29_000)).toBe(false);
      expect(isDue(of({}), of(news), 30_000)).toBe(true);
    }
  });
});
