/** A tunnel that is made anew from a snapshot: what it has again, what it has lost, and what it does at once. */
import { describe, expect, it } from "vitest";
import type { SocketSettings } from "../../../src/tunnel/configure.ts";
import { restoreSnapshot } from "../../../src/tunnel/restore.ts";
import type { DeviceSnapshot, PeerSnapshot } from "../../../src/uapi/snapshot.ts";
import { REJECT_AFTER_TIME } from "../../../src/wire/constants.ts";
import { recordOf, type SimClock, SimNode } from "../../sim/node.ts";
import { SpreadNode } from "../../sim/spread.ts";

const EADDRINUSE = -98;
const clock: SimClock = { now: 5_000, wallMs: 1_790_000_000_000 };
const key = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);

function sockets(calls: string[], status = 0): SocketSettings {
  return {
    setListenPort: (port) => {
      calls.push(`port ${port}`);
      return status;
    },
    setMark: (mark) => {
      calls.push(`mark ${mark}`);
      return 0;
    },
    resolveEndpoint: (record, _family, address, port) => {
      record.set(recordOf(`${address.subarray(0, 4).join(".")}:${port}`));
      return 0;
    },
  };
}

/** `agoMs`: when its last handshake was. */
function peer(byte: number, agoMs: number, settings: Partial<PeerSnapshot> = {}): PeerSnapshot {
  const atMs = clock.wallMs - agoMs;
  return {
    publicKey: key(byte),
    presharedKey: key(byte + 1),
    endpoint: { family: 2, bytes: Uint8Array.of(192, 0, 2, byte), port: 7 },
    lastHandshake: { sec: Math.floor(atMs / 1_000), nsec: (atMs % 1_000) * 1_000_000 },
    rxBytes: 100 + byte,
    txBytes: 200 + byte,
    persistentKeepalive: byte,
    allowedIps: [{ family: 2, bytes: Uint8Array.of(10, byte, 0, 0, ...key(0)), cidr: 16 }],
    ...settings,
  };
}

function snapshot(peers: readonly PeerSnapshot[]): DeviceSnapshot {
  return { privateKey: key(0x11), listenPort: 51_820, fwmark: 9, peers };
}

function makeNode(): SimNode {
  return new SimNode({ secret: key(0x77), address: "192.0.2.1:1", clock, seed: 1 });
}

describe("a tunnel after its lane has died", () => {
  it("has its settings, counters and times, and wipes the keys that it was handed", () => {
    const node = makeNode();
    const { endpoint: _unknown, ...bare } = peer(4, 10 * REJECT_AFTER_TIME);
    const given = snapshot([peer(2, 1_500), bare]);
    const calls: string[] = [];
    expect(restoreSnapshot(node.tunnel, given, sockets(calls), clock)).toBe(0);
    expect(calls).toEqual(["port 51820", "mark 9"]);
    const { state } = node.tunnel;
    expect([...state.identity!.secret]).toEqual([...key(0x11)]);
    const restored = state.peerByKey(key(2))!;
    expect([...restored.handshake.presharedKey]).toEqual([...key(3)]);
    expect([restored.rxBytes, restored.lastHandshakeMs]).toEqual([102, clock.wallMs - 1_500]);
    expect(restored.timers.persistentIntervalMs).toBe(2_000);
    expect(state.allowedIps.lookup4At(Uint8Array.of(10, 4, 0, 1), 0)).toBe(
      state.peerByKey(key(4))!.id,
    );
    for (const secret of [given.privateKey!, ...given.peers.map((each) => each.presharedKey)]) {
      expect([...secret]).toEqual([...key(0)]);
    }
  });

  it("begins a handshake at once with whom it had a session, and with nobody else", () => {
    const node = makeNode();
    const quiet = { persistentKeepalive: 0 };
    const peers = [peer(2, REJECT_AFTER_TIME - 1, quiet), peer(3, REJECT_AFTER_TIME, quiet)];
    restoreSnapshot(node.tunnel, snapshot(peers), sockets([]), clock);
    node.settle();
    expect(node.outgoing.map(({ to, bytes }) => [to, bytes[0]])).toEqual([["192.0.2.2:7", 1]]);
  });

  it("without a key has its peers, and sends nothing", () => {
    const node = makeNode();
    node.tunnel.setPrivateKey(undefined);
    const { privateKey: _none, ...keyless } = snapshot([peer(2, 0)]);
    restoreSnapshot(node.tunnel, keyless, sockets([]), clock);
    node.settle();
    expect(node.tunnel.state.peerCount).toBe(1);
    expect(node.outgoing).toHaveLength(0);
  });

  it("says which setting was refused, and still wipes the keys; peers that it did not get to are left out", () => {
    const node = makeNode();
    const given = snapshot([peer(2, 0)]);
    expect(restoreSnapshot(node.tunnel, given, sockets([], EADDRINUSE), clock)).toBe(EADDRINUSE);
    expect(node.tunnel.state.peerCount).toBe(0);
    expect([...given.peers[0]!.presharedKey]).toEqual([...key(0)]);
  });

  it("counts bytes, and begins, on the home lane alone", () => {
    const spread = new SpreadNode({
      count: 2,
      secret: key(0x77),
      address: "192.0.2.1:1",
      clock,
      seed: 1,
    });
    // At home on lane 1: its key is odd.
    for (const { tunnel } of spread.lanes) {
      restoreSnapshot(tunnel, snapshot([peer(3, 0)]), sockets([]), clock);
    }
    for (const lane of spread.lanes) lane.settle();
    expect(spread.lanes.map(({ outgoing }) => outgoing.length)).toEqual([0, 1]);
    const peers = spread.lanes.map(({ tunnel }) => tunnel.state.peerByKey(key(3))!);
    // The initiation is counted too.
    expect(peers.map(({ rxBytes, txBytes }) => [rxBytes, txBytes])).toEqual([
      [0, 0],
      [103, 203 + 148],
    ]);
    expect(peers.map(({ lastHandshakeMs }) => lastHandshakeMs)).toEqual([
      clock.wallMs,
      clock.wallMs,
    ]);
  });
});
