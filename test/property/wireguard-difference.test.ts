/** WireGuard settings by difference, carried out on a real tunnel: it ends as wanted, and peers that stay are not touched. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { formatBase64Key } from "../../src/bytes/base64.ts";
import type { NetworkPeer } from "../../src/control/model/network-resource.ts";
import {
  settingsDifference,
  type WantedSettings,
  wantedEndpoints,
} from "../../src/control/node/wireguard.ts";
import { formatAddress, formatEndpointText } from "../../src/route/address.ts";
import { applySet } from "../../src/tunnel/configure.ts";
import { hasEndpoint } from "../../src/tunnel/endpoint.ts";
import type { DeviceSnapshot } from "../../src/uapi/snapshot.ts";
import { SimNode } from "../sim/node.ts";

function keyText(byte: number): string {
  const key = new Uint8Array(32).fill(byte);
  // Clamped, as every secret in use.
  key[0] = key[0]! & 248;
  key[31] = (key[31]! & 127) | 64;
  return formatBase64Key(key);
}

const peers: fc.Arbitrary<readonly NetworkPeer[]> = fc
  .uniqueArray(fc.integer({ min: 1, max: 6 }), { maxLength: 6 })
  .chain((numbers) =>
    fc.tuple(
      // Each prefix has one holder at most.
      fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 8, maxLength: 8 }),
      ...numbers.map((number) =>
        fc.record({
          publicKey: fc.constant(keyText(100 + number)),
          presharedKey: fc.constantFrom(undefined, keyText(7), keyText(9)),
          endpoint: fc.constantFrom(
            undefined,
            "192.0.2.1:1000",
            "192.0.2.9:2000",
            "[2001:db8::1]:5",
          ),
          keepalive: fc.constantFrom<NetworkPeer["keepalive"][]>("auto", 0, 25),
        }),
      ),
    ),
  )
  .map(([holders, ...list]) =>
    list.map((peer, at) => ({
      ...peer,
      allowedIps: holders.flatMap((holder, number) =>
        holder === at ? [number < 6 ? `10.${number}.0.0/16` : `fd00:${number}::/64`] : [],
      ),
    })),
  );

const settings: fc.Arbitrary<WantedSettings> = fc.record({
  privateKey: fc.constantFrom(keyText(1), keyText(2)),
  listenPort: fc.constantFrom(3000, 3001),
  peers,
});

const CLOCK = { now: 1_000_000, wallMs: 1_790_000_000_000 };

class Twin {
  readonly node: SimNode = new SimNode({
    secret: new Uint8Array(32).fill(0x11),
    address: "192.0.2.1:1000",
    clock: CLOCK,
    seed: 1,
  });
  port = 0;
  endpoints: ReadonlyMap<string, string> = new Map();

  snapshot(): DeviceSnapshot {
    const { state } = this.node.tunnel;
    return {
      ...(state.identity === undefined ? {} : { privateKey: state.identity.secret.slice() }),
      listenPort: this.port,
      fwmark: 0,
      peers: Array.from(state.allPeers(), (peer) => ({
        publicKey: peer.publicKey,
        presharedKey: peer.handshake.presharedKey.slice(),
        ...(hasEndpoint(peer.endpoint)
          ? { endpoint: { family: 2 as const, bytes: new Uint8Array(16), port: 1 } }
          : {}),
        lastHandshake: { sec: 0, nsec: 0 },
        txBytes: 0,
        rxBytes: 0,
        persistentKeepalive: peer.timers.persistentIntervalMs / 1000,
        allowedIps: state.allowedIps.entries(peer.id),
      })),
    };
  }

  /** How many operations it took. */
  reach(wanted: WantedSettings): number {
    const state = { snapshot: this.snapshot(), endpoints: this.endpoints };
    const operations = settingsDifference(wanted, state);
    const sockets = {
      setListenPort: (port: number): number => {
        this.port = port;
        return 0;
      },
      setMark: (): number => 0,
      resolveEndpoint: (
        record: Uint8Array,
        family: number,
        address: Uint8Array,
        port: number,
      ): number => {
        record.set([family, 0, port & 0xff, port >>> 8]);
        record.set(address, 8);
        return 0;
      },
    };
    expect(applySet(this.node.tunnel, operations, sockets, CLOCK).status).toBe(0);
    this.node.settle();
    this.endpoints = wantedEndpoints(wanted.peers);
    return operations.length;
  }
}

test("it ends as wanted, then there is nothing to set; peers that are wanted before and after stay the same objects", () => {
  fc.assert(
    fc.property(fc.array(settings, { minLength: 2, maxLength: 5 }), (list) => {
      const twin = new Twin();
      let before: WantedSettings | undefined;
      for (const wanted of list) {
        const { state } = twin.node.tunnel;
        const known = new Map(
          Array.from(state.allPeers(), (peer) => [formatBase64Key(peer.publicKey), peer]),
        );
        twin.reach(wanted);
        expect(twin.reach(wanted)).toBe(0);
        const found = Array.from(state.allPeers());
        expect(found.map((peer) => formatBase64Key(peer.publicKey)).sort()).toEqual(
          wanted.peers.map(({ publicKey }) => publicKey).sort(),
        );
        for (const peer of found) {
          const name = formatBase64Key(peer.publicKey);
          const target = wanted.peers.find(({ publicKey }) => publicKey === name);
          const prefixes = state.allowedIps
            .entries(peer.id)
            .map(({ family, bytes, cidr }) => `${formatAddress(family, bytes)}/${cidr}`);
          expect(prefixes.sort()).toEqual([...(target?.allowedIps ?? [])].sort());
          if (before?.peers.some(({ publicKey }) => publicKey === name)) {
            expect(known.get(name)).toBe(peer);
          }
        }
        before = wanted;
      }
    }),
    { numRuns: 60 },
  );
});

test("a peer that has roamed is left where it is until another endpoint is wanted", () => {
  const twin = new Twin();
  const peer: NetworkPeer = {
    publicKey: keyText(100),
    endpoint: "192.0.2.9:2000",
    allowedIps: ["10.0.0.0/16"],
    keepalive: 0,
  };
  const wanted: WantedSettings = { privateKey: keyText(1), listenPort: 3000, peers: [peer] };
  twin.reach(wanted);
  expect(twin.reach(wanted)).toBe(0);
  const state = { snapshot: twin.snapshot(), endpoints: twin.endpoints };
  const changed = settingsDifference(
    { ...wanted, peers: [{ ...peer, endpoint: "192.0.2.9:2001" }] },
    state,
  );
  const endpoint = changed.find((operation) => operation.op === "endpoint");
  expect(endpoint === undefined ? "" : formatEndpointText(endpoint)).toBe("192.0.2.9:2001");
});

test("another key or port calls each peer that was there and has an endpoint, at once; else nobody is called", () => {
  const twin = new Twin();
  const peer = (number: number, more: Partial<NetworkPeer>): NetworkPeer => ({
    ...{ publicKey: keyText(100 + number), allowedIps: [], keepalive: 0 as const },
    ...more,
  });
  const peers = [
    peer(1, { endpoint: "192.0.2.9:2001", keepalive: 25 }),
    peer(2, { endpoint: "192.0.2.9:2002" }),
    peer(3, { keepalive: 25 }),
  ];
  const wanted: WantedSettings = { privateKey: keyText(1), listenPort: 3000, peers };
  /** Ports of whom it sent something to. */
  const called = (): number[] => {
    const ports = twin.node.outgoing.map(({ to }) => Number(to.split(":")[1]));
    twin.node.outgoing.length = 0;
    return ports.sort();
  };
  twin.reach(wanted);
  // The keepalive that is turned on is sent, as ever.
  expect(called()).toEqual([2001]);
  const fresh = peer(4, { endpoint: "192.0.2.9:2004" });
  twin.reach({ ...wanted, privateKey: keyText(2), peers: [...peers, fresh] });
  expect(called()).toEqual([2001, 2002]);
  twin.reach({ ...wanted, privateKey: keyText(2), peers: [...peers, fresh] });
  expect(called()).toEqual([]);
});

test("a peer whose routes are taken away is called anew, once, if it can be called", () => {
  const wanted = (changes: Partial<NetworkPeer>): WantedSettings => ({
    ...{ privateKey: keyText(1), listenPort: 3000 },
    peers: [
      {
        ...{ publicKey: keyText(100), endpoint: "192.0.2.9:2000" },
        ...{ allowedIps: ["10.0.0.0/16"], keepalive: 25, ...changes },
      },
    ],
  });
  const isCalled = (twin: Twin, changes: Partial<NetworkPeer>): boolean => {
    const state = { snapshot: twin.snapshot(), endpoints: twin.endpoints };
    const operations = settingsDifference(wanted(changes), state);
    twin.reach(wanted(changes));
    return operations.some(({ op }) => op === "restart");
  };
  const twin = new Twin();
  expect(isCalled(twin, {})).toBe(false);
  expect(isCalled(twin, { allowedIps: ["10.1.0.0/16"] })).toBe(false);
  expect(isCalled(twin, { allowedIps: [] })).toBe(true);
  expect(isCalled(twin, { allowedIps: [], keepalive: 20 })).toBe(false);
  expect(isCalled(twin, {})).toBe(false);
  // It calls us, or it is the old key of a node that has another.
  expect(isCalled(twin, { allowedIps: [], keepalive: 0 })).toBe(false);
});
