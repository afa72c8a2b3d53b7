/**
 * Every secret of one WireGuard handshake, computed from what both sides hold (whitepaper 5.4.2, 5.4.3): what must be in the
 * memory of a side while a session lives, and what must be gone when the handshake has ended. Chain keys do not depend on the
 * hash, so nothing of the messages is needed but the ephemeral public keys. Not a handshake: no messages, no macs.
 */
import { createHmac } from "node:crypto";
import { opensslSuite as suite } from "../../../src/crypto/openssl.ts";
import { initialChainKey } from "../../../src/session/identity.ts";
import type { Secrets } from "./secret-scan.ts";

export interface HandshakeKeys {
  /** Private keys, 32 bytes each. */
  readonly initiator: Uint8Array;
  readonly responder: Uint8Array;
  readonly initiatorEphemeral: Uint8Array;
  readonly responderEphemeral: Uint8Array;
  readonly presharedKey: Uint8Array;
}

export interface SessionSecrets {
  /** In use as long as the session lives. */
  readonly session: Secrets;
  /** Kept with the peer: the static-static secret. */
  readonly peer: Secrets;
  /** Of no use after the handshake: forward secrecy depends on their end. */
  readonly handshake: Secrets;
}

export function publicKeyOf(secret: Uint8Array): Buffer {
  const out = Buffer.alloc(32);
  suite.publicKey(out, secret);
  return out;
}

function shared(secret: Uint8Array, point: Uint8Array): Uint8Array {
  const out = new Uint8Array(32);
  if (!suite.sharedSecret(out, secret, point)) throw new Error("a point of low order");
  return out;
}

/** The extracted key and `count` outputs. Not src/crypto/kdf.ts: this is what the code is compared with. */
function kdf(key: Uint8Array, input: Uint8Array, count: number): Uint8Array[] {
  const hmac = (k: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array => {
    const mac = createHmac("blake2s256", k);
    for (const part of parts) mac.update(part);
    return mac.digest();
  };
  const extracted = hmac(key, input);
  const out = [extracted];
  for (let n = 1; n <= count; n++) {
    out.push(hmac(extracted, n === 1 ? new Uint8Array(0) : out[n - 1]!, Uint8Array.of(n)));
  }
  return out;
}

export function sessionSecrets(keys: HandshakeKeys): SessionSecrets {
  const { initiator, responder, initiatorEphemeral, responderEphemeral } = keys;
  const handshake = new Map<string, Uint8Array>([
    ["initiator's ephemeral key", initiatorEphemeral],
    ["responder's ephemeral key", responderEphemeral],
  ]);
  const mix = (name: string, chain: Uint8Array, input: Uint8Array, count: number): Uint8Array[] => {
    const [extracted, ...outputs] = kdf(chain, input, count);
    handshake.set(`extracted key of ${name}`, extracted!);
    handshake.set(`chain key after ${name}`, outputs[0]!);
    for (const [index, output] of outputs.slice(1).entries()) {
      handshake.set(`output ${index + 2} of ${name}`, output);
    }
    return outputs;
  };
  const diffieHellman = (name: string, secret: Uint8Array, other: Uint8Array): Uint8Array => {
    const result = shared(secret, publicKeyOf(other));
    handshake.set(`shared secret ${name}`, result);
    return result;
  };
  let chain: Uint8Array = new Uint8Array(32);
  initialChainKey(suite, chain);
  // The first chain key follows from public things.
  chain = kdf(chain, publicKeyOf(initiatorEphemeral), 1)[1]!;
  [chain] = mix("es", chain, diffieHellman("es", initiatorEphemeral, responder), 2) as [Uint8Array];
  const staticStatic = shared(initiator, publicKeyOf(responder));
  [chain] = mix("ss", chain, staticStatic, 2) as [Uint8Array];
  [chain] = mix("e of the response", chain, publicKeyOf(responderEphemeral), 1) as [Uint8Array];
  [chain] = mix("ee", chain, diffieHellman("ee", initiatorEphemeral, responderEphemeral), 1) as [
    Uint8Array,
  ];
  [chain] = mix("se", chain, diffieHellman("se", initiator, responderEphemeral), 1) as [Uint8Array];
  [chain] = mix("psk", chain, keys.presharedKey, 3) as [Uint8Array];
  const [extracted, toResponder, toInitiator] = kdf(chain, new Uint8Array(0), 2);
  handshake.set("extracted key of the session", extracted!);
  return {
    session: new Map([
      ["key towards the responder", toResponder!],
      ["key towards the initiator", toInitiator!],
    ]),
    peer: new Map([["static-static secret", staticStatic]]),
    handshake,
  };
}
