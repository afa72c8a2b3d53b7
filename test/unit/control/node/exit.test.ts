/** The exit's addresses, and what may not overlap them. */
import { describe, expect, it } from "vitest";
import {
  DEFAULT_EXIT,
  exitAddresses,
  exitClash,
  exitGateways,
  freeExitIndex,
  lastExitIndex,
} from "../../../../src/control/node/exit.ts";

describe("addresses of the exit", () => {
  it("are those of the index in both families; the first is the gateway's", () => {
    expect(exitGateways(DEFAULT_EXIT).v4).toBe("100.127.0.1");
    expect(exitAddresses(DEFAULT_EXIT, 2)).toEqual(["100.127.0.2/16", "fd77:6878:6974::2/64"]);
    expect(exitAddresses(DEFAULT_EXIT, 258)[0]).toBe("100.127.1.2/16");
  });

  it("are given out lowest first, and end before the link to the host", () => {
    expect(freeExitIndex(DEFAULT_EXIT, new Set([2, 3, 5]))).toBe(4);
    const small = { ...DEFAULT_EXIT, range: "10.9.0.0/28" };
    // Of 16: network, gateway, 10 networks, the two of the link in a /30 of their own.
    expect(lastExitIndex(small)).toBe(11);
    const all = new Set(Array.from({ length: 10 }, (_, index) => index + 2));
    expect(freeExitIndex(small, all)).toBeUndefined();
  });

  it.each([
    [["10.0.0.0/8", "100.64.0.0/16"], undefined],
    [["10.0.0.0/8", "100.127.5.0/24"], "100.127.5.0/24"],
    [["100.64.0.0/10"], "100.64.0.0/10"],
    [["0.0.0.0/0", "::/0"], undefined],
    [["fd77:6878::/32"], "fd77:6878::/32"],
  ])("%j clashes with %s", (prefixes, clash) => {
    expect(exitClash(DEFAULT_EXIT, prefixes)).toBe(clash);
  });
});
