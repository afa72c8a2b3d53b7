import { describe, expect, it } from "vitest";
import { ENDPOINT_BYTES } from "../../../src/bytes/slab.ts";
import {
  HANDSHAKE_QUEUE_MAX,
  HandshakeQueue,
  PLAIN_MAX,
  UNDER_LOAD_COUNT,
  UNDER_LOAD_LINGER_MS,
} from "../../../src/tunnel/handshake-queue.ts";

const message = Uint8Array.from({ length: 200 }, (_, index) => index);
const endpoint = Uint8Array.from({ length: 64 }, (_, index) => 100 + index);

function push(queue: HandshakeQueue, isPreferred = false, length = 148): boolean {
  return queue.push(message, 3, length, endpoint, 5, isPreferred);
}

describe("HandshakeQueue", () => {
  it("gives messages of all sizes back with their endpoints, oldest first", () => {
    const queue = new HandshakeQueue({ waiting: 0 });
    expect(queue.take()).toBeUndefined();
    for (const length of [148, 92, 64]) push(queue, false, length);
    for (const length of [148, 92, 64]) {
      const entry = queue.take();
      expect(entry?.message).toEqual(message.subarray(3, 3 + length));
      expect(entry?.endpoint).toEqual(endpoint.subarray(5, 5 + ENDPOINT_BYTES));
    }
    expect(queue.take()).toBeUndefined();
  });

  it("keeps the last quarter for those with a cookie or an answer", () => {
    const queue = new HandshakeQueue({ waiting: 0 });
    for (let i = 0; i < PLAIN_MAX; i++) expect(push(queue)).toBe(true);
    expect(push(queue)).toBe(false);
    for (let i = PLAIN_MAX; i < HANDSHAKE_QUEUE_MAX; i++) expect(push(queue, true)).toBe(true);
    expect(push(queue, true)).toBe(false);
    expect(queue.count).toBe(HANDSHAKE_QUEUE_MAX);
    queue.take();
    expect(push(queue)).toBe(false);
    expect(push(queue, true)).toBe(true);
  });

  it("goes round its ring without mixing entries", () => {
    const queue = new HandshakeQueue({ waiting: 0 });
    const bytes = new Uint8Array(148);
    let next = 0;
    let expected = 0;
    for (let round = 0; round < 5; round++) {
      for (let i = 0; i < 700; i++) {
        new DataView(bytes.buffer).setUint32(0, next++, true);
        expect(queue.push(bytes, 0, 148, endpoint, 0, false)).toBe(true);
      }
      for (let i = 0; i < 700; i++) {
        const entry = queue.take()!;
        const view = new DataView(entry.message.buffer, entry.message.byteOffset);
        expect(view.getUint32(0, true)).toBe(expected++);
      }
    }
  });

  it("is under load from an eighth on, and for a second after", () => {
    const queue = new HandshakeQueue({ waiting: 0 });
    expect(queue.isUnderLoad(0)).toBe(false);
    for (let i = 1; i < UNDER_LOAD_COUNT; i++) push(queue);
    expect(queue.isUnderLoad(0)).toBe(false);
    push(queue);
    expect(queue.isUnderLoad(10)).toBe(true);
    queue.clear();
    expect(queue.count).toBe(0);
    expect(queue.isUnderLoad(10 + UNDER_LOAD_LINGER_MS - 1)).toBe(true);
    expect(queue.isUnderLoad(10 + UNDER_LOAD_LINGER_MS)).toBe(false);
  });
});
