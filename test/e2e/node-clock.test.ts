/**
 * A node whose wall clock is wrong: it says so and by how much, its networks go on, and it is in the grid again when the clock is right. By less than
 * five minutes nobody minds. It never sets its own clock by what a registry says: who could move it could have requests signed for later.
 */
import { expect } from "vitest";
import { GridLab } from "../../src/cli/demo/grid-lab.ts";
import { addressOf, type GridNode, workloadName } from "../../src/cli/demo/grid-node.ts";
import { publicPlaces } from "../../src/cli/demo/grid-sites.ts";
import { until } from "../../src/control/linux/command.ts";
import { FakeClock } from "./harness/fake-clock.ts";
import { populate } from "./harness/grid-workloads.ts";
import { labTest } from "./harness/lab-test.ts";

/** A node asks again after half a minute at most, with jitter; it beats each half a minute. */
const HEARD_MS = 90_000;

labTest(
  "by ten minutes: why it is not in the grid is said with the skew, and it heals; in the middle of it networks go on; by four minutes all works",
  async (lab, context) => {
    const grid = await GridLab.make(lab, { places: publicPlaces("a", "b") });
    const [a, b] = grid.nodes as [GridNode, GridNode];
    const clock = new FakeClock(lab, context, "wall");
    clock.shift(-600);
    b.environment = clock.environment;
    await a.start(await grid.token());
    await b.start(await grid.token());
    for (const path of FakeClock.leftovers(b.pid)) lab.leftover(path);
    await a.untilReady();
    const why = async (): Promise<string> => (await b.grid()).why;
    const skewed = (seconds: number, where: string): RegExp =>
      new RegExp(
        `^the request was signed ${seconds / 10}\\d s ${where}, 300 s are allowed: set the clock, the registry's time is 20`,
      );
    await until("b says that its clock is behind", async () =>
      skewed(600, "ago").test(await why()),
    );
    expect((await b.grid()).state).toBe("unregistered");
    // To a person, too.
    expect(await b.wirehaul(["node", "status"])).toContain("set the clock");
    expect(b.output).toContain("set the clock");

    clock.shift(240);
    await until("b is in the grid", async () => (await b.grid()).state === "approved", HEARD_MS);
    await b.untilReady();
    const network = await grid.create(grid.admin, "shop", "10.20.0.0/16");
    await populate([a, b], network);
    const space = workloadName(network);
    await b.untilReaches(addressOf(network, a.id), space);

    // It goes wrong while the node takes part: networks stay as they are, and what is changed meanwhile arrives later.
    clock.shift(900);
    await until(
      "b says that its clock is ahead",
      async () => /signed [89]\d\d s in the future.* set the clock/.test(await why()),
      HEARD_MS,
    );
    expect(await b.reaches(addressOf(network, a.id), space)).toBe(true);
    expect((await b.networks()).map(({ id }) => id)).toEqual([network.id]);
    const second = await grid.create(grid.admin, "second", "10.30.0.0/16");
    clock.shift(0);
    await b.untilNetwork(second.id);
    await until("b is up to date", async () => (await why()) === "in the grid", HEARD_MS);
    await b.untilReady();
  },
  400_000,
);
