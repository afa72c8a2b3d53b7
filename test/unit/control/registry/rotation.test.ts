/** Every event in every phase of a rotation: what it changes, what it refuses, and that nothing else does anything. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  isLive,
  type Rotation,
  type RotationEvent,
  step,
} from "../../../../src/control/registry/rotation.ts";

const ASKED: Rotation = {
  ...{ phase: "making", isKey: true, publicKey: null, port: 5_000 },
  ...{ waits: {}, seenBy: [], reason: "" },
};
const through = (rotation: Rotation, ...events: readonly RotationEvent[]): Rotation =>
  events.reduce(step, rotation);
const MADE: RotationEvent = { kind: "made", publicKey: "new" };
const SPREAD: RotationEvent = { kind: "spread", waits: { b: 4, c: 7 } };
const confirmed = (node: string, revision: number): RotationEvent => ({
  ...{ kind: "confirmed", node, revision },
});
const seen = (node: string, publicKey = "new"): RotationEvent => ({
  ...{ kind: "seen", node, publicKey },
});
const expired = (...away: readonly string[]): RotationEvent => ({
  ...{ kind: "expired", node: "a", away: new Set(away) },
});
const SPREADING = through(ASKED, MADE, SPREAD);
const SWITCHING = through(SPREADING, confirmed("b", 4), confirmed("c", 9));
const DONE = through(SWITCHING, { kind: "switched" });
const UNDONE = through(ASKED, { kind: "ended", reason: "its owner has ended it" });

describe("from asked to done", () => {
  it("peers learn of both, all confirm, the node switches", () => {
    expect(SPREADING).toMatchObject({
      phase: "spreading",
      publicKey: "new",
      waits: { b: 4, c: 7 },
    });
    const one = step(SPREADING, confirmed("b", 4));
    expect(one).toMatchObject({ phase: "spreading", waits: { c: 7 } });
    expect(SWITCHING).toMatchObject({ phase: "switching", waits: {}, port: 5_000 });
    expect(DONE).toMatchObject({ phase: "done", publicKey: "new", port: 5_000, reason: "" });
  });

  it("an older plan, somebody who is not asked, and the same once more confirm nothing", () => {
    expect(step(SPREADING, confirmed("b", 3))).toBe(SPREADING);
    expect(step(SPREADING, confirmed("z", 99))).toBe(SPREADING);
    const one = step(SPREADING, confirmed("b", 4));
    expect(step(one, confirmed("b", 4))).toBe(one);
    expect(step(SWITCHING, confirmed("b", 9))).toBe(SWITCHING);
  });

  it("a node without peers switches at once; a peer that leaves is not waited for", () => {
    expect(through(ASKED, MADE, { kind: "spread", waits: {} }).phase).toBe("switching");
    const one = step(SPREADING, confirmed("c", 7));
    expect(step(one, { kind: "left", node: "b" }).phase).toBe("switching");
    expect(step(one, { kind: "left", node: "c" })).toBe(one);
  });

  it("who sees the new key is remembered once, and for that key only", () => {
    const one = step(SWITCHING, seen("c"));
    expect(one.seenBy).toEqual(["c"]);
    expect(step(one, seen("b")).seenBy).toEqual(["b", "c"]);
    expect(step(one, seen("c"))).toBe(one);
    expect(step(SWITCHING, seen("b", "old"))).toBe(SWITCHING);
    expect(step(ASKED, seen("b"))).toBe(ASKED);
  });

  it("answers that are said again change nothing", () => {
    expect(step(SPREADING, MADE)).toBe(SPREADING);
    expect(step(SWITCHING, MADE)).toBe(SWITCHING);
    expect(step(DONE, { kind: "switched" })).toBe(DONE);
    expect(step(SWITCHING, SPREAD)).toBe(SWITCHING);
  });

  it("a node that joins with the new ones has switched", () => {
    for (const rotation of [SPREADING, SWITCHING]) {
      expect(step(rotation, { kind: "joined" }).phase).toBe("done");
    }
    for (const rotation of [ASKED, DONE, UNDONE]) {
      expect(step(rotation, { kind: "joined" })).toBe(rotation);
    }
  });
});

describe("what can't be", () => {
  it("another key, a missing one, one that nobody wants", () => {
    expect(() => step(SPREADING, { kind: "made", publicKey: "third" })).toThrow("another new key");
    expect(() => step(ASKED, { kind: "made" })).toThrow("a new key is asked for");
    const portOnly = { ...ASKED, isKey: false };
    expect(() => step(portOnly, MADE)).toThrow("only the port");
    expect(step(portOnly, { kind: "made" })).toMatchObject({ phase: "spreading", publicKey: null });
    expect(() => step(DONE, MADE)).toThrow("no rotation under way");
  });

  it("switching before being told, or after the end", () => {
    for (const rotation of [ASKED, SPREADING]) {
      expect(() => step(rotation, { kind: "switched" })).toThrow("switch when told");
    }
    expect(() => step(UNDONE, { kind: "switched" })).toThrow(
      "undone (its owner has ended it): use the old",
    );
  });
});

describe("when it takes too long", () => {
  it("a node that doesn't answer or doesn't switch: undone, and by whom", () => {
    expect(step(ASKED, expired())).toMatchObject({
      ...{ phase: "undone", reason: "node a did not answer" },
    });
    expect(step(SWITCHING, expired())).toMatchObject({
      ...{ phase: "undone", reason: "node a did not switch" },
    });
  });

  it("peers that are there and don't confirm undo it; those that are away don't", () => {
    expect(step(SPREADING, expired())).toMatchObject({
      ...{ phase: "undone", reason: "not confirmed by b, c", waits: {} },
    });
    expect(step(SPREADING, expired("b"))).toMatchObject({ reason: "not confirmed by c" });
    expect(step(SPREADING, expired("b", "c"))).toMatchObject({ phase: "switching", waits: {} });
  });

  it("a node that somebody has seen with the new key has switched: both stay, on nobody's word the old one ends", () => {
    const one = step(SWITCHING, seen("b"));
    expect(step(one, expired())).toBe(one);
    expect(step(one, { kind: "switched" }).phase).toBe("done");
  });

  it("what is over stays so", () => {
    for (const rotation of [DONE, UNDONE]) {
      expect(step(rotation, expired())).toBe(rotation);
      expect(step(rotation, { kind: "ended", reason: "x" })).toBe(rotation);
    }
  });
});

it("whatever comes in whatever order: a key is told before it is spread, nothing leaves an end, waits end with spreading", () => {
  const node = fc.constantFrom("b", "c", "z");
  const event: fc.Arbitrary<RotationEvent> = fc.oneof(
    fc.constant(MADE),
    fc.constant(SPREAD),
    fc.record({ kind: fc.constant("confirmed" as const), node, revision: fc.nat(9) }),
    fc.record({ kind: fc.constant("left" as const), node }),
    node.map((peer) => seen(peer)),
    fc.constant<RotationEvent>({ kind: "switched" }),
    fc.constant<RotationEvent>({ kind: "joined" }),
    fc.subarray(["b", "c"]).map((away) => expired(...away)),
    fc.constant<RotationEvent>({ kind: "ended", reason: "x" }),
  );
  const ends = new Set<string>();
  fc.assert(
    fc.property(fc.array(event, { maxLength: 12 }), (events) => {
      let rotation = ASKED;
      for (const one of events) {
        const before = rotation;
        try {
          rotation = step(rotation, one);
        } catch {
          continue;
        }
        if (!isLive(before)) expect(rotation).toBe(before);
        if (rotation.phase !== "spreading") expect(rotation.waits).toEqual({});
        if (["spreading", "switching", "done"].includes(rotation.phase)) {
          expect(rotation.publicKey).toBe("new");
        }
        expect(rotation.reason !== "").toBe(rotation.phase === "undone");
      }
      ends.add(rotation.phase);
    }),
    { numRuns: 500 },
  );
  expect([...ends].sort()).toEqual(["done", "making", "spreading", "switching", "undone"]);
});
