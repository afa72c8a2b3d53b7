import { describe, expect, it, vi } from "vitest";
import { isRejectedCounter, Keypair, SHARED_REJECT_AFTER } from "../../../src/session/keypair.ts";
import { REJECT_AFTER_TIME } from "../../../src/wire/constants.ts";

function keypair(): Keypair {
  const made = new Keypair(3, true, 1, 2, 1_000);
  made.sendKey.fill(1);
  made.receiveKey.fill(2);
  return made;
}

describe("Keypair", () => {
  it("may be used for 180 s, and not a moment longer", () => {
    const pair = keypair();
    const end = 1_000 + REJECT_AFTER_TIME;
    expect([pair.maySend(end - 1), pair.mayReceive(end - 1)]).toEqual([true, true]);
    expect([pair.maySend(end), pair.mayReceive(end)]).toEqual([false, false]);
  });

  it("carries its counter over the word, and ends at 2^64 - 2^13 - 1", () => {
    const pair = keypair();
    pair.sendLo = 0xffff_ffff;
    pair.step();
    expect([pair.sendHi, pair.sendLo]).toEqual([1, 0]);
    pair.sendHi = 0xffff_ffff;
    pair.sendLo = 0xffff_dffe;
    expect(pair.maySend(1_000)).toBe(true);
    pair.step();
    expect(pair.maySend(1_000)).toBe(false);
    expect(pair.mayReceive(1_000)).toBe(true);
    expect(isRejectedCounter(0xffff_ffff, 0xffff_dffe)).toBe(false);
    expect(isRejectedCounter(0xffff_ffff, 0xffff_dfff)).toBe(true);
    expect(isRejectedCounter(0xffff_ffff, 0xffff_ffff)).toBe(true);
    expect(isRejectedCounter(0xffff_fffe, 0xffff_ffff)).toBe(false);
  });

  it("wants to be renewed after 2^60 messages", () => {
    const pair = keypair();
    pair.sendHi = 0x1000_0000;
    expect(pair.isCounterHigh).toBe(false);
    pair.step();
    expect(pair.isCounterHigh).toBe(true);
    pair.sendHi = 0x1000_0001;
    pair.sendLo = 0;
    expect(pair.isCounterHigh).toBe(true);
  });

  it("leases counters to several, none of them twice, and none from 2^31 on", () => {
    const pairs = [keypair(), keypair()] as const;
    expect([pairs[0].leased, pairs[0].reserve(10)]).toEqual([0, true]);
    const leases = new Int32Array(new SharedArrayBuffer(4));
    for (const pair of pairs) pair.share(leases);
    expect(pairs[0].reserve(10) && pairs[1].reserve(5) && pairs[0].reserve(1)).toBe(true);
    expect([pairs[0].sendLo, pairs[1].sendLo, pairs[1].leased]).toEqual([15, 10, 16]);
    Atomics.store(leases, 0, SHARED_REJECT_AFTER - 3);
    expect([pairs[0].reserve(4), pairs[1].reserve(3)]).toEqual([false, true]);
    // Another lane leases between the look and the lease: what it gets is past the end, and not used.
    vi.spyOn(pairs[0], "leased", "get").mockReturnValue(0);
    expect([pairs[0].reserve(1), pairs[0].sendLo]).toEqual([false, 15]);
  });

  it("is of no use once wiped, and only for opening once our key has changed", () => {
    const pair = keypair();
    pair.sendable = false;
    expect([pair.maySend(1_000), pair.mayReceive(1_000)]).toEqual([false, true]);
    pair.wipe();
    expect([pair.maySend(1_000), pair.mayReceive(1_000)]).toEqual([false, false]);
    expect([...pair.sendKey, ...pair.receiveKey].every((byte) => byte === 0)).toBe(true);
  });
});
