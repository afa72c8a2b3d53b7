/** Identities: an ed25519 key pair; its public key in base58 is the name that everything is signed with (as node ids of zos). */
import {
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  randomBytes,
  sign,
  verify,
} from "node:crypto";
import { ed25519, x25519 } from "@noble/curves/ed25519.js";
import { BASE58, toBase58 } from "../model/base58.ts";

const KEY_BYTES = 32;
/** 32 bytes of base58. */
const KEY_ID = /^[1-9A-HJ-NP-Za-km-z]{32,44}$/;
/** RFC 8410: what stands before the 32 bytes of an ed25519 key in DER. */
const PUBLIC_PREFIX = Buffer.from("302a300506032b6570032100", "hex");
/** RFC 8410 7: likewise of a private key (PKCS #8). */
const PRIVATE_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex");

/** The 32 bytes of a key id; undefined: it is none. */
export function keyBytes(keyId: string): Buffer | undefined {
  if (!KEY_ID.test(keyId)) return undefined;
  let value = 0n;
  for (const letter of keyId) value = value * 58n + BigInt(BASE58.indexOf(letter));
  const hex = value.toString(16);
  if (hex.length > 2 * KEY_BYTES) return undefined;
  const bytes = Buffer.from(hex.padStart(2 * KEY_BYTES, "0"), "hex");
  // One text for one key.
  return toBase58(bytes) === keyId ? bytes : undefined;
}

/** Ours: of a large grid's nodes; each is some hundred bytes. Making one takes as long as the signature's check. */
const KEYS_REMEMBERED = 20_000;
/** In the order of last use. */
const publicKeys = new Map<string, KeyObject>();

/** Undefined: it is no key id. Throws for 32 bytes that are no point of the curve. */
function publicKeyOf(keyId: string): KeyObject | undefined {
  let key = publicKeys.get(keyId);
  if (key === undefined) {
    const bytes = keyBytes(keyId);
    if (bytes === undefined) return undefined;
    const der = Buffer.concat([PUBLIC_PREFIX, bytes]);
    key = createPublicKey({ key: der, format: "der", type: "spki" });
  } else publicKeys.delete(keyId);
  publicKeys.set(keyId, key);
  if (publicKeys.size > KEYS_REMEMBERED) {
    const [oldest = ""] = publicKeys.keys();
    publicKeys.delete(oldest);
  }
  return key;
}

/** True if `signature` is that of `text` by the key that `keyId` names. */
export function isSignedBy(
  keyId: string,
  text: string | Uint8Array,
  signature: Uint8Array,
): boolean {
  if (signature.length !== 64) return false;
  try {
    const key = publicKeyOf(keyId);
    if (key === undefined) return false;
    return verify(null, typeof text === "string" ? Buffer.from(text) : text, key, signature);
  } catch {
    // 32 bytes that are no point of the curve.
    return false;
  }
}

/** A key pair. Prints as its key id, never as its private key. */
export class Identity {
  readonly keyId: string;
  readonly #key: KeyObject;

  private constructor(key: KeyObject) {
    this.#key = key;
    const der = createPublicKey(key).export({ format: "der", type: "spki" });
    this.keyId = toBase58(der.subarray(PUBLIC_PREFIX.length));
  }

  static generate(): Identity {
    const der = Buffer.concat([PRIVATE_PREFIX, randomBytes(KEY_BYTES)]);
    try {
      return new Identity(createPrivateKey({ key: der, format: "der", type: "pkcs8" }));
    } finally {
      der.fill(0);
    }
  }

  /** Of a private key in PEM (PKCS #8, as `openssl genpkey -algorithm ed25519` writes it); throws for another. */
  static parse(pem: string): Identity {
    let key: KeyObject;
    try {
      key = createPrivateKey(pem);
    } catch {
      throw new Error("this is no private key in PEM: make one with `wirehaul registry key new`");
    }
    if (key.asymmetricKeyType !== "ed25519") throw new Error("the private key is not of ed25519");
    return new Identity(key);
  }

  /** The private key as {@link parse} takes it: a secret. */
  secretPem(): string {
    return this.#key.export({ format: "pem", type: "pkcs8" }).toString();
  }

  /** X25519 of this key, in its Montgomery form, and another's: a secret, the caller's to wipe. Throws for a point of small order. */
  agree(publicKey: Uint8Array): Uint8Array {
    const der = this.#key.export({ format: "der", type: "pkcs8" });
    const scalar = ed25519.utils.toMontgomerySecret(der.subarray(-KEY_BYTES));
    try {
      return x25519.getSharedSecret(scalar, publicKey);
    } finally {
      der.fill(0);
      scalar.fill(0);
    }
  }

  sign(text: string | Uint8Array): Buffer {
    return sign(null, typeof text === "string" ? Buffer.from(text) : text, this.#key);
  }
}
