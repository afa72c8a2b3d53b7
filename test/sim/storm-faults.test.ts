/** Each invariant of the storms is seen to fail: with a fault put into the product, a storm tells which one is broken. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { FAULTS, type Flags } from "./faults.ts";
import { INVARIANTS } from "./invariants.ts";
import { stormTools } from "./storm-tools.ts";
import { brokenBy } from "./storms.ts";

/** Storms within which a fault must show; most do in the first ten. */
const SEEDS_MAX = 400;

const { secrets, watched, flags } = vi.hoisted(() => {
  const all: Uint8Array[] = [];
  return {
    secrets: all,
    watched: <Bytes extends Uint8Array>(bytes: Bytes): Bytes => {
      all.push(bytes);
      return bytes;
    },
    flags: { anyTimestamp: false, anyCounter: false } as Flags,
  };
});
vi.mock(import("../../src/bytes/secret-bytes.ts"), async (original) => {
  const real = await original();
  return {
    ...real,
    secretBytes: (length) => watched(real.secretBytes(length)),
    secretCopy: (bytes) => watched(real.secretCopy(bytes)),
  };
});
vi.mock(import("../../src/session/tai64n.ts"), async (original) => {
  const real = await original();
  return { ...real, isLater: (a, b) => flags.anyTimestamp || real.isLater(a, b) };
});
vi.mock(import("../../src/session/keypair.ts"), async (original) => {
  const real = await original();
  return {
    ...real,
    isRejectedCounter: (hi, lo) => !flags.anyCounter && real.isRejectedCounter(hi, lo),
  };
});

const tools = stormTools(secrets);

afterEach(() => {
  vi.restoreAllMocks();
  flags.anyTimestamp = false;
  flags.anyCounter = false;
});

describe("a storm tells when", () => {
  it.each(FAULTS)("$name: $breaks", (fault) => {
    fault.install?.();
    if (fault.flag !== undefined) flags[fault.flag] = true;
    const faulty = fault.tools?.(tools) ?? tools;
    const found: string[] = [];
    for (let seed = 1; seed <= SEEDS_MAX && found.at(-1) !== fault.breaks; seed++) {
      const broken = brokenBy(seed, faulty);
      if (broken !== undefined) found.push(broken.invariant);
    }
    expect(found.at(-1)).toBe(fault.breaks);
  });

  it("any of the invariants is broken", () => {
    const broken = new Set<string>(FAULTS.map(({ breaks }) => breaks));
    expect([...broken].toSorted()).toEqual(Object.keys(INVARIANTS).toSorted());
  });
});
