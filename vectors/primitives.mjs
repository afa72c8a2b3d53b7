/**
 * What the sets of primitives and handshakes mean, checked against a suite with its KDFs, or a transport cipher with its slab.
 * A check returns false when the backend can't show the case, true when it passes, and throws when it fails.
 */
import { poly1305 } from "@noble/ciphers/_poly1305.js";
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import {
  bytes,
  expect,
  filled,
  flipped,
  HEADER,
  header,
  hex,
  le32,
  sealWith,
  TAG,
  text,
} from "./bytes.mjs";

const PROLOGUE = "WireGuard v1 zx2c4 Jason@zx2c4.com";
const CONSTRUCTION = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
const EMPTY = new Uint8Array(0);

/** name of the set -> its check */
export const primitiveChecks = {
  x25519(backend, { iterations, secret, point, shared }) {
    if (!backend.suite) return false;
    let k = bytes(secret);
    let u = bytes(point);
    for (let i = 0; i < Math.max(1, iterations); i++) {
      const out = filled(32);
      expect(backend.suite.sharedSecret(out, k, u), true, "the shared secret is not zero");
      u = k;
      k = out;
    }
    expect(hex(k), shared, "shared secret");
    if (iterations === 0 && point === `09${"00".repeat(31)}`) {
      const out = filled(32);
      backend.suite.publicKey(out, bytes(secret));
      expect(hex(out), shared, "public key");
    }
    return true;
  },

  "low-order"(backend, { secret, point }) {
    if (!backend.suite) return false;
    const out = filled(32);
    expect(backend.suite.sharedSecret(out, bytes(secret), bytes(point)), false, "refused");
    expect(hex(out), "00".repeat(32), "output zeroed");
    return true;
  },

  chacha20poly1305(backend, { key, nonce, ad, plaintext, sealed }) {
    if (backend.suite) {
      expect(hex(library(backend.suite.name, key, nonce, ad, plaintext)), sealed, "library call");
      if (nonce === "00".repeat(12)) checkAead(backend.suite, "", key, ad, plaintext, sealed);
    }
    if (!backend.cipher) return backend.suite !== undefined;
    if (!nonce.startsWith("00000000")) return false;
    const whole = ad === "";
    const ciphertext = whole ? sealed : sealed.slice(0, -2 * TAG);
    checkTransport(backend, key, header(0, nonce.slice(8)), plaintext, ciphertext, whole);
    return true;
  },

  /** No suite has it by itself, and of what lies below them only noble shows it. */
  poly1305({ suite }, { key, input, output }) {
    if (suite?.name !== "noble") return false;
    expect(hex(poly1305(bytes(input), bytes(key))), output, "tag");
    return true;
  },

  xchacha20poly1305(backend, { key, nonce, ad, plaintext, sealed }) {
    if (!backend.suite) return false;
    checkAead(backend.suite, nonce, key, ad, plaintext, sealed);
    return true;
  },

  blake2s(backend, { key, input, output }) {
    if (!backend.suite) return false;
    const text = bytes(input);
    const out = filled(key === "" ? 32 : 16);
    if (key !== "") {
      backend.suite.mac(out, bytes(key), text);
      expect(hex(out), output, "mac");
      return true;
    }
    // The input is the concatenation of two: wherever it is cut, the hash is the same.
    for (const cut of new Set([0, 1, 32, 64, text.length].filter((at) => at <= text.length))) {
      backend.suite.hash(out.fill(0xa5), text.subarray(0, cut), text.subarray(cut));
      expect(hex(out), output, `hash, cut at ${cut}`);
    }
    return true;
  },

  "hmac-blake2s"(backend, { key, input, output }) {
    if (!backend.suite) return false;
    const out = filled(32);
    backend.suite.hmac(out, bytes(key), bytes(input));
    expect(hex(out), output, "hmac");
    return true;
  },

  kdf({ suite, kdf }, { key, input, t1, t2, t3 }) {
    if (!suite || !kdf) return false;
    const [a, b, c] = [filled(32), filled(32), filled(32)];
    kdf.kdf1(suite, a, bytes(key), bytes(input));
    expect(hex(a), t1, "kdf1");
    kdf.kdf2(suite, a.fill(1), b, bytes(key), bytes(input));
    expect(hex(a) + hex(b), t1 + t2, "kdf2");
    kdf.kdf3(suite, a.fill(1), b.fill(1), c, bytes(key), bytes(input));
    expect(hex(a) + hex(b) + hex(c), t1 + t2 + t3, "kdf3");
    if (key.length !== 64) return true;
    // The chaining key is replaced in place.
    const chain = bytes(key);
    kdf.kdf3(suite, chain, b.fill(1), c.fill(1), chain, bytes(input));
    expect(hex(chain) + hex(b) + hex(c), t1 + t2 + t3, "kdf3 in place");
    return true;
  },

  "wireguard-handshake"(backend, c) {
    if (backend.suite && backend.kdf) {
      const noise = handshake(backend, c, c.timestamp);
      const index = (number) => hex(le32(number));
      const initiator = index(c.initiatorIndex);
      const first = `01000000${initiator}${noise.message1}`;
      const second = `02000000${index(c.responderIndex)}${initiator}${noise.message2}`;
      expect(
        noise.chainKey1 + noise.hash1,
        c.initiation.chainKey + c.initiation.hash,
        "initiation",
      );
      expect(noise.chainKey2 + noise.hash2, c.response.chainKey + c.response.hash, "response");
      const none = "00".repeat(16);
      expect(
        first + mac1(backend, c.responderStaticPublic, first) + none,
        c.initiation.message,
        "message 1",
      );
      expect(
        second + mac1(backend, c.initiatorStaticPublic, second) + none,
        c.response.message,
        "message 2",
      );
      expect(
        noise.initiatorSend + noise.responderSend,
        c.initiatorSendKey + c.responderSendKey,
        "keys",
      );
      for (const cookie of c.cookies) checkCookie(backend, c, cookie);
    }
    if (backend.cipher) {
      for (const { from, plaintext, message } of c.transport) {
        const key = from === "initiator" ? c.initiatorSendKey : c.responderSendKey;
        checkTransport(
          backend,
          key,
          message.slice(0, 2 * HEADER),
          plaintext,
          message.slice(2 * HEADER),
          true,
        );
      }
    }
    return true;
  },

  "noise-ikpsk2"(backend, c) {
    if (backend.suite && backend.kdf) {
      const noise = handshake(backend, c, c.payload1);
      expect(noise.message1, c.message1, "message 1");
      expect(noise.hash1, c.hash1, "hash after message 1");
      expect(noise.message2, c.message2, "message 2");
      expect(noise.hash2, c.hash2, "hash after message 2");
      expect(
        noise.initiatorSend + noise.responderSend,
        c.initiatorSendKey + c.responderSendKey,
        "keys",
      );
    }
    if (backend.cipher) {
      for (const { from, counter, plaintext, sealed } of c.transport) {
        const key = from === "initiator" ? c.initiatorSendKey : c.responderSendKey;
        const nonce = hex(le32(counter % 2 ** 32)) + hex(le32(Math.floor(counter / 2 ** 32)));
        checkTransport(backend, key, header(7, nonce), plaintext, sealed, true);
      }
    }
    return true;
  },
};

/** Both messages of IKpsk2 in the order of the whitepaper's tokens (5.4.2, 5.4.3), by the initiator's and the responder's secrets. */
function handshake({ suite, kdf: { kdf1, kdf2, kdf3 } }, c, payload) {
  const chain = filled(32);
  const hash = filled(32);
  const key = filled(32);
  const secrets = {
    ei: bytes(c.initiatorEphemeralPrivate),
    er: bytes(c.responderEphemeralPrivate),
    si: bytes(c.initiatorStaticPrivate),
    sr: bytes(c.responderStaticPrivate),
  };
  const mixHash = (data) => suite.hash(hash, hash.slice(), data);
  const publicOf = (secret) => {
    const out = filled(32);
    suite.publicKey(out, secret);
    return out;
  };
  const dh = (secret, point) => {
    const out = filled(32);
    expect(suite.sharedSecret(out, secret, point), true, "the shared secret is not zero");
    return out;
  };
  const encrypt = (plaintext) => {
    const out = filled(plaintext.length + TAG);
    suite.seal(out, key, plaintext, hash);
    const opened = filled(plaintext.length);
    expect(suite.open(opened, key, out, hash), true, "opens again");
    expect(hex(opened), hex(plaintext), "opened");
    mixHash(out);
    return hex(out);
  };
  const publics = {
    ei: publicOf(secrets.ei),
    er: publicOf(secrets.er),
    si: publicOf(secrets.si),
    sr: publicOf(secrets.sr),
  };
  expect(
    hex(publics.si) + hex(publics.sr),
    c.initiatorStaticPublic + c.responderStaticPublic,
    "publics",
  );

  suite.hash(chain, text(CONSTRUCTION), EMPTY);
  suite.hash(hash, chain, text(PROLOGUE));
  mixHash(publics.sr);

  kdf1(suite, chain, chain, publics.ei);
  mixHash(publics.ei);
  kdf2(suite, chain, key, chain, dh(secrets.ei, publics.sr));
  const sealedStatic = encrypt(publics.si);
  kdf2(suite, chain, key, chain, dh(secrets.sr, publics.si));
  const message1 = hex(publics.ei) + sealedStatic + encrypt(bytes(payload));
  const [chainKey1, hash1] = [hex(chain), hex(hash)];

  mixHash(publics.er);
  kdf1(suite, chain, chain, publics.er);
  kdf1(suite, chain, chain, dh(secrets.er, publics.ei));
  kdf1(suite, chain, chain, dh(secrets.er, publics.si));
  const tau = filled(32);
  kdf3(suite, chain, tau, key, chain, bytes(c.presharedKey));
  mixHash(tau);
  const message2 = hex(publics.er) + encrypt(EMPTY);
  const [chainKey2, hash2] = [hex(chain), hex(hash)];

  const [initiatorSend, responderSend] = [filled(32), filled(32)];
  kdf2(suite, initiatorSend, responderSend, chain, EMPTY);
  return {
    message1,
    chainKey1,
    hash1,
    message2,
    chainKey2,
    hash2,
    initiatorSend: hex(initiatorSend),
    responderSend: hex(responderSend),
  };
}

/** HASH(label || public key) */
function labelKey(suite, label, publicKey) {
  const key = filled(32);
  suite.hash(key, text(label), bytes(publicKey));
  return key;
}

function mac1({ suite }, receiverPublic, message) {
  const out = filled(16);
  suite.mac(out, labelKey(suite, "mac1----", receiverPublic), bytes(message));
  return hex(out);
}

function checkCookie({ suite }, c, cookie) {
  const answersInitiation = cookie.to === "initiator";
  const message = answersInitiation ? c.initiation.message : c.response.message;
  const answering = answersInitiation ? c.responderStaticPublic : c.initiatorStaticPublic;
  const index = answersInitiation ? c.initiatorIndex : c.responderIndex;
  const made = filled(16);
  suite.mac(made, bytes(cookie.secret), bytes(cookie.source));
  expect(hex(made), cookie.cookie, "cookie");
  const key = labelKey(suite, "cookie--", answering);
  const sealed = filled(32);
  const theirMac1 = bytes(message).subarray(-32, -16);
  suite.xseal(sealed, key, bytes(cookie.nonce), made, theirMac1);
  expect(`03000000${hex(le32(index))}${cookie.nonce}${hex(sealed)}`, cookie.reply, "cookie reply");
  const opened = filled(16);
  expect(suite.xopen(opened, key, bytes(cookie.nonce), sealed, theirMac1), true, "reply opens");
  expect(hex(opened), cookie.cookie, "cookie from the reply");
  const mac2 = filled(16);
  const covered = bytes(message).subarray(0, -16);
  suite.mac(mac2, opened, covered);
  expect(hex(covered) + hex(mac2), cookie.messageWithMac2, "mac2");
}

/** Seal, open, and refusal of a changed tag, ciphertext, key and associated data. */
function checkAead(suite, nonce, key, ad, plaintext, sealed) {
  const [k, n, a, p, s] = [key, nonce, ad, plaintext, sealed].map(bytes);
  const seal = (out) => (n.length === 0 ? suite.seal(out, k, p, a) : suite.xseal(out, k, n, p, a));
  const open = (out, withKey, from, withAd) =>
    n.length === 0
      ? suite.open(out, withKey, from, withAd)
      : suite.xopen(out, withKey, n, from, withAd);
  const out = filled(p.length + TAG);
  seal(out);
  expect(hex(out), sealed, "sealed");
  const opened = filled(p.length);
  expect(open(opened, k, s, a), true, "authentic");
  expect(hex(opened), plaintext, "opened");
  const forgeries = [
    [flipped(k, 0), s, a],
    [k, flipped(s, s.length - 1), a],
    [k, flipped(s, 0), a],
    [k, s, a.length === 0 ? Uint8Array.of(0) : flipped(a, a.length - 1)],
  ];
  for (const [withKey, from, withAd] of forgeries) {
    expect(open(opened.fill(0xa5), withKey, from, withAd), false, "a forgery is refused");
    expect(hex(opened), "00".repeat(p.length), "a forgery leaves zeros");
  }
}

/** Seals and opens one datagram on the slab at an odd offset; `whole` if `expected` includes the tag. */
function checkTransport({ cipher, slab }, key, head, plaintext, expected, whole) {
  const [k, p] = [bytes(key), bytes(plaintext)];
  // In the last region of the slab, which holds packets, not lists; odd, so that no alignment helps.
  const offset = slab.bytes.length - 65_536 + 3;
  const length = HEADER + p.length + TAG;
  const packet = slab.bytes.subarray(offset, offset + length);
  const around = slab.bytes.subarray(offset - 16, offset + length + 16);
  around.fill(0xa5);
  packet.set(bytes(head));
  packet.set(p, HEADER);
  slab.datagramOffset[3] = offset;
  slab.datagramLength[3] = length;
  cipher.seal(slab, k, 3, 1);
  const sealed = hex(packet);
  expect(sealed.slice(0, 2 * HEADER), head, "header unchanged");
  expect(sealed.slice(2 * HEADER, whole ? undefined : -2 * TAG), expected, "sealed");
  expect(hex(around.subarray(0, 16)) + hex(around.subarray(-16)), "a5".repeat(32), "bytes around");

  slab.receivedOffset[5] = offset;
  slab.receivedLength[5] = length;
  slab.opened[5] = -2;
  cipher.open(slab, k, 5, 1);
  expect(slab.opened[5], p.length, "authentic");
  expect(hex(packet.subarray(HEADER, HEADER + p.length)), plaintext, "opened");
  for (const at of [HEADER - 1, HEADER, length - 1]) {
    packet.set(bytes(sealed));
    packet[at] ^= 1;
    cipher.open(slab, k, 5, 1);
    expect(slab.opened[5], -1, `refused with byte ${at} changed`);
  }
  cipher.forget();
}

/** The AEAD that lies below a suite, which takes any nonce. */
function library(name, key, nonce, ad, plaintext) {
  const [k, n, a, p] = [key, nonce, ad, plaintext].map(bytes);
  return name === "noble" ? chacha20poly1305(k, n, a).encrypt(p) : sealWith(k, n, a, p);
}
