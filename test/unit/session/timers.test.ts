import { describe, expect, it } from "vitest";
import { OFF, Timers } from "../../../src/session/timers.ts";

describe("Timers", () => {
  it("are off at first, and after a stop", () => {
    const timers = new Timers();
    expect(timers.next()).toBe(OFF);
    timers.persistentIntervalMs = 25_000;
    timers.dataSent(0, 0);
    timers.dataReceived(0);
    timers.initiated(0, 0);
    timers.sessionDerived(0);
    timers.authenticatedTraversed(0);
    timers.attempts = 4;
    timers.stop();
    expect(timers.next()).toBe(OFF);
    expect(timers.attempts).toBe(0);
    expect(timers.persistentIntervalMs).toBe(25_000);
  });

  it("a new handshake is due 15 s and the jitter after data that nothing answers", () => {
    const timers = new Timers();
    timers.dataSent(1_000, 100);
    timers.dataSent(9_000, 0);
    expect(timers.renewMs).toBe(16_100);
    timers.authenticatedReceived();
    expect(timers.next()).toBe(OFF);
  });

  it("a keepalive is due 10 s after data that we do not answer, and another if more came", () => {
    const timers = new Timers();
    timers.dataReceived(1_000);
    expect([timers.keepaliveMs, timers.anotherKeepalive]).toEqual([11_000, false]);
    timers.dataReceived(5_000);
    expect([timers.keepaliveMs, timers.anotherKeepalive]).toEqual([11_000, true]);
    timers.authenticatedSent();
    expect(timers.keepaliveMs).toBe(OFF);
  });

  it("an initiation is repeated after 5 s and the jitter, until the session is confirmed", () => {
    const timers = new Timers();
    timers.initiated(1_000, 333);
    timers.attempts = 3;
    expect(timers.next()).toBe(6_333);
    timers.handshakeComplete();
    expect([timers.next(), timers.attempts]).toEqual([OFF, 0]);
  });

  it("keys go 540 s after the last session", () => {
    const timers = new Timers();
    timers.sessionDerived(1_000);
    timers.sessionDerived(2_000);
    expect(timers.next()).toBe(542_000);
  });

  it("a persistent keepalive is due an interval after any authentic packet, and never without one", () => {
    const timers = new Timers();
    timers.authenticatedTraversed(1_000);
    expect(timers.next()).toBe(OFF);
    timers.persistentIntervalMs = 25_000;
    timers.authenticatedTraversed(1_000);
    timers.authenticatedTraversed(3_000);
    expect(timers.next()).toBe(28_000);
  });

  it("what another lane sent counts from when it was sent, though it is told late", () => {
    const timers = new Timers();
    timers.persistentIntervalMs = 25_000;
    timers.sentElsewhere(-1 / 0, -1 / 0, 1_000, 0, 0);
    expect(timers.persistentMs).toBe(26_000);
    timers.sentElsewhere(-1 / 0, -1 / 0, 500, 0, 0);
    expect(timers.persistentMs).toBe(26_000);
  });
});
