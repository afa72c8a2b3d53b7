/** When links go out: an older registry is asked rarely and quietly, another fault is said once and tried again. */
import { expect, it } from "vitest";
import { Links } from "../../../../../src/control/node/grid/links.ts";
import { RegistryFault } from "../../../../../src/control/registry/client.ts";
import { VirtualClock } from "../../virtual-clock.ts";

class Scene {
  readonly clock = new VirtualClock();
  readonly logged: string[] = [];
  isReady = true;
  isAlive: boolean | undefined;
  fault: Error | undefined;
  reports = 0;
  readonly links = new Links({
    clock: this.clock,
    networks: () => [
      {
        resource: {
          ...{ id: "x", name: "x", owner: "u", range: "10.0.0.0/8", subnet: "10.1.0.0/24" },
          ...{ tunnelAddresses: [], internet: true, lan: [], revision: 1 },
          peers: [{ publicKey: "k", allowedIps: ["10.2.0.0/24"], keepalive: 0 }],
        },
        ...{ publicKey: "own", problem: undefined },
      },
    ],
    statusOf: async () => undefined,
    recordOf: () =>
      ({ isAlive: this.isAlive, roundTripMs: undefined, loss: undefined }) as ReturnType<
        ConstructorParameters<typeof Links>[0]["recordOf"]
      >,
    report: async () => {
      this.reports += 1;
      if (this.fault !== undefined) throw this.fault;
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
