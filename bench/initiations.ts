/** Handshake initiations made beforehand, so that making them takes no time from answering them. */
import { randomFillSync } from "node:crypto";
import { formatBase64Key } from "../src/bytes/base64.ts";
import { opensslSuite as suite } from "../src/crypto/openssl.ts";
import { CookieJar } from "../src/session/cookie.ts";
import { Handshake } from "../src/session/handshake.ts";
import { Identity } from "../src/session/identity.ts";
import { writeTai64n } from "../src/session/tai64n.ts";
import { INITIATION_BYTES, TIMESTAMP_BYTES } from "../src/wire/layout.ts";

export interface Initiations {
  /** Base64: the responder that they are for. */
  readonly responderPrivateKey: string;
  /** Base64: who they are from; the responder must know them. */
  readonly publicKeys: readonly string[];
  /** One after the other, 148 bytes each, to be sent in this order: the peers take turns. */
  readonly messages: Uint8Array;
}

/** Between timestamps of one peer: above their rounding (16.8 ms) and the limit of initiations (20 ms; wireguard-go's is 50). */
const STEP_MS = 50;

/** `perPeer` initiations of each of `peers` peers: some 0.3 ms each. */
export function prepareInitiations(peers: number, perPeer: number): Initiations {
  const responder = new Identity(suite, random(32));
  const initiators = Array.from({ length: peers }, () => ({
    identity: new Identity(suite, random(32)),
    handshake: new Handshake(responder.publicKey),
    jar: new CookieJar(),
  }));
  const messages = new Uint8Array(peers * perPeer * INITIATION_BYTES);
  const timestamp = new Uint8Array(TIMESTAMP_BYTES);
  const start = Date.now();
  let index = 0;
  for (let turn = 0; turn < perPeer; turn++) {
    writeTai64n(timestamp, start + turn * STEP_MS);
    for (const { identity, handshake, jar } of initiators) {
      const at = index * INITIATION_BYTES;
      const message = messages.subarray(at, at + INITIATION_BYTES);
      index++;
      handshake.createInitiation(suite, identity, message, index, random(32), timestamp);
      jar.addMacs(suite, message, responder.mac1Key, 0);
    }
  }
  return {
    responderPrivateKey: formatBase64Key(responder.secret),
    publicKeys: initiators.map(({ identity }) => formatBase64Key(identity.publicKey)),
    messages,
  };
}

function random(length: number): Uint8Array {
  return randomFillSync(new Uint8Array(length));
}
