/**
 * When links go out, and in how many requests: an older registry is asked rarely and quietly, another fault is said once and tried again,
 * and thousands of peers fit into what a registry takes.
 */
import { expect, it } from "vitest";
import { Links } from "../../../../../src/control/node/grid/links.ts";
import { type LinksReport, RegistryFault } from "../../../../../src/control/registry/client.ts";
import { linksSchema } from "../../../../../src/control/registry/schemas.ts";
import { BODY_BYTES_MAX } from "../../../../../src/control/registry/server.ts";
import type { InterfaceStatus } from "../../../../../src/lane/status.ts";
import { VirtualClock } from "../../virtual-clock.ts";

const LONGEST_ENDPOINT = "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535";

function keyOf(at: number): string {
  const bytes = Buffer.alloc(32);
  bytes.writeUInt32LE(at);
  return bytes.toString("base64");
}

class Scene {
  readonly clock = new VirtualClock();
  readonly logged: string[] = [];
  isReady = true;
  isAlive: boolean | undefined;
  /** A network in which it is the other way round. */
  turning = "";
  fault: Error | undefined;
  reports = 0;
  readonly arrived: LinksReport[] = [];
  /** Networks, and how many peers each has. */
  networks: readonly (readonly [id: string, peers: number])[] = [["x", 1]];
  readonly links = new Links({
    clock: this.clock,
    networks: () =>
      this.networks.map(([id, count]) => ({
        resource: {
          ...{ id, name: id, owner: "u", range: "10.0.0.0/8", subnet: "10.1.0.0/24" },
          ...{ tunnelAddresses: [], internet: true, lan: [], revision: 1 },
          peers: Array.from({ length: count }, (_, at) => ({
            ...{ publicKey: keyOf(at), allowedIps: ["10.2.0.0/24"], keepalive: 0 },
          })),
        },
        ...{ publicKey: "own", problem: undefined },
      })),
    statusOf: async (id) => {
      const count = this.networks.find(([network]) => network === id)?.[1] ?? 0;
      const peers = Array.from({ length: count }, (_, at) => ({
        ...{ publicKey: keyOf(at), lastHandshakeMs: 1, endpoint: LONGEST_ENDPOINT },
      }));
      return { peers } as unknown as InterfaceStatus;
    },
    recordOf: (network) =>
      ({
        isAlive: network === this.turning ? !this.isAlive : this.isAlive,
        ...{ roundTripMs: 1 / 3, loss: 1 / 3 },
      }) as ReturnType<ConstructorParameters<typeof Links>[0]["recordOf"]>,
    report: async (report) => {
      this.reports += 1;
      if (this.fault !== undefined) throw this.fault;
      this.arrived.push(report);
    },
    isReady: () => this.isReady,
    log: (_level, text) => this.logged.push(text),
  });
}

it("an older registry is asked each ten minutes, without a word", async () => {
  const scene = new Scene();
  scene.fault = new RegistryFault("no_route", "there is no such route");
  scene.links.start();
  await scene.clock.advance(1_805_000);
  expect([scene.reports, scene.logged]).toEqual([3, []]);
  await scene.links.stop();
});

it("a turn goes out at once; a fault is said once, and what did not arrive is sent again", async () => {
  const scene = new Scene();
  scene.links.start();
  scene.isReady = false;
  await scene.clock.advance(20_000);
  expect(scene.reports).toBe(0);
  scene.isReady = true;
  await scene.clock.advance(10_000);
  expect(scene.reports).toBe(1);
  scene.isAlive = true;
  scene.links.poke();
  await scene.clock.advance(500);
  expect(scene.reports).toBe(2);
  scene.fault = new RegistryFault("unreachable", "nobody there");
  scene.isAlive = false;
  scene.links.poke();
  await scene.clock.advance(25_000);
  expect([scene.reports, scene.logged.length]).toEqual([5, 1]);
  scene.fault = undefined;
  await scene.clock.advance(60_000);
  expect([scene.reports, scene.logged.length]).toEqual([6, 1]);
  scene.links.forget();
  await scene.clock.advance(500);
  expect(scene.reports).toBe(7);
  await scene.links.stop();
});

it("9,000 peers in 50 networks go in requests that a registry takes; then only the network that turns; one that has gone has no links", async () => {
  const scene = new Scene();
  const networks = Array.from({ length: 50 }, (_, at) => [`net${at}`, 180] as const);
  scene.networks = networks;
  scene.isAlive = true;
  scene.links.start();
  await scene.clock.advance(11_000);
  const all = scene.arrived.flatMap((report) => report.networks);
  expect(all.map(({ network }) => network)).toEqual(networks.map(([id]) => id));
  // Together they would not: this is what the test is about.
  expect(Buffer.byteLength(JSON.stringify({ networks: all }))).toBeGreaterThan(BODY_BYTES_MAX);
  expect(scene.arrived.length).toBe(5);
  for (const report of scene.arrived) {
    const body = JSON.stringify(report);
    expect(Buffer.byteLength(body)).toBeLessThan(BODY_BYTES_MAX / 2);
    expect(linksSchema.safeParse(JSON.parse(body)).success).toBe(true);
  }
  scene.arrived.length = 0;
  scene.turning = "net7";
  scene.networks = networks.slice(0, -1);
  await scene.clock.advance(11_000);
  expect(scene.arrived.length).toBe(1);
  const [report] = scene.arrived;
  expect(report?.networks.map(({ network, peers }) => [network, peers.length])).toEqual([
    ["net7", 180],
    ["net49", 0],
  ]);
  scene.arrived.length = 0;
  await scene.clock.advance(11_000);
  expect(scene.arrived).toEqual([]);
  await scene.links.stop();
});
