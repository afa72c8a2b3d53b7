import { describe, expect, it } from "vitest";
import { isRejectedCounter, Keypair } from "../../../src/session/keypair.ts";
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

  it("is of no use once wiped, and only for opening once our key has changed", () => {
    const pair = keypair();
    pair.sendable = false;
    expect([pair.maySend(1_000), pair.mayReceive(1_000)]).toEqual([false, true]);
    pair.wipe();
    expect([pair.maySend(1_000), pair.mayReceive(1_000)]).toEqual([false, false]);
    expect([...pair.sendKey, ...pair.receiveKey].every((byte) => byte === 0)).toBe(true);
  });
});
