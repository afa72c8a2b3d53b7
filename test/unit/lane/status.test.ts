/** What an interface tells of itself: all to the configuration socket, nothing secret to anybody else. */
import { describe, expect, it } from "vitest";
import { formatBase64Key } from "../../../src/bytes/base64.ts";
import { endpointLayout, FAMILY_V6 } from "../../../src/bytes/slab.ts";
import { interfaceStatus, type LaneFacts, snapshot } from "../../../src/lane/status.ts";
import { FLOOD_REFUSALS } from "../../../src/session/flood-watch.ts";
import { Keypair } from "../../../src/session/keypair.ts";
import { Drop } from "../../../src/tunnel/drop.ts";
import { recordOf } from "../../sim/node.ts";
import { PEER_ADDRESS, peerOf, speak, stub, withSource } from "./stub-ports.ts";

const SCOPE = 4;
const scopeName = (index: number): string | undefined => (index === SCOPE ? "eth0" : undefined);
const NOW = 5_000;
const facts = (drops: Readonly<Record<string, number>> = {}): LaneFacts => ({
  now: NOW,
  drops,
  heapBytes: 0,
});

/** An endpoint [fe80::1%scope]:7. */
function linkLocal(scope: number): Uint8Array {
  const record = new Uint8Array(48);
  const view = new DataView(record.buffer);
  view.setUint16(endpointLayout.family, FAMILY_V6, true);
  view.setUint16(endpointLayout.port, 7, true);
  view.setUint32(endpointLayout.scope, scope, true);
  record.set([0xfe, 0x80], endpointLayout.address);
  record[endpointLayout.address + 15] = 1;
  return record;
}

describe("a snapshot", () => {
  it("has keys, settings and counters of the interface and its peers", () => {
    const made = stub();
    const { iface, moment } = made;
    iface.setListenPort(500);
    iface.setMark(7);
    const peer = peerOf(made);
    peer.handshake.setPresharedKey(new Uint8Array(32).fill(5));
    peer.timers.persistentIntervalMs = 25_000;
    peer.lastHandshakeMs = 1_790_000_000_250;
    expect(snapshot(iface, scopeName)).toEqual({
      privateKey: new Uint8Array(32).fill(1),
      listenPort: 500,
      fwmark: 7,
      peers: [
        {
          publicKey: new Uint8Array(32).fill(9),
          presharedKey: new Uint8Array(32).fill(5),
          endpoint: {
            family: 2,
            bytes: Uint8Array.of(192, 0, 2, 2, ...new Uint8Array(12)),
            port: 2,
          },
          lastHandshake: { sec: 1_790_000_000, nsec: 250_000_000 },
          txBytes: 0,
          rxBytes: 0,
          persistentKeepalive: 25,
          allowedIps: iface.tunnel.state.allowedIps.entries(peer.id),
        },
      ],
    });
    // The port in use, once there is one.
    iface.setListenPort(0);
    iface.followLink(moment);
    expect(snapshot(iface, scopeName).listenPort).toBe(40_000);
  });

  it("has no key and no endpoint if there is none, and names scopes as they are now", () => {
    const made = stub();
    made.iface.tunnel.setPrivateKey(undefined);
    const bare = snapshot(made.iface, scopeName);
    expect("privateKey" in bare).toBe(false);
    const scopeOf = (scope: number): string | undefined => {
      made.iface.tunnel.setEndpoint(peerOf(made), linkLocal(scope));
      return snapshot(made.iface, scopeName).peers[0]!.endpoint!.scope;
    };
    expect([scopeOf(0), scopeOf(SCOPE), scopeOf(9)]).toEqual([undefined, "eth0", "9"]);
    made.iface.tunnel.setEndpoint(peerOf(made), new Uint8Array(48));
    expect("endpoint" in snapshot(made.iface, scopeName).peers[0]!).toBe(false);
  });
});

describe("a status", () => {
  it("tells what goes on, and of drops only those that there were", () => {
    const made = stub();
    made.iface.followLink(made.moment);
    withSource(made, "192.0.2.1");
    speak(made);
    made.iface.tunnel.state.drop(Drop.noRoute, 3);
    const status = interfaceStatus(made.iface, scopeName, facts({ malformed: 2 }));
    expect(status).toMatchObject({
      name: "stub0",
      isUp: true,
      mtu: 1_400,
      listenPort: 40_000,
      crypto: "openssl",
      lanes: 1,
      offload: 0x67,
      isUnderLoad: false,
      shedding: null,
      drops: { noRoute: 3 },
      laneDrops: { malformed: 2 },
      socketDrops: 5,
    });
    expect(Object.keys(status.drops)).toEqual(["noRoute"]);
    expect(status.peers).toEqual([
      {
        publicKey: formatBase64Key(new Uint8Array(32).fill(9)),
        endpoint: PEER_ADDRESS,
        family: "IPv4",
        source: "192.0.2.1",
        lastHandshakeMs: 0,
        handshakes: 0,
        initiations: 1,
        attempts: 0,
        sessions: [],
        stagedPackets: 1,
        rxBytes: 0,
        txBytes: 148,
        sendErrors: 0,
        lastSendError: 0,
      },
    ]);
  });

  it("holds no secret", () => {
    const made = stub();
    peerOf(made).handshake.setPresharedKey(new Uint8Array(32).fill(5));
    const text = JSON.stringify(interfaceStatus(made.iface, scopeName, facts()));
    for (const byte of [1, 5]) {
      const secret = Buffer.alloc(32, byte);
      expect(text).not.toContain(secret.toString("base64"));
      expect(text).not.toContain(secret.toString("hex"));
    }
  });

  it("names the sessions that are held, the family of the path, and no path if there is none", () => {
    const made = stub();
    const peer = peerOf(made);
    const told = () => interfaceStatus(made.iface, scopeName, facts()).peers[0]!;
    peer.current = new Keypair(peer.id, true, 1, 2, NOW);
    expect(told().sessions).toEqual(["current"]);
    peer.previous = peer.current;
    peer.next = new Keypair(peer.id, false, 3, 4, NOW);
    expect(told().sessions).toEqual(["previous", "current", "next"]);
    made.iface.tunnel.setEndpoint(peer, linkLocal(SCOPE));
    expect([told().endpoint, told().family, told().source]).toEqual([
      "[fe80::1%eth0]:7",
      "IPv6",
      null,
    ]);
    made.iface.tunnel.setEndpoint(peer, new Uint8Array(48));
    expect([told().endpoint, told().family, told().source]).toEqual([null, null, null]);
  });

  it("tells whose flood is shed, over either protocol", () => {
    for (const [record, text] of [
      [recordOf("192.0.2.66:6"), "192.0.2.66"],
      [linkLocal(0), "fe80::1"],
    ] as const) {
      const { iface } = stub();
      const { flood } = iface.tunnel.state;
      for (let i = 0; i < FLOOD_REFUSALS; i++) flood.refuse(record, 0, NOW);
      flood.decide(NOW);
      const status = interfaceStatus(iface, scopeName, facts());
      expect([status.shedding, status.floods]).toEqual([text, 1]);
    }
  });
});
