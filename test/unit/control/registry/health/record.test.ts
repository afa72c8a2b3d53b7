/** What is kept of a node's word on a peer, in time. */
import { describe, expect, test } from "vitest";
import {
  AGAIN_MS,
  dueOf,
  isOther,
  mature,
  type PeerRecord,
  stamp,
  stampAll,
  TRIAL_MS,
  withOneKey,
} from "../../../../../src/control/registry/health/record.ts";
import type { PeerLink } from "../../../../../src/control/registry/schemas.ts";

const T0 = 1_700_000_000_000;
const link = (rest: Partial<PeerLink> = {}): PeerLink => ({
  publicKey: "key",
  endpoint: "198.51.100.1:3000",
  handshakeAge: 10,
  isAlive: true,
  roundTripMs: 20,
  loss: 0,
  ...rest,
});
/** Reports one after the other, at seconds after T0. */
function series(...reports: readonly (readonly [number, Partial<PeerLink>, boolean?])[]) {
  let record: PeerRecord | undefined;
  for (const [second, rest, isRouteless = false] of reports) {
    record = stamp(record, link(rest), T0 + second * 1_000, isRouteless);
  }
  return record!;
}

describe("a record", () => {
  test("figures differ: since when stays, plans see nothing new", () => {
    const first = series([0, {}]);
    const later = series([0, {}], [30, { handshakeAge: 40, roundTripMs: 22, loss: 0.05 }]);
    expect(later).toMatchObject({ since: T0, handshakeAge: 40, roundTripMs: 22, latencyMs: 20 });
    expect(isOther(first, later)).toBe(false);
    expect(isOther(first, series([0, {}], [30, { roundTripMs: 40 }]))).toBe(true);
    expect(dueOf(later)).toBeUndefined();
  });

  test("a peer that answered and does not is dead at once, with its address", () => {
    const lost = series([0, {}], [8, { isAlive: false }]);
    const at = T0 + 8_000;
    expect(lost).toMatchObject({ isDead: true, since: at, lostAt: at, latencyMs: 20 });
    expect(lost.failed).toEqual([{ address: "198.51.100.1", at }]);
    const back = series([0, {}], [8, { isAlive: false }], [20, {}]);
    expect(back).toMatchObject({ isDead: false, since: T0 + 20_000 });
    expect(back.lostAt).toBeUndefined();
    expect(back.failed).toBeUndefined();
  });

  test("one that never answered is given time", () => {
    const young = series([0, { isAlive: false, handshakeAge: undefined }]);
    expect(young.isDead).toBe(false);
    expect(dueOf(young)).toBe(T0 + TRIAL_MS);
    expect(mature(young, T0 + TRIAL_MS - 1)).toBe(young);
    const old = mature(young, T0 + TRIAL_MS);
    expect(old).toMatchObject({ isDead: true, wasAlive: false });
    expect(old.failed).toHaveLength(1);
    expect(dueOf(old)).toBe(T0 + TRIAL_MS + AGAIN_MS);
    // Not probed and no handshake: the same.
    expect(dueOf(series([0, { isAlive: undefined, handshakeAge: undefined }]))).toBe(T0 + TRIAL_MS);
    expect(series([0, { isAlive: undefined }])).toMatchObject({ isDead: false });
  });

  test("another address of a dead peer has its own time, then both have failed, and nothing moves any more", () => {
    const moved = series(
      [0, {}],
      [8, { isAlive: false }],
      [10, { isAlive: false, endpoint: "[2001:db8::1]:3000" }],
    );
    expect(moved.isDead).toBe(true);
    expect(moved.failed).toHaveLength(1);
    const due = dueOf(moved)!;
    expect(due).toBe(T0 + 10_000 + TRIAL_MS);
    const both = mature(moved, due);
    expect(both.failed?.map(({ address }) => address)).toEqual(["198.51.100.1", "2001:db8::1"]);
    const again = stamp(both, link({ isAlive: false }), due + 1_000, false);
    expect(mature(again, due + 1_000 + TRIAL_MS)).toEqual(again);
  });

  test("an old session brings nobody back who is not pinged; a handshake since then does", () => {
    const isBack = (handshakeAge: number, isRouteless: boolean): boolean | undefined =>
      series([0, {}], [8, { isAlive: false }], [20, { handshakeAge }, isRouteless]).isAlive;
    expect(isBack(60, true)).toBe(false);
    expect(isBack(12, true)).toBe(false);
    expect(isBack(11, true)).toBe(true);
    expect(isBack(60, false)).toBe(true);
  });

  test("who comes back by handshakes and is lost again soon is believed later and later; who stays is believed at once again", () => {
    let record = series([0, {}]);
    let now = 0;
    const say = (second: number, rest: Partial<PeerLink>, isRouteless: boolean): void => {
      now = second;
      record = stamp(record, link(rest), T0 + second * 1_000, isRouteless);
    };
    const lose = (): void => say(now + 10, { isAlive: false }, false);
    const meet = (): void => say(now + 5, { handshakeAge: 1 }, true);
    lose();
    meet();
    expect(record).toMatchObject({ isAlive: true, isDead: false });
    for (const hold of [30, 60, 120, 240, 480, 600, 600]) {
      lose();
      const lostAt = T0 + now * 1_000;
      meet();
      expect(record).toMatchObject({ isAlive: false, isDead: true });
      expect(dueOf(record)).toBe(lostAt + hold * 1_000);
      expect(mature(record, lostAt + hold * 1_000 - 1)).toBe(record);
      // Silence again: the handshake of before is worth nothing.
      say(now + 1, { isAlive: false, handshakeAge: undefined }, true);
      expect(mature(record, lostAt + hold * 1_000).isAlive).toBe(false);
      meet();
      now = lostAt / 1_000 - T0 / 1_000 + hold;
      record = mature(record, T0 + now * 1_000);
      expect(record).toMatchObject({ isAlive: true, isDead: false, since: T0 + now * 1_000 });
      expect(record.failed).toBeUndefined();
    }
    say(now + 30, {}, false);
    say(now + 31, {}, false);
    lose();
    meet();
    expect(record.isAlive).toBe(true);
  });

  test("of a peer that is named no more, the addresses that failed are remembered for a time", () => {
    const failed = mature(
      series([0, { isAlive: false, handshakeAge: undefined, endpoint: "192.168.1.6:3000" }]),
      T0 + TRIAL_MS,
    );
    const gone = stampAll([failed], [], T0 + TRIAL_MS + 1_000, new Set());
    expect(gone).toEqual([
      {
        ...{ publicKey: "key", since: T0, wasAlive: false, isDead: false },
        failed: [{ address: "192.168.1.6", at: T0 + TRIAL_MS }],
      },
    ]);
    expect(dueOf(gone[0]!)).toBe(T0 + TRIAL_MS + AGAIN_MS);
    expect(stampAll(gone, [], T0 + TRIAL_MS + AGAIN_MS, new Set())).toEqual([]);
    expect(stampAll([series([0, {}])], [], T0 + 1_000, new Set())).toEqual([]);
  });
});

test("of two keys of one peer the new one speaks once it answers", () => {
  const keys = new Map([["new", "old"]]);
  const other = series([0, { publicKey: "other", isAlive: false }]);
  const old = series([0, { publicKey: "old" }]);
  const unused = series([0, { publicKey: "new", isAlive: false, handshakeAge: undefined }]);
  expect(withOneKey([other, old, unused], keys)).toEqual([other, old]);
  const lost = series([0, { publicKey: "old" }], [8, { publicKey: "old", isAlive: false }]);
  const used = series([8, { publicKey: "new", handshakeAge: 1 }]);
  expect(withOneKey([used, lost, other], keys)).toEqual([other, { ...used, publicKey: "old" }]);
  expect(withOneKey([lost, unused], keys)).toEqual([lost]);
  expect(withOneKey([used], keys)).toEqual([{ ...used, publicKey: "old" }]);
});
