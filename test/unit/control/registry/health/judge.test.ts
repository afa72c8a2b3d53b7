/** Relays as they are judged: by votes and silence, in time. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  isDown,
  judge,
  PROBATION_MS,
  type RelayRecord,
} from "../../../../../src/control/registry/health/judge.ts";
import type { PeerRecord } from "../../../../../src/control/registry/health/record.ts";
import { Hearing, type Witness } from "../../../../../src/control/registry/health/relays.ts";

const T0 = 1_700_000_000_000;

describe("a relay is down", () => {
  test.each([
    [0, 0, false, false],
    [0, 0, true, true],
    // One voice alone says little; with silence it is enough.
    [0, 1, false, false],
    [0, 1, true, true],
    [1, 1, true, false],
    [0, 2, false, true],
    [1, 2, false, true],
    [2, 2, false, false],
    [2, 2, true, false],
    // It has lost the registry, not its peers.
    [1, 0, true, false],
    [9, 0, true, false],
  ])("%i yes, %i no, silent %s: %s", (yes, no, isSilent, expected) => {
    expect(isDown({ yes, no }, isSilent)).toBe(expected);
  });

  test("then on probation, then up; a fall in between is one", () => {
    const yes = { yes: 2, no: 0 };
    const no = { yes: 0, no: 2 };
    const down = judge(undefined, no, false, T0);
    expect(down).toEqual({ health: "down", since: T0 });
    expect(judge(down, no, true, T0 + 5)).toBe(down);
    const back = judge(down, yes, false, T0 + 10);
    expect(back).toEqual({ health: "probation", since: T0 + 10 });
    expect(judge(back, yes, false, T0 + 10 + PROBATION_MS - 1)).toBe(back);
    expect(judge(back, yes, false, T0 + 10 + PROBATION_MS)).toBeUndefined();
    expect(judge(back, no, false, T0 + 20)).toEqual({ health: "down", since: T0 + 20 });
    expect(judge(undefined, yes, false, T0)).toBeUndefined();
  });

  test("one liar among honest witnesses changes nothing, nor does the relay's own word", () => {
    const record = (isAlive: boolean): PeerRecord => ({
      ...{ publicKey: "relay key", isAlive, isDead: !isAlive, since: T0, wasAlive: true },
    });
    fc.assert(
      fc.property(
        fc.boolean(),
        fc.integer({ min: 2, max: 8 }),
        fc.option(fc.boolean(), { nil: undefined }),
        fc.boolean(),
        (isAlive, honest, lie, isSilent) => {
          const witness = (node: string, says?: boolean): Witness => ({
            ...{ node, public_key: `${node} key`, silent: false },
            records: says === undefined ? null : [record(says)],
          });
          const relay = { ...witness("relay", lie), silent: isSilent };
          const truth = Array.from({ length: honest }, (_, at) => witness(`n${at}`, isAlive));
          const without = isDown(new Hearing([relay, ...truth]).on(relay), isSilent);
          expect(without).toBe(!isAlive);
          const liar = witness("liar", lie);
          // Two honest ones are outweighed by nobody; a liar may only keep up what two of three would not.
          expect(isDown(new Hearing([relay, ...truth, liar]).on(relay), isSilent)).toBe(!isAlive);
        },
      ),
    );
  });

  test("who is silent has no voice", () => {
    const says: PeerRecord = {
      ...{ publicKey: "relay key", isAlive: false, isDead: true, since: T0, wasAlive: true },
    };
    const witness = (node: string, silent: boolean): Witness => ({
      ...{ node, public_key: `${node} key`, silent, records: [says] },
    });
    const relay = { ...witness("relay", false), records: null };
    expect(new Hearing([relay, witness("a", true), witness("b", false)]).on(relay)).toEqual({
      ...{ yes: 0, no: 1 },
    });
  });

  test("never flaps within a probation, whatever is said", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 0, max: 20_000 }))),
        (steps) => {
          let record: RelayRecord | undefined;
          let [at, upSince, wasDownAt] = [T0, T0, 0];
          for (const [isDead, pause] of steps) {
            at += pause;
            const before = record;
            record = judge(record, isDead ? { yes: 0, no: 2 } : { yes: 2, no: 0 }, false, at);
            if (before?.health === "down" && record?.health !== "down") upSince = at;
            if (record?.health === "down") wasDownAt = at;
            // Up, and once it was down: a whole probation lies between.
            if (record === undefined && wasDownAt > 0)
              expect(at - upSince).toBeGreaterThanOrEqual(PROBATION_MS);
            if (isDead) expect(record?.health).toBe("down");
          }
        },
      ),
    );
  });
});
