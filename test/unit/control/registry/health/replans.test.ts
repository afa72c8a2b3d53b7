/** Plans that many ask for at once. */
import { expect, test } from "vitest";
import { Replans } from "../../../../../src/control/registry/health/replans.ts";

test("of one network one runs and one waits, whoever asks; others are apart; a fault is told to those who waited for it", async () => {
  const started: string[] = [];
  const ends: (() => void)[] = [];
  let fault: Error | undefined;
  const replans = new Replans(async (network) => {
    started.push(network);
    const mine = fault;
    await new Promise<void>((resolve) => ends.push(resolve));
    if (mine !== undefined) throw mine;
  });
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const first = replans.ask("n");
  await turn();
  // All of these ask while the first runs, which may have begun before what they want planned.
  const later = Array.from({ length: 200 }, () => replans.ask("n"));
  const other = replans.ask("m");
  await turn();
  expect(started).toEqual(["n", "m"]);
  fault = new Error("the database has gone");
  ends[0]!();
  await first;
  await turn();
  expect(started).toEqual(["n", "m", "n"]);
  fault = undefined;
  const last = replans.ask("n");
  ends[2]!();
  const results = await Promise.allSettled(later);
  expect(results.every(({ status }) => status === "rejected")).toBe(true);
  await turn();
  expect(started).toEqual(["n", "m", "n", "n"]);
  ends[1]!();
  ends[3]!();
  await Promise.all([last, other]);
  // It is forgotten, and begins anew.
  void replans.ask("n");
  await turn();
  expect(started).toHaveLength(5);
});
