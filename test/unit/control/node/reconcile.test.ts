/** Turns: ordered by key, bounded over all. */
import { describe, expect, it } from "vitest";
import { Turns } from "../../../../src/control/node/reconcile.ts";

function gate(): { readonly wait: Promise<void>; open(): void } {
  let open = (): void => undefined;
  const wait = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { wait, open: () => open() };
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

describe("Turns", () => {
  it("keeps the order within a key, and lets others pass", async () => {
    const turns = new Turns(4);
    const log: string[] = [];
    const slow = gate();
    const first = turns.run("a", async () => {
      await slow.wait;
      log.push("a1");
    });
    const second = turns.run("a", async () => log.push("a2"));
    await turns.run("b", async () => log.push("b1"));
    expect(log).toEqual(["b1"]);
    slow.open();
    await Promise.all([first, second, turns.idle()]);
    expect(log).toEqual(["b1", "a1", "a2"]);
  });

  it("a failure is its caller's, and the next turn comes all the same", async () => {
    const turns = new Turns(1);
    const failed = turns.run("a", () => Promise.reject(new Error("no")));
    const after = turns.run("a", async () => "yes");
    await expect(failed).rejects.toThrow("no");
    expect(await after).toBe("yes");
    await turns.idle();
  });

  it("runs no more at once than it may", async () => {
    const turns = new Turns(2);
    const gates = [gate(), gate(), gate(), gate()];
    let running = 0;
    let most = 0;
    const all = gates.map((one, index) =>
      turns.run(`${index}`, async () => {
        most = Math.max(most, ++running);
        await one.wait;
        running--;
      }),
    );
    for (const one of gates) {
      await settle();
      expect(running).toBeLessThanOrEqual(2);
      one.open();
    }
    await Promise.all(all);
    expect(most).toBe(2);
  });
});
