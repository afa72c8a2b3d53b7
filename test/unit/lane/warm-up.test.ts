import { describe, expect, it } from "vitest";
import { Slab } from "../../../src/bytes/slab.ts";
import { nobleCipher } from "../../../src/crypto/noble-cipher.ts";
import { opensslSuite } from "../../../src/crypto/openssl.ts";
import { WarmUp } from "../../../src/lane/warm-up.ts";
import { seededBytes } from "../../sim/node.ts";

function warmUp(): WarmUp {
  return new WarmUp({
    suite: opensslSuite,
    cipher: nobleCipher,
    slab: new Slab(),
    entropy: seededBytes(1),
    stagingBudget: { bytes: 0 },
  });
}

describe("warm-up", () => {
  it("carries packets both ways through whole tunnels", () => {
    const work = warmUp();
    // The first round of each pair makes the session.
    for (let i = 0; i < 6; i++) expect(work.step()).toBe(true);
    const before = work.delivered;
    expect(work.step()).toBe(true);
    // Both ways: nine rounds of one packet, one round of 44 of which 5 have no route.
    expect(work.delivered - before).toBe(2 * (9 + 44 - 5));
  });

  it("ends", () => {
    const work = warmUp();
    let steps = 1;
    while (work.step()) steps++;
    expect(steps).toBe(250);
    // What is kept of it carries one packet at a time, for ever in one moment: without a handshake.
    const before = work.delivered;
    for (let i = 0; i < 50; i++) work.glance();
    expect(work.delivered - before).toBe(50);
  }, 60_000);
});
