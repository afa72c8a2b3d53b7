/** The simulated NAT does what its kinds are to do: what is wrong here would make storms too kind or too hard. */
import { describe, expect, it } from "vitest";
import { Nat, type NatKind } from "./nat.ts";
import type { Datagram } from "./node.ts";

const INSIDE = "192.168.0.2:1000";
const HERE = "192.0.2.1:1";
const THERE = "192.0.2.2:2";
const bytes = new Uint8Array(1);

function sent(to: string): Datagram {
  return { bytes, from: INSIDE, to, tos: 0 };
}

function answer(from: string, to: string): Datagram {
  return { bytes, from, to, tos: 0 };
}

function nat(kind: NatKind): Nat {
  return new Nat("198.51.100.1", kind, 30_000, 2_000);
}

describe("a NAT", () => {
  it("gives one port to all destinations, or one to each if it is symmetric", () => {
    const ports = (kind: NatKind): string[] => {
      const box = nat(kind);
      return [HERE, THERE, HERE].map((to) => box.out(sent(to), 0).from);
    };
    expect(ports("open")).toEqual(new Array(3).fill("198.51.100.1:2000"));
    expect(ports("restricted")).toEqual(new Array(3).fill("198.51.100.1:2000"));
    expect(ports("symmetric")).toEqual(
      ["2000", "2001", "2000"].map((port) => `198.51.100.1:${port}`),
    );
  });

  it("lets in what answers; anybody, if it is open; nobody, before anything went out", () => {
    for (const [kind, isOpen] of [
      ["open", true],
      ["restricted", false],
    ] as const) {
      const box = nat(kind);
      expect(box.in(answer(HERE, "198.51.100.1:2000"), 0)).toBeUndefined();
      const { from } = box.out(sent(HERE), 0);
      expect(box.in(answer(HERE, from), 10)?.to).toBe(INSIDE);
      expect(box.in(answer(THERE, from), 10)?.to).toBe(isOpen ? INSIDE : undefined);
    }
  });

  it("forgets what nothing goes out by, whatever comes in, and gives another port then", () => {
    const box = nat("restricted");
    const { from } = box.out(sent(HERE), 0);
    expect(box.in(answer(HERE, from), 30_000)?.to).toBe(INSIDE);
    expect(box.in(answer(HERE, from), 30_001)).toBeUndefined();
    expect(box.out(sent(HERE), 30_001).from).not.toBe(from);
  });

  it("has another port after it was rebound, and the old one leads nowhere", () => {
    const box = nat("open");
    const { from } = box.out(sent(HERE), 0);
    box.rebind();
    expect(box.in(answer(HERE, from), 1)).toBeUndefined();
    expect(box.out(sent(HERE), 1).from).not.toBe(from);
  });
});
