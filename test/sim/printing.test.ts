/**
 * What a program shows that prints objects of the tunnel and of the layers below and above it: no key, in no form, however deep
 * it looks. Each phase of a handshake is printed, since each holds other secrets.
 */
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { CONCEALED } from "../../src/bytes/secret-bytes.ts";
import { nobleSuite } from "../../src/crypto/noble.ts";
import { concealSnapshot, movableRequest, movableSnapshot } from "../../src/lane/secrets.ts";
import { HandshakeBatch } from "../../src/session/handshake-batch.ts";
import { Identity } from "../../src/session/identity.ts";
import { parseSet } from "../../src/uapi/parse.ts";
import type { DeviceSnapshot } from "../../src/uapi/snapshot.ts";
import { inText, type Secrets } from "../e2e/harness/secret-scan.ts";
import { sessionSecrets } from "../e2e/harness/session-secrets.ts";
import { seededBytes } from "./node.ts";
import { Pair } from "./pair.ts";

const random = seededBytes(77);

function fresh(): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(32);
  random(bytes);
  return bytes;
}

/** In every way that a program prints. Longer arrays than any that holds a key are cut: packets are not secrets of ours. */
function printed(value: unknown): string {
  const ways: (() => string)[] = [
    () =>
      inspect(value, { showHidden: true, depth: Number.POSITIVE_INFINITY, maxArrayLength: 4_096 }),
    () => inspect(value, { getters: true, depth: Number.POSITIVE_INFINITY, maxArrayLength: 4_096 }),
    () => String(value),
    () => `${JSON.stringify(value, withoutSlab)}`,
  ];
  return ways.map((way) => way()).join("\n");
}

/** JSON knows neither cycles nor big integers, and would write out 2 MB of packets for each view of them. */
function withoutSlab(this: unknown, _key: string, value: unknown): unknown {
  if (typeof value === "bigint") return String(value);
  if (ArrayBuffer.isView(value) && value.byteLength > 4_096) return "long";
  if (typeof value === "object" && value !== null) {
    if (seen.has(value)) return "seen";
    seen.add(value);
  }
  return value;
}
let seen = new WeakSet<object>();

function expectHidden(value: unknown, secrets: Secrets): void {
  seen = new WeakSet();
  expect(inText(printed(value), secrets)).toEqual({});
}

describe("the check itself", () => {
  const key = fresh();
  const secrets = new Map([["key", key]]);

  it.each([
    ["bytes", key],
    ["a buffer", Buffer.from(key)],
    ["an ArrayBuffer", key.buffer],
    ["a view of a larger block", Uint8Array.of(1, 2, ...key, 3).subarray(2)],
    ["bytes deep in an object", { a: [{ b: new Map([["c", new Set([key])]]) }] }],
    ["hexadecimal", Buffer.from(key).toString("hex")],
    ["base64", { text: Buffer.from(key).toString("base64") }],
    ["an error's cause", new Error("x", { cause: { key } })],
  ])("finds %s", (_what, value) => {
    expect(inText(printed(value), secrets)).not.toEqual({});
  });
});

describe("tunnels", () => {
  it("print no key before, during and after a handshake", () => {
    const presharedKey = fresh();
    const pair = new Pair({ psk: presharedKey });
    const keys = { initiator: fresh(), responder: fresh() };
    pair.a.tunnel.setPrivateKey(keys.initiator);
    pair.b.tunnel.setPrivateKey(keys.responder);
    const publicKeys = [keys.initiator, keys.responder].map((secret) => {
      const out = new Uint8Array(32);
      nobleSuite.publicKey(out, secret);
      return out;
    });
    pair.a.tunnel.removeAllPeers();
    pair.b.tunnel.removeAllPeers();
    const [ephemeralA, ephemeralB] = [fresh(), fresh()];
    for (const [node, other, prefix, ephemeral] of [
      [pair.a, publicKeys[1]!, "10.0.0.2/32", ephemeralA],
      [pair.b, publicKeys[0]!, "10.0.0.1/32", ephemeralB],
    ] as const) {
      const peer = node.addPeer(other, prefix, node === pair.a ? pair.b.address : undefined);
      peer.handshake.setPresharedKey(presharedKey);
      // The draws of 32 bytes are ours to know; others stay as they are.
      const { state } = node.tunnel;
      const before = state.entropy;
      Object.defineProperty(state, "entropy", {
        value: (out: Uint8Array) => (out.length === 32 ? out.set(ephemeral) : before(out)),
      });
    }
    const made = sessionSecrets({
      ...keys,
      initiatorEphemeral: ephemeralA,
      responderEphemeral: ephemeralB,
      presharedKey,
    });
    const secrets = new Map([
      ["initiator's key", keys.initiator],
      ["responder's key", keys.responder],
      ["preshared key", presharedKey],
      ...made.session,
      ...made.peer,
      ...made.handshake,
    ]);
    const both = { a: pair.a.tunnel, b: pair.b.tunnel };
    expectHidden(both, secrets);
    pair.a.send(pair.aToB());
    // The initiation is on its way.
    expectHidden(both, secrets);
    pair.exchange();
    const [current] = [...pair.a.tunnel.state.allPeers()].map((peer) => peer.current);
    // The secrets looked for are those in use.
    expect([...made.session.values()].map((key) => Buffer.from(key))).toContainEqual(
      Buffer.from(current!.sendKey),
    );
    expectHidden(both, secrets);
    expect(printed(both)).toContain("Keypair");
  });
});

describe("data with keys in it", () => {
  const [key, presharedKey, publicKey] = [fresh(), fresh(), fresh()];
  const secrets = new Map([
    ["private key", key],
    ["preshared key", presharedKey],
  ]);
  // Clamped, so that parsing does not change it.
  key[0]! &= 248;
  key[31] = (key[31]! & 127) | 64;
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  const snapshot = (): DeviceSnapshot => ({
    privateKey: Uint8Array.from(key),
    listenPort: 1,
    fwmark: 0,
    peers: [presharedKey, new Uint8Array(32)].map((psk) => ({
      publicKey,
      presharedKey: Uint8Array.from(psk),
      lastHandshake: { sec: 0, nsec: 0 },
      txBytes: 0,
      rxBytes: 0,
      persistentKeepalive: 0,
      allowedIps: [],
    })),
  });

  it("operations, an identity, a block of initiations and a snapshot for users", () => {
    const { operations } = parseSet([
      `private_key=${hex(key)}`,
      `public_key=${hex(publicKey)}`,
      `preshared_key=${hex(presharedKey)}`,
    ]);
    expect(operations[0]).toMatchObject({ key });
    expect(printed(operations)).toContain(CONCEALED);
    const identity = new Identity(nobleSuite, key);
    const batch = new HandshakeBatch(identity);
    expectHidden({ operations, identity, batch }, secrets);
    expectHidden(concealSnapshot(snapshot()), secrets);
    expect(printed(concealSnapshot(snapshot()))).toContain(CONCEALED);
  });

  it("messages carry their own copies in one block, and the sender's stay", () => {
    const { operations } = parseSet([
      `private_key=${hex(key)}`,
      `public_key=${hex(publicKey)}`,
      `preshared_key=${hex(presharedKey)}`,
    ]);
    const set = movableRequest({ kind: "set", operations, isComplete: true });
    const restore = movableSnapshot(snapshot());
    for (const { message, moved } of [set, restore]) {
      expect(moved).toHaveLength(1);
      expect(moved[0]!.byteLength).toBe(64);
      const arrived = structuredClone(message, { transfer: [...moved] });
      expect(moved[0]!.byteLength).toBe(0);
      const texts = [key, presharedKey].map((bytes) => [...bytes].join());
      for (const text of texts) expect(JSON.stringify(arrived, listed)).toContain(text);
    }
    expect(operations[0]).toMatchObject({ key });
    expect(movableRequest({ kind: "get" }).moved).toEqual([]);
  });

  function listed(_key: string, value: unknown): unknown {
    return value instanceof Uint8Array ? [...value].join() : value;
  }
});
