/** The guided loop itself, on a target whose fault lies behind steps that chance alone does not find. */
import { describe, expect, it } from "vitest";
import { Dice } from "../sim/dice.ts";
import { distil, failureOf, GuidedLoop, type Outcome } from "./guided/loop.ts";
import { minimise } from "./guided/minimise.ts";
import { mutate } from "./guided/mutate.ts";
import { Script } from "./script.ts";
import { must, type Target, textInput } from "./target.ts";

/** Four right bytes one after the other: 1 in 10^9 by chance, each told by a note. */
const SECRET = [0x57, 0x47, 0xee, 0x81];

function toy(): Target {
  return {
    name: "toy",
    sources: /never/,
    batch: 2_000,
    maxBytes: 64,
    dictionary: [],
    seeds: [new Uint8Array(8)],
    run: (input, note) => {
      let right = 0;
      while (right < SECRET.length && input[right] === SECRET[right]) right++;
      note(`right ${right}`);
      must(right < SECRET.length, "the secret is not guessed");
    },
  };
}

function hunt(seed: number, runs = 400_000): { outcome: Outcome; kept: string[] } {
  const kept: string[] = [];
  const loop = new GuidedLoop({
    target: toy(),
    seed,
    inputs: [],
    keep: (input) => kept.push(Buffer.from(input).toString("hex")),
    goOn: (progress) => progress.runs < runs,
  });
  return { outcome: loop.run(), kept };
}

describe("the guided loop", () => {
  it("finds what lies behind several steps, and makes it as small as can be", () => {
    const { outcome } = hunt(2);
    expect(outcome.finding?.reason).toContain("the secret is not guessed");
    expect([...outcome.finding!.input]).toEqual(SECRET);
    expect(outcome.runs).toBeLessThan(400_000);
  });

  it("does the same for the same seed, and something else for another", () => {
    const first = hunt(5);
    const second = hunt(5);
    expect(second.kept).toEqual(first.kept);
    expect(second.outcome.runs).toBe(first.outcome.runs);
    expect(hunt(6).kept).not.toEqual(first.kept);
  });

  it("ends when it is told to, without a finding", () => {
    const { outcome } = hunt(1, 50);
    expect(outcome.finding).toBeUndefined();
    expect(outcome.runs).toBeGreaterThanOrEqual(50);
    expect(outcome.runs).toBeLessThan(3_000);
  });

  it("tells a failure that depends on what ran before from one that does not", () => {
    let runs = 0;
    const target: Target = { ...toy(), run: () => must(++runs !== 3, "the third run") };
    const loop = new GuidedLoop({ target, seed: 1, inputs: [], goOn: () => true });
    expect(loop.run().finding?.reason).toMatch(/fails only after others.*the third run/);
  });

  it("keeps few inputs that reach what all reach together", () => {
    const inputs = SECRET.slice(0, 4).map((_byte, index) =>
      Uint8Array.of(...SECRET.slice(0, index), 99, 99, 99),
    );
    const chosen = distil(toy(), [...inputs, ...inputs], 10, 1_000);
    const lengths = chosen.map(({ length }) => length);
    expect(lengths).toEqual([0, 1, 2, 3]);
    expect(distil(toy(), inputs, 2, 1_000)).toHaveLength(2);
  });
});

describe("an input", () => {
  it("is made smaller as long as it keeps what it is wanted for", () => {
    const input = textInput("a line\nb 4711 c\nanother line\n");
    const keeps = (candidate: Uint8Array): boolean =>
      new TextDecoder().decode(candidate).includes("4711");
    expect(new TextDecoder().decode(minimise(input, keeps))).toBe("4711");
  });

  it("is changed by every mutation, within its bounds, the same for the same dice", () => {
    const stock = {
      others: [new Uint8Array(40).fill(7)],
      dictionary: [textInput("word")],
      maxBytes: 50,
    };
    const run = (seed: number): string[] => {
      const dice = new Dice(seed);
      return Array.from({ length: 2_000 }, () =>
        Buffer.from(mutate(textInput("one\ntwo\n"), stock, dice)).toString("hex"),
      );
    };
    const mutated = run(1);
    expect(run(1)).toEqual(mutated);
    expect(Math.max(...mutated.map(({ length }) => length))).toBe(100);
    expect(new Set(mutated).size).toBeGreaterThan(1_500);
    expect(mutated.some((hex) => Buffer.from(hex, "hex").includes("word"))).toBe(true);
  });

  it("is a script that goes on with zeros", () => {
    const script = new Script(Uint8Array.of(5, 1, 2, 9));
    expect([script.below(3), script.word(), script.isOver]).toEqual([2, 0x201, false]);
    expect([...script.bytes(3)]).toEqual([9, 0, 0]);
    expect([script.byte(), script.flag(), script.pick(["a", "b"]), script.isOver]).toEqual([
      0,
      false,
      "a",
      true,
    ]);
  });
});

describe("a failure", () => {
  it("is told with its reason", () => {
    expect(failureOf(toy(), Uint8Array.of(...SECRET))?.reason).toContain("not guessed");
    expect(failureOf(toy(), Uint8Array.of(1))).toBeUndefined();
  });
});
