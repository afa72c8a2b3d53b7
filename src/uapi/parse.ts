/**
 * The lines of a `set=1` request, parsed to operations up to the first bad line. What is accepted and which error a bad line
 * gives is wireguard-go's device/uapi.go, to the letter: a private key may come twice, device keys end with the first
 * public_key, numbers are digits only, `true` is the only truth.
 *
 * It applies nothing and knows no device: that our own public key is no peer, or a port is taken, turns out on applying.
 * Lines come as bytes without their line ends; cutting a byte stream is `request.ts`. Of a secret, and of what may be one in the
 * wrong place, no string is made: strings can't be wiped. The caller wipes the lines.
 */
import { isZero } from "../bytes/equal.ts";
import { parseHex } from "../bytes/hex.ts";
import { concealed } from "../bytes/secret-bytes.ts";
import { parseDecimal, parseEndpointText, parsePrefix } from "../route/address.ts";
import { EINVAL, EPROTO, NAME_MAX, printableName, type UapiError } from "./errors.ts";
import type { SetOperation } from "./operation.ts";

export interface ParsedSet {
  /** In the order of lines. */
  readonly operations: readonly SetOperation[];
  /** Of the line after those that gave the operations, which are to be applied nevertheless; absent: all lines are good. */
  readonly error?: UapiError;
}

const KEY_BYTES = 32;
const MARK = 0x3d; // "="
const U16_MAX = 0xffff;
const U32_MAX = 0xffff_ffff;

/** Parses lines up to the first empty or bad one. The arrays in the result are fresh; those of keys are to be wiped. */
export function parseSet(lines: Iterable<string>): ParsedSet {
  const parser = new SetParser();
  const encoder = new TextEncoder();
  for (const line of lines) {
    if (line === "" || !parser.push(encoder.encode(line))) break;
  }
  return parser.result();
}

/** Parses a request line by line, for those who get it in pieces. */
export class SetParser {
  readonly #operations: SetOperation[] = [];
  #error: UapiError | undefined;
  #isAtPeer = false;

  /** Takes the next line, not empty, which stays the caller's; false: it is bad, and the request ends with it. */
  push(line: Uint8Array): boolean {
    const parsed = this.#parse(line);
    if ("op" in parsed) {
      this.#operations.push(parsed);
      return true;
    }
    this.#error = parsed;
    return false;
  }

  /** Ends the request with an error of its framing. */
  fail(error: UapiError): void {
    this.#error = error;
  }

  result(): ParsedSet {
    const operations = this.#operations;
    return this.#error === undefined ? { operations } : { operations, error: this.#error };
  }

  #parse(line: Uint8Array): SetOperation | UapiError {
    const mark = line.indexOf(MARK);
    if (mark < 0) return { errno: EPROTO, message: "line without =" };
    // A longer one is no name that there is.
    const name = mark > NAME_MAX ? "" : textOf(line.subarray(0, mark));
    const value = line.subarray(mark + 1);
    if (name === "public_key") {
      this.#isAtPeer = true;
      const publicKey = parseHex(value, KEY_BYTES);
      return publicKey === undefined
        ? { ...invalid(name), completesPeer: true }
        : { op: "peer", publicKey };
    }
    return this.#isAtPeer ? parsePeerLine(name, value) : parseDeviceLine(name, value);
  }
}

// A byte order mark is no part of the protocol: with it a name is unknown.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

function textOf(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

function parseDeviceLine(name: string, value: Uint8Array): SetOperation | UapiError {
  switch (name) {
    case "private_key": {
      const key = parseHex(value, KEY_BYTES);
      if (key === undefined) return invalid(name);
      if (!isZero(key)) clamp(key);
      return { op: "private_key", key: concealed(key) };
    }
    case "listen_port": {
      const port = parseDecimal(textOf(value), U16_MAX);
      return port < 0 ? invalid(name) : { op: "listen_port", port };
    }
    case "fwmark": {
      const mark = parseDecimal(textOf(value), U32_MAX);
      return mark < 0 ? invalid(name) : { op: "fwmark", mark };
    }
    case "replace_peers":
      return textOf(value) === "true" ? { op: "replace_peers" } : invalid(name);
    default:
      return { errno: EINVAL, message: `unknown device key: ${printableName(name)}` };
  }
}

function parsePeerLine(name: string, value: Uint8Array): SetOperation | UapiError {
  switch (name) {
    case "update_only":
    case "remove":
    case "replace_allowed_ips":
      return textOf(value) === "true" ? { op: name } : invalid(name);
    case "preshared_key": {
      const key = parseHex(value, KEY_BYTES);
      return key === undefined ? invalid(name) : { op: "preshared_key", key: concealed(key) };
    }
    case "endpoint": {
      const endpoint = parseEndpointText(textOf(value));
      return endpoint === undefined ? invalid(name) : { op: "endpoint", ...endpoint };
    }
    case "persistent_keepalive_interval": {
      const seconds = parseDecimal(textOf(value), U16_MAX);
      return seconds < 0 ? invalid(name) : { op: "persistent_keepalive_interval", seconds };
    }
    case "allowed_ip": {
      const text = textOf(value);
      const add = !text.startsWith("-");
      const prefix = parsePrefix(add ? text : text.slice(1));
      return prefix === undefined ? invalid(name) : { op: "allowed_ip", add, ...prefix };
    }
    case "protocol_version":
      return textOf(value) === "1" ? { op: "protocol_version" } : invalid(name);
    default:
      return { errno: EINVAL, message: `unknown peer key: ${printableName(name)}` };
  }
}

function invalid(name: string): UapiError {
  return { errno: EINVAL, message: `invalid value of ${name}` };
}

/** Makes 32 bytes an X25519 scalar (RFC 7748 section 5). */
function clamp(key: Uint8Array): void {
  key[0] = key[0]! & 248;
  key[31] = (key[31]! & 127) | 64;
}
