/**
 * Command lines and environments of `wirehaul-wg` and `wirehaul demo`: either settings that are what they should be, or the usage, or
 * an error that names the option or variable. Also names of interfaces, which the kernel has its own rules for.
 */

import { parseDemo } from "../../../src/cli/demo.ts";
import { logLevel } from "../../../src/cli/log.ts";
import {
  cryptoBackend,
  descriptor,
  descriptors,
  type Environment,
  lanesOption,
  parseArguments,
} from "../../../src/cli/wirehaul-wg-settings.ts";
import { LANES_MAX } from "../../../src/engine/lane-count.ts";
import { nameProblem } from "../../../src/engine/tun.ts";
import { must, type Note, type Target, textInput } from "../target.ts";

const VARIABLES = ["WG_TUN_FD", "WG_UAPI_FD", "WIREHAUL_READY_FD"];
const FD_MAX = 999_999_999;

/** What a reader gives, or "refused": with the name of what is wrong. */
function settled<Value>(read: () => Value, names: string): Value | "refused" {
  try {
    return read();
  } catch (error) {
    must(error instanceof Error, "what is thrown is an error");
    must(error.message.startsWith(names), `"${error.message}" begins with ${names}`);
    return "refused";
  }
}

function isDescriptor(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= FD_MAX;
}

/** The kernel's own rule, byte by byte (net/core/dev.c dev_valid_name), and one "%d" at most. */
function mayBeName(name: string): boolean {
  const bytes = new TextEncoder().encode(name);
  if (bytes.length === 0 || bytes.length > 15 || name === "." || name === "..") return false;
  for (const byte of bytes) {
    if (byte === 0x2f || byte === 0x3a || byte === 0) return false;
    // isspace of the kernel (lib/ctype.c): with the hard space of Latin-1.
    if (byte === 0x20 || (byte >= 9 && byte <= 13) || byte === 0xa0) return false;
  }
  const percents = name.split("%").length - 1;
  return percents === 0 || (percents === 1 && name.includes("%d"));
}

/** One argument a line; lines with "=" in front of an upper-case name are variables. */
function read(input: Uint8Array): { readonly args: string[]; readonly environment: Environment } {
  const args: string[] = [];
  const environment: Record<string, string> = {};
  for (const line of new TextDecoder().decode(input).split("\n")) {
    const variable = /^([A-Z_]{2,30})=(.*)$/s.exec(line);
    if (variable === null) args.push(line);
    else environment[variable[1]!] = variable[2]!;
  }
  return { args, environment };
}

function run(input: Uint8Array, note: Note): void {
  const { args, environment } = read(input);
  const parsed = parseArguments(args);
  if (parsed !== undefined) {
    must(!parsed.name.startsWith("-") && args.at(-1) === parsed.name, "the last one is the name");
    note(`wg ${parsed.isForeground} ${parsed.crypto === undefined} ${parsed.lanes === undefined}`);
    const problem = nameProblem(parsed.name);
    // What we let pass the kernel must take, or its error would be all that is told.
    must(problem !== undefined || mayBeName(parsed.name), `no interface can be "${parsed.name}"`);
    note(`name ${problem?.replace(/".*"|[0-9]+/gs, "")}`);
  } else {
    note("usage");
  }
  const given: Environment = {
    ...environment,
    ...(parsed?.crypto === undefined ? {} : { WIREHAUL_CRYPTO: parsed.crypto }),
    ...(parsed?.lanes === undefined ? {} : { WIREHAUL_LANES: parsed.lanes }),
  };
  const crypto = settled(() => cryptoBackend(given), "--crypto or WIREHAUL_CRYPTO");
  must(["openssl", "noble", "refused"].includes(crypto), "one of two");
  const lanes = settled(() => lanesOption(given), "--lanes or WIREHAUL_LANES");
  const isCount = typeof lanes === "number" && Number.isInteger(lanes) && lanes >= 1;
  must(lanes === "auto" || lanes === "refused" || (isCount && lanes <= LANES_MAX), "a count");
  for (const variable of VARIABLES) {
    const fd = settled(() => descriptor(given, variable), variable);
    must(fd === undefined || fd === "refused" || isDescriptor(fd), "a descriptor");
    note(`${variable} ${typeof fd} ${fd === "refused"}`);
  }
  const queues = settled(() => descriptors(given, "WIREHAUL_TUN_QUEUES"), "WIREHAUL_TUN_QUEUES");
  must(queues === "refused" || queues.every(isDescriptor), "descriptors");
  note(`values ${crypto} ${typeof lanes} ${queues === "refused" ? queues : queues.length}`);
  must(["verbose", "error", "silent"].includes(logLevel(given["LOG_LEVEL"])), "a level");
  const options = parseDemo(args);
  if (options === undefined) return;
  if (options.kind === "grid") note(`demo ${options.isKept} ${options.isJson}`);
  else {
    must(Number.isInteger(options.seconds) && options.seconds >= 1, "whole seconds");
    note(`demo ${options.peer} ${options.isJson}`);
  }
}

const WORDS = [
  "-f\n",
  "--foreground\n",
  "--crypto=noble\n",
  "--crypto=",
  "--lanes=",
  "--lanes\n",
  "auto",
  "64",
  "65",
  "0",
  "wg0",
  "wg%d",
  "%",
  "\n",
  "WG_TUN_FD=",
  "WG_UAPI_FD=",
  "WIREHAUL_READY_FD=",
  "WIREHAUL_TUN_QUEUES=",
  "WIREHAUL_CRYPTO=",
  "WIREHAUL_LANES=",
  "LOG_LEVEL=verbose\n",
  "3,4",
  "--json\n",
  "--keep\n",
  "tunnel\n",
  "--peer\n",
  "wireguard-go\n",
  "--seconds\n",
  "é",
  "\u00a0",
  "\u3000",
];

export const argumentsTarget: Target = {
  name: "arguments",
  sources: /\/src\/(cli|engine)/,
  batch: 128,
  maxBytes: 400,
  dictionary: WORDS.map(textInput),
  seeds: [
    "-f\n--crypto=noble\n--lanes=auto\nwg0",
    "WG_TUN_FD=3\nWIREHAUL_TUN_QUEUES=6,7\nWIREHAUL_LANES=2\n--lanes\n4\nwg%d",
    "tunnel\n--peer\nwireguard-go\n--seconds\n5\n--json",
    "--keep\n--json",
  ].map(textInput),
  run,
};
