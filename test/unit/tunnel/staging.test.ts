import { describe, expect, it } from "vitest";
import { STAGED_BYTES_MAX, STAGED_MAX, Staging } from "../../../src/tunnel/staging.ts";

const numbered = (number: number): Uint8Array => Uint8Array.of(9, number, 9);

describe("Staging", () => {
  it("gives packets back in order, as copies", () => {
    const budget = { bytes: 0 };
    const staging = new Staging(budget);
    const bytes = Uint8Array.of(0, 1, 2, 3);
    expect(staging.push(bytes, 1, 2)).toBe(0);
    bytes.fill(7);
    expect(staging.push(bytes, 0, 1)).toBe(0);
    expect(budget.bytes).toBe(3);
    expect(staging.takeAll()).toEqual([Uint8Array.of(1, 2), Uint8Array.of(7)]);
    expect(staging.count).toBe(0);
    expect(budget.bytes).toBe(0);
    expect(staging.takeAll()).toEqual([]);
  });

  it("pushes the oldest out when 128 wait", () => {
    const budget = { bytes: 0 };
    const staging = new Staging(budget);
    for (let i = 0; i < STAGED_MAX; i++) expect(staging.push(numbered(i), 1, 1)).toBe(0);
    expect(staging.push(numbered(200), 1, 1)).toBe(1);
    expect(budget.bytes).toBe(STAGED_MAX);
    const packets = staging.takeAll();
    expect(packets).toHaveLength(STAGED_MAX);
    expect([packets[0], packets.at(-1)]).toEqual([Uint8Array.of(1), Uint8Array.of(200)]);
  });

  it("takes nothing more when the budget that it shares is used up", () => {
    const budget = { bytes: 0 };
    const [one, other] = [new Staging(budget), new Staging(budget)];
    const large = new Uint8Array(STAGED_BYTES_MAX / 4);
    for (let i = 0; i < 4; i++) expect(one.push(large, 0, large.length)).toBe(0);
    expect(other.push(large, 0, 1)).toBe(-1);
    expect(other.count).toBe(0);
    expect(one.clear()).toBe(4);
    expect(other.push(large, 0, 1)).toBe(0);
    expect(budget.bytes).toBe(1);
  });

  it("an empty packet, the keepalive, costs nothing and waits like any other", () => {
    const budget = { bytes: STAGED_BYTES_MAX };
    const staging = new Staging(budget);
    expect(staging.push(new Uint8Array(0), 0, 0)).toBe(0);
    expect(staging.count).toBe(1);
  });
});
