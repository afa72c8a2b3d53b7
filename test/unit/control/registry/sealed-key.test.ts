/** Keys that are sealed to a node: the one node opens them, for the one network and public key, and nobody else. */
import { hkdfSync, randomBytes } from "node:crypto";
import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import { ed25519, x25519 } from "@noble/curves/ed25519.js";
import { describe, expect, it } from "vitest";
import { generateKeys } from "../../../../src/cli/demo/keys.ts";
import { toBase58 } from "../../../../src/control/model/base58.ts";
import { Identity, keyBytes } from "../../../../src/control/registry/key.ts";
import {
  BOX_BYTES,
  openSealedKey,
  parseBox,
  sealKey,
} from "../../../../src/control/registry/sealed-key.ts";

const node = Identity.generate();
const { privateKey, publicKey } = generateKeys();
const place = { network: "net1", node: node.keyId };
const sealed = sealKey(privateKey, place);

describe("a sealed key", () => {
  it("is opened by its node, and each is another box", () => {
    expect(sealed.publicKey).toBe(publicKey);
    expect(openSealedKey(node, "net1", sealed)).toBe(privateKey);
    const again = sealKey(privateKey, place);
    expect(again.box).not.toBe(sealed.box);
    expect(openSealedKey(node, "net1", again)).toBe(privateKey);
    // From a file, as a node has its identity.
    expect(openSealedKey(Identity.parse(node.secretPem()), "net1", sealed)).toBe(privateKey);
  });

  it("has the documented form, and nothing of the key in clear", () => {
    const bytes = parseBox(sealed.box)!;
    expect(bytes).toHaveLength(BOX_BYTES);
    expect(BOX_BYTES).toBe(105);
    expect(bytes[0]).toBe(1);
    expect(bytes.includes(Buffer.from(privateKey, "base64"))).toBe(false);
  });

  it("is for no other node, network or public key, nor with a bit changed", () => {
    const open =
      (identity: Identity, network: string, key = sealed) =>
      () =>
        openSealedKey(identity, network, key);
    const why = "can't be opened: it is not for this node, network and public key";
    expect(open(Identity.generate(), "net1")).toThrow(why);
    expect(open(node, "net2")).toThrow(why);
    expect(open(node, "net1", { ...sealed, publicKey: generateKeys().publicKey })).toThrow(why);
    const bytes = parseBox(sealed.box)!;
    for (let at = 0; at < bytes.length; at++) {
      const other = Buffer.from(bytes);
      other[at] = other[at]! ^ 1;
      expect(open(node, "net1", { ...sealed, box: other.toString("base64") }), `${at}`).toThrow(
        why,
      );
    }
    expect(open(node, "net1", { ...sealed, box: "" })).toThrow(why);
  });

  it("that was made by the document alone is opened; one whose key isn't that of its public key is not", () => {
    const seal = (secret: string): string => {
      const ephemeral = x25519.utils.randomSecretKey();
      const sender = x25519.getPublicKey(ephemeral);
      const recipient = ed25519.utils.toMontgomery(keyBytes(node.keyId)!);
      const shared = x25519.getSharedSecret(ephemeral, recipient);
      const salt = Buffer.concat([sender, recipient]);
      const key = hkdfSync("sha256", shared, salt, "wirehaul sealed key 1", 32);
      const nonce = randomBytes(24);
      const data = Buffer.from(`wirehaul sealed key 1\0net1\0${node.keyId}\0${publicKey}`);
      const cipher = xchacha20poly1305(new Uint8Array(key), nonce, data);
      const text = cipher.encrypt(Buffer.from(secret, "base64"));
      return Buffer.concat([Uint8Array.of(1), sender, nonce, text]).toString("base64");
    };
    const open = (box: string): string => openSealedKey(node, "net1", { publicKey, box });
    expect(open(seal(privateKey))).toBe(privateKey);
    expect(() => open(seal(generateKeys().privateKey))).toThrow("can't be opened");
  });

  it("a sender of small order tells nobody the secret", () => {
    const bytes = parseBox(sealed.box)!;
    bytes.fill(0, 1, 33);
    expect(() => openSealedKey(node, "net1", { ...sealed, box: bytes.toString("base64") })).toThrow(
      "can't be opened",
    );
  });

  it("what is no key and no node is refused, without showing the key", () => {
    expect(() => sealKey("secret", place)).toThrow(/^this is no WireGuard private key/);
    expect(() => sealKey(privateKey, { ...place, node: "nobody" })).toThrow("is no node's id");
    // The neutral element: an ed25519 key whose Montgomery form is of small order.
    const neutral = toBase58(Uint8Array.of(1, ...new Uint8Array(31)));
    expect(() => sealKey(privateKey, { ...place, node: neutral })).toThrow();
  });
});

it("the identity's X25519 form is that of its ed25519 key", () => {
  const secret = x25519.utils.randomSecretKey();
  const montgomery = ed25519.utils.toMontgomery(keyBytes(node.keyId)!);
  expect(node.agree(x25519.getPublicKey(secret))).toEqual(
    x25519.getSharedSecret(secret, montgomery),
  );
});
