/** What a `set` does to a tunnel, operation by operation, and where it stops. */
import { describe, expect, it, vi } from "vitest";
import { formatHex } from "../../../src/bytes/hex.ts";
import { applySet, type SocketSettings } from "../../../src/tunnel/configure.ts";
import type { SetOperation } from "../../../src/uapi/operation.ts";
import { type SimClock, SimNode } from "../../sim/node.ts";

const EINVAL = -22;
const EADDRINUSE = -98;

class Fixture {
  readonly clock: SimClock = { now: 1_000_000, wallMs: 1_790_000_000_000 };
  readonly node = new SimNode({
    secret: new Uint8Array(32).fill(0x11),
    address: "192.0.2.1:1000",
    clock: this.clock,
    seed: 1,
  });
  readonly calls: string[] = [];
  status = 0;
  readonly #sockets: SocketSettings = {
    setListenPort: (port) => this.#call(`port ${port}`),
    setMark: (mark) => this.#call(`mark ${mark}`),
    resolveEndpoint: (record, family, address, port, scope) => {
      record.set([family, 0, port & 0xff, port >>> 8]);
      record.set(address, 8);
      return scope === "nowhere" ? EINVAL : 0;
    },
  };

  #call(text: string): number {
    this.calls.push(text);
    return this.status;
  }

  set(operations: readonly SetOperation[], isComplete = true): number {
    const { status } = applySet(
      this.node.tunnel,
      operations,
      this.#sockets,
      this.clock,
      isComplete,
    );
    this.node.settle();
    return status;
  }

  get state() {
    return this.node.tunnel.state;
  }

  peer(byte: number) {
    const peer = this.state.peerByKey(key(byte));
    if (peer === undefined) throw new Error(`no peer ${byte}`);
    return peer;
  }

  /** The prefixes of a peer, such as "10.0.0.0/8". */
  prefixes(byte: number): string[] {
    return this.state.allowedIps
      .entries(this.peer(byte).id)
      .map(({ bytes, cidr }) => `${[...bytes.subarray(0, 4)].join(".")}/${cidr}`);
  }
}

function key(byte: number): Uint8Array {
  return new Uint8Array(32).fill(byte);
}

const peer = (byte: number): SetOperation => ({ op: "peer", publicKey: key(byte) });
const prefix = (first: number, cidr: number, add = true): SetOperation => {
  const bytes = new Uint8Array(16);
  bytes[0] = first;
  return { op: "allowed_ip", add, family: 2, bytes, cidr };
};
const endpoint = (port: number, scope?: string): SetOperation => ({
  op: "endpoint",
  family: 2,
  bytes: Uint8Array.of(192, 0, 2, 9, ...new Uint8Array(12)),
  port,
  ...(scope === undefined ? {} : { scope }),
});

describe("applySet", () => {
  it("settings of the device go to the sockets, and a refusal ends the set", () => {
    const fixture = new Fixture();
    expect(
      fixture.set([
        { op: "listen_port", port: 7 },
        { op: "fwmark", mark: 9 },
      ]),
    ).toBe(0);
    fixture.status = EADDRINUSE;
    expect(fixture.set([{ op: "listen_port", port: 8 }, peer(1)])).toBe(EADDRINUSE);
    expect(fixture.calls).toEqual(["port 7", "mark 9", "port 8"]);
    expect(fixture.state.peerCount).toBe(0);
  });

  it("makes peers, changes them, and wipes the keys that it was handed", () => {
    const fixture = new Fixture();
    const psk = key(0x55);
    fixture.set([
      peer(1),
      { op: "preshared_key", key: psk },
      endpoint(500),
      { op: "persistent_keepalive_interval", seconds: 25 },
      prefix(10, 8),
      peer(2),
      prefix(172, 12),
    ]);
    expect(psk).toEqual(new Uint8Array(32));
    expect(fixture.peer(1).handshake.presharedKey).toEqual(key(0x55));
    expect(fixture.peer(1).timers.persistentIntervalMs).toBe(25_000);
    expect([fixture.prefixes(1), fixture.prefixes(2)]).toEqual([["10.0.0.0/8"], ["172.0.0.0/12"]]);
    // The peer is the same one afterwards.
    const before = fixture.peer(1);
    fixture.set([peer(1), endpoint(600)]);
    expect(fixture.peer(1)).toBe(before);
    expect([...before.endpoint.subarray(2, 4)]).toEqual([600 & 0xff, 600 >>> 8]);
  });

  it("moves a prefix to the peer that is given it last", () => {
    const fixture = new Fixture();
    fixture.set([peer(1), prefix(10, 8), prefix(11, 8), peer(2), prefix(10, 8)]);
    expect([fixture.prefixes(1), fixture.prefixes(2)]).toEqual([["11.0.0.0/8"], ["10.0.0.0/8"]]);
    // Taking it from who does not have it changes nothing.
    fixture.set([peer(1), prefix(10, 8, false)]);
    expect(fixture.prefixes(2)).toEqual(["10.0.0.0/8"]);
    fixture.set([peer(2), prefix(10, 8, false)]);
    expect(fixture.prefixes(2)).toEqual([]);
    fixture.set([peer(1), { op: "replace_allowed_ips" }, prefix(12, 8)]);
    expect(fixture.prefixes(1)).toEqual(["12.0.0.0/8"]);
  });

  it("removes, and updates only what is there", () => {
    const fixture = new Fixture();
    fixture.set([peer(1), prefix(10, 8), peer(2)]);
    fixture.set([peer(3), { op: "update_only" }, prefix(20, 8), peer(1), { op: "update_only" }]);
    expect(fixture.state.peerCount).toBe(2);
    fixture.set([peer(1), { op: "remove" }, prefix(30, 8), peer(9), { op: "remove" }]);
    expect(fixture.state.peerByKey(key(1))).toBeUndefined();
    expect(fixture.state.peerByKey(key(9))).toBeUndefined();
    expect(fixture.state.allowedIps.lookup4At(Uint8Array.of(10, 1, 1, 1), 0)).toBe(-1);
    expect(fixture.state.allowedIps.lookup4At(Uint8Array.of(30, 1, 1, 1), 0)).toBe(-1);
    fixture.set([{ op: "replace_peers" }]);
    expect(fixture.state.peerCount).toBe(0);
  });

  it("takes settings for our own key and forgets them", () => {
    const fixture = new Fixture();
    const own = fixture.node.publicKey;
    const settings: readonly SetOperation[] = [
      endpoint(1),
      prefix(10, 8),
      { op: "replace_allowed_ips" },
      { op: "preshared_key", key: key(5) },
      { op: "persistent_keepalive_interval", seconds: 5 },
      { op: "remove" },
    ];
    expect(fixture.set([{ op: "peer", publicKey: own }, ...settings])).toBe(0);
    expect(fixture.node.outgoing).toHaveLength(0);
    expect(fixture.state.peerCount).toBe(0);
    expect(fixture.state.allowedIps.lookup4At(Uint8Array.of(10, 1, 1, 1), 0)).toBe(-1);
  });

  it("refuses a peer too many, and what follows it", () => {
    const fixture = new Fixture();
    const full = vi.spyOn(fixture.state, "addPeer").mockReturnValue(undefined);
    expect(fixture.set([peer(1), { op: "fwmark", mark: 7 }])).toBe(EINVAL);
    expect(fixture.calls).toEqual([]);
    full.mockRestore();
    expect(fixture.set([peer(1)])).toBe(0);
  });

  it("a peer whose key becomes our own goes", () => {
    const fixture = new Fixture();
    const other = new SimNode({
      secret: key(0x33),
      address: "192.0.2.3:1",
      clock: fixture.clock,
      seed: 3,
    });
    fixture.set([{ op: "peer", publicKey: other.publicKey }, peer(2)]);
    const secret = key(0x33);
    fixture.set([{ op: "private_key", key: secret }]);
    expect(secret).toEqual(new Uint8Array(32));
    expect(fixture.state.peerCount).toBe(1);
    expect(formatHex(fixture.state.identity!.publicKey)).toBe(formatHex(other.publicKey));
    fixture.set([{ op: "private_key", key: new Uint8Array(32) }]);
    expect(fixture.state.identity).toBeUndefined();
  });

  it("an endpoint that does not resolve ends the set; what went before it stays", () => {
    const fixture = new Fixture();
    expect(fixture.set([peer(1), prefix(10, 8), endpoint(1, "nowhere"), prefix(11, 8)])).toBe(
      EINVAL,
    );
    expect(fixture.prefixes(1)).toEqual(["10.0.0.0/8"]);
    expect(fixture.peer(1).endpoint.every((byte) => byte === 0)).toBe(true);
  });

  it("a persistent keepalive begins with a packet, once the peer's settings are complete", () => {
    const settings: readonly SetOperation[] = [
      peer(1),
      endpoint(500),
      { op: "persistent_keepalive_interval", seconds: 25 },
    ];
    const halfway = new Fixture();
    expect(halfway.set(settings, false)).toBe(0);
    expect(halfway.node.outgoing).toHaveLength(0);
    // A following peer means that the lines of the first were complete.
    const followed = new Fixture();
    followed.set([...settings, peer(2)], false);
    expect(followed.node.outgoing).toHaveLength(1);
    const whole = new Fixture();
    whole.set(settings);
    expect(whole.node.outgoing.map((datagram) => datagram.bytes.length)).toEqual([148]);
    // It was on before: nothing new is sent.
    whole.set(settings);
    expect(whole.node.outgoing).toHaveLength(1);
  });
});
