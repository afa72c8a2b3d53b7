import { describe, expect, it } from "vitest";
import { HandshakeQueue } from "../../../src/tunnel/handshake-queue.ts";
import {
  INITIATIONS_BESIDE_OTHERS,
  INITIATIONS_PER_TURN,
  InitiationPace,
} from "../../../src/tunnel/initiation-pace.ts";

function taken(pace: InitiationPace, now: number): number {
  let count = 0;
  while (pace.take(now)) count++;
  return count;
}

describe("the pace of initiations", () => {
  it("is so many a turn, however many tunnels ask", () => {
    const pace = new InitiationPace();
    expect(taken(pace, 1)).toBe(INITIATIONS_PER_TURN);
    expect(taken(pace, 1)).toBe(0);
    expect(taken(pace, 2)).toBe(INITIATIONS_PER_TURN);
  });

  it("leaves the turn to the messages that wait in any of the queues, but for one", () => {
    const pace = new InitiationPace();
    const queues = [new HandshakeQueue(pace), new HandshakeQueue(pace)];
    const bytes = new Uint8Array(200);
    for (const queue of queues) queue.push(bytes, 0, 148, bytes, 0, false);
    queues[1]!.push(bytes, 0, 148, bytes, 0, false);
    expect(taken(pace, 1)).toBe(INITIATIONS_BESIDE_OTHERS);
    queues[0]!.take();
    expect(taken(pace, 2)).toBe(INITIATIONS_BESIDE_OTHERS);
    // An interface goes down.
    queues[1]!.clear();
    expect(pace.waiting).toBe(0);
    expect(taken(pace, 3)).toBe(INITIATIONS_PER_TURN);
  });
});
