/**
 * The configuration that the library takes, as operations. It comes from programs, in JavaScript too, or from a file that they read
 * as JSON: types are not to be trusted, and what is wrong is said by the name of its field. Keys are never shown, nor text that may
 * be one in the wrong place.
 */
import { parseBase64Key } from "../bytes/base64.ts";
import { concealed } from "../bytes/secret-bytes.ts";
import { parseEndpointText, parsePrefix } from "../route/address.ts";
import type { SetOperation } from "./operation.ts";

export interface PeerConfiguration {
  /** Base64, as `wg pubkey` prints it. */
  readonly publicKey: string;
  readonly presharedKey?: string;
  /** "192.0.2.1:51820" or "[2001:db8::1]:51820". */
  readonly endpoint?: string;
  /** Replaces what the peer had: "10.0.0.0/24", "fd00::/64". */
  readonly allowedIps?: readonly string[];
  /** Seconds; 0: off. */
  readonly persistentKeepalive?: number;
}

export interface Configuration {
  /** Base64, as `wg genkey` prints it. */
  readonly privateKey?: string;
  readonly listenPort?: number;
  readonly fwmark?: number;
  /** Peers to add or change; others stay unless `replacePeers`. */
  readonly peers?: readonly PeerConfiguration[];
  readonly replacePeers?: boolean;
}

/** Longest text that a message repeats: an IPv6 endpoint with a scope has 64 characters. */
const SHOWN_MAX = 64;
/** A run of so many letters and digits may be a key or most of one, in base64 or hexadecimal. */
const MAYBE_KEY = /[0-9A-Za-z+/]{32}/;

/**
 * What a configuration asks for, in order; the keys in it are fresh and to be wiped. Throws a TypeError or a RangeError that names
 * the field.
 */
export function operationsOf(configuration: Configuration): SetOperation[] {
  const given = objectOf(configuration, "the configuration");
  const operations: SetOperation[] = [];
  try {
    deviceOperations(given, operations);
    for (const peer of arrayOf(given.peers ?? [], "peers")) {
      peerOperations(objectOf(peer, "a peer"), operations);
    }
  } catch (error) {
    for (const operation of operations) if ("key" in operation) operation.key.fill(0);
    throw error;
  }
  return operations;
}

function deviceOperations(configuration: Configuration, operations: SetOperation[]): void {
  const { privateKey, listenPort, fwmark, replacePeers } = configuration;
  if (privateKey !== undefined) {
    operations.push({ op: "private_key", key: concealed(keyOf(privateKey, "privateKey")) });
  }
  if (listenPort !== undefined) {
    operations.push({ op: "listen_port", port: integerOf(listenPort, "listenPort", 65_535) });
  }
  if (fwmark !== undefined) {
    operations.push({ op: "fwmark", mark: integerOf(fwmark, "fwmark", 0xffff_ffff) });
  }
  if (replacePeers !== undefined && typeof replacePeers !== "boolean") {
    throw new TypeError(`replacePeers is ${shown(replacePeers)}, it must be true or false`);
  }
  if (replacePeers === true) operations.push({ op: "replace_peers" });
}

function peerOperations(peer: PeerConfiguration, operations: SetOperation[]): void {
  operations.push({ op: "peer", publicKey: keyOf(peer.publicKey, "publicKey") });
  if (peer.presharedKey !== undefined) {
    operations.push({
      op: "preshared_key",
      key: concealed(keyOf(peer.presharedKey, "presharedKey")),
    });
  }
  if (peer.endpoint !== undefined) {
    const text: unknown = peer.endpoint;
    const endpoint = typeof text === "string" ? parseEndpointText(text) : undefined;
    if (endpoint === undefined) {
      throw new TypeError(
        `endpoint ${shown(text)} is not ADDRESS:PORT or [IPV6]:PORT (names are not looked up)`,
      );
    }
    operations.push({ op: "endpoint", ...endpoint });
  }
  if (peer.persistentKeepalive !== undefined) {
    const seconds = integerOf(peer.persistentKeepalive, "persistentKeepalive", 65_535);
    operations.push({ op: "persistent_keepalive_interval", seconds });
  }
  if (peer.allowedIps === undefined) return;
  operations.push({ op: "replace_allowed_ips" });
  for (const text of arrayOf(peer.allowedIps, "allowedIps")) {
    const prefix = typeof text === "string" ? parsePrefix(text) : undefined;
    if (prefix === undefined) {
      throw new TypeError(`allowedIps: ${shown(text)} is not ADDRESS/LENGTH`);
    }
    operations.push({ op: "allowed_ip", add: true, ...prefix });
  }
}

/** The key's 32 bytes. The error never shows the key. */
function keyOf(text: unknown, name: string): Uint8Array {
  const key = typeof text === "string" ? parseBase64Key(text) : undefined;
  if (key === undefined) {
    throw new TypeError(`${name} is not a WireGuard key: 44 characters of base64 for 32 bytes`);
  }
  return key;
}

function integerOf(value: unknown, name: string, max: number): number {
  if (Number.isInteger(value) && (value as number) >= 0 && (value as number) <= max) {
    return value as number;
  }
  throw new RangeError(`${name} is ${shown(value)}, it must be an integer from 0 to ${max}`);
}

function objectOf<Value>(value: Value, name: string): Value {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw new TypeError(`${name} is ${shown(value)}, it must be an object`);
}

function arrayOf<Item>(value: readonly Item[], name: string): readonly Item[] {
  if (Array.isArray(value)) return value as readonly Item[];
  throw new TypeError(`${name} is ${shown(value)}, it must be an array`);
}

/** A value for a message: short, and no key that was put in the wrong place. */
function shown(value: unknown): string {
  if (typeof value === "number") return String(value);
  if (typeof value !== "string") return value === null ? "null" : `of type ${typeof value}`;
  const isPlain = /^[ -~]*$/.test(value) && value.length <= SHOWN_MAX;
  return isPlain && !MAYBE_KEY.test(value) ? `"${value}"` : "(not shown)";
}
