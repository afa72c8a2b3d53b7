/**
 * What a program hands to the library: any value where a configuration is expected, as from a JSON file that somebody wrote. Either
 * operations that say the same as their UAPI text, or a TypeError or RangeError that names the field and shows no key.
 */
import { formatHex } from "../../../src/bytes/hex.ts";
import { formatEndpointText, formatPrefix } from "../../../src/route/address.ts";
import { type Configuration, operationsOf } from "../../../src/uapi/configuration.ts";
import type { SetOperation } from "../../../src/uapi/operation.ts";
import { parseSet } from "../../../src/uapi/parse.ts";
import { Script } from "../script.ts";
import { must, type Note, type Target, textInput } from "../target.ts";

const DEVICE_FIELDS = ["privateKey", "listenPort", "fwmark", "replacePeers", "peers"];
const PEER_FIELDS = ["publicKey", "presharedKey", "endpoint", "allowedIps", "persistentKeepalive"];
const NAMES = [...DEVICE_FIELDS, ...PEER_FIELDS, "the configuration", "a peer"];
const KEY = "ERERERERERERERERERERERERERERERERERERERERERE=";
const TEXTS = [
  KEY,
  KEY.slice(1),
  "192.0.2.1:51820",
  "[2001:db8::1%3]:9",
  "[fe80::1%eth0]:9",
  "host.example:1",
  "10.0.0.0/8",
  "::/0",
  "1.2.3.4/33",
  "",
];
const NUMBERS = [0, 1, 25, 51_820, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, -1, 0.5, Number.NaN];
const ODD: readonly unknown[] = [null, undefined, true, false, {}, [], 7n, Symbol("odd"), "text"];

function textOf(script: Script): string {
  if (script.flag()) return script.pick(TEXTS);
  return new TextDecoder("latin1").decode(script.bytes(script.below(70)));
}

/** A value of the kind that a field wants, or of any other. */
function valueFor(script: Script, field: string): unknown {
  const how = script.below(8);
  if (how === 0) return script.pick(ODD);
  if (how === 1) return textOf(script);
  if (how === 2) return script.pick(NUMBERS);
  switch (field) {
    case "listenPort":
    case "persistentKeepalive":
    case "fwmark":
      return how < 6 ? script.word() : script.pick(NUMBERS);
    case "replacePeers":
      return script.flag();
    case "allowedIps":
      return Array.from({ length: script.below(4) }, () => valueFor(script, "prefix"));
    case "peers":
      return Array.from({ length: script.below(4) }, () => objectOf(script, PEER_FIELDS));
    default:
      return field.endsWith("Key") && how < 6 ? KEY : textOf(script);
  }
}

function objectOf(script: Script, fields: readonly string[]): unknown {
  if (script.below(16) === 15) return script.pick(ODD);
  const value: Record<string, unknown> = {};
  const which = script.byte();
  fields.forEach((field, index) => {
    if ((which & (1 << index)) !== 0) value[field] = valueFor(script, field);
  });
  return value;
}

/** An operation as the line that asks for it. */
function lineOf(operation: SetOperation): string {
  switch (operation.op) {
    case "private_key":
    case "preshared_key":
      return `${operation.op}=${formatHex(operation.key)}`;
    case "peer":
      return `public_key=${formatHex(operation.publicKey)}`;
    case "listen_port":
      return `listen_port=${operation.port}`;
    case "fwmark":
      return `fwmark=${operation.mark}`;
    case "endpoint":
      return `endpoint=${formatEndpointText(operation)}`;
    case "persistent_keepalive_interval":
      return `${operation.op}=${operation.seconds}`;
    case "allowed_ip":
      return `allowed_ip=${operation.add ? "" : "-"}${formatPrefix(operation.family, operation.bytes, operation.cidr)}`;
    case "protocol_version":
      return "protocol_version=1";
    default:
      return `${operation.op}=true`;
  }
}

/** UAPI text clamps a private key, the library does so where it is applied. */
function clamped(operation: SetOperation): SetOperation {
  if (operation.op !== "private_key" || operation.key.every((byte) => byte === 0)) return operation;
  const key = operation.key.slice();
  key[0]! &= 248;
  key[31] = (key[31]! & 127) | 64;
  return { op: "private_key", key };
}

function run(input: Uint8Array, note: Note): void {
  const configuration = objectOf(new Script(input), DEVICE_FIELDS) as Configuration;
  let operations: SetOperation[];
  try {
    operations = operationsOf(configuration);
  } catch (error) {
    must(error instanceof TypeError || error instanceof RangeError, `refused as a value: ${error}`);
    const field = NAMES.find((name) => error.message.startsWith(name));
    must(field !== undefined, `a message begins with the field: ${error.message}`);
    must(!/[0-9A-Za-z+/]{33}/.test(error.message), `a message shows no key: ${error.message}`);
    note(`refused ${field}`);
    return;
  }
  note(`operations ${operations.map(({ op }) => op).join(" ")}`.slice(0, 120));
  const parsed = parseSet(operations.map(lineOf));
  must(parsed.error === undefined, `its text is taken: ${parsed.error?.message}`);
  const texts = [parsed.operations, operations.map(clamped)].map((list) =>
    list.map(lineOf).join("\n"),
  );
  must(texts[0] === texts[1], `its text means the same: ${texts.join(" and not ")}`);
}

export const configurationTarget: Target = {
  name: "configuration",
  sources: /\/src\/(uapi|route|bytes)/,
  batch: 128,
  maxBytes: 400,
  dictionary: [...TEXTS, "\x1f"].map(textInput),
  seeds: [new Uint8Array(0), Uint8Array.of(0, 31, 3, 3, 3, 1, 1, 3, 1, 3, 3, 0, 31, 3, 3, 3, 1, 2)],
  run,
};
