/**
 * WireGuard private keys that a user brings, sealed to the identity of the node that shall have them: the registry stores and passes the
 * box, and can't open it. One fixed form, for both ends:
 *
 *   box    = base64( 1 || ephemeral X25519 public key (32) || nonce (24) || XChaCha20-Poly1305 of the 32 bytes (48) )
 *   key    = HKDF-SHA256( secret: X25519(ephemeral, node), salt: ephemeral || node, info: "wirehaul sealed key 1", 32 bytes )
 *   node   = X25519 form of the node's ed25519 public key (RFC 7748 4.1)
 *   data   = "wirehaul sealed key 1" 0 NETWORK 0 NODE 0 PUBLIC-KEY, in UTF-8
 *
 * So a box is good for one network, one node and one public key. Who sealed it is told by the signature of the request that brought it.
 */
import { randomBytes } from "node:crypto";
import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import { ed25519, x25519 } from "@noble/curves/ed25519.js";
import { hkdf } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { formatBase64Key, parseBase64Key } from "../../bytes/base64.ts";
import { RefusedError } from "../model/problem.ts";
import { type Identity, keyBytes } from "./key.ts";

export interface SealedKey {
  /** WireGuard public key, base64: what the private key in the box has to belong to. */
  readonly publicKey: string;
  /** Base64. */
  readonly box: string;
}

/** Whom a sealed key is for. */
export interface SealedFor {
  /** Id of the network. */
  readonly network: string;
  /** Id of the node. */
  readonly node: string;
}

const VERSION = 1;
const NAME = "wirehaul sealed key 1";
const KEY_BYTES = 32;
const NONCE_BYTES = 24;
const TAG_BYTES = 16;
export const BOX_BYTES: number = 1 + KEY_BYTES + NONCE_BYTES + KEY_BYTES + TAG_BYTES;

/** The bytes of a box; undefined: it is none, by its form. */
export function parseBox(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, "base64");
  const isBox =
    bytes.length === BOX_BYTES && bytes[0] === VERSION && bytes.toString("base64") === text;
  return isBox ? bytes : undefined;
}

/** Seals a WireGuard private key (base64) to a node. Throws a {@link RefusedError} for what is no key or no node; the key is in no message. */
export function sealKey(privateKey: string, { network, node }: SealedFor): SealedKey {
  const secret = parseBase64Key(privateKey);
  if (secret === undefined) {
    throw new RefusedError("invalid", "this is no WireGuard private key: 44 characters of base64");
  }
  const ephemeral = randomBytes(KEY_BYTES);
  let shared: Uint8Array | undefined;
  try {
    const publicKey = formatBase64Key(x25519.getPublicKey(secret));
    const recipient = recipientOf(node);
    const sender = x25519.getPublicKey(ephemeral);
    shared = x25519.getSharedSecret(ephemeral, recipient);
    const nonce = randomBytes(NONCE_BYTES);
    const data = dataOf(network, node, publicKey);
    const sealed = xchacha20poly1305(keyOf(shared, sender, recipient), nonce, data).encrypt(secret);
    const box = Buffer.concat([Uint8Array.of(VERSION), sender, nonce, sealed]).toString("base64");
    return { publicKey, box };
  } finally {
    for (const bytes of [secret, ephemeral, shared]) bytes?.fill(0);
  }
}

/** The private key (base64, a secret) in a box for this node. Throws a {@link RefusedError} if it is not for it, this network and this public key. */
export function openSealedKey(
  identity: Identity,
  network: string,
  { publicKey, box }: SealedKey,
): string {
  const refused = new RefusedError(
    "invalid",
    `the sealed key of network ${network} can't be opened: it is not for this node, network and public key`,
  );
  const bytes = parseBox(box);
  if (bytes === undefined) throw refused;
  const sender = bytes.subarray(1, 1 + KEY_BYTES);
  const nonce = bytes.subarray(1 + KEY_BYTES, 1 + KEY_BYTES + NONCE_BYTES);
  let shared: Uint8Array | undefined;
  let secret: Uint8Array | undefined;
  try {
    shared = identity.agree(sender);
    const key = keyOf(shared, sender, recipientOf(identity.keyId));
    const data = dataOf(network, identity.keyId, publicKey);
    secret = xchacha20poly1305(key, nonce, data).decrypt(
      bytes.subarray(1 + KEY_BYTES + NONCE_BYTES),
    );
    if (formatBase64Key(x25519.getPublicKey(secret)) !== publicKey) throw refused;
    return formatBase64Key(secret);
  } catch {
    // Whatever noble says of a wrong tag or a point of small order.
    throw refused;
  } finally {
    shared?.fill(0);
    secret?.fill(0);
  }
}

function recipientOf(node: string): Uint8Array {
  const bytes = keyBytes(node);
  try {
    if (bytes !== undefined) return ed25519.utils.toMontgomery(bytes);
  } catch {
    // 32 bytes that are no point of the curve.
  }
  throw new RefusedError("invalid", `"${node}" is no node's id`);
}

function keyOf(shared: Uint8Array, sender: Uint8Array, recipient: Uint8Array): Uint8Array {
  const salt = Buffer.concat([sender, recipient]);
  return hkdf(sha256, shared, salt, Buffer.from(NAME), KEY_BYTES);
}

function dataOf(network: string, node: string, publicKey: string): Buffer {
  return Buffer.from([NAME, network, node, publicKey].join("\0"));
}
