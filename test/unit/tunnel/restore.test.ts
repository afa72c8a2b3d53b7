/** A tunnel that comes back after its lane died: settings, counters, and whom it speaks to at once. */
import { describe, expect, it } from "vitest";
import type { SocketSettings } from "../../../src/tunnel/configure.ts";
import { restoreSnapshot } from "../../../src/tunnel/restore.ts";
import type { DeviceSnapshot, PeerSnapshot } from "../../../src/uapi/snapshot.ts";
import { type SimClock, SimNode } from "../../sim/node.ts";

const EADDRINUSE = -98;
const AF_INET = 2;
const WALL_MS = 1_790_000_000_000;

function freshNode(clock: SimClock): SimNode {
  const secret = new Uint8Array(32).fill(0x33);
  return new SimNode({ secret, address: "192.0.2.1:1000", clock, seed: 1 });
}

function sockets(status = 0): SocketSettings {
  return {
    setListenPort: () => status,
    setMark: () => 0,
    resolveEndpoint: (record, family, address, port) => {
      record.set([family, 0, port & 0xff, port >>> 8]);
      record.set(address, 8);
      return 0;
    },
  };
}

const address = (last: number): Uint8Array => {
  const bytes = new Uint8Array(16);
  bytes.set([192, 0, 2, last]);
  return bytes;
};

/** A peer whose last handshake was so many seconds ago; -1: never. */
function peerBefore(byte: number, secondsAgo: number, hasEndpoint = true): PeerSnapshot {
  const sec = secondsAgo < 0 ? 0 : WALL_MS / 1_000 - secondsAgo;
  return {
    publicKey: new Uint8Array(32).fill(byte),
    presharedKey: new Uint8Array(32).fill(byte + 1),
    ...(hasEndpoint ? { endpoint: { family: AF_INET, bytes: address(byte), port: 51_820 } } : {}),
    lastHandshake: { sec, nsec: secondsAgo < 0 ? 0 : 500_000_000 },
    txBytes: 1_000 + byte,
    rxBytes: 2_000 + byte,
    persistentKeepalive: 0,
    allowedIps: [{ family: AF_INET, bytes: address(byte), cidr: 32 }],
  };
}

function snapshotOf(peers: readonly PeerSnapshot[], privateKey?: Uint8Array): DeviceSnapshot {
  const settings = { listenPort: 51_820, fwmark: 7, peers };
  return privateKey === undefined ? settings : { ...settings, privateKey };
}

describe("restoreSnapshot", () => {
  it("brings settings and counters back, and begins with whom there was a session", () => {
    const clock: SimClock = { now: 1_000_000, wallMs: WALL_MS };
    const node = freshNode(clock);
    const privateKey = new Uint8Array(32).fill(0x11);
    const peers = [
      peerBefore(5, 20),
      peerBefore(6, 181),
      peerBefore(7, -1),
      peerBefore(8, 10, false),
    ];
    expect(restoreSnapshot(node.tunnel, snapshotOf(peers, privateKey), sockets(), clock)).toBe(0);
    node.settle();
    const { state } = node.tunnel;
    expect(state.peerCount).toBe(4);
    for (const before of peers) {
      const peer = state.peerByKey(before.publicKey)!;
      expect([peer.txBytes, peer.rxBytes].map((bytes) => bytes % 1_000)).toEqual(
        // An initiation has 148 bytes.
        before === peers[0] ? [153, 5] : [before.publicKey[0], before.publicKey[0]],
      );
      expect(state.allowedIps.entries(peer.id)).toHaveLength(1);
    }
    expect(state.peerByKey(peers[0]!.publicKey)?.lastHandshakeMs).toBe(WALL_MS - 20_000 + 500);
    // A session of the second would have ended; the fourth can't be reached.
    expect(node.outgoing.map(({ bytes, to }) => [bytes[0], to])).toEqual([[1, "192.0.2.5:51820"]]);
  });

  it("wipes the keys of the snapshot, also when a setting is refused", () => {
    const clock: SimClock = { now: 1_000_000, wallMs: WALL_MS };
    for (const [status, peerCount] of [
      [0, 1],
      [EADDRINUSE, 0],
    ] as const) {
      const node = freshNode(clock);
      const privateKey = new Uint8Array(32).fill(0x11);
      const before = peerBefore(5, 20);
      const snapshot = snapshotOf([before], privateKey);
      expect(restoreSnapshot(node.tunnel, snapshot, sockets(status), clock)).toBe(status);
      expect(node.tunnel.state.peerCount).toBe(peerCount);
      expect([...privateKey, ...before.presharedKey].every((byte) => byte === 0)).toBe(true);
    }
  });

  it("an interface without a key gets none", () => {
    const clock: SimClock = { now: 1_000_000, wallMs: WALL_MS };
    const node = freshNode(clock);
    node.tunnel.setPrivateKey(undefined);
    expect(restoreSnapshot(node.tunnel, snapshotOf([peerBefore(5, 20)]), sockets(), clock)).toBe(0);
    node.settle();
    expect(node.tunnel.state.identity).toBeUndefined();
    expect(node.outgoing).toEqual([]);
  });
});

describe("a tunnel", () => {
  it("that is up is not brought up again", () => {
    const clock: SimClock = { now: 1_000_000, wallMs: WALL_MS };
    const node = freshNode(clock);
    const peer = node.addPeer(new Uint8Array(32).fill(9), "10.0.0.2/32", "192.0.2.9:1");
    peer.timers.persistentIntervalMs = 25_000;
    node.tunnel.up(clock);
    node.settle();
    expect(node.outgoing).toEqual([]);
    node.tunnel.down();
    node.tunnel.up(clock);
    node.settle();
    expect(node.outgoing).toHaveLength(1);
  });

  it("has no handshake with a public key of low order, and says so", () => {
    const clock: SimClock = { now: 1_000_000, wallMs: WALL_MS };
    const node = freshNode(clock);
    const peer = node.addPeer(new Uint8Array(32), "10.0.0.2/32", "192.0.2.9:1");
    node.tunnel.startPeer(peer, true, clock);
    node.settle();
    expect(node.outgoing).toEqual([]);
    expect(node.tunnel.state.handshakes.count).toBe(0);
  });
});
