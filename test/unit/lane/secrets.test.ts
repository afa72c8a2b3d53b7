/** Secrets that go from thread to thread: in memory that moves, as copies, and shown to nobody. */
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import type { LaneRequest } from "../../../src/lane/messages.ts";
import { concealSnapshot, movableRequest, movableSnapshot } from "../../../src/lane/secrets.ts";
import type { DeviceSnapshot, PeerSnapshot } from "../../../src/uapi/snapshot.ts";

const key = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);

function peer(publicKey: Uint8Array, presharedKey: Uint8Array): PeerSnapshot {
  return {
    publicKey,
    presharedKey,
    lastHandshake: { sec: 0, nsec: 0 },
    txBytes: 0,
    rxBytes: 0,
    persistentKeepalive: 0,
    allowedIps: [],
  };
}

function snapshotOf(hasKey: boolean): DeviceSnapshot {
  const peers = [peer(key(2), key(3)), peer(key(4), key(0)), peer(key(5), key(6))];
  const rest = { listenPort: 1, fwmark: 2, peers };
  return hasKey ? { ...rest, privateKey: key(1) } : rest;
}

/** Where a moved key lies. */
function memoryOf(bytes: Uint8Array | undefined): ArrayBufferLike | undefined {
  return bytes?.buffer;
}

describe("a snapshot that moves", () => {
  it("is equal, with its keys in one block of their own", () => {
    for (const hasKey of [true, false]) {
      const given = snapshotOf(hasKey);
      const { message, moved } = movableSnapshot(given);
      expect(message).toEqual(given);
      expect(moved.map(({ byteLength }) => byteLength)).toEqual([hasKey ? 96 : 64]);
      const [first, , third] = message.peers;
      expect(memoryOf(first?.presharedKey)).toBe(moved[0]);
      expect(memoryOf(third?.presharedKey)).toBe(moved[0]);
      expect(memoryOf(message.privateKey)).toBe(hasKey ? moved[0] : undefined);
      // Its own: wiping it leaves the live keys.
      new Uint8Array(moved[0]!).fill(0);
      expect(given).toEqual(snapshotOf(hasKey));
    }
  });

  it("without a secret moves nothing", () => {
    const bare = { listenPort: 0, fwmark: 0, peers: [peer(key(2), key(0))] };
    expect(movableSnapshot(bare)).toEqual({ message: bare, moved: [] });
  });
});

describe("a request that moves", () => {
  it("has the keys of a set in one block, and everything else as it was", () => {
    const operations = [
      { op: "private_key", key: key(1) },
      { op: "peer", publicKey: key(2) },
      { op: "preshared_key", key: key(3) },
      { op: "fwmark", mark: 4 },
    ] as const;
    const request: LaneRequest = { kind: "set", operations, isComplete: true };
    const { message, moved } = movableRequest(request);
    expect(message).toEqual(request);
    expect(moved.map(({ byteLength }) => byteLength)).toEqual([64]);
    new Uint8Array(moved[0]!).fill(0);
    expect(operations[0].key).toEqual(key(1));
    expect(operations[2].key).toEqual(key(3));
  });

  it("has those of a snapshot likewise, and else is itself", () => {
    const restore: LaneRequest = { kind: "restore", snapshot: snapshotOf(true) };
    const { message, moved } = movableRequest(restore);
    expect(message).toEqual(restore);
    expect(moved.map(({ byteLength }) => byteLength)).toEqual([96]);
    const status: LaneRequest = { kind: "status" };
    expect(movableRequest(status)).toEqual({ message: status, moved: [] });
  });
});

it("a concealed snapshot prints no key", () => {
  for (const hasKey of [true, false]) {
    const text = inspect(concealSnapshot(snapshotOf(hasKey)), { depth: 9 });
    for (const byte of [1, 3, 6])
      expect(text).not.toMatch(new RegExp(`\\b${byte}, ${byte}, ${byte}`));
    expect(text).toContain("2, 2, 2");
  }
});
